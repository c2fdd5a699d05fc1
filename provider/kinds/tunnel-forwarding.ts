import type { Item } from "../kernel/item.js";
import { addressKey, type RouteItem } from "../kernel/route.js";
import {
    cidrsOf,
    contains,
    formatIpv4,
    type Ipv4Range,
    parseIpv4,
    parseIpv4Cidr,
    parseIpv4Range,
    withPrefix,
} from "../model/address.js";
import { macOfUnderlay } from "../model/mac.js";
import type { EndpointObject, NetworkObject, OverlayTunnelObject, TunnelPeer } from "../model/object.js";
import type { World } from "../model/world.js";

/**
 * Forwarding follows the ranges that hosts own (docs/decisions/0010): the host has a route to each peer's range over the
 * tunnel's device, and its sandboxes send what is not of their own host's range to their gateway. Nothing is asked for and
 * nothing floods, and neither hosts nor sandboxes have anything for a single address of a range.
 */

/** A part of a segment that lies behind the tunnel. */
interface Crossing {
    /** CIDR. */
    readonly to: string;
    readonly peer: TunnelPeer;
    /** Nobody has to have it: its neighbour entry alone gives it a meaning. */
    readonly nextHop: string;
}

/** What lies behind a tunnel, in its peers' order. */
export function crossingsOf({ peers }: OverlayTunnelObject): Crossing[] {
    return peers.flatMap((peer) => {
        const range = parseIpv4Range(peer.ipRange);
        const nextHop = formatIpv4(range.first);
        return cidrsOf(range).map(({ text }) => ({ to: text, peer, nextHop }));
    });
}

/** Where no endpoint of this host gets its address. */
export function rangesAcross({ peers }: OverlayTunnelObject): Ipv4Range[] {
    return peers.map(({ ipRange }) => parseIpv4Range(ipRange));
}

const gatewayKeyOf = (network: NetworkObject) =>
    addressKey(undefined, network.key, withPrefix(network.gateway, parseIpv4Cidr(network.subnet)));

/**
 * The host's routes to what lies behind a tunnel, by its device; its own packets carry its gateway's address.
 * @param isAddressed the device sends frames, so each route has a gateway with a MAC; without: it knows by address who is meant
 */
export function routesAcross(tunnel: OverlayTunnelObject, network: NetworkObject, isAddressed: boolean): Item[] {
    return crossingsOf(tunnel).map(({ to, nextHop }) => ({
        type: "route",
        dev: tunnel.key,
        link: `link ${tunnel.key}`,
        sourceLink: gatewayKeyOf(network),
        table: "main",
        to,
        ...(isAddressed ? { via: nextHop, isOnLink: true } : {}),
        source: network.gateway,
    }));
}

/** Which MAC the gateways of `routesAcross` have, and which host each MAC is at. */
export function vxlanEntries(tunnel: OverlayTunnelObject): Item[] {
    const dev = tunnel.key;
    const hops = new Map(crossingsOf(tunnel).map(({ nextHop, peer }) => [nextHop, peer.underlayAddress]));
    return [
        ...[...hops].map(
            ([address, remote]): Item => ({ type: "neighbour", dev, address, mac: macOfUnderlay(remote) }),
        ),
        ...[...new Set(hops.values())].map(
            (remote): Item => ({ type: "fdb", dev, mac: macOfUnderlay(remote), remote }),
        ),
    ];
}

/**
 * The tunnel's device stands beside its network's bridge in the base ruleset. Not in `denied`: what a sandbox may send is
 * decided on its own host, what reaches one on that one's.
 */
export function tunnelMemberships(dev: string, network: NetworkObject): Item[] {
    const element = (set: string, ...key: string[]): Item => ({ type: "element", family: "inet", set, key });
    const bothWays = (set: string) => [element(set, network.key, dev), element(set, dev, network.key)];
    return [
        element("networks", dev),
        ...bothWays("same_network"),
        element("subnets", dev, network.subnet),
        element("gateways", dev, network.gateway),
        ...(network.internal ? [element("internal", dev)] : []),
        ...(network.isolateEndpoints ? bothWays("isolated") : []),
        ...(network.hostAccess === false ? [element("no_host_access", dev)] : []),
    ];
}

/**
 * Switches of the tunnel's device: it leads to its network, and takes what comes from where it leads (the chain `ways`, which
 * tells it from published connections; strict rp_filter could not). For 127.0.0.1:<port published to another host> see
 * `network`.
 */
export function tunnelSysctls(dev: string): Item[] {
    const link = `link ${dev}`;
    const values = { forwarding: "1", rp_filter: "2", route_localnet: "1" };
    return Object.entries(values).map(([key, value]) => ({
        type: "sysctl",
        key: `net/ipv4/conf/${dev}/${key}`,
        value,
        link,
    }));
}

/** What a sandbox sends to its gateway, and what stays on its link, as CIDRs; nothing on a network without a tunnel. */
function divideSubnet(network: NetworkObject, world: World): { away: string[]; near: string[] } {
    const tunnels = world.tunnelsOf(network.key);
    if (tunnels.length === 0) return { away: [], near: [] };
    if (network.ipRange === undefined) return { away: tunnels.flatMap(crossingsOf).map(({ to }) => to), near: [] };
    const near = cidrsOf(parseIpv4Range(network.ipRange)).map(({ text }) => text);
    if (near.includes(network.subnet)) return { away: [], near: [] };
    // More specific than the subnet, which the kernel has on link with the address.
    const { first, last } = parseIpv4Cidr(network.subnet);
    const middle = first + (last - first + 1) / 2;
    const halves = [...cidrsOf({ first, last: middle - 1 }), ...cidrsOf({ first: middle, last })];
    return { away: halves.map(({ text }) => text).filter((half) => !near.includes(half)), near };
}

/**
 * An endpoint's routes to the rest of its segment, in its sandbox's main table and in its own.
 * @param at its interface
 */
export function segmentRoutes(
    endpoint: EndpointObject,
    at: Pick<RouteItem, "netns" | "dev" | "link" | "isShared">,
    network: NetworkObject,
    world: World,
): Item[] {
    const { away, near } = divideSubnet(network, world);
    const tables = network.internal ? ["main"] : ["main", String(endpoint.routingTable)];
    return tables.flatMap((table): Item[] => [
        ...near.map((to): Item => ({ type: "route", ...at, table, to, source: endpoint.ipv4Address })),
        ...away.map((to): Item => ({ type: "route", ...at, table, to, via: network.gateway })),
    ]);
}

/** The host's own way to an endpoint of its own whose address is in a peer's range. */
export function homeRoutes(endpoint: EndpointObject, network: NetworkObject, world: World): Item[] {
    const value = parseIpv4(endpoint.ipv4Address);
    const isAway = ({ to }: Crossing) => contains(parseIpv4Cidr(to), { first: value, last: value });
    if (!world.tunnelsOf(network.key).flatMap(crossingsOf).some(isAway)) return [];
    return [
        {
            type: "route",
            dev: network.key,
            link: gatewayKeyOf(network),
            table: "main",
            to: `${endpoint.ipv4Address}/32`,
            source: network.gateway,
        },
    ];
}
