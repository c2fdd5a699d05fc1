import { isRefused } from "../kernel/ipv6-item.js";
import { type Item, keyOf } from "../kernel/item.js";
import type { BaseObject, HostObject } from "../model/object.js";
import type { HostFacts, World } from "../model/world.js";
import { renderFragment } from "./manifest.js";

/** What objects mean in the kernel; given by the layer above, because `host` knows no kinds. */
export interface Meaning {
    itemsOf(keys: Iterable<string>, world: World): Item[];
    affectedBy(keys: Iterable<string>, before: World, after: World): Set<string>;
    withParents(keys: Iterable<string>, world: World): Set<string>;
    buildBase(facts: HostFacts): BaseObject;
    updateBase(base: BaseObject, world: World, facts: HostFacts): BaseObject;
}

/** Objects to put, or to take out (`undefined`), worked out from the newest state of the host. */
export type Change = ReadonlyMap<string, HostObject | undefined>;

export interface Operation {
    /** `endpoint "web" of stack shop/dev`, shown to others who wait for the lock. */
    readonly owner: string;
    /** Look at the kernel first instead of trusting the manifest. */
    readonly repair: boolean;
    /** The host's identity goes too, unless objects are left on it. */
    readonly leavesHost?: boolean;
    /** Pure; asked again when somebody else was faster. @throws Refusal */
    decide(world: World, facts: HostFacts): Change;
    /** What of an object only the host's root may read; asked for objects that come or change. Absent: nothing. */
    keysOf?(object: HostObject): string | undefined;
    /** Told, in words, when it waits for a lock that another program holds. */
    readonly onWait?: (message: string) => void;
}

/** What operations make of a host: its objects, and the items of all that they affect, before and after. */
export interface Draft {
    readonly worldAfter: World;
    /** Keys of objects that come, change or go. */
    readonly changed: ReadonlySet<string>;
    readonly before: readonly Item[];
    readonly after: readonly Item[];
    /** Restore texts that differ from what the host has, by key; after a repair all that say something. */
    readonly fragments: ReadonlyMap<string, string>;
    /** Keys that are kept on the host, by key of the object. */
    readonly keyFiles: ReadonlyMap<string, string>;
    /** The host's identity goes with its last object. */
    readonly leavesHost: boolean;
}

/** Works out one transaction for several operations, each on what the one before it leaves. Pure. @throws Refusal */
export function draft(
    operations: readonly Operation[],
    world: World,
    facts: HostFacts,
    meaning: Meaning,
    repair: boolean,
): Draft {
    let worldAfter = world;
    const changed = new Set<string>();
    const keyFiles = new Map<string, string>();
    for (const operation of operations) {
        const change = operation.decide(worldAfter, facts);
        for (const [key, object] of change) {
            changed.add(key);
            const keys = object && operation.keysOf?.(object);
            if (keys === undefined) keyFiles.delete(key);
            else keyFiles.set(key, keys);
        }
        worldAfter = worldAfter.with(change);
    }
    const known = world.base ?? meaning.buildBase(facts);
    const base = worldAfter.objects.size === 0 ? undefined : meaning.updateBase(known, worldAfter, facts);
    worldAfter = worldAfter.withBase(base);
    let keys = meaning.affectedBy(changed, world, worldAfter);
    if (repair) keys = new Set([...meaning.withParents(keys, world), ...meaning.withParents(keys, worldAfter)]);
    if (repair || base !== world.base) keys.add("base");
    const before: Item[] = [];
    const after: Item[] = [];
    const fragments = new Map<string, string>();
    for (const key of keys) {
        const itemsBefore = meaning.itemsOf([key], world);
        const itemsAfter = meaning.itemsOf([key], worldAfter);
        const left = new Set(itemsAfter.filter((item) => isRefused(item, facts)).map(keyOf));
        before.push(...itemsBefore.filter((item) => !left.has(keyOf(item))));
        after.push(...itemsAfter.filter((item) => !left.has(keyOf(item))));
        const isThere = key === "base" ? base !== undefined : worldAfter.objects.has(key);
        if (!isThere) continue;
        const text = renderFragment(itemsAfter);
        // Of an older provider's base it is not known what its text says.
        const isOlder = key === "base" && base !== world.base;
        if (isOlder || (repair && text !== "") || text !== renderFragment(itemsBefore)) fragments.set(key, text);
    }
    const leavesHost = worldAfter.objects.size === 0 && operations.some((operation) => operation.leavesHost);
    return { worldAfter, changed, before, after, fragments, keyFiles, leavesHost };
}
