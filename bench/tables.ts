import Table from "cli-table3";
import type { DirectTimes } from "./direct.js";
import type { EngineTimes, RunTimes } from "./engine.js";
import { sharesOf } from "./measure.js";
import type { OperationCost } from "./operations.js";
import type { PeerTimes } from "./peers/compare.js";

const plain = { style: { head: [], border: [], compact: true } };
const seconds = (value: number) => value.toFixed(2);

/** A row for each kind and operation: milliseconds of one, of many at once, and where they went. */
export function renderOperations(rows: readonly OperationCost[]): string {
    const counts = [...new Set(rows.map(({ count }) => count))];
    const shown = [counts[0], counts.at(-1)];
    const head = [
        "",
        ...counts.map((count) => (count === 1 ? "1, warm: ms (trips)" : `${count} at once: ms (trips)`)),
        ...shown.map((count) => `${count}: ssh / host / node %`),
    ];
    const table = new Table({ head, ...plain, colAligns: ["left", ...head.slice(1).map(() => "right" as const)] });
    const names = [...new Set(rows.map(({ kind, verb }) => `${kind} ${verb}`))];
    for (const name of names) {
        const of = rows.filter(({ kind, verb }) => `${kind} ${verb}` === name);
        const costAt = (count: number | undefined) => of.find((row) => row.count === count)?.cost;
        table.push([
            name,
            ...counts.map((count) => {
                const cost = costAt(count);
                if (cost === undefined) return "";
                const digits = count === 1 ? 1 : 0;
                return `${cost.wallMs.toFixed(digits)} (${Number(cost.roundTrips.toFixed(2))})`;
            }),
            ...shown.map((count) => {
                const cost = costAt(count);
                return cost === undefined ? "" : sharesOf(cost);
            }),
        ]);
    }
    return table.toString();
}

export function renderDirect(rows: readonly DirectTimes[]): string {
    const head = ["endpoints", "", "create s", "delete s"];
    const table = new Table({ head, ...plain, colAligns: ["right", "left", "right", "right"] });
    const of = (times: DirectTimes["ours"]) => [seconds(times.create), seconds(times.delete)];
    for (const row of rows) {
        table.push([row.count, "ours, concurrent operations", ...of(row.ours)]);
        table.push(["", "ip -batch, every trick", ...of(row.tuned)]);
        table.push(["", "ip -batch, as usually written", ...of(row.plain)]);
        table.push(["", "ours / every trick, by pairs", ...of(row.ratio)]);
    }
    return table.toString();
}

export function renderEngine(rows: readonly EngineTimes[], peers: readonly PeerTimes[]): string {
    const head = ["endpoints", "", "create / up s", "empty up s", "refresh s", "delete / destroy s", "state kB"];
    const table = new Table({
        head,
        ...plain,
        colAligns: ["right", "left", "right", "right", "right", "right", "right"],
    });
    const of = (times: RunTimes) => [times.up, times.emptyUp, times.refresh, times.destroy].map(seconds);
    const kilobytes = (bytes: number) => Math.round(bytes / 1000);
    for (const row of rows) {
        const without = row.hasCheckpoints ? "" : ", without checkpoints";
        table.push([row.count, `ours${without}`, ...of(row.ours), kilobytes(row.stateBytes[0])]);
        const floor = `${row.resources} resources that do nothing${without}`;
        table.push(["", floor, ...of(row.floor), kilobytes(row.stateBytes[1])]);
        table.push(["", "ours / do nothing", ...of(row.ratio), ""]);
        for (const peer of peers.filter(({ count }) => row.hasCheckpoints && count === row.count)) {
            if (peer.problem !== undefined) table.push(["", peer.name, { colSpan: 5, content: peer.problem }]);
            else table.push(["", peer.name, seconds(peer.create ?? 0), "", "", seconds(peer.delete ?? 0), ""]);
        }
    }
    return table.toString();
}
