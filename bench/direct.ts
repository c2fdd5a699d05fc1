import { createHost } from "../lab/index.js";
import { closeSessions } from "../provider/sessions.js";
import { costOf, median, range } from "./measure.js";
import { plainScript, tunedScript } from "./peers/layout.js";
import { writeLogin } from "./peers/login.js";
import { openScripts, type ScriptRunner } from "./peers/script.js";
import { type Joined, join, openCalls, part } from "./provider-calls.js";

/** Seconds below the engine: concurrent operations of ours beside one script of `ip -batch`, in turns. */
export interface DirectTimes {
    readonly count: number;
    readonly ours: Times;
    readonly tuned: Times;
    /** Measured once: it takes long. */
    readonly plain: Times;
    /** Medians of ours / tuned, pair by pair. */
    readonly ratio: Times;
}

interface Times {
    readonly create: number;
    readonly delete: number;
}

export async function measureDirect(counts: readonly number[], rounds: number): Promise<DirectTimes[]> {
    await using lab = await createHost();
    using login = writeLogin(lab);
    await using scripts = await openScripts(login);
    const calls = await openCalls(lab.connection);
    const rows: DirectTimes[] = [];
    const inTurns = async (count: number) => {
        let joined: Joined | undefined;
        const ours = {
            create: async () => {
                joined = await join(calls, count);
            },
            delete: () => part(calls, joined as Joined),
        };
        const pairs: { ours: Times; tuned: Times }[] = [];
        // One round before, which nobody counts: both have to load and to grow first.
        for (const round of range(rounds + 1)) {
            const pair = { ours: await timesOf(ours), tuned: await timesOfScript(scripts, tunedScript, count) };
            if (round > 0) pairs.push(pair);
        }
        return pairs;
    };
    for (const count of counts) {
        const pairs = await inTurns(count);
        const at = (pick: (pair: (typeof pairs)[number]) => number) => median(pairs.map(pick));
        rows.push({
            count,
            ours: { create: at(({ ours }) => ours.create), delete: at(({ ours }) => ours.delete) },
            tuned: { create: at(({ tuned }) => tuned.create), delete: at(({ tuned }) => tuned.delete) },
            plain: await timesOfScript(scripts, plainScript, count),
            ratio: {
                create: at(({ ours, tuned }) => ours.create / tuned.create),
                delete: at(({ ours, tuned }) => ours.delete / tuned.delete),
            },
        });
    }
    await closeSessions();
    return rows;
}

async function timesOf(work: { create(): Promise<unknown>; delete(): Promise<unknown> }): Promise<Times> {
    return {
        create: (await costOf(work.create)).wallMs / 1000,
        delete: (await costOf(work.delete)).wallMs / 1000,
    };
}

function timesOfScript(scripts: ScriptRunner, script: typeof plainScript, count: number): Promise<Times> {
    const { create, delete: remove } = script;
    return timesOf({ create: () => scripts.run(create(count)), delete: () => scripts.run(remove(count)) });
}
