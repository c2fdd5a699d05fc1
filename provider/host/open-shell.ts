import type { Connection } from "../model/connection.js";
import { spawnLocal } from "./local.js";
import { logIn } from "./log-in.js";
import { spawnOpenssh } from "./openssh.js";
import { planRootCommand, type RootCommand } from "./root-command.js";
import { ConnectionError, hopeOf, type Shell } from "./shell.js";
import type { ShellProcess } from "./shell-process.js";
import { spawnSsh2 } from "./ssh2.js";

/**
 * Opens a root shell on the host of a connection, waiting up to `waitMs` for a host that does not answer yet. Once it was seen not
 * answering, a refused login is waited for too: cloud-init makes the user and its keys when sshd may be up already.
 * @throws ConnectionError
 */
export async function openShell(connection: Connection): Promise<Shell> {
    const startedAt = Date.now();
    const waitMs = connection.waitMs ?? 0;
    let wasSeenBooting = false;
    for (let attempt = 0; ; attempt++) {
        const leftMs = startedAt + waitMs - Date.now();
        try {
            return await openOnce(
                connection,
                attempt === 0 || waitMs === 0
                    ? connection.dialTimeoutMs
                    : Math.min(connection.dialTimeoutMs, Math.max(leftMs, 1000)),
            );
        } catch (error) {
            if (!(error instanceof ConnectionError)) throw error;
            const hopeMs = Math.max(waitMs, error.patienceMs);
            if (hopeMs === 0 || !(wasSeenBooting ? error.mayHealAfterBoot : error.mayHeal)) throw error;
            const pauseMs = planPause(attempt);
            if (Date.now() + pauseMs > startedAt + hopeMs) throw afterWaiting(error, startedAt, waitMs);
            wasSeenBooting ||= waitMs > 0;
            await new Promise((resolve) => setTimeout(resolve, pauseMs));
        }
    }
}

/** 0.25 s, 0.5 s, ... 4 s, each ± 25 %, so many hosts waited for do not dial in step. */
function planPause(attempt: number): number {
    return Math.min(250 * 2 ** attempt, 4000) * (0.75 + Math.random() / 2);
}

function afterWaiting(error: ConnectionError, startedAt: number, waitMs: number): ConnectionError {
    const how =
        waitMs === 0 ? `${((Date.now() - startedAt) / 1000).toFixed(0)} s` : `${waitMs / 1000} s (connection.waitMs)`;
    return new ConnectionError(`${error.message} It was tried for ${how}.`, { ...hopeOf(error), cause: error });
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
