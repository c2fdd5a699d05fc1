import type { Goal } from "../goals.js";
import { type Options, say, title } from "../report.js";
import { measureScale, type Scale } from "./runs.js";
import { renderScale } from "./tables.js";

export async function benchScale({ quick, hosts }: Options): Promise<Goal[]> {
    title("Segments over many hosts, four sandboxes on each, through the engine");
    const counts = (hosts ?? (quick ? "2,5" : "2,5,10,20,50")).split(",").map(Number);
    const rows: Scale[] = [];
    for (const count of counts) rows.push(await measureScale(count, { say }));
    const largest = Math.max(...counts);
    if (largest >= 20) rows.push(await measureScale(largest, { hasCheckpoints: false, say }));
    if (hosts === undefined) {
        rows.push(await measureScale(5, { endpointsPerHost: quick ? 8 : 16, say }));
        rows.push(await measureScale(5, { segments: quick ? 2 : 4, say }));
    }
    say(renderScale(rows));
    const sum = (of: "pairs" | "answered") => rows.reduce((total, { pairs }) => total + pairs[of], 0);
    const measured = sum("pairs") - sum("answered");
    return [{ title: `pairs of ${sum("pairs")} without an answer`, measured, limit: 0, unit: "pairs" }];
}
