import { type Connection, describeConnection } from "../model/connection.js";
import { explainLoginEnd, explainNoRoot, explainSilence } from "./login-refusal.js";
import { createPipedShell } from "./piped-shell.js";
import type { RootCommand } from "./root-command.js";
import type { Shell } from "./shell.js";
import type { ProcessEnd, ShellProcess } from "./shell-process.js";
import { answerSudo } from "./sudo-password.js";

/** First line of every root shell. sbin is not on the PATH of every login; English words are what `kernel/` parses. */
const preamble =
    "trap '' HUP PIPE; cd /; umask 022; LC_ALL=C; " +
    'PATH="$PATH:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"; export LC_ALL PATH\n';

/** What a process has said so far, on both of its pipes. */
export interface Heard {
    text(): string;
    onChange(listener: () => void): void;
    stop(): void;
}

/** Turns a process that should be a root `sh` into a Shell, or says why it is none. @throws ConnectionError */
export async function logIn(process: ShellProcess, command: RootCommand, connection: Connection): Promise<Shell> {
    const heard = listen(process);
    const startedAt = Date.now();
    const timeoutMs = connection.dialTimeoutMs;
    let end: ProcessEnd | undefined;
    process.ended.then((value) => {
        end = value;
    });
    try {
        if (command.password !== undefined) await answerSudo(process, command.password, heard, connection);
        process.stdin.write(preamble);
        const shell = createPipedShell(process, describeConnection(connection));
        const identity = await shell.run("id -u", { timeoutMs });
        if (identity.stdout.trim() !== "0") throw explainNoRoot(connection);
        return shell;
    } catch (error) {
        process.destroy();
        if (end?.exitCode !== undefined) throw explainLoginEnd(end, heard.text(), connection);
        if (end === undefined && Date.now() - startedAt >= timeoutMs) throw explainSilence(heard.text(), connection);
        throw error;
    } finally {
        heard.stop();
    }
}

/** Keeps the first words of both pipes: they tell why there is no shell. */
function listen(process: ShellProcess): Heard {
    let words = "";
    let changed = () => {};
    const hear = (chunk: Buffer) => {
        if (words.length < 8192) words += chunk.toString("utf8");
        changed();
    };
    process.stdout.on("data", hear);
    process.stderr.on("data", hear);
    return {
        text: () => words,
        onChange(listener) {
            changed = listener;
        },
        stop() {
            process.stdout.off("data", hear);
            process.stderr.off("data", hear);
        },
    };
}
