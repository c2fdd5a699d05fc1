import type { ItemType } from "./item.js";
import { command, type Line, sysctl } from "./line.js";

/** A key below /proc/sys (sysctl(8), with slashes) that is written and, with the last user, put back. */
export interface SysctlItem {
    readonly type: "sysctl";
    readonly netns?: string;
    readonly key: string;
    readonly value: string;
    /** Value to write when the item goes; absent: it goes with its interface, or is again as in a new namespace. */
    readonly old?: string;
    /** Key of a switch that, when it is 1 by then, wants this one to stay: somebody else came to need it. */
    readonly unless?: string;
    /** Key of the link the switch belongs to. */
    readonly link?: string;
}

/** The file of a key below /proc/sys; dots and slashes as sysctl(8) reads them: the first one says which separates. */
export function sysctlPath(key: string): string {
    if (/^[^./]*\//.test(key)) return key;
    return key.replace(/[./]/g, (separator) => (separator === "." ? "/" : "."));
}

/** /run/netns with its mount, as `ip netns add` makes it (ip-netns(8)). */
export interface NetnsDirectoryItem {
    readonly type: "netns-directory";
}

/** br_netfilter, loaded by us, with the global switches left as an administrator would expect them: off. */
export interface BridgeNetfilterItem {
    readonly type: "bridge-netfilter";
}

/** Connections in conntrack(8) that must not outlive a change; the arguments of `conntrack -D`. */
export interface FlowsItem {
    readonly type: "flows";
    /** The last one is what is looked for in the table: a port, or an address. */
    readonly filter: readonly string[];
    /** With the item's coming (a client that sent before stays stuck on the old answer), its going, or not at all. */
    readonly cut: "when added" | "when removed" | "never";
}

/** One that is put back later may lie on an interface of others, which may be gone by now. */
const write = ({ netns, key, value, old }: SysctlItem): Line =>
    sysctl(netns, key, value, old === undefined ? undefined : {});

export const sysctlType: ItemType<SysctlItem> = {
    key: (item) => `sysctl ${item.netns ?? ""} ${item.key}`,
    parents: (item) => [
        ...(item.netns === undefined ? [] : [`netns ${item.netns}`]),
        ...(item.link === undefined ? [] : [item.link]),
    ],
    add: (item) => [write(item)],
    remove(item) {
        if (item.old !== undefined) {
            const unless = item.unless === undefined ? {} : { unless: item.unless };
            return [sysctl(item.netns, item.key, item.old, { over: item.value, ...unless })];
        }
        return item.netns === undefined ? [] : [sysctl(item.netns, item.key)];
    },
    change: (_from, to) => [write(to)],
    observe(item, snapshot) {
        const value = snapshot.namespaces.get(item.netns ?? "")?.sysctls.get(item.key);
        if (value !== undefined) return { ...item, value };
        // An interface of others that is gone (a VPN that is down) took its switches along, and misses nothing.
        return item.old === undefined ? undefined : item;
    },
};

/** It is not there before the first sandbox, and stays when others have namespaces in it by now. */
const removeEmptyDirectory =
    'cd /run/netns 2>/dev/null || exit 0; for f in *; do [ ! -e "$f" ] || exit 0; done; cd / && umount /run/netns && rmdir /run/netns';

export const netnsDirectoryType: ItemType<NetnsDirectoryItem> = {
    key: () => "netns-directory",
    parents: () => [],
    add: () => [],
    remove: () => [command("sh", "-c", removeEmptyDirectory)],
    observe: (item) => item,
};

export const bridgeNetfilterType: ItemType<BridgeNetfilterItem> = {
    key: () => "bridge-netfilter",
    parents: () => [],
    add: () => [
        command("modprobe", "br_netfilter"),
        sysctl(undefined, "net/bridge/bridge-nf-call-iptables", "0"),
        sysctl(undefined, "net/bridge/bridge-nf-call-ip6tables", "0"),
        sysctl(undefined, "net/bridge/bridge-nf-call-arptables", "0"),
    ],
    remove: () => [command("modprobe", "-r", "br_netfilter")],
    observe: (item, snapshot) => (snapshot.paths.has("/proc/sys/net/bridge") ? item : undefined),
};

const cutFlows = (item: FlowsItem, when: FlowsItem["cut"]): Line[] =>
    item.cut === when ? [{ tool: "conntrack", args: item.filter }] : [];

export const flowsType: ItemType<FlowsItem> = {
    key: (item) => `flows ${item.filter.join(" ")}`,
    parents: () => [],
    add: (item) => cutFlows(item, "when added"),
    remove: (item) => cutFlows(item, "when removed"),
    change: () => [],
    observe: (item) => item,
};
