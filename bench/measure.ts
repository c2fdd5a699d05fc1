import { subscribe } from "node:diagnostics_channel";
import { loadavg } from "node:os";
import type { ScriptTimes } from "../provider/host/piped-shell.js";

/** What a piece of work took, and where: `sshMs` and `hostMs` are waited for, the rest of `wallMs` is this process. */
export interface Cost {
    readonly wallMs: number;
    /** Processor time of this process, ssh's encryption included. */
    readonly cpuMs: number;
    readonly roundTrips: number;
    /** From sending a script to its first word. */
    readonly sshMs: number;
    /** From its first word to its last one. */
    readonly hostMs: number;
}

const sums = { roundTrips: 0, sshMs: 0, hostMs: 0 };

subscribe("linuxnet:script", (message) => {
    const { sentMs, ranMs } = message as ScriptTimes;
    sums.roundTrips++;
    sums.sshMs += sentMs;
    sums.hostMs += ranMs;
});

export async function costOf(work: () => Promise<unknown>): Promise<Cost> {
    const before = { ...sums };
    const cpuBefore = process.cpuUsage();
    const start = performance.now();
    await work();
    const wallMs = performance.now() - start;
    const cpu = process.cpuUsage(cpuBefore);
    return {
        wallMs,
        cpuMs: (cpu.user + cpu.system) / 1000,
        roundTrips: sums.roundTrips - before.roundTrips,
        sshMs: sums.sshMs - before.sshMs,
        hostMs: sums.hostMs - before.hostMs,
    };
}

export async function secondsOf(work: () => Promise<unknown>): Promise<number> {
    return (await costOf(work)).wallMs / 1000;
}

export function median(values: readonly number[]): number {
    const sorted = [...values].sort((a, b) => a - b);
    const middle = sorted.length / 2;
    return ((sorted[Math.ceil(middle) - 1] ?? Number.NaN) + (sorted[Math.floor(middle)] ?? Number.NaN)) / 2;
}

/** The costs of one operation after the other as the cost of one: the median, for what is counted the mean. */
export function typicalCost(costs: readonly Cost[]): Cost {
    const of = (name: keyof Cost) => median(costs.map((cost) => cost[name]));
    const trips = costs.reduce((sum, cost) => sum + cost.roundTrips, 0) / costs.length;
    return { wallMs: of("wallMs"), cpuMs: of("cpuMs"), roundTrips: trips, sshMs: of("sshMs"), hostMs: of("hostMs") };
}

/** Where the time went, in per cent: ssh / host / this process. */
export function sharesOf({ wallMs, sshMs, hostMs }: Cost): string {
    const percent = (ms: number) => Math.round((100 * Math.max(0, ms)) / wallMs);
    return `${percent(sshMs)} / ${percent(hostMs)} / ${percent(wallMs - sshMs - hostMs)}`;
}

/** Programs that had to share the processors in the last minute, ours included (proc_loadavg(5)). */
export function load(): string {
    return (loadavg()[0] ?? 0).toFixed(1);
}

export function range(count: number): number[] {
    return Array.from({ length: count }, (_, i) => i);
}
