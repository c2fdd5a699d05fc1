import { type Item, keyOf, observe } from "../kernel/item.js";
import { isEmpty, plan } from "../kernel/plan.js";
import { parseSnapshot } from "./snapshot.js";

const readBack = new Set<Item["type"]>(["netns", "bridge", "veth", "vxlan", "address", "route", "rule"]);

/** The read-back planned again: no difference is the proof that the kernel did what it was told. */
export function differenceAfter(touched: readonly Item[], stdout: string): string[] {
    const snapshot = parseSnapshot(stdout);
    // What was touched in a namespace by other tools than ip alone is not read back.
    const isRead = (item: Item) =>
        readBack.has(item.type) && snapshot.namespaces.has(("netns" in item && item.netns) || "");
    const wanted = touched.filter(isRead);
    return describeDifference(observe(wanted, snapshot), wanted);
}

/** What differs, in words: one text for each thing that is missing or has another value. */
export function describeDifference(actual: readonly Item[], wanted: readonly Item[]): string[] {
    if (isEmpty(plan(actual, wanted))) return [];
    const seen = new Map(actual.map((item) => [keyOf(item), item]));
    return wanted.flatMap((item) => {
        const found = seen.get(keyOf(item));
        if (found === undefined) return [`${keyOf(item)} is missing`];
        const changed = Object.entries(item).filter(([name, value]) => {
            return JSON.stringify((found as unknown as Record<string, unknown>)[name]) !== JSON.stringify(value);
        });
        return changed.map(([name, value]) => {
            const actualValue = JSON.stringify((found as unknown as Record<string, unknown>)[name]);
            return `${keyOf(item)}: ${name} is ${actualValue}, not ${JSON.stringify(value)}`;
        });
    });
}
