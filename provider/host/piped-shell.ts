import { randomBytes } from "node:crypto";
import { channel } from "node:diagnostics_channel";
import { createFrameReader, type Frame, renderRun } from "./framing.js";
import { ConnectionError, type ScriptResult, type Shell } from "./shell.js";
import type { ShellProcess } from "./shell-process.js";

/** One script as its sender saw it, for who measures: published on the channel `linuxnet:script` when it has ended. */
export interface ScriptTimes {
    /** From sending to its first word: the way there, what stood before it, and the way back. */
    readonly sentMs: number;
    /** From its first word to its last one: it runs on the host. */
    readonly ranMs: number;
    readonly scriptBytes: number;
}

const scripts = channel("linuxnet:script");

interface PendingRun {
    readonly timeoutMs: number;
    readonly resolve: (result: ScriptResult) => void;
    readonly reject: (error: Error) => void;
    readonly scriptBytes: number;
    readonly sentAt: number;
    beganAt?: number;
    stdout?: Frame;
    stderr?: Frame;
}

/**
 * Makes a Shell of a running `sh`: scripts go down at once, answers come back in order. `hostName` names the host in errors.
 * The deadline of a run starts when the one before it has ended, so a slow script does not cost its successors theirs.
 */
export function createPipedShell(process: ShellProcess, hostName: string): Shell {
    const session = `linuxnet-${randomBytes(12).toString("hex")}`;
    const pending: PendingRun[] = [];
    let count = 0;
    let deadline: NodeJS.Timeout | undefined;
    let failure: ConnectionError | undefined;

    function fail(error: ConnectionError): void {
        if (failure !== undefined) return;
        failure = error;
        clearTimeout(deadline);
        process.destroy();
        for (const run of pending.splice(0)) run.reject(error);
    }

    function startDeadline(): void {
        clearTimeout(deadline);
        const run = pending[0];
        if (run === undefined) return;
        deadline = setTimeout(() => {
            const waited = `${run.timeoutMs / 1000} s`;
            fail(
                new ConnectionError(
                    `${hostName}: a script did not end within ${waited}, so the connection was closed. ` +
                        "Look for a command that hangs on the host, or raise connection.operationTimeoutMs.",
                    { mayHeal: false },
                ),
            );
        }, run.timeoutMs);
    }

    function settleFirst(): void {
        const run = pending[0];
        if (run?.stdout === undefined || run.stderr === undefined) return;
        pending.shift();
        startDeadline();
        if (scripts.hasSubscribers) scripts.publish(timesOf(run));
        run.resolve({ exitCode: Number(run.stdout.trailer), stdout: run.stdout.text, stderr: run.stderr.text });
    }

    function collect(stream: "stdout" | "stderr"): ReturnType<typeof createFrameReader> {
        const current = () => pending.find((candidate) => candidate[stream] === undefined);
        const reader = createFrameReader(
            (frame) => {
                const run = current();
                if (run === undefined) return;
                run[stream] = frame;
                settleFirst();
            },
            () => {
                const run = current();
                if (run !== undefined) run.beganAt ??= performance.now();
            },
        );
        process[stream].on("data", (chunk: Buffer) => reader.push(chunk));
        return reader;
    }

    const readers = [collect("stdout"), collect("stderr")];
    process.ended.then(({ reason }) =>
        fail(
            new ConnectionError(`${hostName}: ${reason} before a script had ended. Run the same command again.`, {
                mayHeal: true,
            }),
        ),
    );

    return {
        run(script, { timeoutMs }) {
            if (failure !== undefined) return Promise.reject(failure);
            return new Promise<ScriptResult>((resolve, reject) => {
                const marker = `${session}-${++count}`;
                for (const reader of readers) reader.expect(marker);
                const sentAt = performance.now();
                pending.push({ timeoutMs, resolve, reject, sentAt, scriptBytes: script.length });
                if (pending.length === 1) startDeadline();
                process.stdin.write(renderRun(script, marker));
            });
        },
        isOpen: () => failure === undefined,
        close() {
            fail(new ConnectionError(`${hostName}: the connection was closed by the program.`, { mayHeal: false }));
        },
    };
}

function timesOf({ sentAt, beganAt = sentAt, scriptBytes }: PendingRun): ScriptTimes {
    return { sentMs: beganAt - sentAt, ranMs: performance.now() - beganAt, scriptBytes };
}
