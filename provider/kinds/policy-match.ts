import { nftString } from "../kernel/nft.js";
import { fromElsewhere, notFromElsewhere } from "../kernel/ruleset.js";
import { subnetsOf } from "../model/half.js";
import { icmpTypeName, speaksOfIcmpv6 } from "../model/icmp-type.js";
import { isIpv6 } from "../model/ipv6.js";
import { type EndpointObject, interfaceOf, type NetworkObject, type Peer, type PolicyRule } from "../model/object.js";
import { formatPortRange } from "../model/port-range.js";
import { meet } from "../model/range.js";
import type { World } from "../model/world.js";
import { sourcesOf } from "./endpoint-half.js";

export type Direction = "ingress" | "egress";

/** Whose chain it is: an endpoint's on this network, or the host's own. */
export type Side = NetworkObject | "host";

export const hasIpv6 = (side: Side) => side === "host" || side.ipv6 !== undefined;

/** The endpoints that a policy's target or peer stands for: itself, or those of a sandbox or network. */
export function endpointsUnder(key: string, world: World): readonly EndpointObject[] {
    const endpoint = world.get("endpoint", key);
    if (endpoint !== undefined) return [endpoint];
    // The order in which they came would be the order of rules.
    return [...world.endpointsOf(key)].sort((a, b) => (a.key < b.key ? -1 : 1));
}

/** The host's interface by which an endpoint's packets come. */
function interfaceAt(endpoint: EndpointObject, world: World): string {
    const network = world.get("network", endpoint.network);
    return network === undefined ? endpoint.network : interfaceOf(network);
}

/** The tunnels that lead to an address on another host: those of the chain's own network, and of all for the host. */
function tunnelsTo(address: string, side: Side, world: World): string[] {
    const networks = side === "host" ? world.all("network") : [side];
    return networks
        .filter((network) => subnetsOf(network).some((subnet) => meet(address, subnet)))
        .flatMap((network) => world.tunnelsOf(network.key).map(({ key }) => key));
}

/** As nft writes it before an address. */
export type Family = "ip" | "ip6";

/** How a peer looks on the wire, and whether an allow of it opens a path between two networks. */
export interface PeerMatch {
    readonly match: string;
    /** Absent: of any family. */
    readonly family?: Family;
    readonly opensPath: boolean;
}

export function matchPeer(peer: Peer, direction: Direction, side: Side, world: World): PeerMatch[] {
    const [interfaceName, index, field] =
        direction === "ingress" ? ["iifname", "iif", "saddr"] : ["oifname", "oif", "daddr"];
    const plain = (match: string): PeerMatch[] => [{ match, opensPath: false }];
    // What another host publishes with the client's address comes by the tunnel, and from outside.
    const hasTunnel = direction === "ingress" && side !== "host" && world.tunnelsOf(side.key).length > 0;
    const opensPath = (network: string) => side !== "host" && network !== side.key;
    const at = (address: string) => {
        const family: Family = isIpv6(address) ? "ip6" : "ip";
        return { match: `${family} ${field} ${address}`, family };
    };
    if ("cidr" in peer) {
        if (peer.cidr === "::/0") return [{ match: "meta nfproto ipv6", family: "ip6", opensPath: false }];
        if (peer.cidr === "0.0.0.0/0" && !hasIpv6(side)) return plain("");
        if (peer.cidr === "0.0.0.0/0") return [{ match: "meta nfproto ipv4", family: "ip", opensPath: false }];
        return [{ ...at(peer.cidr.replace(isIpv6(peer.cidr) ? /\/128$/ : /\/32$/, "")), opensPath: false }];
    }
    if ("keyword" in peer) {
        switch (peer.keyword) {
            case "any":
                return plain("");
            case "host":
                return plain(`${index} 0`);
            case "internal":
                return plain(`${interfaceName} @networks${hasTunnel ? ` ${notFromElsewhere}` : ""}`);
            case "external": {
                const outside = plain(`${interfaceName} != @networks ${index} != 0`);
                return hasTunnel ? [...outside, ...plain(fromElsewhere)] : outside;
            }
        }
    }
    if ("remote" in peer) {
        return peer.addresses.flatMap((address) =>
            tunnelsTo(address, side, world).map((tunnel) => {
                const { match, family } = at(address);
                return { match: `${interfaceName} ${nftString(tunnel)} ${match}`, family, opensPath: false };
            }),
        );
    }
    const other = world.get("network", peer.object);
    if (other !== undefined) {
        const tunnels = peer.segment ? world.tunnelsOf(other.key) : [];
        const here = `${interfaceName} ${nftString(interfaceOf(other))}`;
        const there = tunnels.map(({ key }) => `${interfaceName} ${nftString(key)}`);
        const own = direction === "ingress" ? there.map((match) => `${match} ${notFromElsewhere}`) : there;
        return [here, ...own].map((match) => ({ match, opensPath: opensPath(other.key) }));
    }
    return endpointsUnder(peer.object, world).flatMap((endpoint) => {
        const other = world.get("network", endpoint.network);
        return (other === undefined ? [] : sourcesOf(endpoint, other)).map((address) => {
            const { match, family } = at(address);
            return {
                match: `${interfaceName} ${nftString(interfaceAt(endpoint, world))} ${match}`,
                family,
                opensPath: opensPath(endpoint.network),
            };
        });
    });
}

/** What travels, and by which protocol; none: any. */
export interface TrafficMatch {
    readonly match: string;
    /** Absent: of any family. */
    readonly family?: Family;
    readonly protocol?: string | number;
}

/** One match for each protocol, port, range and type: anonymous sets of intervals slow every later change (nft). */
export function matchTraffic(rule: PolicyRule): TrafficMatch[] {
    if (rule.icmpTypes !== undefined) {
        const [protocol, family] = speaksOfIcmpv6(rule) ? (["icmpv6", "ip6"] as const) : (["icmp", "ip"] as const);
        return rule.icmpTypes.map((type) => ({
            match: `${protocol} type ${icmpTypeName(protocol, type)}`,
            family,
            protocol,
        }));
    }
    if (rule.ports.length === 0) {
        if (rule.protocols.length === 0) return [{ match: "" }];
        return rule.protocols.map((protocol) => ({
            match: `meta l4proto ${protocol === "icmpv6" ? 58 : protocol}`,
            protocol,
        }));
    }
    return rule.ports.flatMap(({ range, protocol }) => {
        const protocols = protocol !== undefined ? [protocol] : rule.protocols.length > 0 ? rule.protocols : ["tcp"];
        return protocols.map((each) => ({ match: `${each} dport ${formatPortRange(range)}`, protocol: each }));
    });
}
