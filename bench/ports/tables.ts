import Table from "cli-table3";
import type { Crowded } from "./crowded.js";
import type { PolicyCost } from "./policies.js";
import type { Publishing } from "./publish.js";

const plain = { style: { head: [], border: [], compact: true } };
const seconds = (value: number | undefined) => (value === undefined ? "" : value.toFixed(3));
const ratio = (value: number | undefined) => (value === undefined ? "" : value.toFixed(2));

export function renderPublishing({ rows, bare }: Publishing): string {
    const head = ["ports", "", "publish s", "remove s", "/ ours, publish", "/ ours, remove"];
    const table = new Table({ head, ...plain, colAligns: ["right", "left", "right", "right", "right", "right"] });
    for (const [i, row] of rows.entries()) {
        const count = row.count === rows[i - 1]?.count ? "" : row.count;
        if (row.problem !== undefined) table.push([count, row.name, { colSpan: 4, content: row.problem }]);
        else {
            const ratios = (row.ratio ?? []).map((each) => (row.name.startsWith("ours, one") ? "" : each.toFixed(1)));
            table.push([count, row.name, seconds(row.publish), seconds(row.withdraw), ...ratios]);
        }
    }
    const without = [...bare].map(([name, [start, stop]]) => `${name} ${seconds(start)} and ${seconds(stop)}`);
    const note = `  not counted, a container without ports: ${without.join("; ") || "nobody else is here"}`;
    return `${table.toString()}\n${note}`;
}

export function renderCrowded({ latencies, oneMore, throughput }: Crowded): string {
    const head = ["mappings", "", "the only one µs", "the last one µs", "ratio"];
    const table = new Table({ head, ...plain, colAligns: ["right", "left", "right", "right", "right"] });
    for (const { count, packets } of latencies) {
        for (const [i, { protocol, micros, ratio: by }] of packets.entries()) {
            table.push([i === 0 ? count : "", protocol, ...micros.map((each) => each.toFixed(1)), ratio(by)]);
        }
    }
    const { count, createMs, deleteMs, createRatio, deleteRatio } = oneMore;
    const line = (verb: string, [few, many]: readonly [number, number], by: number) =>
        `  one port more on a host with 10 and with ${count}, ${verb}: ${few.toFixed(1)} ms, ${many.toFixed(1)} ms, ratio ${ratio(by)}`;
    return [
        table.toString(),
        line("create", createMs, createRatio),
        line("delete", deleteMs, deleteRatio),
        typeof throughput === "string"
            ? `  throughput: ${throughput}`
            : `  throughput, Gbit/s: plain routed ${throughput.plain.toFixed(1)}, through the last of ${count} ${throughput.ours.toFixed(1)}, ratio ${ratio(throughput.ratio)}`,
    ].join("\n");
}

export function renderPolicies(rows: readonly PolicyCost[]): string {
    const head = ["", "", "one member µs", "so many µs", "ratio"];
    const table = new Table({ head, ...plain, colAligns: ["left", "right", "right", "right", "right"] });
    for (const { what, count, packet } of rows) {
        table.push([what, count, ...packet.micros.map((each) => each.toFixed(1)), ratio(packet.ratio)]);
    }
    return table.toString();
}
