import type { Item } from "../kernel/item.js";
import { addressKey, type RouteItem } from "../kernel/route.js";
import { addressesOf, halfOf, halvesOf, twinOf, withPrefixOf } from "../model/half.js";
import { linkLocalOf } from "../model/ipv6.js";
import { macOf } from "../model/mac.js";
import type { EndpointObject, NetworkObject, OverlayTunnelObject } from "../model/object.js";
import {
    covers,
    type FamilyRange,
    formatAddress,
    type Prefix,
    parseRange,
    prefixesOf,
    rangeOf,
} from "../model/range.js";
import type { World } from "../model/world.js";

/**
 * Forwarding follows the ranges that hosts own (docs/decisions/0010): the host has a route to each peer's range over the
 * tunnel's device, and its sandboxes send what is not of their own host's range to their gateway. Nothing is asked for and
 * nothing floods, and neither hosts nor sandboxes have anything for a single address of a range.
 */

/** A part of a segment that lies behind the tunnel. */
interface Crossing {
    readonly to: Prefix;
    readonly underlayAddress: string;
    /** Nobody has to have it: its neighbour entry alone gives it a meaning. */
    readonly nextHop: string;
}

/** Without IPv6 ranges, IPv6 addresses have the numbers of the IPv4 ones, so ranges have them too. */
function sameNumbers(range: FamilyRange, { subnet, ipv6 }: NetworkObject): FamilyRange[] {
    if (ipv6 === undefined || ipv6.ipRange !== undefined) return [];
    const offset = parseRange(ipv6.subnet).first - parseRange(subnet ?? "").first;
    return [{ family: 6, first: range.first + offset, last: range.last + offset }];
}

/** The ranges of a host of the segment, one of each family at most. */
export function rangesOf(
    { ipRange, ipv6Range }: { readonly ipRange?: string | undefined; readonly ipv6Range?: string | undefined },
    network: NetworkObject,
): FamilyRange[] {
    const range = ipRange === undefined ? undefined : parseRange(ipRange);
    const range6 = ipv6Range === undefined ? range && sameNumbers(range, network) : [parseRange(ipv6Range)];
    return [...(range === undefined ? [] : [range]), ...(network.ipv6 === undefined ? [] : (range6 ?? []))];
}

/** By which gateway a range of a peer is reached. */
export function nextHopOf(range: FamilyRange, underlayAddress: string): string {
    // A subnet's first IPv6 address is that of any router (RFC 4291, 2.6.1), and so of this one.
    return range.family === 6 ? linkLocalOf(macOf(underlayAddress)) : formatAddress(range.first, 4);
}

/** What lies behind a tunnel, in its peers' order: their ranges, and single addresses. */
export function crossingsOf({ peers, remoteEndpoints = [] }: OverlayTunnelObject, network: NetworkObject): Crossing[] {
    const cross = (range: FamilyRange, underlayAddress: string): Crossing[] => {
        const nextHop = nextHopOf(range, underlayAddress);
        return prefixesOf(range).map((to) => ({ to, underlayAddress, nextHop }));
    };
    return [
        ...peers.flatMap((peer) => rangesOf(peer, network).flatMap((range) => cross(range, peer.underlayAddress))),
        ...remoteEndpoints.flatMap((each) => cross(rangeOf(each.address), each.underlayAddress)),
    ].filter(({ to }) => gatewayOf(network, to.family) !== undefined);
}

/** Where no endpoint of this host gets its address. */
export function rangesAcross({ peers }: OverlayTunnelObject, network: NetworkObject): FamilyRange[] {
    return peers.flatMap((peer) => rangesOf(peer, network));
}

/** The addresses of a network's endpoints on this host. */
function addressesHere(network: NetworkObject, world: World): string[] {
    return world.endpointsOf(network.key).flatMap((endpoint) => addressesOf(endpoint, network));
}

const gatewayOf = (network: NetworkObject, family: 4 | 6) => halfOf(network, family)?.gateway;

/** Only in IPv4 a route goes with the address that it names as its source (fib_sync_down_addr). */
const sourceOf = (network: NetworkObject, family: 4 | 6): Pick<RouteItem, "source" | "sourceLink"> => {
    const half = halfOf(network, family);
    if (half === undefined) return {};
    const { gateway: source } = half;
    return family === 6
        ? { source }
        : { source, sourceLink: addressKey(undefined, network.key, withPrefixOf(half, source)) };
};

/**
 * The host's routes to what lies behind a tunnel, by its device; its own packets carry its gateway's address. An address that
 * an endpoint of this host has is here.
 * @param isAddressed the device sends frames, so each route has a gateway with a MAC; without: it knows by address who is meant
 */
export function routesAcross(
    tunnel: OverlayTunnelObject,
    network: NetworkObject,
    world: World,
    isAddressed: boolean,
): Item[] {
    const here = new Set(
        tunnel.remoteEndpoints === undefined
            ? []
            : addressesHere(network, world).flatMap((address) => prefixesOf(rangeOf(address)).map(({ text }) => text)),
    );
    return crossingsOf(tunnel, network)
        .filter(({ to }) => !here.has(to.text))
        .map(({ to, nextHop }) => ({
            type: "route",
            dev: tunnel.key,
            link: `link ${tunnel.key}`,
            table: "main",
            to: to.text,
            ...(isAddressed ? { via: nextHop, isOnLink: true } : {}),
            ...sourceOf(network, to.family),
        }));
}

/** Which MAC the gateways of `routesAcross` have, and which host each MAC is at. */
export function vxlanEntries(tunnel: OverlayTunnelObject, network: NetworkObject): Item[] {
    const dev = tunnel.key;
    const hops = new Map(
        crossingsOf(tunnel, network).map(({ nextHop, underlayAddress }) => [nextHop, underlayAddress]),
    );
    return [
        ...[...hops].map(([address, remote]): Item => ({ type: "neighbour", dev, address, mac: macOf(remote) })),
        ...[...new Set(hops.values())].map((remote): Item => ({ type: "fdb", dev, mac: macOf(remote), remote })),
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
        ...halvesOf(network).flatMap(({ family, subnet, gateway }) => [
            element(twinOf("subnets", family), dev, subnet),
            element(twinOf("gateways", family), dev, gateway),
        ]),
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
export function tunnelSysctls(dev: string, network: NetworkObject): Item[] {
    const link = `link ${dev}`;
    const switches = {
        "ipv4/conf": { forwarding: "1", rp_filter: "2", route_localnet: "1" },
        ...(network.ipv6 === undefined ? {} : { "ipv6/conf": { accept_ra: "0" } }),
    };
    return Object.entries(switches).flatMap(([folder, values]) =>
        Object.entries(values).map(
            ([key, value]): Item => ({
                type: "sysctl",
                key: `net/${folder}/${dev}/${key}`,
                value,
                link,
            }),
        ),
    );
}

/** What sandboxes send to their gateway, and what stays on their link; nothing on a network without a tunnel. */
function divideSegment(network: NetworkObject, world: World): { away: Prefix[]; near: Prefix[] } {
    const tunnels = world.tunnelsOf(network.key);
    const across = tunnels.flatMap((tunnel) => crossingsOf(tunnel, network)).map(({ to }) => to);
    const own = rangesOf({ ipRange: network.ipRange, ipv6Range: network.ipv6?.ipRange }, network);
    const halves = halvesOf(network).map(({ subnet }) => {
        if (tunnels.length === 0) return { away: [], near: [] };
        const whole = parseRange(subnet);
        const ofFamily = across.filter(({ family }) => family === whole.family);
        const range = own.find(({ family }) => family === whole.family);
        if (range === undefined) return { away: ofFamily, near: [] };
        const near = prefixesOf(range);
        // What another host has of this one's range is longer than that.
        const strays = ofFamily.filter((prefix) => covers(range, prefix));
        if (covers(range, whole)) return { away: strays, near: [] };
        // More specific than the subnet, which the kernel has on link with the address.
        const middle = whole.first + (whole.last - whole.first + 1n) / 2n;
        const parts = [
            ...prefixesOf({ ...whole, last: middle - 1n }),
            ...prefixesOf({ ...whole, first: middle }),
        ].filter(({ text }) => !near.some((each) => each.text === text));
        return { away: [...parts, ...strays], near };
    });
    return { away: halves.flatMap(({ away }) => away), near: halves.flatMap(({ near }) => near) };
}

/**
 * An endpoint's routes to the rest of its segment, in its sandbox's main table and in its own.
 * @param at its interface; `link` is the key of its IPv4 address
 */
export function segmentRoutes(
    endpoint: EndpointObject,
    at: Pick<RouteItem, "netns" | "dev" | "link" | "isShared">,
    network: NetworkObject,
    world: World,
): Item[] {
    const { away, near } = divideSegment(network, world);
    const own = addressesOf(endpoint, network).map(rangeOf);
    const tables = network.internal ? ["main"] : ["main", String(endpoint.routingTable)];
    const route = ({ text, family }: Prefix, table: string, more: Partial<RouteItem>): Item => ({
        type: "route",
        ...at,
        // In IPv6 a route goes with the interface only.
        ...(family === 6 ? { link: `link ${endpoint.key}` } : {}),
        table,
        to: text,
        ...more,
    });
    return tables.flatMap((table) => [
        ...near.map((to) => {
            const source = own.find(({ family }) => family === to.family);
            return route(to, table, source === undefined ? {} : { source: formatAddress(source.first, source.family) });
        }),
        ...away.flatMap((to) => {
            const via = gatewayOf(network, to.family);
            const isOwn = own.some((address) => covers(address, to));
            return via === undefined || isOwn ? [] : [route(to, table, { via })];
        }),
    ]);
}

/** The host's own way to an endpoint of its own whose address is in a peer's range. */
export function homeRoutes(endpoint: EndpointObject, network: NetworkObject, world: World): Item[] {
    const across = world.tunnelsOf(network.key).flatMap((tunnel) => rangesAcross(tunnel, network));
    return addressesOf(endpoint, network)
        .map(rangeOf)
        .filter((address) => across.some((range) => covers(range, address)))
        .flatMap(prefixesOf)
        .map(({ text, family }) => {
            const { source, sourceLink } = sourceOf(network, family);
            return {
                type: "route",
                dev: network.key,
                link: sourceLink ?? `link ${network.key}`,
                table: "main",
                to: text,
                ...(source === undefined ? {} : { source }),
            };
        });
}
