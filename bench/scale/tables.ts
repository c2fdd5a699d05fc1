import Table from "cli-table3";
import type { Scale, ScaleRun } from "./runs.js";

const plain = { style: { head: [], border: [], compact: true } };

/** A row for each run of the engine and number of hosts, then one for each number of hosts with what is on a host. */
export function renderScale(scales: readonly Scale[]): string {
    return `${renderRuns(scales)}\n${renderEntries(scales)}`;
}

function renderRuns(scales: readonly Scale[]): string {
    const size = ["hosts", "sandboxes", "segments"];
    const changes = ["made", "changed", "deleted", "same"];
    const head = [...size, "", "seconds", ...changes, "round trips", "provider MB", "state kB"];
    const right = (of: readonly string[]) => of.map(() => "right" as const);
    const table = new Table({ head, ...plain, colAligns: [...right(size), "left", ...right(head.slice(4))] });
    for (const { hosts, endpointsPerHost, segments, hasCheckpoints, runs } of scales) {
        const without = hasCheckpoints ? "" : ", without checkpoints";
        for (const [i, run] of runs.entries()) {
            const size = i === 0 ? [hosts, hosts * endpointsPerHost, segments] : ["", "", ""];
            table.push([...size, `${run.name}${without}`, ...cellsOf(run)]);
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
        "sandboxes",
        "segments",
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
    for (const { hosts, endpointsPerHost, segments, entries, pairs } of scales) {
        const { routes, neighbours, fdb, elements } = entries;
        const answers = [pairs.pairs, pairs.answered, pairs.atOnce, pairs.seconds.toFixed(1)];
        table.push([hosts, hosts * endpointsPerHost, segments, routes, neighbours, fdb, elements, ...answers]);
    }
    const missing = scales.flatMap(({ hosts, pairs }) => pairs.missing.map((pair) => `${hosts} hosts, ${pair}`));
    return [table.toString(), ...missing.map((pair) => `  no answer: ${pair}`)].join("\n");
}
