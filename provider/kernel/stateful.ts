import type { ItemType } from "./item.js";
import { nft } from "./line.js";

/** Counts what rules match. It has a name, because a counter inside a rule is lost with every change of its chain. */
export interface CounterItem {
    readonly type: "counter";
    readonly name: string;
    /** In quotes, by `nftString`. */
    readonly comment?: string;
}

/**
 * What a limit remembers of each source: how often it matched, or its open connections. A set of its own survives changes
 * of the chain; one of another limit needs another name, because a changed rate never reaches living elements.
 */
export interface MeterItem {
    readonly type: "meter";
    readonly name: string;
    readonly keyType: "mark" | "ipv4_addr" | "ipv6_addr";
    /** Absent: a source stays as long as it has connections. */
    readonly timeoutSeconds?: number;
}

/** Sources that one limit knows at a time; further ones are beyond the limit. */
const maximumSources = 65536;

export const counterType: ItemType<CounterItem> = {
    key: (item) => `counter ${item.name}`,
    parents: () => ["ruleset"],
    add: ({ name, comment }) => {
        const words = comment === undefined ? "" : ` { comment ${comment}; }`;
        return [nft(`add counter inet linuxnet ${name}${words}`)];
    },
    remove: ({ name }) => [nft(`delete counter inet linuxnet ${name}`)],
    observe: (item, snapshot) => (snapshot.tables.get("inet")?.counters.has(item.name) ? item : undefined),
};

export const meterType: ItemType<MeterItem> = {
    key: (item) => `meter ${item.name}`,
    parents: () => ["ruleset"],
    add: ({ name, keyType, timeoutSeconds }) => {
        const lasts =
            timeoutSeconds === undefined ? "flags dynamic;" : `flags dynamic,timeout; timeout ${timeoutSeconds}s;`;
        return [nft(`add set inet linuxnet ${name} { type ${keyType}; size ${maximumSources}; ${lasts} }`)];
    },
    remove: ({ name }) => [nft(`delete set inet linuxnet ${name}`)],
    observe: (item, snapshot) => (snapshot.tables.get("inet")?.elements.has(item.name) ? item : undefined),
};
