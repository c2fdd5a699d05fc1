import type { Item } from "../kernel/item.js";
import { nftString } from "../kernel/nft.js";
import { hash } from "../kernel/rule-mark.js";
import type { FirewallPolicyObject, PolicyRule } from "../model/object.js";
import type { World } from "../model/world.js";
import { type Direction, matchPeer, matchTraffic, type Side, type TrafficMatch } from "./policy-match.js";
import { renderLimit, unlimited } from "./rule-limit.js";

/** What the chain of one target in one direction is made from. */
export interface ChainPlace {
    /** Key of the endpoint, or `hostTarget`: names of what belongs to the chain begin with it. */
    readonly target: string;
    readonly side: Side;
    readonly direction: Direction;
    readonly world: World;
}

/** Rules of a chain, and what must be there before them. */
export interface Rendered {
    readonly rules: readonly string[];
    readonly items: readonly Item[];
}

/** What a rule is known by on its target: not by its place, because rules before it come and go. */
function idOf(policy: FirewallPolicyObject, direction: Direction, rule: PolicyRule): string {
    return hash(JSON.stringify([policy.key, direction, rule]));
}

/** The counter of what a rule matched on a target, an endpoint's key or `hostTarget`. */
export function ruleCounter(
    target: string,
    policy: FirewallPolicyObject,
    direction: Direction,
    rule: PolicyRule,
): string {
    return `count_${target}_${idOf(policy, direction, rule)}`;
}

/** The counter of what no rule of any policy on a target matched. */
export function defaultCounter(target: string, direction: Direction): string {
    return `count_${target}_${direction}`;
}

function allow({ direction, side }: ChainPlace, opensPath: boolean): string {
    // No stage comes behind the host's own chains.
    if (side === "host") return "accept";
    if (direction === "egress") return "goto ingress_stage";
    if (opensPath) return "accept";
    return side.directAccess ? "goto direct" : "goto closing";
}

/** An answer by tcp is for tcp only, so other packets of the same rule get the one that udp knows. */
function reject(rule: PolicyRule, { match, protocol }: TrafficMatch): { match: string; verdict: string }[] {
    const icmp = (word: string) => `reject with icmpx type ${word}`;
    if (rule.rejectWith !== "tcp-reset") return [{ match, verdict: icmp(rule.rejectWith ?? "admin-prohibited") }];
    const reset = { match: match === "" ? "meta l4proto tcp" : match, verdict: "reject with tcp reset" };
    const unreachable = { match, verdict: icmp("port-unreachable") };
    if (protocol === undefined) return [reset, unreachable];
    return [protocol === "tcp" || protocol === 6 ? reset : unreachable];
}

/** Nobody fills the log of a host by knocking: each rule writes so much, and what it does goes on. */
const logLimit = "limit rate 10/second burst 20 packets";

/** `$` begins a variable in a prefix (nft 1.0.6). */
function renderLog(log: string | true, policy: FirewallPolicyObject): string {
    const prefix = log === true ? `linuxnet ${policy.name}: ` : log;
    return `${logLimit} log prefix ${nftString(prefix.replaceAll("$", " "))} level info`;
}

function renderRule(rule: PolicyRule, policy: FirewallPolicyObject, place: ChainPlace): Rendered {
    const { direction, side, world, target } = place;
    const id = idOf(policy, direction, rule);
    const counter = ruleCounter(target, policy, direction, rule);
    const words = rule.description === undefined ? undefined : nftString(rule.description);
    const limit = rule.limit === undefined ? unlimited : renderLimit(rule.limit, `${target}_${id}`, side);
    const logs = new Map<string, Item>();

    /** The verdict, or a chain that writes it down first: a limit of the log in the rule would be one of the verdict. */
    function act(verdict: string): string {
        if (rule.log === undefined) return verdict;
        const name = `log_${target}_${id}_${hash(verdict)}`;
        logs.set(name, { type: "chain", name, rules: [renderLog(rule.log, policy), verdict] });
        return `goto ${name}`;
    }

    const peers = rule.peers.flatMap((peer) => matchPeer(peer, direction, side, world));
    // A reference opens its path also when another peer of the rule, "any" perhaps, matches the same packet.
    const inOrder = [true, false].flatMap((opens) => peers.filter(({ opensPath }) => opensPath === opens));
    const rules = inOrder.flatMap(({ match: who, family, opensPath }) =>
        matchTraffic(rule).flatMap((traffic) => {
            const matches =
                rule.action === "reject"
                    ? reject(rule, traffic)
                    : [{ match: traffic.match, verdict: rule.action === "drop" ? "drop" : allow(place, opensPath) }];
            return matches.flatMap(({ match: what, verdict }) =>
                limit.statements(family ?? traffic.family).map((kept) =>
                    [who, what, kept, `counter name "${counter}"`, act(verdict)]
                        .filter((word) => word !== "")
                        .join(" ")
                        .concat(words === undefined ? "" : ` comment ${words}`),
                ),
            );
        }),
    );
    const counted: Item = { type: "counter", name: counter, ...(words === undefined ? {} : { comment: words }) };
    return { rules, items: rules.length === 0 ? [] : [counted, ...limit.items, ...logs.values()] };
}

const strictness = ["allow", "reject", "drop"] as const;

/** Every rule of the policies on a target, then the strictest of their defaults. */
export function renderPolicies(policies: readonly FirewallPolicyObject[], place: ChainPlace): Rendered {
    const { direction, target } = place;
    const rendered = policies.flatMap((policy) =>
        (policy[direction] ?? []).map((rule) => renderRule(rule, policy, place)),
    );
    const strictest = strictness[Math.max(...policies.map((policy) => strictness.indexOf(policy.defaultAction)))];
    const counter = defaultCounter(target, direction);
    const verdict = { allow: allow(place, false), reject: "reject with icmpx type admin-prohibited", drop: "drop" };
    return {
        rules: [...rendered.flatMap(({ rules }) => rules), `counter name "${counter}" ${verdict[strictest ?? "drop"]}`],
        items: [{ type: "counter", name: counter }, ...rendered.flatMap(({ items }) => items)],
    };
}
