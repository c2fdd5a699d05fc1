import { formatIpv4, parseIpv4 } from "../model/address.js";
import { formatIpv6, isIpv6, networkAround, parseIpv6 } from "../model/ipv6.js";
import { type Flaws, withFlaws } from "./flaws.js";
import type { ItemType } from "./item.js";
import { bridge, ip, ip6, type Line } from "./line.js";
import type { RouteJson } from "./snapshot.js";

/** An address of an interface, ip-address(8). */
export interface AddressItem extends Flaws {
    readonly type: "address";
    readonly netns?: string;
    readonly dev: string;
    /** Key of the link that carries it. */
    readonly link: string;
    /** With prefix length: `172.20.0.2/24`. */
    readonly address: string;
    /** The bridge of others that it is used on: somebody behind it may have it. */
    readonly wire?: string;
}

/**
 * What our routes in the host's own namespace are marked with (rtm_protocol in rtnetlink(7); nobody's, see rt_protos of
 * iproute2), so that they are told from those of others, and read without them: a host may have very many.
 */
export const ownProtocol = 108;

/** A route, ip-route(8). Identified by namespace, table and destination. */
export interface RouteItem {
    readonly type: "route";
    readonly netns?: string;
    readonly dev: string;
    /**
     * Key of what it goes with. In IPv4 the interface's address: with its last one the kernel flushes an interface's routes
     * (fib_disable_ip). In IPv6 the interface.
     */
    readonly link: string;
    /** Key of the host's own address that `source` is, where that is on another interface: the route goes with it too. */
    readonly sourceLink?: string;
    /** "main" or a number. */
    readonly table: string;
    /** "default", which is IPv4's ("::/0" is IPv6's), or a network. */
    readonly to: string;
    readonly via?: string;
    /** The gateway is behind the interface, whatever other routes say. */
    readonly isOnLink?: true;
    readonly source?: string;
    /** In a namespace of others: one that is there is theirs, and never replaced. */
    readonly isShared?: true;
}

/** `from <address> lookup <table>`, ip-rule(8). */
export interface RuleItem {
    readonly type: "rule";
    readonly netns: string;
    readonly priority: number;
    readonly from: string;
    readonly table: string;
}

/** A permanent neighbour of a tunnel: the gateway that a route names, so that nobody asks for it. */
export interface NeighbourItem {
    readonly type: "neighbour";
    readonly dev: string;
    readonly address: string;
    readonly mac: string;
}

/** Where a VXLAN device sends a MAC. */
export interface FdbItem {
    readonly type: "fdb";
    readonly dev: string;
    readonly mac: string;
    readonly remote: string;
}

/** The key of an interface's address, for what the kernel drops with it. */
export function addressKey(netns: string | undefined, dev: string, address: string): string {
    return `address ${netns ?? ""} ${dev} ${address}`;
}

function inNamespace(netns: string | undefined): readonly string[] {
    return netns === undefined ? [] : [`netns ${netns}`];
}

export const addressType: ItemType<AddressItem> = {
    key: (item) => addressKey(item.netns, item.dev, item.address),
    parents: (item) => [item.link, ...inNamespace(item.netns)],
    claims({ address, netns, wire }) {
        if (wire === undefined) return [];
        const argument = netns === undefined ? "gateway" : isIpv6(address) ? "ipv6Address" : "ipv4Address";
        return [{ unanswered: localOf(address), dev: wire, argument }];
    },
    // Duplicate address detection (RFC 4862) would keep it from being used for a second, and flood many endpoints.
    add: (item) => [
        ip(item.netns, "address", "replace", item.address, "dev", item.dev, ...(isIpv6(item.address) ? ["nodad"] : [])),
    ],
    remove: (item) => [ip(item.netns, "address", "del", item.address, "dev", item.dev)],
    // The kernel makes the route with the address and only with it; written as the kernel does, it goes with the address.
    change: (_from, to) => [
        ip(
            to.netns,
            ...["route", "replace", networkOf(to.address), "dev", to.dev, "proto", "kernel"],
            ...(isIpv6(to.address) ? ["metric", 256] : ["scope", "link", "src", localOf(to.address)]),
        ),
    ],
    observe(item, snapshot) {
        const inside = snapshot.namespaces.get(item.netns ?? "");
        const link = inside?.links.get(item.dev);
        const found = link?.addr_info?.some((entry) => `${entry.local}/${entry.prefixlen}` === item.address);
        if (!found) return undefined;
        const isOwn = isIpv6(item.address)
            ? (route: RouteJson) => route.dst === networkOf(item.address)
            : (route: RouteJson) => route.prefsrc === localOf(item.address);
        const leadsThere = (route: RouteJson) => tableOf(route) === "main" && route.dev === item.dev && isOwn(route);
        const isRouted = inside?.routes === undefined || inside.routes.some(leadsThere);
        // An address alone has no network to lead to. Without carrier or while it is down an interface has none; that is the interface's own flaw.
        const isUp = link?.flags?.includes("UP") ?? false;
        return isRouted || !isUp || item.address.endsWith("/32")
            ? item
            : withFlaws(item, [`the route to ${networkOf(item.address)} is gone`]);
    },
};

const localOf = (address: string) => address.split("/")[0] ?? "";

function networkOf(address: string): string {
    const [local = "", length] = address.split("/");
    if (isIpv6(local)) return `${formatIpv6(networkAround(parseIpv6(local), Number(length)).first)}/${length}`;
    const value = parseIpv4(local);
    return `${formatIpv4(value - (value % 2 ** (32 - Number(length))))}/${length}`;
}

/** ip(8) calls the default routes of both families "default". */
function destinationOf({ dst, gateway = "" }: RouteJson): string {
    return dst === "default" && isIpv6(gateway) ? "::/0" : dst;
}

/** One address is shown without a prefix length. */
const shownAs = (to: string) => to.replace(/(?<=\.\d+)\/32$|(?<=:.*)\/128$/, "");

function tableOf(route: RouteJson): string {
    return String(route.table ?? "main");
}

export const routeType: ItemType<RouteItem> = {
    key: (item) => `route ${item.netns ?? ""} ${item.table} ${item.to}`,
    parents: (item) => [
        item.link,
        ...(item.sourceLink === undefined ? [] : [item.sourceLink]),
        ...inNamespace(item.netns),
    ],
    add: (item) => [
        ip(
            item.netns,
            ...[
                "route",
                item.isShared ? "add" : "replace",
                item.to,
                ...(item.via === undefined ? [] : ["via", item.via]),
                "dev",
                item.dev,
            ],
            ...(item.isOnLink ? ["onlink"] : []),
            ...(item.source === undefined ? [] : ["src", item.source]),
            ...["table", item.table],
            ...(item.netns === undefined ? ["proto", ownProtocol] : []),
        ),
    ],
    remove: (item) => [ip(item.netns, "route", "del", item.to, "dev", item.dev, "table", item.table)],
    change: (_from, { isShared: _, ...to }) => routeType.add(to),
    observe(item, snapshot) {
        const inside = snapshot.namespaces.get(item.netns ?? "");
        const routes = (item.netns === undefined ? inside?.ownRoutes : inside?.routes) ?? [];
        const route = routes.find(
            (entry) => tableOf(entry) === item.table && destinationOf(entry) === shownAs(item.to),
        );
        if (route === undefined) return undefined;
        const { via: _via, ...rest } = item;
        return {
            ...rest,
            dev: route.dev ?? "",
            ...(route.gateway === undefined ? {} : { via: route.gateway }),
            ...(item.source === undefined ? {} : { source: route.prefsrc ?? "" }),
        };
    },
};

function ruleLine({ netns, priority, from, table }: RuleItem, verb: "add" | "del"): Line {
    const words = ["rule", verb, "priority", priority, "from", from, "lookup", table];
    return isIpv6(from) ? ip6(netns, ...words) : ip(netns, ...words);
}

export const ruleType: ItemType<RuleItem> = {
    key: (item) => `rule ${item.netns} ${item.priority} ${item.from} ${item.table}`,
    parents: (item) => [`netns ${item.netns}`],
    add: (item) => [ruleLine(item, "add")],
    remove: (item) => [ruleLine(item, "del")],
    observe(item, snapshot) {
        const rules = snapshot.namespaces.get(item.netns)?.rules ?? [];
        const found = rules.some(
            (rule) => rule.priority === item.priority && rule.src === item.from && String(rule.table) === item.table,
        );
        return found ? item : undefined;
    },
};

export const neighbourType: ItemType<NeighbourItem> = {
    key: (item) => `neighbour ${item.dev} ${item.address}`,
    parents: (item) => [`link ${item.dev}`],
    add: (item) => [
        ip(undefined, "neigh", "replace", item.address, "lladdr", item.mac, "dev", item.dev, "nud", "permanent"),
    ],
    remove: (item) => [ip(undefined, "neigh", "del", item.address, "dev", item.dev)],
    change: (_from, to) => neighbourType.add(to),
    observe: (item, snapshot) =>
        snapshot.neighbours.has(`${item.dev} ${item.address} ${item.mac}`) ? item : undefined,
};

export const fdbType: ItemType<FdbItem> = {
    key: (item) => `fdb ${item.dev} ${item.mac}`,
    parents: (item) => [`link ${item.dev}`],
    add: (item) => [bridge("fdb", "replace", item.mac, "dev", item.dev, "self", "permanent", "dst", item.remote)],
    remove: (item) => [bridge("fdb", "del", item.mac, "dev", item.dev, "self", "dst", item.remote)],
    // Replaces the only destination of a MAC (vxlan_fdb_replace).
    change: (_from, to) => fdbType.add(to),
    observe: (item, snapshot) => (snapshot.fdb.has(`${item.dev} ${item.mac} ${item.remote}`) ? item : undefined),
};
