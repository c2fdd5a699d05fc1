import { hasUnknown, unknown } from "./kinds/unknown.js";
import { isEqual } from "./model/equal.js";

type Values = Readonly<Record<string, unknown>>;

/** What a comparison of what a resource is with what it should be says to the engine. */
export interface Comparison {
    readonly changes: boolean;
    readonly replaces: string[];
    /** Names of changed properties. */
    readonly changed: string[];
}

const isInternal = (name: string) => ["owner", "connection", "objectKey", "retainOnDelete", "drift"].includes(name);

/**
 * Compares outputs with checked inputs. An input that was left out compares equal: defaults are written out by check,
 * so what is left out was chosen for the user (an address, a port, a name) and stays.
 *
 * @param replaces inputs whose change makes a new object; unknown counts as changed
 * @param refers inputs with references that change in place: the engine shows a replaced one as one unknown text
 */
export function compare(
    olds: Values,
    news: Values,
    replaces: readonly string[],
    refers: readonly string[],
): Comparison {
    const changed: string[] = [];
    const replacing: string[] = [];
    for (const [name, value] of Object.entries(news)) {
        if (name === "__provider" || name === "replaceOnChanges" || value === undefined) continue;
        // An output may say less than its input did: the first port of a range.
        if (isEqual(olds[`${name}Given`] ?? olds[name], value) && !hasUnknown(value)) continue;
        changed.push(name);
        if (replaces.includes(name) || (refers.includes(name) && value === unknown)) replacing.push(name);
    }
    // Optional properties without a default that were taken out of the program.
    for (const name of [
        "ingress",
        "egress",
        "hostAddress",
        "ipRange",
        "targetPort",
        "adopt",
        "existing",
        "retainOnDelete",
    ]) {
        if (news[name] !== undefined || olds[name] === undefined || changed.includes(name)) continue;
        changed.push(name);
        if (replaces.includes(name)) replacing.push(name);
    }
    const drift = olds["drift"];
    if (Array.isArray(drift) && drift.length > 0) changed.push("drift");
    for (const path of (news["replaceOnChanges"] as string[] | undefined) ?? []) {
        const [first] = /[^.[\]"]+/.exec(path) ?? [];
        replacing.push(...changed.filter((name) => name === first || (first === "*" && !isInternal(name))));
    }
    return { changes: changed.length > 0, replaces: [...new Set(replacing)], changed };
}
