import type { Host } from "./host/host.js";
import type { Connection } from "./model/connection.js";

/** Stack configuration of this run, secrets decrypted; it overrides what state holds, for destroy too. */
export interface Overrides {
    readonly user?: string;
    readonly privateKey?: string;
    readonly password?: string;
    readonly sudoPassword?: string;
}

let overrides: Overrides = {};

/** Keeps the configuration that the engine sends once for each kind. */
export function configure(config: { get(key: string): string | undefined }): void {
    const entries = (["user", "privateKey", "password", "sudoPassword"] as const).map((name) => [
        name,
        config.get(`linuxnet:${name}`),
    ]);
    overrides = Object.fromEntries(entries.filter(([, value]) => value !== undefined));
}

function resolve(connection: Connection, waitMs: number): Connection {
    const { user, privateKey, password, sudoPassword } = overrides;
    return {
        ...connection,
        waitMs: connection.waitMs ?? waitMs,
        ...(user === undefined ? {} : { user }),
        ...(privateKey === undefined ? {} : { privateKey }),
        ...(password === undefined ? {} : { password }),
        ...(sudoPassword === undefined || connection.sudo === false ? {} : { sudo: { password: sudoPassword } }),
    };
}

const sessions = new Map<string, Promise<Host>>();
let isWatching = false;

/** The open host of a connection: one shell for the whole life of this process. */
export async function sessionOf(connection: Connection, waitMs = 0): Promise<Host> {
    const resolved = resolve(connection, waitMs);
    const key = JSON.stringify({ ...resolved, waitMs: 0 });
    const known = sessions.get(key);
    if (known !== undefined) return known;
    const opening = open(resolved);
    sessions.set(key, opening);
    // What failed once may work for the next resource.
    opening.catch(() => sessions.delete(key));
    return opening;
}

async function open(connection: Connection): Promise<Host> {
    const [{ openHost }, kinds, { buildBase }] = await Promise.all([
        import("./host/host.js"),
        import("./kinds/index.js"),
        import("./kinds/base.js"),
    ]);
    return openHost(connection, { ...kinds, buildBase });
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
