import { readdirSync, readFileSync } from "node:fs";

/**
 * Milliseconds that processors have worked for the traffic so far, of what others do on this machine as little as can be:
 * a thread's own time goes on only while it runs (`/proc/<pid>/schedstat`, nanoseconds).
 */
export type ProcessorMeter = () => number;

/** Of a lab in this machine's kernel: its threads for packets. The programs' own time is theirs to tell. */
export function meterKernelThreads(): ProcessorMeter {
    const threads = processes(({ name }) => name.startsWith("ksoftirqd/")).map((pid) => `/proc/${pid}/schedstat`);
    return () => sumMs(threads);
}

/** Of virtual machines that this process has started: all of them, their kernels and programs included. */
export function meterVirtualMachines(): ProcessorMeter {
    const machines = processes(({ name, parent }) => name.startsWith("qemu-system") && parent === process.pid);
    return () =>
        sumMs(
            machines.flatMap((pid) =>
                readdirSync(`/proc/${pid}/task`).map((task) => `/proc/${pid}/task/${task}/schedstat`),
            ),
        );
}

function sumMs(files: readonly string[]): number {
    const own = files.map((file) => Number(readFileSync(file, "utf8").split(" ")[0]));
    return own.reduce((sum, each) => sum + each, 0) / 1e6;
}

function processes(isWanted: (process: { readonly name: string; readonly parent: number }) => boolean): string[] {
    return readdirSync("/proc").filter((pid) => {
        if (!/^\d+$/.test(pid)) return false;
        try {
            // proc_pid_stat(5): id, name in parentheses, state, parent.
            const [, name = "", parent] = /\((.*)\) \S (\d+)/.exec(readFileSync(`/proc/${pid}/stat`, "utf8")) ?? [];
            return isWanted({ name, parent: Number(parent) });
        } catch {
            return false;
        }
    });
}
