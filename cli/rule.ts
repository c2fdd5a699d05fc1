import { icmpTypeName, speaksOfIcmpv6 } from "../provider/model/icmp-type.js";
import type { Peer, PolicyRule } from "../provider/model/object.js";
import { formatPortRange } from "../provider/model/port-range.js";
import type { World } from "../provider/model/world.js";
import { nameOf } from "./name.js";

/** The words of a peer: the name of an object, a network, or a keyword. */
export function describePeer(peer: Peer, world: World): string {
    if ("object" in peer) return `${nameOf(peer.object, world)}${peer.segment ? " on all hosts" : ""}`;
    if ("remote" in peer) return peer.addresses.join(", ");
    return "cidr" in peer ? peer.cidr : peer.keyword;
}

/** `tcp 5432`, `udp 53`, `icmp`; "all traffic" when the rule has no limits. */
export function describeTraffic(rule: PolicyRule): string {
    const icmp = speaksOfIcmpv6(rule) ? "icmpv6" : "icmp";
    if (rule.icmpTypes !== undefined)
        return rule.icmpTypes.map((type) => `${icmp} ${icmpTypeName(icmp, type)}`).join(", ");
    if (rule.ports.length === 0) return rule.protocols.length === 0 ? "all traffic" : rule.protocols.join(", ");
    const protocols = rule.protocols.length > 0 ? rule.protocols : ["tcp"];
    return rule.ports
        .flatMap(({ range, protocol }) => {
            const port = formatPortRange(range);
            return protocol === undefined ? protocols.map((each) => `${each} ${port}`) : [`${protocol} ${port}`];
        })
        .join(", ");
}

/** `at most 20/minute and 5 connections per source`. */
function describeLimit({ rate, burst, connections, perSource }: NonNullable<PolicyRule["limit"]>): string {
    const parts = [
        ...(rate === undefined ? [] : [`${rate}${burst === undefined ? "" : ` (${burst} at once)`}`]),
        ...(connections === undefined ? [] : [`${connections} connections`]),
    ];
    return `at most ${parts.join(" and ")}${perSource ? " per source" : ""}`;
}

/** `allow tcp 5432 from api-database`. */
export function describeRule(rule: PolicyRule, direction: "from" | "to", world: World): string {
    const peers = rule.peers.map((peer) => describePeer(peer, world)).join(", ");
    return [
        `${rule.action} ${describeTraffic(rule)} ${direction} ${peers}`,
        ...(rule.rejectWith === undefined ? [] : [`with ${rule.rejectWith}`]),
        ...(rule.limit === undefined ? [] : [describeLimit(rule.limit)]),
        ...(rule.log === undefined ? [] : ["logged"]),
    ].join(", ");
}
