import { randomBytes } from "node:crypto";
import { access } from "node:fs/promises";
import { PassThrough } from "node:stream";
import { type Connection, describeConnection } from "../model/connection.js";
import { chooseKey, type KeySource } from "./credentials.js";
import { expandHome } from "./home-path.js";
import { explainUnwritable, prepareKnownHostsFile } from "./known-hosts-file.js";
import { spawnProcess } from "./local.js";
import { renderOpensshArguments } from "./openssh-arguments.js";
import { describeLoss } from "./openssh-error.js";
import { writeOpensshFiles } from "./openssh-files.js";
import { exitOfSsh, explainNoLogin } from "./openssh-no-login.js";
import { type RootCommand, renderRootCommand } from "./root-command.js";
import { ConnectionError } from "./shell.js";
import type { ProcessEnd, ShellProcess } from "./shell-process.js";

/** Starts the root command on the host of a connection by the system's `ssh`. One try. @throws ConnectionError */
export async function spawnOpenssh(
    command: RootCommand,
    connection: Connection,
    dialTimeoutMs: number,
): Promise<ShellProcess> {
    const source = await chooseOpensshKey(connection);
    if (connection.hostKeyPolicy === "accept-new" && connection.hostKey === undefined) prepareKnownHosts(connection);
    const files = writeOpensshFiles(connection, source);
    try {
        const options = renderOpensshArguments(connection, files, dialTimeoutMs);
        // Every login shell says this word first: an end before it is ssh's, an end after it is the root command's.
        const greeting = `linuxnet-login-${randomBytes(8).toString("hex")}`;
        const child = spawnProcess(["ssh", ...options, `echo ${greeting}; ${renderRootCommand(command)}`]);
        const login = await waitForLogin(child, greeting, dialTimeoutMs);
        if (login.process !== undefined && !/^Failed to add the host to/m.test(login.words)) return login.process;
        child.kill("SIGKILL");
        child.destroy();
        if (login.process !== undefined) throw explainUnwritable(connection);
        throw await explainNoLogin(login, { connection, source, files, options, dialTimeoutMs });
    } finally {
        files.remove();
    }
}

/** @throws ConnectionError for what the connection, stack configuration or the environment give and `ssh` cannot take */
async function chooseOpensshKey(connection: Connection): Promise<KeySource | undefined> {
    const refuse = (what: string) =>
        new ConnectionError(`${describeConnection(connection)}: ${what}`, { mayHeal: false });
    if (connection.password !== undefined)
        throw refuse('the transport "openssh" takes no password. Use a key or an agent, or the transport "ssh2".');
    const source = chooseKey(connection);
    const { certificateFile } = connection;
    for (const [name, path] of [
        [source?.name, source?.path],
        [`certificate ${certificateFile}`, certificateFile],
    ]) {
        if (path === undefined) continue;
        await access(expandHome(path)).catch((error: NodeJS.ErrnoException) => {
            throw refuse(
                `${name} ${error.code === "ENOENT" ? "does not exist" : `cannot be read (${error.code})`}. Correct the path.`,
            );
        });
    }
    return source;
}

/** @throws ConnectionError when a new key could not be written down: each login would accept whatever key is shown */
function prepareKnownHosts(connection: Connection): void {
    if (connection.knownHosts === undefined) return;
    try {
        prepareKnownHostsFile(expandHome(connection.knownHosts));
    } catch (error) {
        throw explainUnwritable(connection, (error as NodeJS.ErrnoException).code);
    }
}

/** A shell that has said its first word; or the end of ssh before that, with all it said; or neither: the time is up. */
interface Login {
    readonly process?: ShellProcess;
    readonly end?: ProcessEnd;
    readonly words: string;
}

type SshProcess = ReturnType<typeof spawnProcess>;

function waitForLogin(child: SshProcess, greeting: string, timeoutMs: number): Promise<Login> {
    return new Promise<Login>((resolve) => {
        let said = Buffer.alloc(0);
        let words = "";
        const hear = (chunk: Buffer) => {
            words = (words + chunk.toString("utf8")).slice(-8192);
        };
        const listen = (chunk: Buffer) => {
            said = Buffer.concat([said, chunk]);
            if (!said.includes(greeting)) return;
            clearTimeout(deadline);
            child.stdout.off("data", listen);
            child.stderr.off("data", hear);
            resolve({ process: wrap(child, said, words), words });
        };
        const deadline = setTimeout(() => resolve({ words }), timeoutMs);
        child.stdout.on("data", listen);
        child.stderr.on("data", hear);
        child.ended.then((end) => {
            clearTimeout(deadline);
            resolve({ end, words: words === "" ? said.toString("utf8") : words });
        });
    });
}

/** @param said on standard output until now, and `words` on standard error: not lost to who listens from now on */
function wrap(child: SshProcess, said: Buffer, words: string): ShellProcess {
    const [stdout, stderr] = [new PassThrough(), new PassThrough()];
    stdout.write(said);
    stderr.write(words);
    let lastWords = "";
    child.stderr.on("data", (chunk: Buffer) => {
        lastWords = (lastWords + chunk.toString("utf8")).slice(-4096);
    });
    child.stdout.pipe(stdout);
    child.stderr.pipe(stderr);
    return {
        stdin: child.stdin,
        stdout,
        stderr,
        ended: child.ended.then(async (end) => {
            // A turn later, so that the last words on both pipes have been read.
            await new Promise((resolve) => setImmediate(resolve));
            return end.exitCode === exitOfSsh ? { reason: describeLoss(lastWords) } : end;
        }),
        destroy() {
            // At once, as with ssh2: left alone, ssh would wait for the end of the script that runs.
            child.kill("SIGTERM");
            setTimeout(() => child.kill("SIGKILL"), 1000).unref();
            child.destroy();
        },
    };
}
