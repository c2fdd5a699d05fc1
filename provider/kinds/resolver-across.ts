import type { Item } from "../kernel/item.js";
import type { ResolverItem } from "../kernel/resolver.js";
import { firstHalf, halvesOf, twinOf } from "../model/half.js";
import type { NetworkObject, OverlayTunnelObject } from "../model/object.js";
import { familyOf } from "../model/range.js";
import type { World } from "../model/world.js";
import { domainOf } from "./names.js";
import { resolverItem } from "./resolver-item.js";
import { gatewaysOf } from "./tunnel-replies.js";

/**
 * Names on other hosts of a segment (docs/decisions/0013): hosts ask each other over the segment itself, all at once, and each
 * answers what its own endpoints are called. Nothing is kept of others' names, so nothing has to be told to anybody.
 */

/** What a sandbox's own resolver is told, and who is behind it; both empty where none of its networks has other hosts. */
export interface Across {
    readonly options: readonly string[];
    /** In which only hosts of the segments are asked. */
    readonly domains: readonly string[];
    readonly resolvers: readonly ResolverItem[];
}

const at = ({ addresses, port }: ResolverItem) => `${addresses[0]}#${port}`;

/** Where the other hosts of a segment answer. */
function askedOn(network: NetworkObject, world: World): string[] {
    const gateways = world
        .tunnelsOf(network.key)
        .flatMap(({ peers }) => peers.flatMap((peer) => gatewaysOf(peer, network)));
    return gateways.filter((gateway) => familyOf(gateway) === familyAcross(network));
}

/** By which hosts of a segment ask each other: IPv4, where it has that. */
const familyAcross = (network: NetworkObject): 4 | 6 => firstHalf(network).family;

/** No name is known to it, whatever type is asked for: "0.0.0.0" becomes NXDOMAIN, and other types have no data. */
const nobody = resolverItem(
    [],
    ["no-resolv", "cache-size=0", "local=/#/", "address=/#/0.0.0.0", "local=/in-addr.arpa/ip6.arpa/"],
    [4],
);

/** The same for all sandboxes on the same networks, so it is worked out once for a world. */
const acrossByWorld = new WeakMap<World, Map<string, Across>>();

export function resolversAcross(networks: readonly NetworkObject[], world: World): Across {
    const known = acrossByWorld.get(world) ?? new Map<string, Across>();
    acrossByWorld.set(world, known);
    const keys = networks.map(({ key }) => key).join(" ");
    const across = known.get(keys) ?? chooseAcross(networks, world);
    known.set(keys, across);
    return across;
}

function chooseAcross(networks: readonly NetworkObject[], world: World): Across {
    const segments = networks.filter((network) => askedOn(network, world).length > 0);
    if (segments.length === 0) return { options: [], domains: [], resolvers: [] };
    const gateways = [...new Set(segments.flatMap((network) => askedOn(network, world)))].sort();
    const hasIpv6 = segments.some(({ ipv6 }) => ipv6 !== undefined);
    const common = ["no-resolv", "cache-size=0", "dns-forward-max=10000"];
    // Who does not answer is asked again: one question or answer was lost. One that refuses knows no such name.
    const asking = [
        ...common,
        "all-servers",
        "fast-dns-retry=200,2000",
        ...gateways.map((gateway) => `server=${gateway}`),
    ];
    // There is none, and a host that is down keeps nobody waiting to learn it.
    const asker = resolverItem([], [...asking, ...(hasIpv6 ? [] : ["address=/#/::"])], [4]);
    // When all refuse it goes on to the next, and so it does when it is asked again, because one of them is silent.
    const ordered = [
        ...common,
        "strict-order",
        `server=${at(asker)}`,
        `server=${at(nobody)}`,
        "bogus-nxdomain=0.0.0.0",
    ];
    const first = resolverItem([], [...ordered, ...(hasIpv6 ? [] : ["filter-AAAA"])], [4]);
    const domains = [...new Set(segments.map(domainOf))].sort();
    const subnets = segments.flatMap((network) => halvesOf(network).map(({ subnet }) => subnet));
    const options = [
        "fast-dns-retry=1000",
        ...["", ...domains].map((domain) => `server=/${domain}/${at(first)}`),
        ...subnets.map((subnet) => `rev-server=${subnet},${at(first)}`),
    ];
    return { options, domains, resolvers: [first, asker, nobody] };
}

/**
 * Who answers the other hosts of a segment, and how their questions are led to it. What it does not know it refuses, because
 * another one may; over TCP it closes, and the next one is asked: nothing can be sent to its only server.
 */
export function answersAcross(tunnel: OverlayTunnelObject, network: NetworkObject, world: World): Item[] {
    const gateways = askedOn(network, world);
    if (network.dns?.mode !== "server" || gateways.length === 0) return [];
    const family = familyAcross(network);
    const resolver = resolverItem([network.key], ["no-resolv", "cache-size=0", "server=255.255.255.255"], [family]);
    const [address = ""] = resolver.addresses;
    const value = [address, resolver.port];
    return [
        resolver,
        ...gateways.map((gateway): Item => {
            const key = [tunnel.key, gateway];
            return { type: "element", family: "inet", set: twinOf("resolvers", family), key, value };
        }),
    ];
}
