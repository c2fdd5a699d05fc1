import type { ObjectKind } from "./kinds/kind.js";
import { hasUnknown } from "./kinds/unknown.js";
import { isEqual } from "./model/equal.js";
import type { HostObject } from "./model/object.js";

type Values = Readonly<Record<string, unknown>>;

/** What a comparison of what a resource is with what it should be says to the engine. */
export interface Comparison {
    readonly changes: boolean;
    readonly replaces: string[];
    /** Names of changed properties. */
    readonly changed: string[];
}

/** What a kind says of its inputs. */
export type InputRules = Pick<ObjectKind<HostObject>, "schema" | "replaces" | "chosen" | "absent">;

const isInternal = (name: string) => ["owner", "connection", "objectKey", "retainOnDelete", "drift"].includes(name);

/**
 * Compares outputs with checked inputs. Defaults are written out by check, so what is absent was taken out of the program,
 * or was chosen for the user (an address, a port, a name) and stays.
 *
 * @param rules an unknown input counts as changed; the engine shows one with something replaced inside as one unknown text
 */
export function compare(olds: Values, news: Values, { schema, replaces, chosen, absent = {} }: InputRules): Comparison {
    const changed: string[] = [];
    const replacing: string[] = [];
    for (const [name, value] of Object.entries(news)) {
        if (name === "__provider" || name === "replaceOnChanges" || value === undefined) continue;
        // An output may say less than its input did: the first port of a range.
        const was = olds[`${name}Given`] ?? olds[name];
        if (isEqual(was === undefined ? absent[name] : was, value) && !hasUnknown(value)) continue;
        changed.push(name);
        if (replaces.includes(name)) replacing.push(name);
    }
    for (const name of [...Object.keys(schema.shape), "retainOnDelete"]) {
        if (news[name] !== undefined || olds[name] === undefined || chosen.includes(name)) continue;
        if (isEqual(olds[name], absent[name])) continue;
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
