import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { identifyProcess, killProcess, type ProcessIdentity } from "./process-identity.js";
import { systemPath } from "./requirements.js";

/** A running set of namespaces, held open by its first process. */
export type Namespace = {
    /** The first process (pid 1 inside) as seen from this machine; killing it ends everything inside. */
    readonly init: ProcessIdentity;
    /** What the processes inside have printed to stderr, its end only. */
    stderrTail(): string;
    /** Kills everything inside and waits until it is gone. */
    stop(): Promise<void>;
};

const namespaceFlags = ["--net", "--mount", "--pid", "--uts", "--ipc"];
const stderrTailLength = 4_000;

/** The command that runs `argv` inside the namespaces of process `pid`. */
export function enterNamespace(pid: number, argv: readonly string[]): [string, ...string[]] {
    return ["nsenter", "--target", String(pid), ...namespaceFlags, "--", ...argv];
}

/**
 * Starts an sh script as pid 1 of new namespaces and resolves when it has said "ready".
 *
 * The script prints the id its shell has outside first ({@link outerPidScript}), then "ready"; data comes by environment.
 * @throws with what the script wrote to stderr when it ends before.
 */
export async function startNamespace(
    name: string,
    script: string,
    environment: Readonly<Record<string, string>>,
): Promise<Namespace> {
    // setpriv: the kernel kills unshare when this program dies, however it dies, and unshare (--kill-child) its child.
    // detached: Ctrl-C in a terminal must not reach sshd inside, the program may still want to clean up over it.
    const child = spawn(
        "setpriv",
        ["--pdeathsig", "KILL", "unshare", ...namespaceFlags, "--fork", "--kill-child", "sh"],
        {
            cwd: "/",
            detached: true,
            env: { PATH: systemPath, LANG: "C.UTF-8", ...environment },
            stdio: ["pipe", "pipe", "pipe"],
        },
    );
    const ended = once(child, "exit").catch(() => undefined);
    const closed = once(child, "close").catch(() => undefined);
    let stderr = "";
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
        stderr = (stderr + text).slice(-stderrTailLength);
    });
    child.stdin.on("error", () => undefined);
    // By stdin, not as an argument: `pgrep -f sshd` inside should find sshd and not the script.
    child.stdin.end(script);
    const outerPid = await readyPid(child).catch(async (reason: Error) => {
        child.kill("SIGKILL");
        await closed;
        throw new Error(`${name} could not be started: ${reason.message}\n${stderr}`.trimEnd());
    });
    const init = identifyProcess(outerPid);
    if (init === undefined)
        throw new Error(`${name} could not be started: its first process is gone\n${stderr}`.trimEnd());
    child.unref();
    for (const stream of [child.stdout, child.stderr]) (stream as unknown as { unref?(): void }).unref?.();
    return {
        init,
        stderrTail: () => stderr,
        stop: async () => {
            killProcess(init);
            if (child.exitCode === null && child.signalCode === null) {
                child.ref();
                await ended;
            }
        },
    };
}

/** The head of a namespace's script: /proc is still the outer one, so this is the id the shell has there. */
export const outerPidScript = `set -eu
umask 022
read -r outer_pid rest </proc/self/stat
echo "$outer_pid"
`;

function readyPid(child: ChildProcess): Promise<number> {
    return new Promise((resolve, reject) => {
        let text = "";
        child.stdout?.setEncoding("utf8").on("data", (chunk: string) => {
            if (text.endsWith("ready\n")) return;
            text += chunk;
            if (text.endsWith("ready\n")) resolve(Number.parseInt(text, 10));
        });
        child.once("error", reject);
        child.once("close", (code, signal) => reject(new Error(`its script ended (${signal ?? `exit code ${code}`})`)));
    });
}
