import { tell } from "./engine-log.js";
import type { Host } from "./host/host.js";
import { type Connection, withoutHostsWords } from "./model/connection.js";
import { mayForget, type Overrides, override, parseOverrides } from "./overrides.js";
import { isUnanswered } from "./unanswered.js";

type Configuration = { get(key: string): string | undefined };

let configuration: Configuration = { get: () => undefined };
let overrides: Overrides | undefined;

/** Keeps the configuration that the engine sends once for each kind. */
export function configure(config: Configuration): void {
    configuration = config;
    overrides = undefined;
}

/** Read when it is needed, because a mistake in it is an error of the resource that needs it. @throws Refusal */
function overridesNow(): Overrides {
    overrides ??= parseOverrides((key) => configuration.get(key), process.env);
    return overrides;
}

const sessions = new Map<string, Promise<Host>>();
let isWatching = false;

/** The open host of a connection: one shell for the whole life of this process. */
export async function sessionOf(connection: Connection, waitMs = 0): Promise<Host> {
    const resolved = withoutHostsWords(override(connection, overridesNow()));
    const key = JSON.stringify({ ...resolved, waitMs: 0 });
    const known = sessions.get(key);
    if (known !== undefined) return known;
    const opening = open({ ...resolved, waitMs: resolved.waitMs ?? waitMs });
    sessions.set(key, opening);
    opening.catch((error) => {
        // What failed once may work for the next resource; a machine that is gone is dialled once for all of them.
        if (!isUnanswered(error) || !mayForget(connection, overridesNow())) sessions.delete(key);
    });
    return opening;
}

const leftMachines = new Set<string>();
const placeOf = ({ name = "" }: Connection, machineId: string) => `${name} ${machineId}`;

/** From now on nothing is deleted over the connections to this machine. */
export function leaveMachine(connection: Connection, machineId: string): void {
    leftMachines.add(placeOf(connection, machineId));
}

/**
 * As `sessionOf`, for a delete.
 * @returns undefined when there is nothing to do: the machine was left, or does not answer and may be gone
 */
export async function sessionToDelete(
    connection: Connection,
    machineId: string,
    urn: string,
): Promise<Host | undefined> {
    if (leftMachines.has(placeOf(connection, machineId))) return undefined;
    try {
        return await sessionOf(connection);
    } catch (error) {
        if (!isUnanswered(error)) throw error;
        const words = (error as Error).message;
        if (!mayForget(connection, overridesNow()))
            throw new Error(
                `${words} If the machine is gone for good, delete with LINUXNET_DELETE_UNREACHABLE=true in the environment, or set ` +
                    "deleteUnreachable on its Host.",
            );
        const forgotten = "It is taken for gone (deleteUnreachable): what it carries is forgotten, not deleted.";
        tell(urn, `${words} ${forgotten}`, "WARNING");
        return undefined;
    }
}

async function open(connection: Connection): Promise<Host> {
    const [{ openHost }, kinds, { buildBase, updateBase }] = await Promise.all([
        import("./host/host.js"),
        import("./kinds/index.js"),
        import("./kinds/base.js"),
    ]);
    return openHost(connection, { ...kinds, buildBase, updateBase });
}

/** An engine that was killed leaves its providers alive for ever; this one ends with it. */
export function watch(): void {
    if (isWatching) return;
    isWatching = true;
    const engine = process.argv[2] ?? "";
    void import("./host/engine-watch.js").then(({ watchEngine }) => watchEngine(engine, () => process.exit(1)));
}

/** Begins another run of the engine in this process, for who plays several in one: what was observed is forgotten. */
export async function startRun(): Promise<void> {
    for (const session of sessions.values()) (await session.catch(() => undefined))?.forget();
}

export async function closeSessions(): Promise<void> {
    const open = [...sessions.values()];
    sessions.clear();
    for (const session of open) (await session.catch(() => undefined))?.close();
}
