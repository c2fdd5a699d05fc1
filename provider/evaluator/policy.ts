import { icmpTypeNumber, speaksOfIcmpv6 } from "../model/icmp-type.js";
import { isIpv6 } from "../model/ipv6.js";
import type { EndpointObject, FirewallPolicyObject, Peer, PolicyRule } from "../model/object.js";
import { meet } from "../model/range.js";
import { protocolNumber } from "./protocol.js";
import type { Side } from "./sender.js";
import { isWithin, type Site } from "./site.js";

const tcp = protocolNumber("tcp");

export type Direction = "ingress" | "egress";

/** What is asked of the policies of an endpoint: the other side, and the port of the target. */
export interface Question {
    readonly peer: Side;
    /** IANA number. */
    readonly protocol: number;
    readonly port: number | undefined;
    /** By name or number. */
    readonly icmpType: string | number;
}

/** What the policies of an endpoint say; `undefined` when it has none in this direction. */
export interface Ruling {
    readonly action: PolicyRule["action"];
    /** The rule speaks of an object of another network by reference. */
    readonly opensPath: boolean;
    readonly reason: string;
}

/** The first rule that matches, of all policies by priority and name; else the strictest of their defaults. */
export function askPolicies(
    endpoint: EndpointObject,
    direction: Direction,
    question: Question,
    site: Site,
): Ruling | undefined {
    const policies = policiesOn(endpoint, direction, site);
    if (policies.length === 0) return undefined;
    for (const policy of policies) {
        for (const [index, rule] of (policy[direction] ?? []).entries()) {
            const peers = rule.peers.filter((peer) => isPeer(peer, question.peer, site));
            if (peers.length === 0 || !isOfRule(rule, question)) continue;
            const opensPath = peers.some((peer) => "object" in peer) && isElsewhere(question.peer, endpoint);
            const text = rule.description === undefined ? "" : ` ("${rule.description}")`;
            const within = rule.limit === undefined ? "" : " within its limit";
            const reason = `${direction}[${index}]${text} of policy "${policy.name}" says ${rule.action}${within}`;
            return { action: rule.action, opensPath, reason };
        }
    }
    const strictest = (["drop", "reject", "allow"] as const).find((action) =>
        policies.some(({ defaultAction }) => defaultAction === action),
    );
    const action = strictest ?? "drop";
    const holder = policies.find(({ defaultAction }) => defaultAction === action);
    const names = policies.map(({ name }) => `"${name}"`).join(", ");
    const reason = `no ${direction} rule of ${names} matches, and the default of "${holder?.name}" is ${action}`;
    return { action, opensPath: false, reason };
}

/** On the endpoint itself, on its sandbox, on its network. */
function policiesOn(endpoint: EndpointObject, direction: Direction, { world }: Site): readonly FirewallPolicyObject[] {
    const targets = new Set([endpoint.key, endpoint.sandbox, endpoint.network]);
    const order = (a: FirewallPolicyObject, b: FirewallPolicyObject) =>
        a.priority - b.priority || a.name.localeCompare(b.name) || (a.key < b.key ? -1 : 1);
    return world
        .all("firewall-policy")
        .filter((policy) => policy[direction] !== undefined && policy.targets.some((key) => targets.has(key)))
        .sort(order);
}

function isElsewhere({ at }: Side, endpoint: EndpointObject): boolean {
    return typeof at === "object" && at.key !== endpoint.network;
}

function isPeer(peer: Peer, { at, address, endpoint }: Side, { world }: Site): boolean {
    if ("cidr" in peer) return isWithin(address, wholeCidr(peer.cidr));
    if ("keyword" in peer) {
        switch (peer.keyword) {
            case "any":
                return true;
            case "host":
                return at === "host";
            case "external":
                return at === "outside";
            case "internal":
                return typeof at === "object";
        }
    }
    if (typeof at !== "object") return false;
    const isAcross = world
        .tunnelsOf(at.key)
        .some(({ peers }) => peers.some(({ ipRange }) => ipRange !== undefined && meet(address, ipRange)));
    if ("remote" in peer) return isAcross && peer.addresses.some((each) => meet(address, each));
    if (world.get("network", peer.object) !== undefined)
        return at.key === peer.object && (peer.segment === true || !isAcross);
    return endpoint !== undefined && (endpoint.key === peer.object || endpoint.sandbox === peer.object);
}

const wholeCidr = (cidr: string) => (cidr.includes("/") ? cidr : `${cidr}/${isIpv6(cidr) ? 128 : 32}`);

function isOfRule(rule: PolicyRule, { protocol, port, icmpType }: Question): boolean {
    if (rule.icmpTypes !== undefined) {
        const of = speaksOfIcmpv6(rule) ? "icmpv6" : "icmp";
        const type = icmpTypeNumber(of, icmpType);
        return protocol === protocolNumber(of) && rule.icmpTypes.some((each) => icmpTypeNumber(of, each) === type);
    }
    const isNamed = rule.protocols.some((each) => protocolNumber(each) === protocol);
    if (rule.ports.length === 0) return rule.protocols.length === 0 || isNamed;
    return rule.ports.some(({ range, protocol: own }) => {
        const isMeant =
            own !== undefined
                ? protocolNumber(own) === protocol
                : rule.protocols.length > 0
                  ? isNamed
                  : protocol === tcp;
        return isMeant && port !== undefined && range.first <= port && port <= range.last;
    });
}
