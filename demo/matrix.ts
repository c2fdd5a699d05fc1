import { type Machine, renderAll } from "./machine.js";
import { renderCall } from "./runtime.js";
import type { Way } from "./way.js";

/** One port of a service at one of its addresses. */
export interface Door {
    /** As {@link Way.to}. */
    readonly to: string;
    /** As {@link Way.by}. */
    readonly by: string;
    /** Or a name, which the knocker looks up. */
    readonly address: string;
    readonly port: number;
    /** Of a name: the addresses that are tried. @default both */
    readonly family?: 4 | 6;
}

/** Somebody who tries every door. */
export interface Knocker {
    /** As {@link Way.from}. */
    readonly name: string;
    readonly machine: Pick<Machine, "run" | "runtime">;
    /** Name of the network namespace to knock from; the machine's own without one. */
    readonly namespace?: string | undefined;
    readonly doors: readonly Door[];
}

/** A lost SYN is sent again after one second. */
const knockTimeoutMs = 1_500;

/** The doors of services at every address they have. */
export function listDoors(
    ports: Readonly<Record<string, readonly number[]>>,
    addresses: Readonly<Record<string, Readonly<Record<string, string>>>>,
): Door[] {
    return Object.entries(ports).flatMap(([service, listening]) =>
        Object.entries(addresses[service] ?? {}).flatMap(([by, address]) =>
            listening.map((port) => ({ to: `${service}:${port}`, by, address, port })),
        ),
    );
}

/** The same doors by the names that addresses have on their networks: `db.database`. */
export function byName(doors: readonly Door[], family: 4 | 6): Door[] {
    return doors.map((door) => {
        const [service] = door.to.split(":");
        return { ...door, address: `${service}.${door.by}`, by: `${door.by} by name`, family };
    });
}

/**
 * Everybody knocks at all doors at once: one process for each, one script for each machine. Nobody knocks at his own.
 * @param timeoutMs after which a door that does not answer is closed
 */
export async function observeWays(knockers: readonly Knocker[], timeoutMs = knockTimeoutMs): Promise<Way[]> {
    const machines = [...new Set(knockers.map(({ machine }) => machine))];
    const ways = await Promise.all(
        machines.map(async (machine) => {
            const own = knockers.filter((knocker) => knocker.machine === machine);
            const lines = (await machine.run(renderAll(own.map((knocker) => renderKnocker(knocker, timeoutMs))))).split(
                "\n",
            );
            return own.flatMap((knocker) => readAnswer(knocker, lines));
        }),
    );
    return ways.flat();
}

/** How many doors are knocked at. */
export function countDoors(knockers: readonly Knocker[]): number {
    return knockers.reduce((sum, knocker) => sum + doorsOf(knocker).length, 0);
}

function doorsOf({ name, doors }: Knocker): Door[] {
    return doors.filter(({ to, by }) => by.startsWith("published") || !to.startsWith(`${name}:`));
}

function renderKnocker(knocker: Knocker, timeoutMs: number): string {
    const doors = doorsOf(knocker).map(({ address, port, family }) => [address, port, ...(family ? [family] : [])]);
    const inside = knocker.namespace === undefined ? "" : `ip netns exec ${knocker.namespace} `;
    return inside + renderCall(knocker.machine.runtime, "knock", { from: knocker.name, doors, timeoutMs });
}

function readAnswer(knocker: Knocker, lines: readonly string[]): Way[] {
    const { name: from } = knocker;
    const answers = lines.map((line) => JSON.parse(line) as { from: string; open: boolean[] });
    const answer = answers.find((each) => each.from === from);
    if (answer === undefined)
        throw new Error(`${from} could not knock; there are answers of: ${answers.map((each) => each.from)}.`);
    return doorsOf(knocker).flatMap(({ to, by }, index) => (answer.open[index] === true ? [{ from, to, by }] : []));
}
