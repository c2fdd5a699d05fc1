import { isIpv6 } from "../model/ipv6.js";
import { covers, parseRange, rangeOf } from "../model/range.js";
import type { ItemType } from "./item.js";
import { command, ip, type Line, must } from "./line.js";
import type { LinkJson, Snapshot } from "./snapshot.js";

/** Something of others that ours hangs on: it has to be there, and is never made, changed or removed. */
export type KeptItem = { readonly type: "kept" } & (
    | { readonly what: "namespace"; readonly netns: string }
    | { readonly what: "bridge"; readonly dev: string }
    | { readonly what: "address"; readonly netns?: string; readonly dev: string; readonly address: string }
    | { readonly what: "port"; readonly dev: string; readonly bridge: string }
);

/** Options of a link of others, ip-link(8), that are set and put back. */
export interface OptionItem {
    readonly type: "option";
    readonly dev: string;
    readonly kind: "bridge" | "bridge_slave";
    /** 1 is on. */
    readonly options: Readonly<Record<string, number>>;
    readonly old: Readonly<Record<string, number>>;
}

function describe(item: KeptItem): string {
    switch (item.what) {
        case "namespace":
            return `network namespace ${item.netns}`;
        case "bridge":
            return `bridge ${item.dev}`;
        case "address":
            return `address ${item.address} on ${item.dev}${item.netns === undefined ? "" : ` in ${item.netns}`}`;
        case "port":
            return `interface ${item.dev} on bridge ${item.bridge}`;
    }
}

/** The command that tells whether it is there. */
function look(item: KeptItem): readonly string[] {
    switch (item.what) {
        case "namespace":
            return ["test", "-e", `/run/netns/${item.netns}`];
        case "bridge":
            return ["test", "-d", `/sys/class/net/${item.dev}/bridge`];
        case "address": {
            const inside = item.netns === undefined ? "" : '-n "$3" ';
            const script = `ip ${inside}${isIpv6(item.address) ? "-6" : "-4"} -o address show dev "$1" | grep -qF " $2 "`;
            return ["sh", "-c", script, "sh", item.dev, item.address, ...(inside === "" ? [] : [item.netns ?? ""])];
        }
        case "port":
            return ["test", "-e", `/sys/class/net/${item.bridge}/brif/${item.dev}`];
    }
}

function isThere(item: KeptItem, snapshot: Snapshot): boolean {
    if (item.what === "namespace") return snapshot.namespaces.has(item.netns);
    const netns = item.what === "address" ? (item.netns ?? "") : "";
    const link = snapshot.namespaces.get(netns)?.links.get(item.dev);
    if (item.what === "bridge") return link?.linkinfo?.info_kind === "bridge";
    if (item.what === "port") return link?.master === item.bridge;
    return link?.addr_info?.some((entry) => `${entry.local}/${entry.prefixlen}` === item.address) ?? false;
}

/**
 * A bridge takes the lowest MAC of its ports, and none at all with the last of them, unless its own was set once
 * (br_stp_recalculate_bridge_id): ours must not change it by coming and going.
 */
function fixMac(dev: string): Line {
    const script =
        'read -r type </sys/class/net/"$1"/addr_assign_type && read -r mac </sys/class/net/"$1"/address && { [ "$type" = 3 ] || ip link set dev "$1" address "$mac"; }';
    return command("sh", "-c", script, "sh", dev);
}

export const keptType: ItemType<KeptItem> = {
    key: (item) => `${describe(item)} (not of this provider)`,
    parents: () => [],
    add: (item) => [
        must(
            `${describe(item)} is not on the host any more. It was never of this provider: bring it back, or remove the resource.`,
            ...look(item),
        ),
        ...(item.what === "bridge" ? [fixMac(item.dev)] : []),
    ],
    remove: () => [],
    observe: (item, snapshot) => (isThere(item, snapshot) ? item : undefined),
};

function setOptions(item: OptionItem, options: Readonly<Record<string, number>>): Line {
    const words = Object.entries(options).flatMap(([name, value]) => [
        name,
        item.kind === "bridge" ? value : value === 1 ? "on" : "off",
    ]);
    return ip(undefined, "link", "set", "dev", item.dev, "type", item.kind, ...words);
}

/** The address of a link that is in a subnet, with the subnet's prefix length. */
export function addressIn(link: LinkJson, subnet: string): string | undefined {
    const range = parseRange(subnet);
    return link.addr_info?.find(
        ({ local, prefixlen }) =>
            local !== undefined && subnet.endsWith(`/${prefixlen}`) && covers(range, rangeOf(local)),
    )?.local;
}

/** The values that a link shows of these options; what an older kernel does not show is taken as wanted. */
export function optionsOf(
    link: LinkJson | undefined,
    kind: OptionItem["kind"],
    wanted: Readonly<Record<string, number>>,
): Record<string, number> {
    const data = (kind === "bridge" ? link?.linkinfo?.info_data : link?.linkinfo?.info_slave_data) ?? {};
    return Object.fromEntries(Object.entries(wanted).map(([name, value]) => [name, Number(data[name] ?? value)]));
}

export const optionType: ItemType<OptionItem> = {
    key: (item) => `options of ${item.dev}`,
    parents: () => [],
    add: (item) => [setOptions(item, item.options)],
    remove: (item) => [setOptions(item, item.old)],
    change: (_from, to) => [setOptions(to, to.options)],
    observe(item, snapshot) {
        const link = snapshot.namespaces.get("")?.links.get(item.dev);
        return link === undefined ? undefined : { ...item, options: optionsOf(link, item.kind, item.options) };
    },
};
