import type { Goal } from "../goals.js";
import { type Options, say, title } from "../report.js";
import { measureScale, type Scale } from "./runs.js";
import { renderScale } from "./tables.js";

export async function benchScale({ quick, hosts }: Options): Promise<Goal[]> {
    title("One segment over many hosts, four endpoints each, through the engine");
    const counts = (hosts ?? (quick ? "2,5" : "2,5,10,20,50")).split(",").map(Number);
    const rows: Scale[] = [];
    for (const count of counts) rows.push(await measureScale(count, { say }));
    const largest = Math.max(...counts);
    if (largest >= 20) rows.push(await measureScale(largest, { hasCheckpoints: false, say }));
    say(renderScale(rows));
    const { pairs } = rows.at(-1) ?? {};
    if (pairs === undefined) return [];
    const measured = pairs.pairs - pairs.answered;
    return [{ title: `pairs of ${pairs.pairs} without an answer`, measured, limit: 0, unit: "pairs" }];
}
