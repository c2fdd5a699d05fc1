import * as pulumi from "@pulumi/pulumi";
import type { Endpoint } from "./endpoint.js";
import type { Network } from "./network.js";
import type { OverlayNetwork } from "./overlay-network.js";
import { isBranded } from "./reference.js";

/**
 * What a host other than its own has to know of an endpoint or network: addresses, and of a network its part of the
 * subnet. The provider drops them where both are on one host, which knows its own objects.
 *
 * @param after what has to be there before they are used
 */
export function projectAddresses(
    resource: unknown,
    after?: pulumi.Resource | undefined,
): { addresses?: pulumi.Output<string[]> } {
    const order = after?.urn;
    if (isBranded(resource, "endpoint")) {
        const { addresses, ipv4Address, ipv6Address } = resource as unknown as Endpoint;
        return { addresses: pulumi.all([either(addresses, [ipv4Address, ipv6Address]), order]).apply(([all]) => all) };
    }
    if (isBranded(resource, "network")) {
        const { ranges, ipRange, subnet } = resource as unknown as Network;
        return { addresses: either(ranges, [ipRange.apply((range) => range ?? subnet)]) };
    }
    return {};
}

/**
 * The output that lists them, or others that do where a build before it was there made the resource. Those are looked at
 * only then: in a preview an output that a resource does not have is unknown.
 */
function either(list: pulumi.Output<string[]>, others: pulumi.Input<unknown>[]): pulumi.Output<string[]> {
    return (list as pulumi.Output<string[] | undefined>).apply((known) =>
        known === undefined ? pulumi.all(others).apply((all) => listGiven(all.flat())) : pulumi.output(known),
    );
}

/** An OverlayNetwork as a peer: the provider chooses the one of its networks that is on the policy's host. */
export function projectSegment(overlay: unknown): unknown {
    const networks = Object.values((overlay as OverlayNetwork).networks);
    return { kind: "overlay-network", networks: networks.map(({ id }) => ({ kind: "network", id })) };
}

function listGiven(values: readonly unknown[]): string[] {
    return values.filter((value): value is string => typeof value === "string");
}
