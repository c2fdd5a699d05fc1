import type { LabHost } from "../../lab/index.js";
import { openShell } from "../../provider/host/open-shell.js";
import { ConnectionError, type Shell } from "../../provider/host/shell.js";
import type { Connection } from "../../provider/model/connection.js";

/** Changes to a connection; `undefined` leaves a property out. */
export type ConnectionChanges = { readonly [Name in keyof Connection]?: Connection[Name] | undefined };

/** How to log in to a lab host, in the form the provider stores. */
export function connectionTo(host: LabHost, changes: ConnectionChanges = {}): Connection {
    const { hostKey, ...login } = host.connection;
    const merged = {
        knownHosts: "/nonexistent/known_hosts",
        hostKeyPolicy: "strict",
        transport: "ssh2",
        sudo: false,
        waitMs: 0,
        dialTimeoutMs: 10_000,
        keepAliveMs: 10_000,
        lockTimeoutMs: 10_000,
        operationTimeoutMs: 10_000,
        ...login,
        hostKey: [hostKey],
        ...changes,
    };
    return Object.fromEntries(
        Object.entries(merged).filter(([, value]) => value !== undefined),
    ) as unknown as Connection;
}

/** Opens a shell that `await using` closes. */
export async function openUsing(connection: Connection): Promise<Shell & AsyncDisposable> {
    const shell = await openShell(connection);
    return { ...shell, [Symbol.asyncDispose]: async () => shell.close() };
}

/** The error of a connection that must not come about. */
export async function refusalOf(connection: Connection): Promise<ConnectionError> {
    try {
        (await openShell(connection)).close();
    } catch (error) {
        if (error instanceof ConnectionError) return error;
        throw error;
    }
    throw new Error("The connection was expected to be refused, but it was opened.");
}
