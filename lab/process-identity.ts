import { readFileSync } from "node:fs";

/** A process that cannot be mistaken for a later one: ids are reused, an id with its start time is not. */
export type ProcessIdentity = { readonly pid: number; readonly startTime: string };

/**
 * Reads the identity of a running process.
 * @see proc_pid_stat(5): field 22 is the start time in clock ticks after boot.
 */
export function identifyProcess(pid: number): ProcessIdentity | undefined {
    try {
        const text = readFileSync(`/proc/${pid}/stat`, "latin1");
        // The second field is the program's name in brackets and may hold spaces and brackets of its own.
        const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
        const state = fields[0];
        const startTime = fields[19];
        if (startTime === undefined || state === "Z" || state === "X") return undefined;
        return { pid, startTime };
    } catch {
        return undefined;
    }
}

/** Whether exactly this process still runs. */
export function isRunning(identity: ProcessIdentity): boolean {
    return identifyProcess(identity.pid)?.startTime === identity.startTime;
}

/** Kills exactly this process; a process that is gone, or another one under its id, is left alone. */
export function killProcess(identity: ProcessIdentity): void {
    if (!isRunning(identity)) return;
    try {
        process.kill(identity.pid, "SIGKILL");
    } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
    }
}
