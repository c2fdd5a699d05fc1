import { createLab, type LabHost, type LabMachine } from "../../lab/index.js";
import { closeSessions } from "../../provider/sessions.js";
import { costOf, median, range } from "../measure.js";
import { join, type Made, openCalls, refTo } from "../provider-calls.js";
import { type FirstPacket, measureFirstPackets, startServer } from "./first-packet.js";
import { layPlainRoute, measureThroughput, serveIperf, type Throughput } from "./throughput.js";

/** What published ports cost on a host that has many of them, beside one that has few. */
export interface Crowded {
    /** Through the last of so many mappings, and through the only one of another host. */
    readonly latencies: readonly { readonly count: number; readonly packets: readonly FirstPacket[] }[];
    /** One more port on a host with 10, and on the crowded one. */
    readonly oneMore: {
        readonly count: number;
        readonly createMs: readonly [number, number];
        readonly deleteMs: readonly [number, number];
        readonly createRatio: number;
        readonly deleteRatio: number;
    };
    /** Plain routed forwarding with connection tracking, and through the last port of the crowded host; or why not. */
    readonly throughput: Throughput | string;
}

const serverPort = 80;
const measuredPort = 1000;

/** A host with one sandbox that answers, and mappings of one port each to it. */
async function openSide(host: LabHost) {
    const calls = await openCalls(host.connection);
    const { endpoints, sandboxes } = await join(calls, 1);
    const target = refTo("endpoint", endpoints[0]);
    const sandbox = String(sandboxes[0]?.outs["name"]);
    await startServer(host, sandbox, serverPort);
    const publish = (hostPort: number) =>
        calls.create("portMapping", `port-${hostPort}`, {
            ...{ target, hostPort, targetPort: serverPort, protocol: ["tcp", "udp"] },
        });
    let last: Made | undefined;
    return {
        ...{ calls, target, sandbox },
        address: `${host.address}:${measuredPort}`,
        /** So many mappings in all; the one that is measured is the last that came. */
        async grow(from: number, to: number) {
            if (last !== undefined) await calls.delete("portMapping", last);
            await Promise.all(range(to - Math.max(from, 1)).map((i) => publish(20000 + Math.max(from, 1) + i)));
            last = await publish(measuredPort);
        },
    };
}

type Side = Awaited<ReturnType<typeof openSide>>;

export async function measureCrowded(counts: readonly number[], turns: number): Promise<Crowded> {
    await using lab = await createLab({ hosts: 3 });
    const [first, second, third] = lab.hosts;
    const few = await openSide(first);
    const crowded = await openSide(second);
    await few.grow(0, 1);
    const latencies: { count: number; packets: FirstPacket[] }[] = [];
    let count = 0;
    for (const next of counts) {
        await crowded.grow(count, next);
        count = next;
        const packets: FirstPacket[] = [];
        for (const protocol of ["tcp", "udp"] as const) {
            packets.push(await measureFirstPackets(lab.client(), protocol, [few.address, crowded.address], turns));
        }
        latencies.push({ count, packets });
    }
    await few.grow(1, 10);
    const oneMore = await measureOneMore(few, crowded, count);
    const throughput = await measureForwarding(lab.client(), third, second, crowded);
    await closeSessions();
    return { latencies, oneMore, throughput };
}

async function measureOneMore(few: Side, many: Side, count: number): Promise<Crowded["oneMore"]> {
    const open = ({ calls, target }: Side) => {
        const args = { target, hostPort: 2000, targetPort: serverPort };
        let made: Made | undefined;
        const create = async () => {
            made = await calls.create("portMapping", "one-more", args);
        };
        return async () => {
            const createMs = (await costOf(create)).wallMs;
            return [createMs, (await costOf(() => calls.delete("portMapping", made as Made))).wallMs] as const;
        };
    };
    const sides = [open(few), open(many)] as const;
    const rounds: (readonly [readonly [number, number], readonly [number, number]])[] = [];
    for (const _ of range(25)) rounds.push([await sides[0](), await sides[1]()]);
    const of = (side: 0 | 1, verb: 0 | 1) => median(rounds.map((round) => round[side][verb]));
    const ratio = (verb: 0 | 1) => median(rounds.map(([a, b]) => b[verb] / a[verb]));
    return {
        count,
        createMs: [of(0, 0), of(1, 0)],
        deleteMs: [of(0, 1), of(1, 1)],
        createRatio: ratio(0),
        deleteRatio: ratio(1),
    };
}

async function measureForwarding(
    client: LabMachine,
    plainHost: LabHost,
    host: LabHost,
    { calls, target, sandbox }: Side,
): Promise<Throughput | string> {
    const hasIperf = await host.exec("command -v iperf3", { check: false });
    if (hasIperf.exitCode !== 0) return "iperf3 is not installed here";
    const plain = await layPlainRoute(plainHost, client);
    await using _plain = await serveIperf(plainHost, plain.namespace, 5201);
    await using _ours = await serveIperf(host, sandbox, 5201);
    await calls.create("portMapping", "iperf", { target, hostPort: 3000, targetPort: 5201 });
    return await measureThroughput(client, `${plain.address}:5201`, `${host.address}:3000`);
}
