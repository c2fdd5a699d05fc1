import { type Connection, describeConnection } from "../model/connection.js";
import { createPipedShell } from "./piped-shell.js";
import type { RootCommand } from "./root-command.js";
import { ConnectionError, type Shell } from "./shell.js";
import type { ProcessEnd, ShellProcess } from "./shell-process.js";

/** First line of every root shell. sbin is not on the PATH of every login; English words are what `kernel/` parses. */
const preamble =
    "trap '' HUP PIPE; cd /; umask 022; LC_ALL=C; " +
    'PATH="$PATH:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"; export LC_ALL PATH\n';

/** Turns a process that should be a root `sh` into a Shell, or says why it is none. @throws ConnectionError */
export async function logIn(process: ShellProcess, command: RootCommand, connection: Connection): Promise<Shell> {
    const heard = listen(process);
    const timeoutMs = connection.dialTimeoutMs;
    const hostName = describeConnection(connection);
    let end: ProcessEnd | undefined;
    process.ended.then((value) => {
        end = value;
    });
    try {
        if (command.password !== undefined) await answerSudo(process, command.password, heard, connection);
        process.stdin.write(preamble);
        const shell = createPipedShell(process, hostName);
        const identity = await shell.run("id -u", { timeoutMs });
        if (identity.stdout.trim() === "0") return shell;
        shell.close();
        throw notRoot(connection);
    } catch (error) {
        process.destroy();
        if (end?.exitCode !== undefined) throw explainEnd(end.exitCode, heard.text(), connection);
        throw error;
    } finally {
        heard.stop();
    }
}

interface Heard {
    text(): string;
    onChange(listener: () => void): void;
    stop(): void;
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
        onChange: (listener) => {
            changed = listener;
        },
        stop: () => {
            process.stdout.off("data", hear);
            process.stderr.off("data", hear);
        },
    };
}

function answerSudo(
    process: ShellProcess,
    password: NonNullable<RootCommand["password"]>,
    heard: Heard,
    connection: Connection,
): Promise<void> {
    const hostName = describeConnection(connection);
    return new Promise<void>((resolve, reject) => {
        const deadline = setTimeout(
            () =>
                settle(
                    new ConnectionError(
                        `${hostName}: sudo did not ask for the password within ${connection.dialTimeoutMs / 1000} s. It must ask for one password only (no second factor).`,
                        { mayHeal: false },
                    ),
                ),
            connection.dialTimeoutMs,
        );
        let isSent = false;
        function settle(error?: ConnectionError): void {
            clearTimeout(deadline);
            heard.onChange(() => {});
            if (error === undefined) resolve();
            else reject(error);
        }
        heard.onChange(() => {
            if (heard.text().includes(password.ready)) return settle();
            const prompts = heard.text().split(password.prompt).length - 1;
            if (prompts > 1) return settle(wrongSudoPassword(connection));
            if (prompts === 1 && !isSent) {
                isSent = true;
                process.stdin.write(`${password.text}\n`);
            }
            return undefined;
        });
        process.ended.then(({ reason }) =>
            settle(new ConnectionError(`${hostName}: ${reason} before sudo had started a shell.`, { mayHeal: true })),
        );
    });
}

function notRoot(connection: Connection): ConnectionError {
    const hostName = describeConnection(connection);
    if (connection.sudo !== false)
        return new ConnectionError(
            `${hostName}: sudo started a shell that is not root. Check the runas rules in /etc/sudoers.`,
            { mayHeal: false },
        );
    return new ConnectionError(
        `${hostName} is not root on the host and connection.sudo is not set. Set connection.sudo: true, or log in as root.`,
        { mayHeal: false },
    );
}

function wrongSudoPassword(connection: Connection): ConnectionError {
    return new ConnectionError(
        `${describeConnection(connection)}: sudo did not accept the password. Correct connection.sudo.password.`,
        { mayHeal: false },
    );
}

/** The process ended by itself before it was a shell: the words it left say why. */
function explainEnd(exitCode: number, heard: string, connection: Connection): ConnectionError {
    const hostName = describeConnection(connection);
    const words = heard
        .replaceAll(/linuxnet-[a-z]+-[0-9a-f]+/g, "")
        .trim()
        .split("\n")
        .slice(-3)
        .join(" ")
        .slice(0, 400);
    const refuse = (text: string) => new ConnectionError(text, { mayHeal: false });
    if (connection.sudo !== false) {
        if (/password is required|terminal is required|askpass/.test(heard))
            return refuse(
                `${hostName}: sudo wants a password. Set connection.sudo: { password }, or allow it without one (NOPASSWD in /etc/sudoers).`,
            );
        if (/try again|incorrect password/i.test(heard)) return wrongSudoPassword(connection);
        if (/not in the sudoers|not allowed|may not run/i.test(heard))
            return refuse(
                `${hostName} may not become root by sudo (${words}). Add the user to /etc/sudoers, or log in as root.`,
            );
        if (exitCode === 127 && /sudo/.test(heard))
            return refuse(`${hostName}: sudo is not installed on the host. Install it, or log in as root.`);
    }
    if (exitCode === 127)
        return refuse(`${hostName}: the host has no \`sh\` (${words}). A POSIX shell on the PATH is needed.`);
    return refuse(
        `${hostName}: the login ended with exit code ${exitCode} before there was a shell${words === "" ? "" : ` (${words})`}. Check that the user has a login shell that runs commands.`,
    );
}
