import type { Item } from "../kernel/item.js";
import { addressesOf, twinOf } from "../model/half.js";
import {
    type EndpointObject,
    type FirewallPolicyObject,
    hostInterfaceOf,
    hostTarget,
    interfaceOf,
    type NetworkObject,
} from "../model/object.js";
import { familyOf } from "../model/range.js";
import { Refusal } from "../model/refusal.js";
import type { World } from "../model/world.js";
import { sourcesOf } from "./endpoint-half.js";
import { renderPolicies } from "./policy-chain.js";
import { type Direction, endpointsUnder } from "./policy-match.js";

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

/** Traffic on a bridge of others passes our chains unasked, so a policy would be an empty promise. @throws Refusal */
export function refuseUnguarded(network: NetworkObject, policy: string): never {
    throw new Refusal(
        `network "${network.name}" uses bridge ${network.bridge?.interfaceName} of others as it is, where policies have no effect, ` +
            `so it does not go together with ${policy}. Use a network of your own, or adopt the bridge.`,
    );
}

/** The chains of an endpoint that is a target of policies, and the elements that lead to them. */
export function endpointPolicyItems(endpoint: EndpointObject, network: NetworkObject, world: World): Item[] {
    const items: Item[] = [];
    const targets = [endpoint.key, endpoint.sandbox, endpoint.network];
    const ingress = policiesOn(targets, "ingress", world);
    const own = sourcesOf(endpoint, network);
    const at = (set: string, address: string) => twinOf(set, familyOf(address));
    const element = (set: string, key: string[], chain: string): Item => ({
        type: "element",
        family: "inet",
        set,
        key,
        value: { goto: chain },
    });
    const chain = (name: string, policies: readonly FirewallPolicyObject[], direction: Direction): Item[] => {
        const place = { target: endpoint.key, side: network, direction, world };
        const { rules, items } = renderPolicies(policies, place);
        return [...items, { type: "chain", name, rules }];
    };
    if (ingress.length > 0) {
        const name = `in_${endpoint.key}`;
        items.push(
            ...chain(name, ingress, "ingress"),
            ...own.map((address) => element(at("ingress", address), [interfaceOf(network), address], name)),
            ...addressesOf(endpoint, network).map((address) =>
                element(at("ingress_from_host", address), [address], name),
            ),
        );
    }
    if (ingress.length > 0 || network.defaultPolicy === "deny") {
        items.push({ type: "element", family: "bridge", set: "guarded", key: [hostInterfaceOf(endpoint)] });
    }
    const egress = policiesOn(targets, "egress", world);
    if (egress.length > 0) {
        const name = `out_${endpoint.key}`;
        items.push(
            ...chain(name, egress, "egress"),
            ...own.map((address) => element(at("egress", address), [interfaceOf(network), address], name)),
        );
    }
    return items;
}
