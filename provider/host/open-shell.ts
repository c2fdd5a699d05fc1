import type { Connection } from "../model/connection.js";
import { spawnLocal } from "./local.js";
import { logIn } from "./log-in.js";
import { spawnOpenssh } from "./openssh.js";
import { planRootCommand, type RootCommand } from "./root-command.js";
import { ConnectionError, type Shell } from "./shell.js";
import type { ShellProcess } from "./shell-process.js";
import { spawnSsh2 } from "./ssh2.js";

/**
 * Opens a root shell on the host of a connection, waiting up to `waitMs` for a host that does not answer yet.
 * @throws ConnectionError
 */
export async function openShell(connection: Connection): Promise<Shell> {
    const waitMs = connection.waitMs ?? 0;
    const until = Date.now() + waitMs;
    for (let attempt = 0; ; attempt++) {
        const leftMs = until - Date.now();
        try {
            return await openOnce(
                connection,
                attempt === 0 ? connection.dialTimeoutMs : Math.min(connection.dialTimeoutMs, Math.max(leftMs, 1000)),
            );
        } catch (error) {
            const pauseMs = planPause(attempt);
            if (!(error instanceof ConnectionError) || !error.mayHeal || (connection.waitMs ?? 0) === 0) throw error;
            if (Date.now() + pauseMs > until) throw afterWaiting(error, connection.waitMs ?? 0);
            await new Promise((resolve) => setTimeout(resolve, pauseMs));
        }
    }
}

/** 0.25 s, 0.5 s, ... 4 s, each ± 25 %, so many hosts waited for do not dial in step. */
function planPause(attempt: number): number {
    return Math.min(250 * 2 ** attempt, 4000) * (0.75 + Math.random() / 2);
}

function afterWaiting(error: ConnectionError, waitMs: number): ConnectionError {
    return new ConnectionError(`${error.message} It was tried for ${waitMs / 1000} s (connection.waitMs).`, {
        mayHeal: true,
        cause: error,
    });
}

async function openOnce(connection: Connection, dialTimeoutMs: number): Promise<Shell> {
    const isRootAlready = connection.transport === "local" ? process.getuid?.() === 0 : connection.user === "root";
    const command = planRootCommand(connection, isRootAlready);
    return logIn(await spawn(command, connection, dialTimeoutMs), command, connection);
}

async function spawn(command: RootCommand, connection: Connection, dialTimeoutMs: number): Promise<ShellProcess> {
    switch (connection.transport) {
        case "local":
            return spawnLocal(command);
        case "openssh":
            return spawnOpenssh(command, connection, dialTimeoutMs);
        case "ssh2":
            return spawnSsh2(command, connection, dialTimeoutMs);
    }
}
