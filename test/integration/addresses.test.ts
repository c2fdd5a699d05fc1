import { expect, test } from "vitest";
import { type HostSnapshot, snapshotHost } from "../../lab/index.js";
import { type Joined, openStack, reconnect } from "./driver.js";
import { layTestBed } from "./test-bed.js";
import { ask, countFrames, type Place, run, serve } from "./traffic.js";

const bed = layTestBed();

/** The MACs that a place knows of these addresses. */
async function knownMacs(place: Place, ...addresses: string[]): Promise<string[]> {
    const entries: { dst: string; lladdr?: string }[] = JSON.parse(await run(place, "ip -j neigh show"));
    return addresses.map((address) => entries.find(({ dst }) => dst === address)?.lladdr ?? "none");
}

const addressesOf = ({ endpoint }: Joined) => [endpoint.outs.address, endpoint.outs.ipv6Address ?? "none"];

test("address: who knew it by another MAC is told of its next holder at once, over IPv4 and IPv6", async () => {
    await using stack = await openStack(bed.host);
    const front = await stack.network("front", { subnet: ["172.20.0.0/24", "fd00:20::/64"] });
    const neighbour = await stack.join("neighbour", front);
    const places = [neighbour.place, { machine: bed.host }];
    const [first, second] = ["02:00:00:00:00:01", "02:00:00:00:00:02"];
    const taken = { ipv4Address: "172.20.0.9", ipv6Address: "fd00:20::9" };
    const questions = Object.values(taken).map((address) => `icmp ${address}`);
    const replies = Object.fromEntries(questions.map((question) => [question, "reply"]));
    const expectKnown = async (mac: string | undefined) => {
        for (const place of places) expect(await knownMacs(place, ...Object.values(taken))).toEqual([mac, mac]);
        for (const place of places) expect(await ask(place, ...questions)).toEqual(replies);
    };

    const old = await stack.join("old", front, { ...taken, macAddress: first });
    for (const place of places) expect(await ask(place, ...questions)).toEqual(replies);
    await expectKnown(first);

    // Another sandbox has the addresses, with a MAC of its own.
    await old.endpoint.delete();
    const arp = await countFrames(neighbour.place, "front", `ether saddr ${second} arp operation request`);
    const next = await stack.join("next", front, { ...taken, macAddress: second });
    await expectKnown(second);
    expect(await arp()).toBeGreaterThanOrEqual(1);

    // One that is there takes them, and then only its MAC changes.
    await next.endpoint.update({ ipv4Address: "172.20.0.77", ipv6Address: "fd00:20::77" });
    expect(addressesOf(next)).toEqual(["172.20.0.77", "fd00:20::77"]);
    const late = await stack.join("late", front, { macAddress: first });
    await late.endpoint.update(taken);
    await expectKnown(first);
    await late.endpoint.update({ macAddress: undefined });
    await late.endpoint.update({ macAddress: "02:00:00:00:00:03" });
    await expectKnown("02:00:00:00:00:03");
    for (const resource of [late.endpoint, next.endpoint]) expect(await resource.refresh()).toEqual([]);
});

test("address: its next holder gets no connection of the one before, whichever way that came; changes keep them", async () => {
    await using stack = await openStack(bed.host);
    const front = await stack.network("front", { subnet: ["172.20.0.0/24", "fd00:20::/64"] });
    const neighbour = await stack.join("neighbour", front);
    const first = await stack.join("first", front, { ipv4Address: "172.20.0.9" });
    const target = { target: first.endpoint, hostPort: 8080, targetPort: 80, protocol: ["tcp", "udp"] };
    const mapping = await stack.portMapping("http", target);
    await using _first = await serve(first.place, "first", "tcp:80", "udp:80", "tcp6:80", "udp6:80");
    await using _client = await serve({ machine: bed.client }, "client", "tcp:82", "tcp6:82");
    const hosts = [bed.host.address, `[${bed.host.ipv6Address}]`];
    const clients = [bed.client.address, `[${bed.client.ipv6Address}]`];
    const published = hosts.flatMap((host) => [`tcp ${host}:8080`, `udp ${host}:8080`]);
    const direct = ["172.20.0.9", "[fd00:20::9]"].flatMap((address) => [`tcp ${address}:80`, `udp ${address}:80`]);
    const answers = await Promise.all([
        ask({ machine: bed.client }, ...published),
        ask({ machine: bed.host }, ...published, ...direct),
        ask(neighbour.place, ...direct),
        ask(first.place, ...clients.map((address) => `tcp ${address}:82`)),
    ]);
    for (const answer of answers.flatMap((each) => Object.values(each))) expect(answer).toMatch(/^(first|client) to /);

    /** Connections that know one of its addresses, by protocol and family. */
    const flows = async () => {
        const { stdout } = await bed.host.exec("conntrack -L 2>/dev/null; conntrack -L -f ipv6 2>/dev/null; :");
        const lines = stdout.split("\n").filter((line) => /=(172\.20\.0\.9|fd00:20::9) /.test(line));
        return lines.map((line) => `${line.split(" ")[0]} over ${line.includes("::") ? "IPv6" : "IPv4"}`).sort();
    };
    const before = await flows();
    expect(new Set(before)).toEqual(new Set(["tcp over IPv4", "tcp over IPv6", "udp over IPv4", "udp over IPv6"]));
    expect(await first.endpoint.update({ labels: { a: "b" } })).toBe("update");
    expect(await front.update({ labels: { a: "b" } })).toBe("update");
    expect(await flows()).toEqual(before);

    await mapping.delete();
    await first.endpoint.delete();
    expect(await flows()).toEqual([]);
    const next = await stack.join("next", front, { ipv4Address: "172.20.0.9" });
    expect(addressesOf(next)).toEqual(["172.20.0.9", "fd00:20::9"]);
    expect(await flows()).toEqual([]);
});

/** A bridge of others, and somebody behind it. */
const stranger = { mac: "02:00:00:00:00:99", addresses: ["10.5.0.9", "10.5.0.64", "10.5.0.65"] };

async function othersOnABridge(): Promise<AsyncDisposable> {
    await bed.host.exec(`ip link add br-app type bridge forward_delay 0 && ip link set br-app up && ip addr add 10.5.0.1/24 dev br-app
        ip netns add stranger
        ip link add stranger type veth peer name eth0 address ${stranger.mac} netns stranger
        ip link set stranger master br-app up && ip -n stranger link set eth0 up
        for a in ${stranger.addresses.join(" ")}; do ip -n stranger addr add $a/24 dev eth0; done`);
    await reconnect();
    return {
        async [Symbol.asyncDispose]() {
            await bed.host.exec("ip netns del stranger; ip link del stranger; ip link del br-app; :");
            await reconnect();
        },
    };
}

/** All of the host but the scratch files of transactions. */
async function everything(): Promise<HostSnapshot> {
    const all = await snapshotHost(bed.host);
    return { ...all, files: all.files.filter((file) => !file.startsWith("/run/linuxnet/")) };
}

test("address: on a bridge of others one that somebody answers for is refused with his MAC, and automatic ones pass it over", async () => {
    await using _others = await othersOnABridge();
    await using stack = await openStack(bed.host);
    const lan = await stack.network("lan", {
        ...{ subnet: "10.5.0.0/24", ipRange: "10.5.0.64-10.5.0.66", existing: true, interfaceName: "br-app" },
    });
    const [web, api] = [await stack.join("web", lan), await stack.sandbox("api")];
    expect(web.address).toBe("10.5.0.66");

    const before = await everything();
    const inUse = (address: string) =>
        `address ${address} is in use on bridge br-app by somebody else: ${stranger.mac} answers for it. Choose another ipv4Address.`;
    const attach = (args = {}) => stack.endpoint("api-lan", { sandbox: api, network: lan, ...args });
    await expect(attach({ ipv4Address: "10.5.0.9" })).rejects.toThrow(inUse("10.5.0.9"));
    await expect(attach()).rejects.toThrow(
        'in 10.5.0.64-10.5.0.66: 1 are in use, by endpoint "web-lan" of stack test/dev. Others on the bridge have 10.5.0.64, 10.5.0.65.',
    );
    await expect(web.endpoint.update({ ipv4Address: "10.5.0.65" })).rejects.toThrow(inUse("10.5.0.65"));
    // An older ip(8) does not know how to ask.
    await bed.host.exec(`mount -t tmpfs none /usr/local/sbin
        printf '#!/bin/sh\\ncase "$*" in *" use") exit 255 ;; esac\\nexec /sbin/ip "$@"\\n' >/usr/local/sbin/ip && chmod +x /usr/local/sbin/ip`);
    await expect(attach({ ipv4Address: "10.5.0.9" })).rejects.toThrow(inUse("10.5.0.9"));
    await bed.host.exec("umount /usr/local/sbin");
    expect(await everything()).toEqual(before);

    // What was one's own is free with its endpoint, and was never a stranger's.
    await web.endpoint.update({ ipv4Address: "10.5.0.10" });
    expect((await attach({ ipv4Address: "10.5.0.66" })).outs.address).toBe("10.5.0.66");
    const questions = ["icmp 10.5.0.10", "icmp 10.5.0.66", "icmp 10.5.0.9"];
    const replies = Object.fromEntries(questions.map((question) => [question, "reply"]));
    expect(await ask({ machine: bed.host }, ...questions)).toEqual(replies);
});

test("address: a gateway that somebody on an adopted bridge answers for is refused", async () => {
    await using _others = await othersOnABridge();
    await bed.host.exec("ip addr flush dev br-app");
    await using stack = await openStack(bed.host);
    const adopt = (gateway: string) =>
        stack.network("lan", { subnet: "10.5.0.0/24", gateway, adopt: true, interfaceName: "br-app" });
    await expect(adopt("10.5.0.9")).rejects.toThrow(
        `address 10.5.0.9 is in use on bridge br-app by somebody else: ${stranger.mac} answers for it. Choose another gateway.`,
    );
    expect((await adopt("10.5.0.2")).outs.gateway).toBe("10.5.0.2");
});
