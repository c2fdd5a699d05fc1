import { afterAll, beforeAll, expect, test } from "vitest";
import type { LabHost } from "../../lab/index.js";
import { openStack, reconnect } from "./driver.js";
import { frame, ipv4Packet, ipv6Frame, udp } from "./frame.js";
import { seen } from "./segment.js";
import { layTestBed } from "./test-bed.js";
import { answersTo, type Place, run, sendFrames, serve } from "./traffic.js";

/*
 * One segment of both families over two hosts that know each other by IPv6 alone.
 */
const bed = layTestBed(2);
const vni = 46;
const ranges = [
    ["172.25.0.0/25", "fd00:25:0:1::/64"],
    ["172.25.0.128/25", "fd00:25:0:2::/64"],
] as const;

async function layEnd(machine: LabHost, own: 0 | 1, other: LabHost) {
    const stack = await openStack(machine, { host: { underlayAddress: machine.ipv6Address } });
    expect(stack.host.outs.underlayAddress).toBe(machine.ipv6Address);
    const network = await stack.network("mesh", {
        subnet: ["172.25.0.0/24", "fd00:25::/56"],
        ipRange: ranges[own],
        gateway: [`172.25.0.${own * 128 + 1}`, `fd00:25:0:${own + 1}::1`],
    });
    const joined = await stack.join("app", network);
    // Canonical form: what the program writes is not what the kernel shows.
    const underlayAddress = other.ipv6Address.toUpperCase().replace("::", ":0:0:0:");
    const peers = [{ underlayAddress, ipRange: ranges[1 - own] }];
    const tunnel = await stack.overlayTunnel("mesh", { network, vni, peers });
    const { address, place, endpoint } = joined;
    const both = [address, endpoint.outs.ipv6Address ?? ""] as const;
    return { machine, stack, network, endpoint, tunnel, peers, place, both };
}

type End = Awaited<ReturnType<typeof layEnd>>;
let left: End;
let right: End;

beforeAll(async () => {
    const [first, second] = bed.hosts as [LabHost, LabHost];
    [left, right] = await Promise.all([layEnd(first, 0, second), layEnd(second, 1, first)]);
});

afterAll(async () => {
    for (const { stack } of [left, right]) await stack.destroyAll();
});

const replies = (addresses: readonly string[]) =>
    Object.fromEntries(addresses.map((address) => [`icmp ${address}`, "reply"]));

async function expectAnswers(place: Place, expected: Record<string, string>): Promise<void> {
    expect(await answersTo(place, expected)).toEqual(expected);
}

async function expectNoDrift(): Promise<void> {
    for (const { network, endpoint, tunnel } of [left, right])
        for (const resource of [network, endpoint, tunnel]) expect(await resource.refresh()).toEqual([]);
}

async function linkOf(machine: LabHost, name: string) {
    const [link] = JSON.parse((await machine.exec(["ip", "-json", "-details", "link", "show", "dev", name])).stdout);
    return link;
}

/** Counts what leaves the first host: VXLAN over IPv6, with ARP or ICMPv6 of neighbours inside, in pieces, and over IPv4. */
async function watchLeaving() {
    const { machine } = left;
    // Behind UDP (8 bytes) and VXLAN (8) the inner frame; its ethertype is 12 bytes further (RFC 7348).
    await machine.exec("nft -f -", {
        stdin: `table netdev watch {
    chain leaving {
        type filter hook egress device "eth0" priority 0; policy accept;
        ip6 daddr ${right.machine.ipv6Address} udp dport 4789 counter
        udp dport 4789 @th,224,16 0x0806 counter
        udp dport 4789 @th,224,16 0x86dd @th,288,8 58 @th,560,8 133-137 counter
        exthdr frag exists counter
        ip protocol udp udp dport 4789 counter
    }
}`,
    });
    return {
        async read() {
            const { stdout } = await machine.exec("nft list table netdev watch");
            const [all, arp, nd, pieces, ipv4] = [...stdout.matchAll(/packets (\d+)/g)].map(([, count]) =>
                Number(count),
            );
            return { all, arp, nd, pieces, ipv4 };
        },
        [Symbol.asyncDispose]: async () => void (await machine.exec("nft delete table netdev watch")),
    };
}

test("ipv6 underlay: both families cross, from sandboxes and hosts, and published ports do", async () => {
    expect(left.both).toEqual(["172.25.0.2", "fd00:25:0:1::2"]);
    await using _right = await serve(right.place, "right", "tcp:80", "udp:80", "tcp6:80", "udp6:80");
    const [v4, v6] = right.both;
    await expectAnswers(left.place, {
        ...replies([v4, v6, "172.25.0.129", "fd00:25:0:2::1"]),
        [`tcp ${v4}:80`]: `right to ${left.both[0]}`,
        [`udp ${v4}:80`]: `right to ${left.both[0]}`,
        [`tcp [${v6}]:80`]: `right to ${left.both[1]}`,
        [`udp [${v6}]:80`]: `right to ${left.both[1]}`,
    });
    await expectAnswers(left, { ...replies([v4, v6]), [`tcp [${v6}]:80`]: "right to fd00:25:0:1::1" });
    await using _mapping = await left.stack.portMapping("far", {
        target: seen(right.endpoint),
        ...{ publishOn: left.stack.host, hostPort: 8080, targetPort: 80 },
    });
    await expectAnswers(
        { machine: bed.client },
        {
            [`tcp ${left.machine.address}:8080`]: "right to 172.25.0.1",
            [`tcp [${left.machine.ipv6Address}]:8080`]: "right to fd00:25:0:1::1",
        },
    );
    await expectNoDrift();
});

test("ipv6 underlay: the device is one of IPv6, with checksums, and 70 bytes smaller than its underlay", async () => {
    const names = [left.tunnel, left.network].map(({ outs }) => outs.interfaceName);
    const [device, bridge] = await Promise.all(names.map((name) => linkOf(left.machine, name)));
    expect(device.linkinfo.info_data).toMatchObject({
        ...{ id: vni, local6: left.machine.ipv6Address, port: 4789, learning: false },
        ...{ udp_zero_csum6_tx: false, udp_zero_csum6_rx: false },
    });
    expect([left.tunnel.outs.mtu, device.mtu, bridge.mtu]).toEqual([1430, 1430, 1430]);
});

test("ipv6 underlay: only what is meant for the peer crosses it, in one piece, and no neighbour is asked for", async () => {
    for (const { place } of [left, right]) await run(place, "ip neigh flush all; ip -6 neigh flush all");
    await using leaving = await watchLeaving();
    const [v4, v6] = right.both;
    await run(left.place, `ping -q -c5 -i0.01 ${v4}; ping -q -c5 -i0.01 ${v6}`);
    const counted = { all: 10, arp: 0, nd: 0, pieces: 0, ipv4: 0 };
    expect(await leaving.read()).toEqual(counted);
    // Addresses of the own range that nobody has, and everybody.
    await run(
        left.place,
        "ping -c1 -W0.3 172.25.0.77; ping -c1 -W0.3 -b 172.25.0.255; ping -c1 -W0.3 ff02::1%mesh || :",
    );
    expect(await leaving.read()).toEqual(counted);
    await run(left.place, `ping -c1 -W1 -M do -s ${1430 - 28} ${v4}; ping -c1 -W1 -M do -s ${1430 - 48} ${v6}`);
    await expect(run(left.place, `ping -c1 -W1 -M do -s ${1430 - 27} ${v4}`)).rejects.toThrow("mtu=1430");
    const receive = `const net = require("net"); let bytes = 0;
        net.createServer((s) => s.on("data", (d) => { bytes += d.length; }).on("end", () => console.log("tcp " + bytes))).listen(90, "::", () => console.log("ready"))`;
    await using receiver = await right.machine.spawn([process.execPath, "-e", receive], {
        sandbox: right.place.sandbox ?? "",
    });
    await receiver.waitFor("ready");
    const send = (to: string) => `require("net").connect(90, "${to}").end(Buffer.alloc(5000000))`;
    await run(left.place, [process.execPath, "-e", `${send(v4)};${send(v6)}`]);
    await receiver.waitFor("tcp 10000000");
    expect(await leaving.read()).toMatchObject({ pieces: 0, ipv4: 0, nd: 0 });
});

test("ipv6 underlay: a host that publishes a port of another one keeps the client's address, in both families", async () => {
    await using _right = await serve(right.place, "right", "tcp:80", "tcp6:80", "udp6:80");
    await using mapping = await left.stack.portMapping("kept", {
        target: seen(right.endpoint),
        ...{
            publishOn: left.stack.host,
            hostPort: 8080,
            targetPort: 80,
            protocol: ["tcp", "udp"],
            sourceAddress: "keep",
        },
    });
    const [v4, v6] = [left.machine.address, left.machine.ipv6Address];
    const client = { machine: bed.client };
    const kept = {
        [`tcp ${v4}:8080`]: `right to ${bed.client.address}`,
        [`tcp [${v6}]:8080`]: `right to ${bed.client.ipv6Address}`,
        [`udp [${v6}]:8080`]: `right to ${bed.client.ipv6Address}`,
    };
    await expectAnswers(client, kept);
    // A host takes nothing in that seems to come from itself; of IPv4, its addresses are not known here.
    const gateway = "right to fd00:25:0:1::1";
    const own = { [`tcp [${v6}]:8080`]: gateway, [`tcp ${v4}:8080`]: "nothing" };
    await Promise.all([right, right.place].map((place) => expectAnswers(place as Place, own)));
    await expectAnswers(left.place, { [`tcp [${v6}]:8080`]: `right to ${left.both[1]}` });
    for (const resource of [mapping, left.tunnel, right.tunnel]) expect(await resource.refresh()).toEqual([]);

    const { stdout } = await right.machine.exec("ip -6 rule show priority 1081");
    const [, rule] = /^1081:\s+(.*)$/m.exec(stdout) ?? [];
    await right.machine.exec(`ip -6 rule del ${rule}`);
    await expectAnswers(client, { [`tcp [${v6}]:8080`]: "nothing" });
    expect(await right.tunnel.refresh()).toEqual([expect.stringMatching(/^IPv6 rule iif .* is missing$/)]);
    expect(await right.tunnel.update({})).toBe("update");
    await expectAnswers(client, kept);
    await right.machine.exec(`ip -6 rule del ${rule}; sh /var/lib/linuxnet/restore`);
    expect(await right.tunnel.refresh()).toEqual([]);
    await expectAnswers(client, kept);
});

test("ipv6 underlay: a stranger's packet does not arrive, over either family", async () => {
    await using server = await serve(left.place, "left", "udp:80");
    const macOf = async (end: End) => (await linkOf(end.machine, end.tunnel.outs.interfaceName)).address;
    const inside = frame(
        await macOf(left),
        await macOf(right),
        ipv4Packet({ source: right.both[0], destination: left.both[0] }, 17, udp(80, 80, "6576696c")),
    );
    const vxlan = udp(45000, 4789, `08000000${vni.toString(16).padStart(6, "0")}00${inside}`);
    const [to, from] = [(await linkOf(left.machine, "eth0")).address, "02:00:00:00:00:99"];
    const outer = (source: string) =>
        ipv6Frame({ from, to }, { from: source, to: left.machine.ipv6Address }, { next: 17, body: vxlan });
    const client = { machine: bed.client };
    await sendFrames(client, "eth0", outer(bed.client.ipv6Address));
    const overIpv4 = { source: right.machine.address, destination: left.machine.address };
    await sendFrames(client, "eth0", frame(to, from, ipv4Packet(overIpv4, 17, vxlan)));
    // The same in the peer's name arrives: the underlay is trusted, and the test's frame is a good one.
    await sendFrames(client, "eth0", outer(right.machine.ipv6Address));
    await server.waitFor("got evil");
    expect(server.output().match(/got/g)).toHaveLength(1);
});

test("ipv6 underlay: the MTU follows the route to the peer in place", async () => {
    const peer = right.machine.ipv6Address;
    const ways: [string, number, string][] = [
        [`ip -6 route add ${peer} dev eth0 mtu 1400`, 1330, `ip -6 route del ${peer} dev eth0`],
        // As a router's advertisement sets it (RFC 4861, 4.6.4).
        ["sysctl -qw net.ipv6.conf.eth0.mtu=1450", 1380, "sysctl -qw net.ipv6.conf.eth0.mtu=1500"],
    ];
    for (const [narrow, mtu, back] of ways) {
        const index = (await linkOf(left.machine, left.tunnel.outs.interfaceName)).ifindex;
        await left.machine.exec(narrow);
        await reconnect();
        expect(await left.tunnel.refresh()).toEqual([
            `mtu 1430 does not fit the underlay: at most ${mtu} bytes pass unfragmented`,
        ]);
        expect(await left.tunnel.update({})).toBe("update");
        expect(left.tunnel.outs.mtu).toBe(mtu);
        expect(await linkOf(left.machine, left.tunnel.outs.interfaceName)).toMatchObject({ ifindex: index, mtu });
        expect(JSON.parse(await run(left.place, "ip -json link show dev mesh"))[0].mtu).toBe(mtu);
        await left.machine.exec(back);
        await reconnect();
        expect(await left.tunnel.refresh()).toEqual([`mtu is ${mtu}, and 1430 bytes pass the underlay unfragmented`]);
        expect(await left.tunnel.update({})).toBe("update");
        expect(await left.tunnel.refresh()).toEqual([]);
    }
});

test("ipv6 underlay: what drifted is reported and repaired", async () => {
    const name = left.tunnel.outs.interfaceName;
    const entry = JSON.parse((await left.machine.exec(`bridge -json fdb show dev ${name}`)).stdout)[0];
    expect(entry.dst).toBe(right.machine.ipv6Address);
    const peer = `{ ${right.machine.ipv6Address} . 4789 }`;
    for (const damage of [
        `bridge fdb replace ${entry.mac} dev ${name} self permanent dst ${bed.client.ipv6Address}`,
        `nft delete element inet linuxnet tunnel_peers6 '${peer}'`,
        `ip -6 neigh flush dev ${name} nud permanent`,
        "ip -6 route del fd00:25:0:2::/64",
        `ip link del ${name}`,
    ]) {
        await left.machine.exec(damage);
        expect(await left.tunnel.refresh(), damage).not.toEqual([]);
        expect(await left.tunnel.update({}), damage).toBe("update");
        expect(await left.tunnel.refresh(), damage).toEqual([]);
        await expectAnswers(left.place, replies(right.both));
    }
});

test("ipv6 underlay: hosts change from one family to the other in place, and addresses that cannot be are refused", async () => {
    const cases: [object, string][] = [
        [{ local: "2001:db8::77" }, `local 2001:db8::77 is no address of the host. Its addresses are `],
        [{ local: left.machine.address }, "the hosts of a segment need underlay addresses of one family"],
        [
            { peers: [{ underlayAddress: left.machine.ipv6Address, ipRange: ranges[1] }] },
            `peers[0]: ${left.machine.ipv6Address} is this host itself.`,
        ],
    ];
    for (const [args, message] of cases)
        await expect(left.tunnel.update({ local: undefined, peers: left.peers, ...args })).rejects.toThrow(message);
    const byIpv4 = (end: End, other: End, own: 0 | 1) =>
        end.tunnel.update({
            local: undefined,
            peers: [{ underlayAddress: other.machine.address, ipRange: ranges[1 - own] }],
        });
    await Promise.all([byIpv4(left, right, 0), byIpv4(right, left, 1)]);
    expect([left.tunnel.outs.mtu, right.tunnel.outs.mtu]).toEqual([1450, 1450]);
    await expectAnswers(left.place, replies(right.both));
    await Promise.all([left, right].map(({ tunnel, peers }) => tunnel.update({ peers })));
    await expectAnswers(left.place, replies(right.both));
    await expectNoDrift();
});
