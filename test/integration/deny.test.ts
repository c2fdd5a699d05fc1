import { afterAll, beforeAll, expect, test } from "vitest";
import { linkLocalOf } from "../../provider/model/ipv6.js";
import { openStack } from "./driver.js";
import { frame, ipv4Packet, ipv6Packet, portUnreachable, udp } from "./frame.js";
import { layTestBed } from "./test-bed.js";
import { answersTo, countFrames, run, sendFrames, serve } from "./traffic.js";

const bed = layTestBed();

/**
 *   front 172.20.0.0/24 fd00:20::/64   eve, open, db
 *   back  172.21.0.0/24 fd00:21::/64        open, db
 *
 * db-front has a policy that lets nothing in. Every packet that must not reach db is one that does reach open.
 */
async function layOut() {
    const stack = await openStack(bed.host);
    const front = await stack.network("front", { subnet: ["172.20.0.0/24", "fd00:20::/64"] });
    const back = await stack.network("back", { subnet: ["172.21.0.0/24", "fd00:21::/64"] });
    const eve = await stack.join("eve", front);
    const open = await stack.join("open", front);
    const db = await stack.join("db", front);
    const backOf = async (name: string, sandbox: typeof open.sandbox) =>
        (await stack.endpoint(`${name}-back`, { sandbox, network: back })).outs;
    const backs = { open: await backOf("open", open.sandbox), db: await backOf("db", db.sandbox) };
    const closed = await stack.firewallPolicy("closed", { target: db.endpoint, ingress: [] });
    return { stack, front, eve, open, db, backs, closed };
}

let layout: Awaited<ReturnType<typeof layOut>>;
beforeAll(async () => {
    layout = await layOut();
});
afterAll(async () => {
    await layout.stack.destroyAll();
});

type Victim = "open" | "db";
const port = 7777;

/** How many of some frames of eve arrive at the interface of a victim, whatever its own kernel makes of them. */
async function arrivals(victim: Victim, frames: Readonly<Record<string, string[]>>, match: string) {
    const { eve } = layout;
    const arrived = await countFrames(layout[victim].place, "front", match);
    const counts: Record<string, number> = {};
    let seen = 0;
    for (const [name, each] of Object.entries(frames)) {
        await sendFrames(eve.place, "front", ...each);
        const now = await arrived();
        counts[name] = now - seen;
        seen = now;
    }
    return counts;
}

const all = (names: Readonly<Record<string, unknown>>, count: number) =>
    Object.fromEntries(Object.keys(names).map((name) => [name, count]));

const everybody = "ff:ff:ff:ff:ff:ff";

/** Frames of eve to a victim, by what is special about them. */
function framesTo(victim: Victim): Record<string, string[]> {
    const eve = layout.eve.endpoint.outs;
    const { macAddress, address, ipv6Address = "" } = layout[victim].endpoint.outs;
    const v4 = (to: string, destination: string) => [
        frame(to, eve.macAddress, ipv4Packet({ source: eve.address, destination }, 17, udp(port, port))),
    ];
    const v6 = (to: string, destination: string, source = String(eve.ipv6Address)) => [
        frame(to, eve.macAddress, ipv6Packet({ source, destination }, 17, udp(port, port))),
    ];
    return {
        "to its address": v4(macAddress, address),
        "to its address, in a frame for everybody": v4(everybody, address),
        "to the subnet's broadcast address": v4(everybody, "172.20.0.255"),
        "to the subnet's broadcast address, in a frame for it alone": v4(macAddress, "172.20.0.255"),
        "to 255.255.255.255": v4(everybody, "255.255.255.255"),
        "to 255.255.255.255, in a frame for it alone": v4(macAddress, "255.255.255.255"),
        "to all systems": v4("01:00:5e:00:00:01", "224.0.0.1"),
        "to all systems, in a frame for it alone": v4(macAddress, "224.0.0.1"),
        "to its IPv6 address": v6(macAddress, ipv6Address),
        "to its link-local address": v6(macAddress, linkLocalOf(macAddress), linkLocalOf(eve.macAddress)),
        "to all nodes": v6("33:33:00:00:00:01", "ff02::1"),
        "to all nodes, in a frame for it alone": v6(macAddress, "ff02::1"),
    };
}

test("deny: no broadcast, multicast or link-local packet slips past, whatever frame it comes in", async () => {
    const frames = framesTo("open");
    const match = `udp dport ${port}`;
    expect(await arrivals("open", frames, match)).toEqual(all(frames, 1));
    expect(await arrivals("db", framesTo("db"), match)).toEqual(all(frames, 0));
});

test("deny: an address of another network is not reached by way of this one", async () => {
    const { eve, backs } = layout;
    const match = `udp dport ${port}`;
    for (const victim of ["open", "db"] as const) {
        const { macAddress } = layout[victim].endpoint.outs;
        const { address, ipv6Address = "" } = backs[victim];
        const from = eve.endpoint.outs;
        const packetTo = (destination: string) =>
            ipv4Packet({ source: from.address, destination }, 17, udp(port, port));
        const packet = packetTo(address);
        const addresses = { source: String(from.ipv6Address), destination: ipv6Address };
        const packet6 = ipv6Packet(addresses, 17, udp(port, port));
        const frames = {
            "to its address": [frame(macAddress, from.macAddress, packetTo(layout[victim].address))],
            // Linux takes a packet for any address of its own, whichever interface it comes by.
            "to its other address": [frame(macAddress, from.macAddress, packet)],
            "to its other address, in a frame for everybody": [frame(everybody, from.macAddress, packet)],
            "to its other IPv6 address": [frame(macAddress, from.macAddress, packet6)],
            "to its other IPv6 address, in a frame for everybody": [frame(everybody, from.macAddress, packet6)],
        };
        const expected = { ...all(frames, 0), "to its address": victim === "open" ? 1 : 0 };
        expect(await arrivals(victim, frames, match), victim).toEqual(expected);
    }
});

test("deny: fragments are judged as what they are parts of", async () => {
    const { eve, closed } = layout;
    await closed.update({ ingress: [{ action: "allow", protocol: "udp", ports: [port] }] });
    const partsTo = (victim: Victim, to: number) => {
        const { macAddress, address } = layout[victim].endpoint.outs;
        const from = eve.endpoint.outs;
        const datagram = udp(port, to, "2a".repeat(24));
        const part = (offset: number, more: boolean) => {
            const payload = datagram.slice(offset * 16, more ? (offset + 2) * 16 : undefined);
            const addresses = { source: from.address, destination: address };
            return frame(macAddress, from.macAddress, ipv4Packet(addresses, 17, payload, { offset, more }));
        };
        return [part(0, true), part(2, false)];
    };
    const ofUdp = `ip saddr ${eve.address} ip protocol udp`;
    const frames = (victim: Victim) => ({ allowed: partsTo(victim, port), other: partsTo(victim, port + 1) });
    const whole = await arrivals("open", frames("open"), ofUdp);
    expect(whole["other"]).toBe(whole["allowed"]);
    expect(await arrivals("db", frames("db"), ofUdp)).toEqual({ allowed: whole["allowed"], other: 0 });
    // The second half alone says nothing of ports.
    const [, tail = ""] = partsTo("db", port + 1);
    expect(await arrivals("db", { tail: [tail] }, ofUdp)).toEqual({ tail: 0 });
    await closed.update({ ingress: [] });
});

test("deny: an ICMP error passes only when it is about a packet that was sent", async () => {
    const { eve, db } = layout;
    const from = eve.endpoint.outs;
    const { macAddress, address } = db.endpoint.outs;
    const about = (sourcePort: number) => {
        const quoted = ipv4Packet({ source: address, destination: from.address }, 17, udp(sourcePort, 9));
        const addresses = { source: from.address, destination: address };
        return [frame(macAddress, from.macAddress, ipv4Packet(addresses, 1, portUnreachable(quoted)))];
    };
    const match = "icmp type destination-unreachable";
    expect(await arrivals("db", { forged: about(5000) }, match)).toEqual({ forged: 0 });
    const script = `const s = require("dgram").createSocket("udp4"); s.bind(5000, () => s.send("?", 9, "${from.address}", () => s.close()))`;
    await run(db.place, [process.execPath, "-e", script]);
    const answered = await arrivals("db", { own: about(5000), other: about(5001) }, match);
    expect(answered).toEqual({ own: 1, other: 0 });
});

test("deny: no sandbox gives others their addresses", async () => {
    const { eve, open } = layout;
    const from = eve.endpoint.outs;
    const { macAddress, address } = open.endpoint.outs;
    const offer = (to: string, destination: string, sourcePort: number) => [
        frame(to, from.macAddress, ipv4Packet({ source: from.address, destination }, 17, udp(sourcePort, 68))),
    ];
    const offers = { alone: offer(macAddress, address, 67), everybody: offer(everybody, "255.255.255.255", 67) };
    const others = { alone: offer(macAddress, address, 66), everybody: offer(everybody, "255.255.255.255", 66) };
    expect(await arrivals("open", others, "udp dport 68")).toEqual(all(others, 1));
    expect(await arrivals("open", offers, "udp dport 68")).toEqual(all(offers, 0));
});

test("deny: egress [] keeps a sandbox from the host and its other gateways, ingress [] the host from a sandbox", async () => {
    const { stack, eve, open, db } = layout;
    await using _server = await serve({ machine: bed.host }, "host", "tcp:80", "udp:80", "tcp6:80");
    const [gateway, other, own] = ["172.20.0.1", "172.21.0.1", bed.host.address];
    const questions = [`tcp ${gateway}:80`, `udp ${gateway}:80`, `tcp ${own}:80`, "tcp [fd00:20::1]:80", `icmp ${own}`];
    const toOther = { [`tcp ${other}:80`]: "nothing", "tcp [fd00:21::1]:80": "nothing", [`icmp ${other}`]: "nothing" };
    const reached = (answers: Record<string, string>) =>
        Object.values(answers).filter((each) => /^host to|reply/.test(each));
    const ask = async () => answersTo(eve.place, Object.fromEntries(questions.map((each) => [each, ""])));
    expect(reached(await ask())).toHaveLength(questions.length);
    expect(await answersTo(eve.place, toOther)).toEqual(toOther);
    await using _closed = await stack.firewallPolicy("mute", { target: eve.endpoint, egress: [] });
    expect(await ask()).toEqual(Object.fromEntries(questions.map((each) => [each, "nothing"])));
    const fromHost = {
        [`icmp ${db.address}`]: "nothing",
        [`icmp ${db.endpoint.outs.ipv6Address}`]: "nothing",
        [`icmp ${open.address}`]: "reply",
        [`icmp ${open.endpoint.outs.ipv6Address}`]: "reply",
    };
    expect(await answersTo({ machine: bed.host }, fromHost)).toEqual(fromHost);
});
