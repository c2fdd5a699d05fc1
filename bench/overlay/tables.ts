import Table from "cli-table3";
import { compareSpeeds, type Spread, type Turn, typicalSpeeds } from "./traffic.js";

const plain = { style: { head: [], border: [], compact: true } };

/** A row for each way: medians, and its throughput beside the first one's. */
export function renderSpeeds(turns: readonly Turn[]): string {
    const head = ["", "Gbit/s", "of the underlay", "CPU ms/Gbit", "p50 µs", "p99 µs"];
    const table = new Table({ head, ...plain, colAligns: ["left", ...head.slice(1).map(() => "right" as const)] });
    const speeds = typicalSpeeds(turns);
    for (const { name, gigabits, cpuMsPerGigabit, p50, p99 } of speeds) {
        const part = compareSpeeds(turns, "gigabits", name, speeds[0]?.name ?? "").median;
        const digits = gigabits < 1 ? 3 : 1;
        table.push([
            ...[name, gigabits.toFixed(digits), part.toFixed(2)],
            ...[cpuMsPerGigabit.toFixed(0), p50.toFixed(1), p99.toFixed(1)],
        ]);
    }
    return table.toString();
}

/** A row for each pair of ways: the first / the second, and between what half of the turns are. */
export function renderPairs(turns: readonly Turn[], pairs: readonly (readonly [string, string])[]): string {
    const head = ["", "Gbit/s", "CPU a Gbit", "p50"];
    const table = new Table({ head, ...plain, colAligns: ["left", "right", "right", "right"] });
    for (const [name, beside] of pairs) {
        const cells = (["gigabits", "cpuMsPerGigabit", "p50"] as const).map((key) =>
            renderSpread(compareSpeeds(turns, key, name, beside)),
        );
        table.push([`${name} / ${beside}`, ...cells]);
    }
    return table.toString();
}

function renderSpread({ median, low, high }: Spread): string {
    return `${median.toFixed(3)} (${low.toFixed(2)}-${high.toFixed(2)})`;
}
