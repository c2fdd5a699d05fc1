import Table from "cli-table3";
import type { Scale, ScaleRun } from "./runs.js";

const plain = { style: { head: [], border: [], compact: true } };

/** A row for each run of the engine and number of hosts, then one for each number of hosts with what is on a host. */
export function renderScale(scales: readonly Scale[]): string {
    return `${renderRuns(scales)}\n${renderEntries(scales)}`;
}

function renderRuns(scales: readonly Scale[]): string {
    const head = [
        "hosts",
        "",
        "seconds",
        "made",
        "changed",
        "deleted",
        "same",
        "round trips",
        "provider MB",
        "state kB",
    ];
    const table = new Table({
        head,
        ...plain,
        colAligns: ["right", "left", ...head.slice(2).map(() => "right" as const)],
    });
    for (const { hosts, hasCheckpoints, runs } of scales) {
        const without = hasCheckpoints ? "" : ", without checkpoints";
        for (const [i, run] of runs.entries()) {
            table.push([i === 0 ? hosts : "", `${run.name}${without}`, ...cellsOf(run)]);
        }
    }
    return table.toString();
}

function cellsOf({ seconds, changes, provider, stateBytes }: ScaleRun): (string | number)[] {
    const { create = 0, update = 0, same = 0 } = changes;
    return [
        seconds.toFixed(1),
        ...[create, update, changes["delete"] ?? 0, same],
        provider?.roundTrips ?? "",
        provider?.peakMegabytes.toFixed(0) ?? "",
        Math.round(stateBytes / 1000),
    ];
}

function renderEntries(scales: readonly Scale[]): string {
    const head = [
        "hosts",
        "endpoints",
        "routes",
        "neighbours",
        "fdb",
        "nft elements",
        "pairs",
        "answered",
        "at once",
        "s",
    ];
    const table = new Table({ head, ...plain, colAligns: head.map(() => "right" as const) });
    for (const { hosts, endpointsPerHost, entries, pairs } of scales) {
        const { routes, neighbours, fdb, elements } = entries;
        const answers = [pairs.pairs, pairs.answered, pairs.atOnce, pairs.seconds.toFixed(1)];
        table.push([hosts, hosts * endpointsPerHost, routes, neighbours, fdb, elements, ...answers]);
    }
    const missing = scales.flatMap(({ hosts, pairs }) => pairs.missing.map((pair) => `${hosts} hosts, ${pair}`));
    return [table.toString(), ...missing.map((pair) => `  no answer: ${pair}`)].join("\n");
}
