import { randomBytes } from "node:crypto";
import { createFrameReader, type Frame, renderRun } from "./framing.js";
import { ConnectionError, type ScriptResult, type Shell } from "./shell.js";
import type { ShellProcess } from "./shell-process.js";

interface PendingRun {
    readonly timeoutMs: number;
    readonly resolve: (result: ScriptResult) => void;
    readonly reject: (error: Error) => void;
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
        run.resolve({ exitCode: Number(run.stdout.trailer), stdout: run.stdout.text, stderr: run.stderr.text });
    }

    function collect(stream: "stdout" | "stderr"): ReturnType<typeof createFrameReader> {
        const reader = createFrameReader((frame) => {
            const run = pending.find((candidate) => candidate[stream] === undefined);
            if (run === undefined) return;
            run[stream] = frame;
            settleFirst();
        });
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
                pending.push({ timeoutMs, resolve, reject });
                if (pending.length === 1) startDeadline();
                process.stdin.write(renderRun(script, marker));
            });
        },
        close() {
            fail(new ConnectionError(`${hostName}: the connection was closed by the program.`, { mayHeal: false }));
        },
    };
}
