import type { Item } from "../kernel/item.js";
import { halfOf } from "../model/half.js";
import type { SandboxObject } from "../model/object.js";
import type { World } from "../model/world.js";
import { endpointsInOrder } from "./default-route.js";
import { defaultRoute } from "./endpoint-half.js";

/**
 * 127.0.0.11, where programs made for Docker ask for names: in a sandbox it is no loopback address but one behind the
 * gateway (the longest match wins in the table "local" too), where the ruleset leads it to the resolver.
 */
export function dockerResolverItems(sandbox: SandboxObject, world: World): Item[] {
    for (const endpoint of endpointsInOrder(sandbox, world)) {
        const network = world.get("network", endpoint.network);
        if (network?.dns?.mode !== "server" || halfOf(network, 4) === undefined) continue;
        const shared = sandbox.joined === undefined ? {} : ({ isShared: true } as const);
        const routes = defaultRoute(endpoint, sandbox, network, 4, "local");
        const key = `net/ipv4/conf/${endpoint.interfaceName}/route_localnet`;
        return [
            ...routes.map((route) => ({ ...route, ...shared, to: "127.0.0.11", source: endpoint.ipv4Address ?? "" })),
            // What is answered comes from there, by an interface. No frame that is for 127.0.0.0/8 gets through the bridge.
            { type: "sysctl", netns: sandbox.name, key, value: "1", link: `link ${endpoint.key}` },
        ];
    }
    return [];
}
