import Table from "cli-table3";
import { type Turn, throughputRatio, typicalSpeeds } from "./traffic.js";

const plain = { style: { head: [], border: [], compact: true } };

/** A row for each way: medians, and its throughput beside the first one's. */
export function renderSpeeds(turns: readonly Turn[]): string {
    const head = ["", "Gbit/s", "of the underlay", "CPU ms/Gbit", "p50 µs", "p99 µs"];
    const table = new Table({ head, ...plain, colAligns: ["left", ...head.slice(1).map(() => "right" as const)] });
    const speeds = typicalSpeeds(turns);
    for (const { name, gigabits, cpuMsPerGigabit, p50, p99 } of speeds) {
        const part = throughputRatio(turns, name, speeds[0]?.name ?? "");
        const digits = gigabits < 1 ? 3 : 1;
        table.push([
            ...[name, gigabits.toFixed(digits), part.toFixed(2)],
            ...[cpuMsPerGigabit.toFixed(0), p50.toFixed(1), p99.toFixed(1)],
        ]);
    }
    return table.toString();
}
