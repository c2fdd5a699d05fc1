import { execa } from "execa";
import type { LabMachine } from "../lab/index.js";
import { nodeRuntime, pythonRuntime, quoteWord, type Runtime } from "./runtime.js";

/** A machine on which commands are run as root. */
export interface Machine {
    readonly runtime: Runtime;
    /** Runs a script of sh and returns what it printed. */
    run(script: string): Promise<string>;
    /** Starts commands that go on until they are disposed of. */
    start(commands: readonly string[]): Promise<Started>;
}

/** An emulated processor starts a few interpreters in half of it. */
const startTimeoutMs = 60_000;

/** Running commands. */
export interface Started extends AsyncDisposable {
    /** Resolves as soon as its output matches; throws when it ends before, or after a minute. */
    waitFor(expected: RegExp): Promise<unknown>;
}

/** Runs all commands at once, then what is to be done at the end; `$pids` are their ids. */
export function renderAll(commands: readonly string[], end = "wait"): string {
    return [...commands.map((command) => `${command} &\npids="$pids $!"`), end].join("\n");
}

/**
 * A machine of a lab.
 * @param runtime of its programs; a virtual machine has no memory for many processes of Node
 */
export function labMachine(machine: LabMachine, runtime = nodeRuntime): Machine {
    return {
        runtime,
        // A scan of all ports takes its time on a busy machine.
        run: async (script) => (await machine.exec(script, { timeoutMs: 240_000 })).stdout,
        start: async (commands) => {
            const started = await machine.spawn(renderAll(commands));
            return { ...started, waitFor: (expected) => started.waitFor(expected, startTimeoutMs) };
        },
    };
}

/** How to log in to a machine that is not the lab's. */
export interface Login {
    readonly host: string;
    readonly port: number;
    readonly user: string;
    /** Path of the private key; without one the agent and ~/.ssh/config decide. */
    readonly keyFile: string | undefined;
}

/** The words of the ssh command that logs in. */
export function sshCommand({ host, port, user, keyFile }: Login): [string, ...string[]] {
    const key = keyFile === undefined ? [] : ["-i", keyFile, "-o", "IdentitiesOnly=yes"];
    return ["ssh", "-p", String(port), ...key, `${user}@${host}`];
}

/** A machine reached by the system's ssh, as root or with sudo. */
export function sshMachine(login: Login): Machine {
    const [ssh, ...options] = sshCommand(login);
    const call = (script: string) => {
        const asRoot = login.user === "root" ? "" : "sudo -n ";
        return execa(ssh, ["-o", "BatchMode=yes", ...options, `${asRoot}sh -c ${quoteWord(script)}`], {
            all: true,
            reject: false,
        });
    };
    return {
        runtime: pythonRuntime,
        run: async (script) => {
            const { exitCode, stdout, stderr } = await call(script);
            if (exitCode === 0) return stdout;
            throw new Error(`${sshCommand(login).join(" ")} failed:\n${stderr || stdout}`);
        },
        start: async (commands) => {
            // The other end of stdin is what the script hangs on: when the connection is gone, so are its processes.
            const child = call(renderAll(commands, "cat >/dev/null; kill $pids"));
            return {
                waitFor: (expected) => waitFor(child.all, expected),
                [Symbol.asyncDispose]: async () => {
                    child.stdin.end();
                    await child;
                },
            };
        },
    };
}

/** This machine. */
export const thisMachine: Pick<Machine, "runtime" | "run"> = {
    runtime: nodeRuntime,
    run: async (script) => (await execa("sh", ["-c", script])).stdout,
};

function waitFor(text: NodeJS.ReadableStream, expected: RegExp): Promise<void> {
    return new Promise((resolve, reject) => {
        let output = "";
        const fail = (why: string) => reject(new Error(`${why}:\n${output}`));
        const timer = setTimeout(fail, startTimeoutMs, `nothing like ${expected} within ${startTimeoutMs / 1000} s`);
        text.on("data", (chunk: Buffer) => {
            output += chunk.toString();
            if (expected.test(output)) resolve();
        });
        text.once("close", () => {
            clearTimeout(timer);
            fail("it ended");
        });
    });
}
