import { everyAddress } from "../model/host-address.js";
import { type Flaws, withFlaws } from "./flaws.js";
import type { ItemType } from "./item.js";
import { nft } from "./line.js";
import { restoreVersion } from "./restore.js";
import { marked, markOf } from "./rule-mark.js";
import { addChain, type BaseChain, type BaseTable, baseTables, hookOf, renderBase, repairBase } from "./ruleset.js";
import type { ChainSnapshot, Snapshot } from "./snapshot.js";

/** Both tables with their sets and base chains. */
export interface RulesetItem extends Flaws {
    readonly type: "ruleset";
    /** `restoreVersion` of who wrote it: a host that has an older one gets this one with its next operation. */
    readonly version: number;
    /** Observed only: names of base chains that are not as they were written; absent: none. */
    readonly strangeChains?: readonly string[];
}

/** A chain of one object in `inet linuxnet`. */
export interface ChainItem extends Flaws {
    readonly type: "chain";
    readonly name: string;
    /** `type filter hook input priority 10`; absent: it is only jumped to. What hangs on a hook of its own is the host's. */
    readonly hook?: string;
    readonly rules: readonly string[];
}

/** An element of one of the base sets and maps. */
export interface ElementItem {
    readonly type: "element";
    readonly family: "inet" | "bridge";
    readonly set: string;
    /** Concatenated parts: interface names, addresses, ports. */
    readonly key: readonly (string | number)[];
    /** Absent for a set. */
    readonly value?: readonly (string | number)[] | { readonly goto: string };
}

/** nft refuses comments of more than 128 bytes (NFTNL_UDATA_COMMENT_MAXLEN), and the mark of a rule takes ten. */
const maximumBytes = 118;

/** A text as an nft string: quotes and control characters cannot be written in one, so they become spaces. */
export function nftString(text: string): string {
    // Nearly all are names of interfaces and chains.
    if (text.length <= maximumBytes && /^[A-Za-z0-9_.:-]*$/.test(text)) return `"${text}"`;
    let bytes = 0;
    let kept = "";
    // biome-ignore lint/suspicious/noControlCharactersInRegex: exactly these are to be replaced
    for (const character of text.replace(/["\\\u0000-\u001f\u007f]/g, " ")) {
        bytes += new TextEncoder().encode(character).length;
        if (bytes > maximumBytes) break;
        kept += character;
    }
    return `"${kept}"`;
}

const bare =
    /^(\d+|\d+(\.\d+){3}(\/\d+)?|([0-9a-f]{2}:){5}[0-9a-f]{2}|0x[0-9a-f]+|[0-9a-f]*:[0-9a-f:]*:[0-9a-f:]*(\/\d+)?|tcp|udp|sctp)$/;

/** Interface names are quoted: some are words of nft's own language. */
function renderPart(part: string | number): string {
    const text = String(part);
    return bare.test(text) ? text : nftString(text);
}

function renderKey(item: ElementItem): string {
    return item.key.map(renderPart).join(" . ");
}

function renderValue(value: NonNullable<ElementItem["value"]>): string {
    return "goto" in value ? `goto ${value.goto}` : value.map(String).join(" . ");
}

/** An element as one word each for key and value, however nft's JSON nests them. */
export function normaliseParts(value: unknown): string {
    if (Array.isArray(value)) return value.map(normaliseParts).join(" . ");
    if (typeof value !== "object" || value === null) return String(value);
    const [name, inner] = Object.entries(value)[0] ?? [];
    if (name === "prefix") return `${inner.addr}/${inner.len}`;
    if (name === "goto" || name === "jump") return `${name} ${inner.target}`;
    if (name === "elem") return normaliseParts(inner.val);
    return normaliseParts(inner);
}

const publishing = new Set(
    ["published", "spread"].flatMap((name) => ["", "_any", "6", "_any6"].map((end) => name + end)),
);

const strange = "has other rules than this version writes";

/** A table is gone as a whole; its sets cannot be while rules name them. */
function hasTable(snapshot: Snapshot, family: BaseTable["family"]): boolean {
    const { sets = [] } = baseTables.find((table) => table.family === family) ?? {};
    return sets.some(({ name }) => snapshot.tables.get(family)?.elements.has(name) ?? false);
}

export const rulesetType: ItemType<RulesetItem> = {
    key: () => "ruleset",
    parents: () => [],
    add: () => baseTables.flatMap((table) => renderBase(table).map(nft)),
    remove: () => baseTables.map((table) => nft(`delete table ${table.family} linuxnet`)),
    change({ version, strangeChains = [] }, to) {
        const isStrange = (name: string) => version !== to.version || strangeChains.includes(name);
        return baseTables.flatMap((table) => {
            const names = table.chains.map(({ name }) => name).filter(isStrange);
            return repairBase(table, names).map(nft);
        });
    },
    observe(item, snapshot) {
        // What makes them anew and fails takes them away again.
        if (baseTables.every(({ family }) => !hasTable(snapshot, family))) return undefined;
        const flaws: string[] = [];
        const strangeChains: string[] = [];
        for (const { family, chains } of baseTables) {
            const table = snapshot.tables.get(family);
            if (table === undefined || !hasTable(snapshot, family)) {
                flaws.push(`table ${family} linuxnet is missing`);
                strangeChains.push(...chains.map(({ name }) => name));
                continue;
            }
            for (const chain of chains) {
                const found = table.chains.get(chain.name);
                if (found !== undefined && found.hook === hookOf(chain) && hasRules(found, chain.rules)) continue;
                // One that this version adds is no loss on a host that an older one laid out.
                const words =
                    found === undefined && item.version < restoreVersion ? strange : describeChain(found, chain);
                flaws.push(`chain ${chain.name} of table ${family} linuxnet ${words}`);
                strangeChains.push(chain.name);
            }
        }
        return flaws.length === 0 ? item : { ...item, flaws, strangeChains };
    },
};

function describeChain(found: ChainSnapshot | undefined, wanted: BaseChain): string {
    if (found === undefined) return "is missing";
    const hook = hookOf(wanted);
    return found.hook === hook ? strange : `hangs on "${found.hook ?? "no hook"}", not on "${hook}"`;
}

function hasRules(chain: ChainSnapshot, rules: readonly string[]): boolean {
    return chain.comments.length === rules.length && rules.every((rule, i) => chain.comments[i] === markOf(rule));
}

export const chainType: ItemType<ChainItem> = {
    key: (item) => `chain ${item.name}`,
    parents: () => ["ruleset"],
    mayLockOut: (item) => item.hook !== undefined,
    add: (item) => [
        nft(addChain("inet linuxnet", item)),
        nft(`flush chain inet linuxnet ${item.name}`),
        ...item.rules.map((rule) => nft(`add rule inet linuxnet ${item.name} ${marked(rule)}`)),
    ],
    remove: (item) => [nft(`flush chain inet linuxnet ${item.name}`), nft(`delete chain inet linuxnet ${item.name}`)],
    change: (from, to) => [
        // A chain that hangs elsewhere than it should cannot be moved.
        ...(to.hook !== undefined && from.flaws !== undefined ? chainType.remove(to) : []),
        ...chainType.add(to),
    ],
    observe(item, snapshot) {
        const found = snapshot.tables.get("inet")?.chains.get(item.name);
        if (found === undefined) return undefined;
        const hook = hookOf(item);
        if (found.hook !== hook) return withFlaws(item, [`hangs on "${found.hook ?? "no hook"}", not on "${hook}"`]);
        return hasRules(found, item.rules) ? item : withFlaws(item, [strange]);
    },
};

export const elementType: ItemType<ElementItem> = {
    key: (item) => `element ${item.family} ${item.set} ${item.key.join(" . ")}`,
    parents: () => ["ruleset"],
    claims(item) {
        if (!publishing.has(item.set)) return [];
        const [port, protocol, address = everyAddress[item.set.endsWith("6") ? 6 : 4]] = [...item.key].reverse();
        return [{ protocol: String(protocol), port: Number(port), address: String(address) }];
    },
    add: (item) => {
        const value = item.value === undefined ? "" : ` : ${renderValue(item.value)}`;
        return [nft(`add element ${item.family} linuxnet ${item.set} { ${renderKey(item)}${value} }`)];
    },
    remove: (item) => [nft(`delete element ${item.family} linuxnet ${item.set} { ${renderKey(item)} }`)],
    observe(item, snapshot) {
        const elements = snapshot.tables.get(item.family)?.elements.get(item.set);
        const value = elements?.get(item.key.join(" . "));
        if (value === undefined) return undefined;
        const expected = item.value === undefined ? "" : renderValue(item.value);
        return value === expected ? item : { ...item, value: [value] };
    },
};
