import type { Item } from "../kernel/item.js";
import { nftString } from "../kernel/nft.js";
import { isIpv6 } from "../model/ipv6.js";
import {
    type EndpointObject,
    type FirewallPolicyObject,
    hostInterfaceOf,
    hostTarget,
    interfaceOf,
    type NetworkObject,
    type Peer,
    type PolicyRule,
} from "../model/object.js";
import { formatPortRange } from "../model/port-range.js";
import { Refusal } from "../model/refusal.js";
import type { World } from "../model/world.js";
import { ipv6SourcesOf } from "./dual-stack.js";

export type Direction = "ingress" | "egress";

/** The endpoints that a policy's target or peer stands for: itself, or those of a sandbox or network. */
export function endpointsUnder(key: string, world: World): readonly EndpointObject[] {
    const endpoint = world.get("endpoint", key);
    if (endpoint !== undefined) return [endpoint];
    // The order in which they came would be the order of rules.
    return [...world.endpointsOf(key)].sort((a, b) => (a.key < b.key ? -1 : 1));
}

/** Whose items hold the chains of a target: endpoints, or what all objects of a host share. */
export function* holdersOf({ targets }: FirewallPolicyObject, world: World): Iterable<string> {
    for (const target of targets) {
        if (target === hostTarget) yield "base";
        for (const endpoint of endpointsUnder(target, world)) yield endpoint.key;
    }
}

/** Holders of chains that name this object as a peer. */
export function* targetsOfPoliciesAbout(key: string, world: World): Iterable<string> {
    for (const policy of world.policiesAbout(key)) yield* holdersOf(policy, world);
}

/** All policies on targets in the order they are asked: by priority, then by name. */
export function policiesOn(targets: readonly string[], direction: Direction, world: World): FirewallPolicyObject[] {
    const all = targets.flatMap((key) => world.policiesOn(key));
    return [...new Set(all)]
        .filter((policy) => policy[direction] !== undefined)
        .sort((a, b) => a.priority - b.priority || a.name.localeCompare(b.name) || (a.key < b.key ? -1 : 1));
}

/** The host's interface by which an endpoint's packets come. */
function interfaceAt(endpoint: EndpointObject, world: World): string {
    const network = world.get("network", endpoint.network);
    return network === undefined ? endpoint.network : interfaceOf(network);
}

/** Traffic on a bridge of others passes our chains unasked, so a policy would be an empty promise. @throws Refusal */
export function refuseUnguarded(network: NetworkObject, policy: string): never {
    throw new Refusal(
        `network "${network.name}" uses bridge ${network.bridge?.interfaceName} of others as it is, where policies have no effect, ` +
            `so it does not go together with ${policy}. Use a network of your own, or adopt the bridge.`,
    );
}

/** Whose chain it is: an endpoint's on this network, or the host's own. */
type Side = NetworkObject | "host";

const hasIpv6 = (side: Side) => side === "host" || side.ipv6 !== undefined;

/** How a peer looks on the wire, and whether an allow of it opens a path between two networks. */
interface PeerMatch {
    readonly match: string;
    readonly opensPath: boolean;
}

function matchPeer(peer: Peer, direction: Direction, side: Side, world: World): PeerMatch[] {
    const [interfaceName, index, field] =
        direction === "ingress" ? ["iifname", "iif", "saddr"] : ["oifname", "oif", "daddr"];
    const plain = (match: string): PeerMatch[] => [{ match, opensPath: false }];
    const opensPath = (network: string) => side !== "host" && network !== side.key;
    const at = (address: string) => `${isIpv6(address) ? "ip6" : "ip"} ${field} ${address}`;
    if ("cidr" in peer) {
        if (peer.cidr === "::/0") return plain("meta nfproto ipv6");
        if (peer.cidr === "0.0.0.0/0") return plain(hasIpv6(side) ? "meta nfproto ipv4" : "");
        return plain(at(peer.cidr.replace(isIpv6(peer.cidr) ? /\/128$/ : /\/32$/, "")));
    }
    if ("keyword" in peer) {
        switch (peer.keyword) {
            case "any":
                return plain("");
            case "host":
                return plain(`${index} 0`);
            case "internal":
                return plain(`${interfaceName} @networks`);
            case "external":
                return plain(`${interfaceName} != @networks ${index} != 0`);
        }
    }
    const other = world.get("network", peer.object);
    if (other !== undefined) {
        return [{ match: `${interfaceName} ${nftString(interfaceOf(other))}`, opensPath: opensPath(other.key) }];
    }
    return endpointsUnder(peer.object, world).flatMap((endpoint) => {
        const other = world.get("network", endpoint.network);
        const addresses = [endpoint.ipv4Address, ...(other === undefined ? [] : ipv6SourcesOf(endpoint, other))];
        return addresses.map((address) => ({
            match: `${interfaceName} ${nftString(interfaceAt(endpoint, world))} ${at(address)}`,
            opensPath: opensPath(endpoint.network),
        }));
    });
}

/** One match for each protocol, port and range: anonymous sets of intervals slow every later change (nft). */
function matchPorts(rule: PolicyRule): string[] {
    if (rule.ports.length === 0) {
        return rule.protocols.length === 0
            ? [""]
            : rule.protocols.map((protocol) => `meta l4proto ${protocol === "icmpv6" ? 58 : protocol}`);
    }
    return rule.ports.flatMap(({ range, protocol }) => {
        const protocols = protocol !== undefined ? [protocol] : rule.protocols.length > 0 ? rule.protocols : ["tcp"];
        return protocols.map((each) => `${each} dport ${formatPortRange(range)}`);
    });
}

function verdict(action: PolicyRule["action"], direction: Direction, side: Side, opensPath: boolean): string {
    if (action === "drop") return "drop";
    if (action === "reject") return "reject with icmpx type admin-prohibited";
    // No stage comes behind the host's own chains.
    if (side === "host") return "accept";
    if (direction === "egress") return "goto ingress_stage";
    if (opensPath) return "accept";
    return side.directAccess ? "goto direct" : "goto closing";
}

function renderRule(rule: PolicyRule, direction: Direction, side: Side, world: World): string[] {
    const comment = rule.description === undefined ? "" : ` comment ${nftString(rule.description)}`;
    const matches = rule.peers.flatMap((peer) => matchPeer(peer, direction, side, world));
    // A reference opens its path also when another peer of the rule, "any" perhaps, matches the same packet.
    const [opening, others] = [true, false].map((opens) => matches.filter(({ opensPath }) => opensPath === opens));
    return [...(opening ?? []), ...(others ?? [])].flatMap(({ match, opensPath }) =>
        matchPorts(rule).map((ports) => {
            const words = [match, ports, verdict(rule.action, direction, side, opensPath)];
            return words.filter((word) => word !== "").join(" ") + comment;
        }),
    );
}

const strictness = ["allow", "reject", "drop"] as const;

/** The chain of one target in one direction: every rule of its policies, then the strictest of their defaults. */
export function renderChain(
    policies: readonly FirewallPolicyObject[],
    direction: Direction,
    side: Side,
    world: World,
): string[] {
    const strictest = Math.max(...policies.map((policy) => strictness.indexOf(policy.defaultAction)));
    return [
        ...policies.flatMap((policy) =>
            (policy[direction] ?? []).flatMap((rule) => renderRule(rule, direction, side, world)),
        ),
        verdict(strictness[strictest] ?? "drop", direction, side, false),
    ];
}

/** The chains of an endpoint that is a target of policies, and the elements that lead to them. */
export function endpointPolicyItems(endpoint: EndpointObject, network: NetworkObject, world: World): Item[] {
    const items: Item[] = [];
    const targets = [endpoint.key, endpoint.sandbox, endpoint.network];
    const ingress = policiesOn(targets, "ingress", world);
    const own6 = ipv6SourcesOf(endpoint, network);
    const element = (set: string, key: string[], chain: string): Item => ({
        type: "element",
        family: "inet",
        set,
        key,
        value: { goto: chain },
    });
    if (ingress.length > 0) {
        const chain = `in_${endpoint.key}`;
        items.push(
            { type: "chain", name: chain, rules: renderChain(ingress, "ingress", network, world) },
            element("ingress", [interfaceOf(network), endpoint.ipv4Address], chain),
            element("ingress_from_host", [endpoint.ipv4Address], chain),
            ...own6.map((address) => element("ingress6", [interfaceOf(network), address], chain)),
            ...own6.slice(0, 1).map((address) => element("ingress_from_host6", [address], chain)),
        );
    }
    if (ingress.length > 0 || network.defaultPolicy === "deny") {
        items.push({ type: "element", family: "bridge", set: "guarded", key: [hostInterfaceOf(endpoint)] });
    }
    const egress = policiesOn(targets, "egress", world);
    if (egress.length > 0) {
        const chain = `out_${endpoint.key}`;
        items.push(
            { type: "chain", name: chain, rules: renderChain(egress, "egress", network, world) },
            element("egress", [interfaceOf(network), endpoint.ipv4Address], chain),
            ...own6.map((address) => element("egress6", [interfaceOf(network), address], chain)),
        );
    }
    return items;
}
