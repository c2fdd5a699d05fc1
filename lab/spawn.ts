import { commandEnvironment, commandInside, type ExecTarget, type LabCommand, type LabSandbox } from "./exec.js";

/** A process that runs inside a machine until it is disposed. */
export type LabProcess = AsyncDisposable & {
    /** Its id on this machine (inside, it has another one). */
    readonly pid: number;
    /** Everything it has printed so far, stdout and stderr together. */
    output(): string;
    /**
     * Resolves with the output as soon as it holds a text or matches a pattern.
     * @param timeoutMs default 10000
     * @throws when the process ends before, or when the time is up.
     */
    waitFor(expected: string | RegExp, timeoutMs?: number): Promise<string>;
    /** Kills it and all it started, and waits until it is gone. */
    stop(): Promise<void>;
};

/** Starts a long-running command inside a machine of the lab. */
export async function spawnInside(
    target: ExecTarget,
    command: LabCommand,
    options: { readonly sandbox?: LabSandbox | undefined } = {},
): Promise<LabProcess> {
    const { execa } = await import("execa");
    const entered = await commandInside(target, command, options.sandbox);
    const [file, ...args] = entered.argv;
    const child = execa(file, args, {
        all: true,
        buffer: false,
        cwd: "/",
        detached: true,
        env: commandEnvironment,
        extendEnv: false,
        reject: false,
        stdin: "ignore",
    });
    let output = "";
    let ended = false;
    const listeners = new Set<() => void>();
    const notify = () => {
        for (const listener of [...listeners]) listener();
    };
    child.all.setEncoding("utf8").on("data", (text: string) => {
        output += text;
        notify();
    });
    const end = child.then((outcome) => {
        ended = true;
        if (child.pid === undefined) output += outcome.shortMessage ?? "";
        notify();
    });
    const stop = async () => {
        if (!ended) entered.kill(child.pid);
        await end;
    };
    return {
        pid: child.pid ?? 0,
        output: () => output,
        waitFor: (expected, timeoutMs = 10_000) =>
            new Promise((resolve, reject) => {
                const settle = (act: () => void) => {
                    clearTimeout(timer);
                    listeners.delete(look);
                    act();
                };
                const fail = (reason: string) => {
                    const text = typeof command === "string" ? command : command.join(" ");
                    const message =
                        `Waiting for ${expected} in ${target.name}: ${reason}: ${text}\n${output}`.trimEnd();
                    settle(() => reject(new Error(message)));
                };
                const look = () => {
                    const found =
                        typeof expected === "string" ? output.includes(expected) : output.search(expected) >= 0;
                    if (found) settle(() => resolve(output));
                    else if (ended) fail("the process ended");
                };
                const timer = setTimeout(() => fail(`timed out after ${timeoutMs} ms`), timeoutMs);
                listeners.add(look);
                look();
            }),
        stop,
        [Symbol.asyncDispose]: stop,
    };
}
