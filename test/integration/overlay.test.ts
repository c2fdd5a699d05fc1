import { afterAll, beforeAll, expect, test } from "vitest";
import type { LabHost } from "../../lab/index.js";
import { packetsIn } from "./counters.js";
import { openStack, type Stack } from "./driver.js";
import { layTestBed } from "./test-bed.js";
import { answersTo, ask, inside, run, sendFrames, serve } from "./traffic.js";

const bed = layTestBed(2);
const ranges = ["172.25.0.0/25", "172.25.0.128/25"] as const;
const vni = 42;

/** One host's end: network, tunnel to the other host, and a sandbox. */
async function layEnd(stack: Stack, machine: LabHost, own: number, other: LabHost) {
    const network = await stack.network("mesh", { subnet: "172.25.0.0/24", ipRange: ranges[own] });
    const sandbox = await stack.sandbox("app");
    const endpoint = await stack.endpoint("app-mesh", { sandbox, network });
    const peers = [{ underlayAddress: other.address, ipRange: ranges[1 - own] }];
    const tunnel = await stack.overlayTunnel("mesh", { network, vni, peers });
    return {
        machine,
        stack,
        network,
        sandbox,
        endpoint,
        tunnel,
        peers,
        place: inside(machine, sandbox),
        address: endpoint.outs.address,
    };
}

/** That of a tunnel's device, from its host's address on the underlay. */
const macOf = (underlayAddress: string) =>
    `02:6c:${underlayAddress
        .split(".")
        .map((byte) => Number(byte).toString(16).padStart(2, "0"))
        .join(":")}`;

let ends: Awaited<ReturnType<typeof layEnd>>[];

function bothEnds() {
    const [left, right] = ends;
    if (left === undefined || right === undefined) throw new Error("There are two ends.");
    return { left, right };
}

beforeAll(async () => {
    const [first, second] = bed.hosts as [LabHost, LabHost];
    ends = await Promise.all([
        layEnd(await openStack(first), first, 0, second),
        layEnd(await openStack(second), second, 1, first),
    ]);
});

afterAll(async () => {
    for (const { stack } of ends) await stack.destroyAll();
});

/** Counts VXLAN packets that leave a host's underlay interface; all, or those with a broadcast or ARP inside. */
async function countSent(
    machine: LabHost,
): Promise<AsyncDisposable & { read(): Promise<{ all: number; arp: number }> }> {
    // Inner Ethernet frame: behind UDP (8 bytes) and VXLAN (8 bytes); its ethertype is 12 bytes further (RFC 7348).
    const table = `table netdev watch {
    chain leaving {
        type filter hook egress device "eth0" priority 0; policy accept;
        udp dport 4789 counter
        udp dport 4789 @th,224,16 0x0806 counter
    }
}`;
    await machine.exec("nft -f -", { stdin: table });
    return {
        async read() {
            const [all = Number.NaN, arp = Number.NaN] = await packetsIn(machine, "netdev watch");
            return { all, arp };
        },
        [Symbol.asyncDispose]: async () => void (await machine.exec("nft delete table netdev watch")),
    };
}

test("overlay: sandboxes of two hosts reach each other with their own addresses, and each its gateway", async () => {
    const { left, right } = bothEnds();
    expect([left.address, right.address]).toEqual(["172.25.0.2", "172.25.0.129"]);
    await using _right = await serve(right.place, "right", "tcp:80", "udp:80");
    await using _left = await serve(left.place, "left", "tcp:80");
    const fromLeft = {
        [`icmp ${right.address}`]: "reply",
        [`tcp ${right.address}:80`]: `right to ${left.address}`,
        [`udp ${right.address}:80`]: `right to ${left.address}`,
        "icmp 172.25.0.1": "reply",
    };
    const fromRight = { [`tcp ${left.address}:80`]: `left to ${right.address}`, "icmp 172.25.0.128": "reply" };
    const answers = await Promise.all([answersTo(left.place, fromLeft), answersTo(right.place, fromRight)]);
    expect(answers).toEqual([fromLeft, fromRight]);
    for (const { network, tunnel, endpoint } of ends) {
        for (const resource of [network, tunnel, endpoint]) expect(await resource.refresh()).toEqual([]);
    }
});

test("overlay: the host itself and published ports reach across", async () => {
    const { left, right } = bothEnds();
    await using _right = await serve(right.place, "right", "tcp:80");
    const question = `tcp ${right.address}:80`;
    expect(await ask({ machine: left.machine }, question)).toEqual({ [question]: "right to 172.25.0.1" });
    await using _mapping = await right.stack.portMapping("http", {
        target: right.endpoint,
        hostPort: 8080,
        targetPort: 80,
    });
    const published = `tcp ${right.machine.address}:8080`;
    expect(await ask({ machine: bed.client }, published)).toEqual({ [published]: `right to ${bed.client.address}` });
});

test("overlay: every interface has the underlay's MTU less 50, and full packets pass", async () => {
    const { left, right } = bothEnds();
    expect(left.tunnel.outs.mtu).toBe(1450);
    const names = [left.network.outs.interfaceName, left.tunnel.outs.interfaceName, left.endpoint.outs.hostInterface];
    for (const name of names) {
        const { stdout } = await left.machine.exec(["ip", "-json", "link", "show", "dev", name]);
        expect(JSON.parse(stdout)[0].mtu, name).toBe(1450);
    }
    expect(JSON.parse(await run(left.place, "ip -json link show dev mesh"))[0].mtu).toBe(1450);
    await run(left.place, `ping -c1 -W1 -M do -s 1422 ${right.address}`);
    await expect(run(left.place, `ping -c1 -W1 -M do -s 1423 ${right.address}`)).rejects.toThrow("mtu=1450");
    // 1400 bytes of udp, and more than one segment of tcp.
    const receive = `const dgram = require("dgram").createSocket("udp4"), net = require("net"); let bytes = 0;
        dgram.on("message", (data) => console.log("udp " + data.length)); dgram.bind(90);
        net.createServer((s) => s.on("data", (d) => { bytes += d.length; }).on("end", () => console.log("tcp " + bytes))).listen(90, () => console.log("ready"))`;
    await using receiver = await right.machine.spawn([process.execPath, "-e", receive], {
        sandbox: right.sandbox.outs.name,
    });
    await receiver.waitFor("ready");
    const send = `const s = require("dgram").createSocket("udp4");
        for (const size of [1400, 1422, 4000]) s.send(Buffer.alloc(size), 90, "${right.address}");
        require("net").connect(90, "${right.address}").end(Buffer.alloc(20000000)).on("close", () => s.close())`;
    await run(left.place, [process.execPath, "-e", send]);
    for (const text of ["udp 1400", "udp 1422", "udp 4000", "tcp 20000000"]) await receiver.waitFor(text);
});

test("overlay: no ARP and no broadcast crosses the underlay, only what is meant for the peer", async () => {
    const { left, right } = bothEnds();
    await run(left.place, "ip neigh flush all");
    await right.machine.exec(`ip -n ${right.sandbox.outs.name} neigh flush all`);
    await using sent = await countSent(left.machine);
    await run(left.place, `ping -q -c 5 -i 0.01 ${right.address}`);
    const afterPing = await sent.read();
    expect(afterPing).toEqual({ all: 5, arp: 0 });
    // Nobody is there: unknown addresses of the own range, and broadcasts.
    await ask(left.place, "icmp 172.25.0.77", "udp 172.25.0.255:80", "icmp 172.25.0.1");
    await run(left.place, "ping -c1 -W0.3 -b 172.25.0.255 || :");
    expect(await sent.read()).toEqual(afterPing);
});

test("overlay: a stranger's packet does not arrive", async () => {
    const { left, right } = bothEnds();
    await using server = await serve(left.place, "left", "udp:80");
    const hex = (address: string) =>
        address
            .split(".")
            .map((byte) => Number(byte).toString(16).padStart(2, "0"))
            .join("");
    const checksum = (header: string) => {
        const sum = (header.match(/.{4}/g) ?? []).reduce((total, word) => total + Number.parseInt(word, 16), 0);
        return (~((sum & 0xffff) + (sum >> 16)) & 0xffff).toString(16).padStart(4, "0");
    };
    const ipv4 = (length: number, source: string, target: string) => {
        const start = `4500${length.toString(16).padStart(4, "0")}000040004011`;
        return `${start}${checksum(`${start}${hex(source)}${hex(target)}`)}${hex(source)}${hex(target)}`;
    };
    const inner = `${macOf(left.machine.address)}${macOf(right.machine.address)}0800${ipv4(32, right.address, left.address)}00500050000c0000 65766921`;
    const udp = (port: string) => `b000${port}003e000008000000${vni.toString(16).padStart(6, "0")}00${inner}`;
    const { stdout } = await bed.client.exec(
        `ping -c1 -W1 ${left.machine.address} >/dev/null; ip -json neigh show ${left.machine.address}`,
    );
    const gatewayMac = JSON.parse(stdout)[0].lladdr;
    const { stdout: link } = await bed.client.exec("ip -json link show eth0");
    const frame = (source: string) =>
        `${gatewayMac}${JSON.parse(link)[0].address}0800${ipv4(82, source, left.machine.address)}${udp("12b5")}`;
    await sendFrames({ machine: bed.client }, "eth0", frame(bed.client.address));
    // The same packet in the peer's name arrives: the underlay is trusted, and the test's frame is a good one.
    await sendFrames({ machine: bed.client }, "eth0", frame(right.machine.address));
    await server.waitFor("got evi!");
    expect(server.output().match(/got/g)).toHaveLength(1);
});

test("overlay: a drifted tunnel is reported and repaired, and still does not flood", async () => {
    const { left, right } = bothEnds();
    const name = left.tunnel.outs.interfaceName;
    for (const damage of [
        `ip link set ${name} master ${left.network.outs.interfaceName}`,
        `ip link set ${name} type vxlan learning`,
        `ip link set ${name} down`,
        `bridge fdb del ${macOf(right.machine.address)} dev ${name} self dst ${right.machine.address}`,
        `ip neigh del 172.25.0.128 dev ${name}`,
        `ip route del ${ranges[1]}`,
        `ip link set ${name} address 02:00:00:00:00:01`,
        `ip link del ${name}`,
    ]) {
        await left.machine.exec(damage);
        expect(await left.tunnel.refresh(), damage).not.toEqual([]);
        expect(await left.tunnel.update({}), damage).toBe("update");
        expect(await left.tunnel.refresh(), damage).toEqual([]);
        await run(left.place, `ip neigh flush all; ping -c1 -W1 ${right.address}`);
    }
    await using sent = await countSent(left.machine);
    await run(left.place, "ping -c1 -W0.3 -b 172.25.0.255 || :");
    expect(await sent.read()).toEqual({ all: 0, arp: 0 });
});

test("overlay: peers change in place, and deleting one side leaves nothing of it", async () => {
    const { left, right } = bothEnds();
    const device = left.tunnel.outs.interfaceName;
    const entries = async () => {
        const { stdout } = await left.machine.exec(
            `for what in "ip -json route" "ip -json neigh" "bridge -json fdb"; do $what show dev ${device}; echo; done`,
        );
        return stdout
            .split("\n")
            .filter((line) => line !== "")
            .map((line) => JSON.parse(line).length);
    };
    expect(await entries()).toEqual([1, 1, 1]);
    expect(await left.tunnel.update({ peers: [] })).toBe("update");
    expect(await entries()).toEqual([0, 0, 0]);
    const closed = { [`icmp ${right.address}`]: "nothing" };
    expect(await answersTo(left.place, closed)).toEqual(closed);
    expect(await left.tunnel.update({ peers: left.peers })).toBe("update");
    const open = { [`icmp ${right.address}`]: "reply" };
    expect(await answersTo(left.place, open)).toEqual(open);
    await left.tunnel.delete();
    const { stdout } = await left.machine.exec(
        "ip -json neigh show nud permanent; ip -json -details link show type vxlan",
    );
    expect(stdout.replace(/\[\s*\]/g, "").trim()).toBe("");
    expect(JSON.parse(await run(left.place, "ip -json link show dev mesh"))[0].mtu).toBe(1500);
    expect(await answersTo(left.place, closed)).toEqual(closed);
});

test("overlay: ranges and addresses that cannot be are refused", async () => {
    const { left, right } = bothEnds();
    await using network = await left.stack.network("other", { subnet: "172.26.0.0/24", ipRange: "172.26.0.0/25" });
    const tunnel = (args: object) => left.stack.overlayTunnel("bad", { network, vni: 7, ...args });
    const peer = { underlayAddress: right.machine.address, ipRange: "172.26.0.128/25" };
    const cases: [object, string][] = [
        [{ peers: [{ ...peer, ipRange: "172.26.0.64/26" }] }, "overlaps this host's own 172.26.0.0/25"],
        [{ peers: [{ ...peer, ipRange: "172.27.0.0/25" }] }, "is outside subnet 172.26.0.0/24"],
        [{ peers: [peer, { ...peer, underlayAddress: "198.51.100.9" }] }, "overlaps that of peers[0]"],
        [{ peers: [{ ...peer, underlayAddress: left.machine.address }] }, "is this host itself"],
        [{ peers: [peer], mtu: 1500 }, "at most 1450 bytes pass unfragmented"],
        [{ peers: [peer], local: "192.0.2.1" }, "is no address of the host"],
    ];
    for (const [args, message] of cases) await expect(tunnel(args)).rejects.toThrow(message);
});
