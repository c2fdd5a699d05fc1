import { afterAll, beforeAll, expect, test } from "vitest";
import type { LabHost } from "../../lab/index.js";
import { openStack, type Stack } from "./driver.js";
import { layTestBed } from "./test-bed.js";
import { answersTo, ask, inside, type Place, run, serve } from "./traffic.js";

const bed = layTestBed(3);
const ipv4Ranges = ["172.25.0.0/26", "172.25.0.64/26", "172.25.0.128/26"] as const;
const ipv6Ranges = ["fd00:25:0:1::/64", "fd00:25:0:2::/64", "fd00:25:0:3::/64"] as const;

type Props = Record<string, unknown>;

let stacks: Stack[];

beforeAll(async () => {
    stacks = await Promise.all(bed.hosts.map((host) => openStack(host)));
});

afterAll(async () => {
    for (const stack of stacks) await stack.destroyAll();
});

const hostAt = (i: number) => bed.hosts[i] as LabHost;

/** The peers of one host, with what each owns. */
const peersOf = (own: number, rangeOf: (i: number) => unknown) =>
    bed.hosts.flatMap(({ address }, i) => (i === own ? [] : [{ underlayAddress: address, ipRange: rangeOf(i) }]));

/** One segment over all three: network and tunnel of each, as an OverlayNetwork makes them. */
async function laySegment(name: string, vni: number, args: (own: number) => { network: Props; tunnel?: Props }) {
    return Promise.all(
        stacks.map(async (stack, own) => {
            const { network: ofNetwork, tunnel: ofTunnel } = args(own);
            const network = await stack.network(name, ofNetwork);
            const peers = peersOf(own, (i) => args(i).network["ipRange"]);
            const tunnel = await stack.overlayTunnel(name, { network, vni, peers, ...ofTunnel });
            const sandbox = await stack.sandbox(`${name}-app`);
            const endpoint = await stack.endpoint(`${name}-app`, { sandbox, network });
            const machine = hostAt(own);
            const place = inside(machine, sandbox);
            return { machine, stack, network, tunnel, sandbox, endpoint, place, address: endpoint.outs.address, peers };
        }),
    );
}

type End = Awaited<ReturnType<typeof laySegment>>[number];

async function removeSegment(ends: readonly End[]): Promise<void> {
    for (const { tunnel, endpoint, sandbox, network } of ends)
        for (const resource of [tunnel, endpoint, sandbox, network]) await resource.delete();
}

async function expectNoDrift(ends: readonly End[]): Promise<void> {
    for (const { tunnel, endpoint, network } of ends)
        for (const resource of [network, endpoint, tunnel]) expect(await resource.refresh()).toEqual([]);
}

test("segment: both families cross, by the ranges of each host", async () => {
    const ends = await laySegment("dual", 11, (own) => ({
        network: {
            subnet: ["172.25.0.0/24", "fd00:25::/56"],
            ipRange: [ipv4Ranges[own], ipv6Ranges[own]],
            gateway: [
                ipv4Ranges[own]?.replace(/\d+\/26/, (end) => `${Number.parseInt(end, 10) + 1}`),
                ipv6Ranges[own]?.replace("/64", "1"),
            ],
        },
    }));
    const addresses = ends.map(({ endpoint }) => [endpoint.outs.address, endpoint.outs.ipv6Address]);
    expect(addresses).toEqual([
        ["172.25.0.2", "fd00:25:0:1::2"],
        ["172.25.0.64", "fd00:25:0:2::40"],
        ["172.25.0.128", "fd00:25:0:3::80"],
    ]);
    await Promise.all(
        ends.map(async ({ place }) => {
            const all = addresses.flat().map((address) => `icmp ${address}`);
            const expected = Object.fromEntries(all.map((question) => [question, "reply"]));
            expect(await answersTo(place, expected)).toEqual(expected);
        }),
    );
    // The hosts themselves too, and remote gateways.
    const own = {
        [`icmp ${addresses[1]?.[1]}`]: "reply",
        "icmp fd00:25:0:3::1": "reply",
        "icmp 172.25.0.129": "reply",
    };
    expect(await answersTo({ machine: hostAt(0) }, own)).toEqual(own);
    await run(ends[0]?.place as never, `ping -c1 -W1 -M do -s ${1450 - 48} ${addresses[1]?.[1]}`);
    await expectNoDrift(ends);
    await removeSegment(ends);
});

test("segment: an endpoint that moved, and one outside its host's range, are reached from every host at once", async () => {
    const ends = await laySegment("moves", 12, (own) => ({
        network: { subnet: "172.29.0.0/24", ipRange: ipv4Ranges[own]?.replace("172.25.", "172.29.") },
    }));
    const [a, b, c] = ends as [End, End, End];
    // It lived on the first host, and keeps its address on the second.
    const address = "172.29.0.20";
    const home = await a.stack.sandbox("mover");
    const first = await a.stack.endpoint("mover", { sandbox: home, network: a.network, ipv4Address: address });
    const question = { [`icmp ${address}`]: "reply" };
    const everybody = async () => {
        const asked = ends.flatMap(({ place, machine }) => [place, { machine }]);
        const answers = await Promise.all(asked.map((place) => answersTo(place, question)));
        return answers.filter((answer) => answer[`icmp ${address}`] === "reply").length;
    };
    expect(await everybody()).toBe(6);
    await first.delete();
    await home.delete();
    const there = await b.stack.sandbox("mover");
    const second = await b.stack.endpoint("mover", { sandbox: there, network: b.network, ipv4Address: address });
    const remoteEndpoints = [{ address, underlayAddress: b.machine.address, macAddress: "02:00:00:00:00:09" }];
    await Promise.all([a, c].map(({ tunnel }) => tunnel.update({ remoteEndpoints })));
    expect(await everybody()).toBe(6);
    await expectNoDrift(ends);
    expect(await second.refresh()).toEqual([]);
    // And back: what is here is here, whatever the entry says.
    await second.delete();
    await there.delete();
    const again = await a.stack.sandbox("mover");
    const third = await a.stack.endpoint("mover", { sandbox: again, network: a.network, ipv4Address: address });
    expect(await ask(a.place, `icmp ${address}`)).toEqual(question);
    await Promise.all([a, c].map(({ tunnel }) => tunnel.update({ remoteEndpoints: [] })));
    expect(await everybody()).toBe(6);
    await third.delete();
    await again.delete();
    await removeSegment(ends);
});

test("segment: peers without a range, where every endpoint is named", async () => {
    const ends = await laySegment("named", 13, () => ({ network: { subnet: "172.24.0.0/24" }, tunnel: { peers: [] } }));
    const [a, b] = ends as [End, End, End];
    const sandbox = await b.stack.sandbox("far");
    const far = await b.stack.endpoint("far", { sandbox, network: b.network, ipv4Address: "172.24.0.77" });
    await a.tunnel.update({
        peers: [b.machine.address],
        remoteEndpoints: [{ address: "172.24.0.77", underlayAddress: b.machine.address }],
    });
    const near = await a.stack.sandbox("near");
    const own = await a.stack.endpoint("near", { sandbox: near, network: a.network, ipv4Address: "172.24.0.78" });
    await b.tunnel.update({
        peers: [a.machine.address],
        remoteEndpoints: [{ address: "172.24.0.78", underlayAddress: a.machine.address }],
    });
    const question = { "icmp 172.24.0.77": "reply" };
    expect(await answersTo(inside(a.machine, near), question)).toEqual(question);
    for (const resource of [far, sandbox, own, near]) await resource.delete();
    await removeSegment(ends);
});

test("segment: internal, isolated and closed networks are so across hosts, and segments beside each other are apart", async () => {
    const range = (own: number) => ipv4Ranges[own];
    const internal = await laySegment("inner", 21, (own) => ({
        network: { subnet: "172.23.0.0/24", ipRange: range(own)?.replace("172.25.", "172.23."), internal: true },
    }));
    const other = (own: number) => range(own)?.replace("172.25.", "172.26.");
    const isolated = await laySegment("alone", 22, (own) => ({
        network: { subnet: "172.26.0.0/24", ipRange: other(own), isolateEndpoints: true },
        tunnel: { port: 4790 },
    }));
    const third = (own: number) => range(own)?.replace("172.25.", "172.27.");
    const closed = await laySegment("closed", 23, (own) => ({
        network: { subnet: "172.27.0.0/24", ipRange: third(own), defaultPolicy: "deny" },
    }));
    const fourth = (own: number) => range(own)?.replace("172.25.", "172.28.");
    const apart = await laySegment("apart", 24, (own) => ({
        network: { subnet: "172.28.0.0/24", ipRange: fourth(own), hostAccess: false, attachable: true },
    }));
    const [inner, alone, shut, away] = [internal[0], isolated[0], closed[0], apart[0]] as [End, End, End, End];
    const [, innerFar] = internal as [End, End, End];
    const [, aloneFar] = isolated as [End, End, End];
    const [, shutFar] = closed as [End, End, End];
    const [, awayFar] = apart as [End, End, End];
    const icmp = (address: string, reply: string) => ({ [`icmp ${address}`]: reply });
    const expected: [Place, Record<string, string>][] = [
        [
            inner.place,
            {
                ...icmp(innerFar.address, "reply"),
                ...icmp(awayFar.address, "nothing"),
                ...icmp(bed.client.address, "nothing"),
            },
        ],
        [alone.place, { ...icmp(aloneFar.address, "nothing"), ...icmp(bed.client.address, "reply") }],
        [shut.place, icmp(shutFar.address, "nothing")],
        [
            away.place,
            {
                ...icmp(awayFar.address, "reply"),
                ...icmp(shutFar.address, "nothing"),
                ...icmp(innerFar.address, "nothing"),
            },
        ],
        // The host itself: into none that is closed to it.
        [
            { machine: hostAt(0) },
            {
                ...icmp(innerFar.address, "reply"),
                ...icmp(shutFar.address, "nothing"),
                ...icmp(awayFar.address, "nothing"),
            },
        ],
    ];
    const answers = await Promise.all(expected.map(([place, answer]) => answersTo(place, answer)));
    expect(answers).toEqual(expected.map(([, answer]) => answer));
    await expectNoDrift([inner, alone, shut, away]);
    await using _server = await serve(awayFar.place, "far", "tcp:80");
    const fetched = { [`tcp ${awayFar.address}:80`]: `far to ${away.address}` };
    expect(await answersTo(away.place, fetched)).toEqual(fetched);
    for (const ends of [internal, isolated, closed, apart]) await removeSegment(ends);
});
