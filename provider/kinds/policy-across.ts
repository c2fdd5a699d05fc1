import { subnetsOf } from "../model/half.js";
import { hostTarget, type NetworkObject, type PolicyRule } from "../model/object.js";
import { meet } from "../model/range.js";
import { Refusal } from "../model/refusal.js";
import type { World } from "../model/world.js";
import { locate, machineOf } from "./elsewhere.js";
import type { Across } from "./kind.js";

type Inputs = Record<string, unknown>;

const listOf = (value: unknown): unknown[] => (Array.isArray(value) ? value : []);

/** The machine of the first target that is known: one policy is on one host. */
function machineOfTargets(inputs: Inputs): string | undefined {
    return listOf(inputs["target"])
        .map(machineOf)
        .find((machine) => machine !== undefined);
}

/** A policy stays with its targets; what its rules speak of may be on other hosts. */
export const policyAcross: Across = {
    machineOf: machineOfTargets,
    decidedBy: ["target"],

    locate(inputs) {
        const machine = machineOfTargets(inputs);
        const problems: string[] = [];

        function locateRule(rule: unknown, side: "from" | "to", at: string): unknown {
            const peers = (rule as Inputs | undefined)?.[side];
            if (!Array.isArray(peers)) return rule;
            const located = peers.map((peer, i) => {
                const result = locate(peer, machine);
                if ("value" in result) return result.value;
                problems.push(`${at}.${side}[${i}] ${result.problem}`);
                return peer;
            });
            return { ...(rule as Inputs), [side]: located };
        }

        const rules = (direction: "ingress" | "egress", side: "from" | "to") =>
            Array.isArray(inputs[direction])
                ? { [direction]: inputs[direction].map((rule, i) => locateRule(rule, side, `${direction}[${i}]`)) }
                : {};
        const stranger = listOf(inputs["target"]).findIndex((target) => {
            const its = machineOf(target);
            return its !== undefined && its !== machine;
        });
        if (stranger > 0) {
            problems.push(
                `target[${stranger}] is on another host than target[0], which the program did not say: name the resources ` +
                    "themselves, not Outputs or references, or make a policy for each host.",
            );
        }
        return { inputs: { ...inputs, ...rules("ingress", "from"), ...rules("egress", "to") }, problems };
    },
};

/** The networks that targets are on; `undefined` where that is to be seen later. */
function networksOf(targets: readonly string[], world: World): (NetworkObject | undefined)[] {
    return targets.map((key) => world.get("network", world.get("endpoint", key)?.network ?? key));
}

/** What comes from another host comes over a segment that a target is on. @throws Refusal when a peer is on none */
export function refuseOtherSegment(
    targets: readonly string[],
    rules: { readonly ingress: readonly PolicyRule[] | undefined; readonly egress: readonly PolicyRule[] | undefined },
    world: World,
): void {
    const networks = networksOf(targets, world);
    if (targets.includes(hostTarget) || networks.includes(undefined)) return;
    const subnets = networks.flatMap((network) => (network === undefined ? [] : subnetsOf(network)));
    for (const [direction, side] of [
        ["ingress", "from"],
        ["egress", "to"],
    ] as const) {
        for (const [i, { peers }] of (rules[direction] ?? []).entries()) {
            for (const [j, peer] of peers.entries()) {
                if (!("remote" in peer)) continue;
                if (peer.addresses.some((address) => subnets.some((subnet) => meet(address, subnet)))) continue;
                throw new Refusal(
                    `${direction}[${i}].${side}[${j}] (${peer.addresses.join(", ")}) is on another host and on no segment of the target ` +
                        `(${subnets.join(", ")}), so it can never match. Put both on one OverlayNetwork.`,
                );
            }
        }
    }
}
