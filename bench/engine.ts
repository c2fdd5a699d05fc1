import { createHost, type LabHost, type LabStack } from "../lab/index.js";
import { Endpoint, Host, Network, Sandbox } from "../sdk/index.js";
import { DoNothing } from "./do-nothing.js";
import { median, range, secondsOf } from "./measure.js";

const runs = ["up", "emptyUp", "refresh", "destroy"] as const;

/** Seconds of each run of the engine. */
export type RunTimes = Readonly<Record<(typeof runs)[number], number>>;

/** A number of endpoints, each with its sandbox, on one network of one host: ours beside resources that do nothing. */
export interface EngineTimes {
    readonly count: number;
    readonly resources: number;
    readonly hasCheckpoints: boolean;
    readonly ours: RunTimes;
    readonly floor: RunTimes;
    /** Medians of ours / floor, pair by pair. */
    readonly ratio: RunTimes;
    /** Bytes of the state, ours and the floor's. */
    readonly stateBytes: readonly [number, number];
}

function declareEndpoints({ connection }: LabHost, count: number): void {
    const host = new Host("edge", { connection });
    const network = new Network("net", { host, subnet: "10.9.0.0/16" });
    for (const i of range(count)) {
        const sandbox = new Sandbox(`app-${i}`, { host });
        new Endpoint(`app-${i}-net`, { sandbox, network });
    }
}

/** The same number of resources with the same dependencies. */
function declareNothing({ connection }: LabHost, count: number): void {
    const defaults = { keepAliveMs: 10_000, lockTimeoutMs: 60_000, operationTimeoutMs: 120_000, sudo: false };
    const host = new DoNothing("edge", {}, { ...connection, ...defaults, dialTimeoutMs: 15_000, transport: "ssh2" });
    const network = new DoNothing("net", { host });
    for (const i of range(count)) {
        const sandbox = new DoNothing(`app-${i}`, { host });
        new DoNothing(`app-${i}-net`, { sandbox, network });
    }
}

/** PULUMI_SKIP_CHECKPOINTS: the state is written once, at the end of the run. */
const withoutCheckpoints = { PULUMI_EXPERIMENTAL: "true", PULUMI_SKIP_CHECKPOINTS: "true" };

type Side = { readonly stack: LabStack<void>; readonly program: () => void };

/** One run of each kind; an `up` that has nothing to do is short, so it is run three times. */
async function measureRuns(sides: readonly [Side, Side]): Promise<[RunTimes, RunTimes, number[]]> {
    const empty = () => Object.fromEntries(runs.map((run) => [run, [] as number[]]));
    const times = [empty(), empty()] as const;
    const inTurns = async (run: (typeof runs)[number], work: (side: Side) => Promise<unknown>) => {
        for (const index of [0, 1] as const) {
            times[index][run]?.push(await secondsOf(() => work(sides[index])));
        }
    };
    await inTurns("up", ({ stack, program }) => stack.update(program));
    const states = await Promise.all(sides.map(({ stack }) => stack.exportState()));
    for (const _ of range(3)) await inTurns("emptyUp", ({ stack }) => stack.update());
    await inTurns("refresh", ({ stack }) => stack.refresh());
    await inTurns("destroy", ({ stack }) => stack.destroy());
    const typical = (all: Record<string, number[]>) =>
        Object.fromEntries(runs.map((run) => [run, median(all[run] ?? [])])) as RunTimes;
    return [typical(times[0]), typical(times[1]), states.map((state) => JSON.stringify(state).length)];
}

/** `up`, an `up` with nothing to do, `refresh` and `destroy` through the real engine, in turns with the engine's floor. */
export async function measureEngine(
    count: number,
    { rounds = 1, hasCheckpoints = true }: { readonly rounds?: number; readonly hasCheckpoints?: boolean } = {},
): Promise<EngineTimes> {
    await using host = await createHost();
    const environment = hasCheckpoints ? {} : withoutCheckpoints;
    const open = async (projectName: string, program: () => void): Promise<Side> => ({
        // The first run of a workspace makes it, and is not counted.
        stack: await host.lab.up(() => {}, { projectName, environment }),
        program,
    });
    const ours = await open("ours", () => declareEndpoints(host, count));
    const floor = await open("floor", () => declareNothing(host, count));
    const pairs: [RunTimes, RunTimes][] = [];
    let sizes: number[] = [];
    for (const _ of range(rounds)) {
        const [a, b, states] = await measureRuns([ours, floor]);
        pairs.push([a, b]);
        sizes = states;
    }
    const each = (of: (pair: [RunTimes, RunTimes], run: (typeof runs)[number]) => number) =>
        Object.fromEntries(runs.map((run) => [run, median(pairs.map((pair) => of(pair, run)))])) as RunTimes;
    return {
        count,
        resources: 2 * count + 2,
        hasCheckpoints,
        ours: each(([times], run) => times[run]),
        floor: each(([, times], run) => times[run]),
        ratio: each(([a, b], run) => a[run] / b[run]),
        stateBytes: [sizes[0] ?? 0, sizes[1] ?? 0],
    };
}
