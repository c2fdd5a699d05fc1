import { halfOf } from "../model/half.js";
import type { EndpointObject, SandboxObject } from "../model/object.js";
import type { World } from "../model/world.js";

/**
 * The endpoints of a sandbox that may give it its default route of a family, best first: highest priority, ties by the
 * network's name; internal never.
 */
export function waysOut(object: SandboxObject, world: World, family: 4 | 6): EndpointObject[] {
    const leadsOut = (endpoint: EndpointObject) => {
        const network = world.get("network", endpoint.network);
        return network?.internal === false && halfOf(network, family) !== undefined;
    };
    return inOrder(
        world.endpointsOf(object.key).filter((endpoint) => leadsOut(endpoint) && endpoint.gatewayPriority !== "never"),
        world,
    );
}

/** All endpoints of a sandbox: those that may give it its default route in that order, then the others. */
export function endpointsInOrder(object: SandboxObject, world: World): EndpointObject[] {
    const first = [...new Set([...waysOut(object, world, 4), ...waysOut(object, world, 6)])];
    const others = world.endpointsOf(object.key).filter((endpoint) => !first.includes(endpoint));
    return [...first, ...inOrder(others, world)];
}

function inOrder(endpoints: readonly EndpointObject[], world: World): EndpointObject[] {
    const networkName = (endpoint: EndpointObject) => world.get("network", endpoint.network)?.name ?? "";
    const priority = ({ gatewayPriority }: EndpointObject) => (gatewayPriority === "never" ? 0 : gatewayPriority);
    return [...endpoints].sort(
        (a, b) => priority(b) - priority(a) || networkName(a).localeCompare(networkName(b)) || (a.key < b.key ? -1 : 1),
    );
}
