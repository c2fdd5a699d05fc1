import { parseSections } from "../provider/host/sections.js";
import { defaultCounter, ruleCounter } from "../provider/kinds/policy-chain.js";
import { type Direction, endpointsUnder } from "../provider/kinds/policy-match.js";
import { type FirewallPolicyObject, hostTarget } from "../provider/model/object.js";
import type { World } from "../provider/model/world.js";

/** Prints the counters of all rules, where there are some and nft is. */
export const readCounters = `echo '@@ counters'
nft -j list counters table inet linuxnet 2>/dev/null`;

/** Packets by the name of the counter. */
export type Counters = ReadonlyMap<string, number>;

interface CountersJson {
    readonly nftables: readonly { readonly counter?: { readonly name: string; readonly packets: number } }[];
}

export function parseCounters(stdout: string): Counters {
    const body = parseSections(stdout).get("counters")?.trim() ?? "";
    const { nftables }: CountersJson = body === "" ? { nftables: [] } : JSON.parse(body);
    return new Map(nftables.flatMap(({ counter }) => (counter === undefined ? [] : [[counter.name, counter.packets]])));
}

/**
 * How many packets each rule of a policy matched on all its targets, and behind them those that no rule of any policy on
 * them matched; `null` when the policy says nothing about this direction.
 */
export function countsOf(
    policy: FirewallPolicyObject,
    direction: Direction,
    world: World,
    counters: Counters,
): number[] | null {
    const rules = policy[direction];
    if (rules === undefined) return null;
    const keysOf = (target: string) =>
        target === hostTarget ? [hostTarget] : endpointsUnder(target, world).map(({ key }) => key);
    const targets = [...new Set(policy.targets.flatMap(keysOf))];
    const sum = (nameOn: (target: string) => string) =>
        targets.reduce((total, target) => total + (counters.get(nameOn(target)) ?? 0), 0);
    return [
        ...rules.map((rule) => sum((target) => ruleCounter(target, policy, direction, rule))),
        sum((target) => defaultCounter(target, direction)),
    ];
}
