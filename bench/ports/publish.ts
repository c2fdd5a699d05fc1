import { createLab, type LabHost } from "../../lab/index.js";
import { closeSessions } from "../../provider/sessions.js";
import { median, range, secondsOf } from "../measure.js";
import { openDocker } from "../peers/docker.js";
import { openNetavark } from "../peers/netavark.js";
import type { Publisher } from "../peers/publisher.js";
import { join, type Made, openCalls, refTo } from "../provider-calls.js";

/** Seconds to publish ports of one sandbox and to withdraw them; of others without what they take for a container without ports. */
export interface PublishTimes {
    readonly name: string;
    readonly count: number;
    readonly publish?: number;
    readonly withdraw?: number;
    /** Medians of others / ours in one mapping, round by round. */
    readonly ratio?: readonly [publish: number, withdraw: number];
    readonly problem?: string;
}

export interface Publishing {
    readonly rows: readonly PublishTimes[];
    /** What others take to start and to remove a container without ports. */
    readonly bare: ReadonlyMap<string, readonly [number, number]>;
}

/** One PortMapping with a range of ports, or as many PortMappings at once. */
async function openOurs(host: LabHost, form: "one" | "many"): Promise<Publisher> {
    const calls = await openCalls(host.connection);
    const { endpoints } = await join(calls, 1);
    const target = refTo("endpoint", endpoints[0]);
    let mappings: Made[] = [];
    const make = async (count: number) => {
        const wanted =
            form === "one"
                ? [{ target, hostPort: `20000-${19999 + count}`, targetPort: `1000-${999 + count}` }]
                : range(count).map((i) => ({ target, hostPort: 20000 + i, targetPort: 1000 + i }));
        mappings = await Promise.all(wanted.map((args, i) => calls.create("portMapping", `web-${i}`, args)));
    };
    return {
        publish: (count) => secondsOf(() => make(count)),
        withdraw: () => secondsOf(() => Promise.all(mappings.map((each) => calls.delete("portMapping", each)))),
        [Symbol.asyncDispose]: async () => undefined,
    };
}

/**
 * All in turns, each on a host of its own. The more ports, the fewer rounds: Docker takes a minute for 500.
 * @param largest netavark takes minutes for 500: its time grows with their square; it stops here
 */
export async function measurePublishing(counts: readonly number[], largest: number): Promise<Publishing> {
    await using lab = await createLab({ hosts: 5 });
    const [one, many, docker, plainDocker, netavark] = lab.hosts;
    const attempt = (opened: Promise<Publisher>) => opened.catch((error: Error) => error);
    const sides: [name: string, side: Publisher | Error][] = [
        ["ours, one PortMapping", await openOurs(one, "one")],
        ["ours, as many PortMappings", await openOurs(many, "many")],
        ["Docker", await attempt(openDocker(docker, true))],
        ["Docker, userland-proxy off", await attempt(openDocker(plainDocker, false))],
        ["netavark", await attempt(openNetavark(netavark))],
    ];
    const others = sides.slice(2).flatMap(([name, side]) => (side instanceof Error ? [] : [[name, side] as const]));
    const bare = new Map<string, readonly [number, number]>();
    for (const [name, side] of others) {
        const rounds: [number, number][] = [];
        // The first one loads and makes the bridge.
        for (const _ of range(4)) rounds.push([await side.publish(0), await side.withdraw()]);
        bare.set(name, [median(rounds.slice(1).map(([a]) => a)), median(rounds.slice(1).map(([, b]) => b))]);
    }
    const rows: PublishTimes[] = [];
    for (const count of counts) {
        const limited = sides.map(([name, side]): (typeof sides)[number] => {
            return name === "netavark" && count > largest ? [name, new Error("run with --peers")] : [name, side];
        });
        rows.push(...(await inTurns(limited, count, bare)));
    }
    for (const [, side] of others) await side[Symbol.asyncDispose]();
    await closeSessions();
    return { rows, bare };
}

async function inTurns(
    sides: readonly [string, Publisher | Error][],
    count: number,
    bare: Publishing["bare"],
): Promise<PublishTimes[]> {
    const rounds = count < 100 ? 5 : count < 500 ? 2 : 1;
    const times = new Map<string, [number, number][]>(sides.map(([name]) => [name, []]));
    for (const _ of range(rounds)) {
        for (const [name, side] of sides) {
            if (side instanceof Error) continue;
            const [publish, withdraw] = bare.get(name) ?? [0, 0];
            times.get(name)?.push([(await side.publish(count)) - publish, (await side.withdraw()) - withdraw]);
        }
    }
    const ours = times.get(sides[0]?.[0] ?? "") ?? [];
    return sides.map(([name, side]) => {
        if (side instanceof Error) return { name, count, problem: side.message.split("\n")[0] ?? "" };
        const own = times.get(name) ?? [];
        const of = (index: 0 | 1) => median(own.map((pair) => pair[index]));
        const to = (index: 0 | 1) =>
            median(own.map((pair, round) => pair[index] / (ours[round]?.[index] ?? Number.NaN)));
        return { name, count, publish: of(0), withdraw: of(1), ratio: [to(0), to(1)] as const };
    });
}
