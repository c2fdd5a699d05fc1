import type { LabHost } from "../../lab/index.js";
import type { Props } from "../../provider/lifecycle.js";
import { type Joined, openStack, type Resource, type Stack } from "./driver.js";
import type { Place } from "./traffic.js";

/** One host's end of a segment: its network, its tunnel to all others, and sandboxes with one endpoint each. */
export interface End {
    readonly machine: LabHost;
    readonly stack: Stack;
    readonly network: Resource<"network">;
    readonly tunnel: Resource<"overlay-tunnel">;
    /** The host itself. */
    readonly place: Place;
    /** By name. */
    readonly joined: Readonly<Record<string, Joined>>;
}

export interface SegmentOptions {
    /** The first two bytes of the subnet, a /16; host n has the n-th /24 of it. */
    readonly prefix: string;
    /** Of the stack on each host. @default "dev" */
    readonly name?: string;
    readonly host?: Props;
    readonly network?: object;
    readonly tunnel?: object;
}

/** Lays a segment over hosts, each with sandboxes of these names. */
export function laySegment(
    machines: readonly LabHost[],
    names: readonly (readonly string[])[],
    { prefix, name = "dev", host, network: ofNetwork = {}, tunnel: ofTunnel = {} }: SegmentOptions,
): Promise<End[]> {
    const rangeOf = (i: number) => `${prefix}.${i + 1}.0/24`;
    return Promise.all(
        machines.map(async (machine, own) => {
            const stack = await openStack(machine, { name, ...(host === undefined ? {} : { host }) });
            const range = { ipRange: rangeOf(own), gateway: `${prefix}.${own + 1}.1` };
            const network = await stack.network("mesh", { subnet: `${prefix}.0.0/16`, ...range, ...ofNetwork });
            const joined: Record<string, Joined> = {};
            for (const name of names[own] ?? []) joined[name] = await stack.join(name, network);
            const peers = machines.flatMap(({ address }, i) =>
                i === own ? [] : [{ underlayAddress: address, ipRange: rangeOf(i) }],
            );
            const tunnel = await stack.overlayTunnel("mesh", { network, vni: 90, peers, ...ofTunnel });
            return { machine, stack, network, tunnel, place: { machine }, joined };
        }),
    );
}

/** A resource as the SDK shows it to rules and mappings of other hosts: with its addresses. */
export function seen(resource: Resource<"endpoint"> | Resource<"network">): object {
    const { kind, id } = resource;
    const outs = resource.outs as { address?: string; ipv6Address?: string; ipRange?: string };
    const addresses = [outs.address, outs.ipv6Address, outs.ipRange].filter((address) => address !== undefined);
    return { kind, id, addresses };
}
