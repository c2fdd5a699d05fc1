import { spawn } from "node:child_process";
import type { RootCommand } from "./root-command.js";
import type { ProcessEnd, ShellProcess } from "./shell-process.js";

/** Starts the root command on this machine. */
export function spawnLocal(command: RootCommand): ShellProcess {
    return spawnProcess(command.argv);
}

/**
 * Starts a program of this machine. It is detached (a session of its own), so a Ctrl-C meant for Pulumi does not stop a script
 * in the middle, and nothing can ask for a password on the terminal.
 */
export function spawnProcess(
    argv: readonly [string, ...string[]],
): ShellProcess & { kill(signal: "SIGTERM" | "SIGKILL"): void } {
    const [file, ...args] = argv;
    const child = spawn(file, args, { detached: true, stdio: "pipe" });
    // A pipe whose other end is gone says EPIPE; `ended` tells the story.
    for (const stream of [child.stdin, child.stdout, child.stderr]) stream.on("error", () => {});
    const ended = new Promise<ProcessEnd>((resolve) => {
        child.once("error", (error) =>
            resolve({ reason: `${file} could not be started (${error.message})`, exitCode: 127 }),
        );
        child.once("close", (code, signal) =>
            resolve(
                code === null
                    ? { reason: `the shell was killed by ${signal}` }
                    : { reason: `the shell ended with exit code ${code}`, exitCode: code },
            ),
        );
    });
    return {
        stdin: child.stdin,
        stdout: child.stdout,
        stderr: child.stderr,
        ended,
        destroy() {
            for (const stream of [child.stdin, child.stdout, child.stderr]) stream.destroy();
            child.unref();
        },
        kill(signal) {
            if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
            try {
                // The group: what it has started (a ProxyCommand) too.
                process.kill(-child.pid, signal);
            } catch {
                // It ended in this moment.
            }
        },
    };
}
