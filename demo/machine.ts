import { execa } from "execa";
import type { LabMachine } from "../lab/index.js";
import { nodeRuntime, pythonRuntime, quoteWord, type Runtime } from "./runtime.js";

/** A machine on which commands are run as root. */
export interface Machine {
    readonly runtime: Runtime;
    /** Runs a script of sh and returns what it printed. */
    run(script: string): Promise<string>;
    /** Starts a script of sh that goes on until it is disposed. */
    start(script: string): Promise<Started>;
}

/** A running script. */
export interface Started extends AsyncDisposable {
    /** Resolves as soon as its output matches; throws when it ends before, or after 10 seconds. */
    waitFor(expected: RegExp): Promise<unknown>;
}

/** Runs all commands at once and waits for them. */
export function renderAll(commands: readonly string[]): string {
    return `${commands.map((command) => `${command} &`).join("\n")}\nwait`;
}

/** A machine of a lab. */
export function labMachine(machine: LabMachine): Machine {
    return {
        runtime: nodeRuntime,
        run: async (script) => (await machine.exec(script)).stdout,
        start: (script) => machine.spawn(script),
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
        return execa(ssh, ["-o", "BatchMode=yes", ...options, `${asRoot}sh -c ${quoteWord(script)}`], { all: true });
    };
    return {
        runtime: pythonRuntime,
        run: async (script) => (await call(script)).stdout,
        start: async (script) => {
            // The other end of stdin is what the script hangs on: when the connection is gone, so are its processes.
            const child = call(`${script.replace(/\nwait$/, "")}\ncat >/dev/null\nkill $(jobs -p)`);
            child.catch(() => undefined);
            return {
                waitFor: (expected) => waitFor(child, expected),
                [Symbol.asyncDispose]: async () => {
                    child.stdin.end();
                    await child.catch(() => undefined);
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

function waitFor(child: ReturnType<typeof execa<{ all: true }>>, expected: RegExp): Promise<void> {
    return new Promise((resolve, reject) => {
        let output = "";
        const timer = setTimeout(() => reject(new Error(`nothing like ${expected} within 10 s:\n${output}`)), 10_000);
        child.all?.on("data", (text: Buffer) => {
            output += text.toString();
            if (expected.test(output)) resolve();
        });
        child.then(
            () => reject(new Error(`it ended:\n${output}`)),
            (error: Error) => reject(error),
        );
        child.all?.once("close", () => clearTimeout(timer));
    });
}
