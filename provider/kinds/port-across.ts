import { subnetsOf } from "../model/half.js";
import type { NetworkObject, PortMappingObject } from "../model/object.js";
import { meet } from "../model/range.js";
import { parseId } from "../model/reference.js";
import { Refusal } from "../model/refusal.js";
import type { World } from "../model/world.js";
import { type FarRef, locate, machineOf } from "./elsewhere.js";
import type { Across, BuildContext } from "./kind.js";

type Inputs = Record<string, unknown>;

/** The endpoint of a target: of `{ endpoint, port, weight }`, or the target itself. */
export function endpointOf(target: unknown): FarRef {
    const given = target as FarRef | { endpoint: FarRef };
    return typeof given === "object" && given !== null && "endpoint" in given ? given.endpoint : given;
}

/** What an object of a mapping calls the endpoint: by key on its own host, else by id. */
export function keyIn(id: string, machine: string): string {
    const { key, machineId } = parseId(id);
    return machineId === machine ? key : id;
}

/** Where it is published: on the host named, else on the first target's. */
function machineOfMapping(inputs: Inputs): string | undefined {
    const { publishOn, target } = inputs;
    if (publishOn !== undefined) return machineOf(publishOn);
    return Array.isArray(target) ? machineOf(endpointOf(target[0])) : undefined;
}

/** A mapping is on one host; where its connections go may be on others. */
export const mappingAcross: Across = {
    machineOf: machineOfMapping,
    decidedBy: ["publishOn", "target"],

    locate(inputs) {
        const machine = machineOfMapping(inputs);
        const problems: string[] = [];
        const { target } = inputs;
        if (!Array.isArray(target)) return { inputs, problems };
        const targets = target.map((each, i) => {
            const located = locate(endpointOf(each), machine);
            if ("problem" in located) {
                problems.push(`${target.length === 1 ? "target" : `target[${i}]`} ${located.problem}`);
                return each;
            }
            return endpointOf(each) === each ? located.value : { ...each, endpoint: located.value };
        });
        return { inputs: { ...inputs, target: targets }, problems };
    },
};

/** The network of this host whose segment an endpoint of another host is on. */
export function segmentOf(addresses: readonly string[], world: World): NetworkObject | undefined {
    return world
        .all("network")
        .filter(({ key }) => world.tunnelsOf(key).length > 0)
        .find((network) => subnetsOf(network).some((subnet) => addresses.some((address) => meet(address, subnet))));
}

/** @throws Refusal when nothing leads there, or not with the clients' addresses */
export function refuseWithoutSegment(
    addresses: readonly string[],
    at: string,
    isKept: boolean,
    { world }: BuildContext<PortMappingObject>,
): void {
    const network = segmentOf(addresses, world);
    refuseInternal(network, at);
    // WireGuard takes from a peer what is of the peer's range only (allowed-ips).
    if (isKept && world.tunnelsOf(network?.key ?? "").some((tunnel) => "wireguard" in tunnel)) {
        throw new Refusal(
            `${at} is behind a tunnel with encryption "wireguard", which carries no other sources than its hosts' and endpoints'. ` +
                'Leave sourceAddress "keep" out, or use "ipsec".',
        );
    }
    if (network !== undefined) return;
    throw new Refusal(
        `${at} (${addresses.join(", ")}) is on another host, and no segment joins this one to it. Publish on a host of its ` +
            "OverlayNetwork; a tunnel made by hand in the same program has to be there before (dependsOn).",
    );
}

/** @throws Refusal */
export function refuseInternal(network: NetworkObject | undefined, at: string): void {
    if (!network?.internal) return;
    throw new Refusal(
        `${at} is on network "${network.name}", which is internal: nothing from outside reaches it. ` +
            "Publish an endpoint on another network, or take internal off.",
    );
}
