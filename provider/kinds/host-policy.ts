import type { Item } from "../kernel/item.js";
import { ledToResolvers, toPeersResolvers, toTunnelPeers } from "../kernel/ruleset.js";
import { hostTarget } from "../model/object.js";
import type { World } from "../model/world.js";
import { renderPolicies } from "./policy-chain.js";
import { policiesOn } from "./policy-rules.js";

/** Without these no address of the host works for long, whatever a policy allows (RFC 4861, RFC 3810). */
const ipv6Neighbours =
    "icmpv6 type { nd-router-solicit, nd-router-advert, nd-neighbor-solicit, nd-neighbor-advert, " +
    "mld-listener-query, mld-listener-report, mld-listener-done, mld2-listener-report } accept";

/** What is in it meets the same hook by itself, before it is encrypted and after it is decrypted (RFC 4303). */
const esp = "meta l4proto esp accept";

/** Behind our own chains (priority 0): what reaches the host, or leaves it, has passed those. */
const directions = {
    ingress: {
        name: "host_ingress",
        hook: "type filter hook input priority 10",
        alwaysPassing: [
            'iifname "lo" accept',
            "ct state established,related accept",
            ipv6Neighbours,
            // A lease that is not renewed takes the address away, hours after the change was confirmed.
            "iifname != @networks udp sport 67 udp dport 68 accept",
            "iifname != @networks udp sport 547 udp dport 546 accept",
            ...ledToResolvers,
            // Only the peers of our tunnels get this far.
            "udp dport @tunnel_ports accept",
            "udp dport @wireguard_ports accept",
            esp,
        ],
    },
    egress: {
        name: "host_egress",
        hook: "type filter hook output priority 10",
        alwaysPassing: [
            'oifname "lo" accept',
            "ct state established,related accept",
            ipv6Neighbours,
            "udp sport 68 udp dport 67 accept",
            "udp sport 546 udp dport 547 accept",
            ...toTunnelPeers,
            "udp sport @wireguard_ports accept",
            ...toPeersResolvers,
            esp,
        ],
    },
} as const;

/** The chains of the policies that protect the host itself: one a direction, on hooks of their own, there only when needed. */
export function hostPolicyItems(world: World): Item[] {
    return (["ingress", "egress"] as const).flatMap((direction): Item[] => {
        const policies = policiesOn([hostTarget], direction, world);
        if (policies.length === 0) return [];
        const { name, hook, alwaysPassing } = directions[direction];
        const place = { target: hostTarget, side: "host", direction, world } as const;
        const { rules, items } = renderPolicies(policies, place);
        return [...items, { type: "chain", name, hook, rules: [...alwaysPassing, ...rules] }];
    });
}
