import { isEqual } from "../model/equal.js";
import { type Item, keyOf, rankOf, typeOf } from "./item.js";
import type { Line } from "./line.js";
import { deleteLinks } from "./link.js";

/**
 * What a host has to do, in this order. Names of interfaces are known before the interfaces exist, so the rules for an
 * endpoint are there before it is, and stay until it is gone: there is no open moment.
 */
export interface Plan {
    readonly remove: readonly Line[];
    /** One nft transaction. */
    readonly nft: readonly Line[];
    readonly add: readonly Line[];
    /** Items that came or changed: what is read back. */
    readonly touched: readonly Item[];
    /** Items that were not there before and whose kernel name must be free; what is made anew holds its own. */
    readonly added: readonly Item[];
}

const nftTypes = new Set(["ruleset", "counter", "meter", "chain", "element"]);

/**
 * The only planner: from any set of items to any other. Create (from nothing), update, delete (to nothing), repair (from
 * what was observed), roll back (the other way round) and restore (from nothing, all) are calls of it.
 */
export function plan(before: readonly Item[], after: readonly Item[]): Plan {
    const old = new Map(before.map((item) => [keyOf(item), item]));
    const wanted = new Map(after.map((item) => [keyOf(item), item]));
    const lost = findLost(old, wanted);
    const remove: Item[] = [];
    const add: Item[] = [];
    const changed: Changed[] = [];
    for (const [key, item] of [...old].reverse()) {
        const { parents, staysBehind } = typeOf(item);
        const goesAnyway = !staysBehind && parents(item).some((parent) => lost.has(parent));
        if (lost.has(key) && !goesAnyway) remove.push(item);
    }
    for (const [key, item] of wanted) {
        const from = old.get(key);
        if (from === undefined || lost.has(key)) add.push(item);
        else if (!isEqual(from, item)) changed.push({ from, item, lines: typeOf(item).change?.(from, item) ?? [] });
    }
    const byRank = (a: Item, b: Item) => rankOf(a) - rankOf(b);
    remove.sort((a, b) => byRank(b, a));
    add.sort(byRank);
    changed.sort((a, b) => byRank(a.item, b.item));
    // Changes in their turn too: what is added later may need them (a forwarding entry its port back on the bridge).
    const added = add.map((item) => ({ item, lines: typeOf(item).add(item) }));
    const lowered = changed.filter(lowersMtu).sort((a, b) => byRank(b.item, a.item));
    const arriving = [...added, ...changed.filter((each) => !lowersMtu(each))].sort((a, b) => byRank(a.item, b.item));
    const isNft = (item: Item) => nftTypes.has(item.type);
    // A packet between the cut and the end of its mapping would begin the flow anew, so the cut comes behind nft.
    const [cut, gone] = [remove.filter(({ type }) => type === "flows"), remove.filter(({ type }) => type !== "flows")];
    const linesOf = (items: readonly Item[], verb: "add" | "remove") =>
        items.flatMap((item) => typeOf(item)[verb](item));
    const isOther = ({ type }: Item) => !["resolver", "names"].includes(type);
    const ofType = (items: readonly Item[], ...types: string[]) => items.filter((item) => types.includes(item.type));
    return {
        remove: [
            // Who asks is led to it by nft, and to another one before it stops.
            ...linesOf(ofType(add, "resolver"), "add"),
            ...linesOf(ofType(gone, "names"), "remove"),
            ...groupByNamespace(removalLines(gone.filter((item) => !isNft(item) && isOther(item))), "inside first"),
        ],
        nft: [
            ...linesOf(ofType(remove, "element"), "remove"),
            // Tables that were flushed away are changed back before anything is added to them.
            ...changed.filter(({ item }) => item.type === "ruleset").flatMap(({ lines }) => lines),
            ...linesOf(ofType(add, "ruleset"), "add"),
            ...linesOf(ofType(add, "counter", "meter"), "add"),
            ...linesOf(ofType(add, "chain"), "add"),
            ...changed.filter(({ item }) => isNft(item) && item.type !== "ruleset").flatMap(({ lines }) => lines),
            ...linesOf(ofType(add, "element"), "add"),
            ...linesOf(ofType(remove, "chain"), "remove"),
            ...linesOf(ofType(remove, "counter", "meter"), "remove"),
            ...linesOf(ofType(remove, "ruleset"), "remove"),
        ],
        add: [
            ...groupByNamespace(
                lowered.flatMap(({ lines }) => lines),
                "inside first",
            ),
            ...groupByNamespace(
                [
                    ...linesOf(cut, "remove"),
                    ...arriving.filter(({ item }) => !isNft(item) && isOther(item)).flatMap(({ lines }) => lines),
                ],
                "host first",
            ),
            ...arriving.filter(({ item }) => item.type === "names").flatMap(({ lines }) => lines),
            ...linesOf(ofType(gone, "resolver"), "remove"),
        ],
        touched: [...add, ...changed.map(({ item }) => item)],
        added: add.filter((item) => !old.has(keyOf(item))),
    };
}

interface Changed {
    readonly from: Item;
    readonly item: Item;
    readonly lines: readonly Line[];
}

/**
 * What is to send smaller packets does so before the ways get narrower: sandboxes, ports, tunnels, bridges; to larger ones it
 * is the other way round. A port that is put on another bridge waits for that one.
 */
function lowersMtu({ from, item }: Changed): boolean {
    if (!("mtuBytes" in from && "mtuBytes" in item) || from.mtuBytes <= item.mtuBytes) return false;
    return !("bridge" in from && "bridge" in item && from.bridge !== item.bridge);
}

/** Links are neighbours in the order of removal and go together. */
function removalLines(items: readonly Item[]): Line[] {
    const isLink = (item: Item) => ["veth", "vxlan", "wireguard", "bridge"].includes(item.type);
    const first = items.findIndex(isLink);
    const links = items.flatMap((item) => (isLink(item) && "name" in item ? [item.name] : []));
    return items.flatMap((item, i) => {
        if (i === first) return deleteLinks(links);
        return isLink(item) ? [] : typeOf(item).remove(item);
    });
}

export function isEmpty(steps: Plan): boolean {
    return steps.remove.length + steps.nft.length + steps.add.length === 0;
}

/** Old items that will be gone or have to be made anew: not wanted, not changeable, or hanging on such a one. */
function findLost(old: ReadonlyMap<string, Item>, wanted: ReadonlyMap<string, Item>): ReadonlySet<string> {
    const lost = new Set<string>();
    const sorted = [...old].sort(([, a], [, b]) => rankOf(a) - rankOf(b));
    for (const [key, item] of sorted) {
        const to = wanted.get(key);
        const isOther = to !== undefined && to.type !== item.type;
        const cannotChange =
            to !== undefined && !isEqual(item, to) && (isOther || typeOf(item).change?.(item, to) === undefined);
        const parentLost = typeOf(item)
            .parents(item)
            .some((parent) => lost.has(parent));
        if (to === undefined || cannotChange || parentLost) lost.add(key);
    }
    return lost;
}

/**
 * Keeps the order within each namespace and needs one process for each, one for its switches (before: its interfaces are
 * there by then) and one for rules of IPv6, which nothing waits for; nothing on the host waits for an inside.
 */
function groupByNamespace(lines: readonly Line[], order: "host first" | "inside first"): Line[] {
    const groups = new Map<string, Line[]>([["", []]]);
    for (const line of lines) {
        const group = groups.get(line.netns ?? "");
        if (group === undefined) groups.set(line.netns ?? "", [line]);
        else group.push(line);
    }
    const host = groups.get("") ?? [];
    groups.delete("");
    const placeOf = ({ tool }: Line) => (tool === "sysctl" ? 0 : tool === "ip6" ? 2 : 1);
    const inside = [...groups.values()].flatMap((group) => group.toSorted((a, b) => placeOf(a) - placeOf(b)));
    const outside = [...host.filter(({ tool }) => tool !== "ip6"), ...host.filter(({ tool }) => tool === "ip6")];
    return order === "host first" ? [...outside, ...inside] : [...inside, ...outside];
}
