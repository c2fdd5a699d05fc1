import { createLab } from "../lab/index.js";
import { closeSessions } from "../provider/sessions.js";
import { costOf, median, range } from "./measure.js";
import { type Calls, join, openCalls, refTo } from "./provider-calls.js";

/** What one more endpoint costs in milliseconds, on a host with one and on a host with many. */
export interface Growth {
    readonly many: number;
    readonly createMs: readonly [few: number, many: number];
    readonly deleteMs: readonly [few: number, many: number];
    /** Medians of the ratios many / few, pair by pair. */
    readonly createRatio: number;
    readonly deleteRatio: number;
}

const rounds = 15;

/** Two hosts take turns, so that what else the machine does meets both alike. */
export async function measureGrowth(many: number): Promise<Growth> {
    await using lab = await createLab({ hosts: 2 });
    const [first, second] = lab.hosts;
    const few = await openSpare(await openCalls(first.connection), 1);
    const crowded = await openSpare(await openCalls(second.connection), many);
    const created: (readonly [number, number])[] = [];
    const deleted: (readonly [number, number])[] = [];
    for (const _ of range(rounds)) {
        created.push([await few.create(), await crowded.create()]);
        deleted.push([await few.delete(), await crowded.delete()]);
    }
    await closeSessions();
    const side = (pairs: typeof created, index: 0 | 1) => median(pairs.map((pair) => pair[index]));
    const ratio = (pairs: typeof created) => median(pairs.map(([a, b]) => b / a));
    return {
        many,
        createMs: [side(created, 0), side(created, 1)],
        deleteMs: [side(deleted, 0), side(deleted, 1)],
        createRatio: ratio(created),
        deleteRatio: ratio(deleted),
    };
}

/** A host with `count` endpoints and a sandbox more, whose endpoint comes and goes. */
async function openSpare(calls: Calls, count: number) {
    const { network } = await join(calls, count);
    const sandbox = await calls.create("sandbox", "spare", { host: refTo("host", calls.host) });
    const args = { sandbox: refTo("sandbox", sandbox), network: refTo("network", network) };
    let endpoint = await calls.create("endpoint", "spare-net", args);
    await calls.delete("endpoint", endpoint);
    return {
        create: async () =>
            (
                await costOf(async () => {
                    endpoint = await calls.create("endpoint", "spare-net", args);
                })
            ).wallMs,
        delete: async () => (await costOf(() => calls.delete("endpoint", endpoint))).wallMs,
    };
}
