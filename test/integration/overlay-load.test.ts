import { afterAll, beforeAll, expect, test } from "vitest";
import type { LabHost } from "../../lab/index.js";
import { packetsIn } from "./counters.js";
import { openStack, type Resource, type Stack } from "./driver.js";
import { serveEcho, startStream } from "./stream.js";
import { layTestBed } from "./test-bed.js";
import { answersTo, inside, run } from "./traffic.js";

const bed = layTestBed(3);
const ranges = ["172.25.0.0/26", "172.25.0.64/26", "172.25.0.128/26"] as const;
const port = 90;

interface End {
    readonly machine: LabHost;
    readonly stack: Stack;
    readonly network: Resource<"network">;
    readonly peer: { readonly underlayAddress: string; readonly ipRange: string };
    tunnel?: Resource<"overlay-tunnel">;
}

let ends: readonly [End, End, End];

async function layEnd(machine: LabHost, ipRange: string): Promise<End> {
    const stack = await openStack(machine);
    const network = await stack.network("mesh", { subnet: "172.25.0.0/24", ipRange });
    return { machine, stack, network, peer: { underlayAddress: machine.address, ipRange } };
}

const joinMesh = async ({ stack, network, machine }: End, name: string, args: object = {}) => {
    const { sandbox, endpoint, address } = await stack.join(name, network, { ...args });
    return { sandbox, endpoint, address, place: inside(machine, sandbox) };
};

async function connect(end: End, ...others: readonly End[]): Promise<void> {
    const peers = others.map(({ peer }) => peer);
    if (end.tunnel === undefined)
        end.tunnel = await end.stack.overlayTunnel("mesh", { network: end.network, vni: 42, peers });
    else expect(await end.tunnel.update({ peers })).toBe("update");
}

beforeAll(async () => {
    const [a, b, c] = await Promise.all(bed.hosts.map((machine, i) => layEnd(machine, ranges[i] ?? "")));
    if (a === undefined || b === undefined || c === undefined) throw new Error("There are three hosts.");
    ends = [a, b, c];
    await Promise.all([connect(a, b), connect(b, a)]);
});

afterAll(async () => {
    for (const { stack } of ends) await stack.destroyAll();
});

test("overlay under load: a host that is added takes no packet from the others, and is reached at once", async () => {
    const [a, b, c] = ends;
    const [one, two, three] = await Promise.all([joinMesh(a, "one"), joinMesh(b, "two"), joinMesh(c, "three")]);
    await using _two = await serveEcho(two.place, port);
    await using there = await startStream(one.place, two.address, port);
    await expect.poll(() => there.counts().judged).toBeGreaterThan(100);
    await connect(c, a, b);
    await Promise.all([connect(a, b, c), connect(b, a, c)]);
    const reached = Object.fromEntries([one, two].map(({ address }) => [`icmp ${address}`, "reply"]));
    expect(await answersTo(three.place, reached)).toEqual(reached);
    const { judged, lost } = await there.settled();
    console.log(`a host added under load: ${lost} of ${judged} packets lost`);
    expect(lost).toBe(0);
});

/** Counts what leaves a host for the others, and what of it asks for neighbours. */
async function watchUnderlay({ machine }: End, others: readonly End[]) {
    const rules = others.map(({ machine: { address } }) => `ip daddr ${address} udp dport 4789 counter`);
    // The inner frame's ethertype is 28 bytes behind the outer UDP header (RFC 7348); of IPv6 its next header and type.
    const table = `table netdev watch {
    chain leaving {
        type filter hook egress device "eth0" priority 0; policy accept;
        ${rules.join("\n        ")}
        udp dport 4789 @th,224,16 0x0806 counter
        udp dport 4789 @th,224,16 0x86dd @th,288,8 58 counter
    }
}`;
    await machine.exec("nft -f -", { stdin: table });
    return {
        async read() {
            const counts = await packetsIn(machine, "netdev watch");
            const [arp, nd] = counts.slice(-2);
            return { sent: counts.slice(0, -2), arp, nd };
        },
        [Symbol.asyncDispose]: async () => void (await machine.exec("nft delete table netdev watch")),
    };
}

test("overlay: of three hosts only the one that is meant is sent a frame, and nobody is asked for a neighbour", async () => {
    const [a, b, c] = ends;
    await using one = await a.stack.join("asking", a.network);
    await using two = await b.stack.join("asked", b.network);
    const places = [one.place, two.place];
    for (const place of places) await run(place, "ip neigh flush all");
    await using fromA = await watchUnderlay(a, [b, c]);
    await using fromB = await watchUnderlay(b, [a, c]);
    await using fromC = await watchUnderlay(c, [a, b]);
    await run(one.place, `ping -q -c 20 -i 0.01 ${two.address}`);
    // Nobody has these: an unknown address of another host's range, of the own one, and everybody.
    await run(one.place, "ping -c1 -W0.3 172.25.0.50 || :; ping -c1 -W0.3 -b 172.25.0.255 || :");
    expect(await fromA.read()).toEqual({ sent: [20, 0], arp: 0, nd: 0 });
    expect(await fromB.read()).toEqual({ sent: [20, 0], arp: 0, nd: 0 });
    expect(await fromC.read()).toEqual({ sent: [0, 0], arp: 0, nd: 0 });
});

test("overlay under load: an endpoint that moves to another host is reached all the time, and nobody else notices", async () => {
    const [a, b, c] = ends;
    const address = "172.25.0.20";
    const [beside, asking] = await Promise.all([joinMesh(a, "beside"), joinMesh(c, "watching")]);
    const old = await joinMesh(a, "movable", { ipv4Address: address });
    const servers = [await serveEcho(old.place, port), await serveEcho(beside.place, port)];
    await using toOther = await startStream(asking.place, beside.address, port);
    await using toMoved = await startStream(asking.place, address, port);
    await using fromBeside = await startStream(beside.place, address, port);
    const streams = [toOther, toMoved, fromBeside];
    for (const { counts } of streams) await expect.poll(() => counts().judged).toBeGreaterThan(100);
    // There first, then the way there, then no more here.
    const moved = await joinMesh(b, "moved", { ipv4Address: address });
    servers.push(await serveEcho(moved.place, port));
    const remoteEndpoints = [{ address, underlayAddress: b.machine.address }];
    for (const { tunnel } of [c, a]) expect(await tunnel?.update({ remoteEndpoints })).toBe("update");
    await old.endpoint.delete();
    const [other, far, near] = await Promise.all(streams.map((stream) => stream.settled()));
    console.log(
        `an endpoint moved under load: lost ${other?.lost} of ${other?.judged} packets to another one, ` +
            `${far?.lost} of ${far?.judged} from a third host, ${near?.lost} of ${near?.judged} from the host it left`,
    );
    expect(other?.lost).toBe(0);
    expect(far?.lost).toBe(0);
    // From the host it left until the delete is done: the old one is gone a moment before the way to the new one is there.
    expect(near?.lost).toBeLessThan(500);
    const sinceThen = await Promise.all(streams.map((stream) => stream.settled()));
    expect(sinceThen.map(({ lost }) => lost)).toEqual([other?.lost, far?.lost, near?.lost]);
    for (const { tunnel } of [c, a]) expect(await tunnel?.update({ remoteEndpoints: [] })).toBe("update");
    for (const server of servers) await server[Symbol.asyncDispose]();
});
