import type { ItemType } from "./item.js";
import { ip } from "./line.js";
import { ownProtocol } from "./route.js";

/**
 * The last route to a network that must never be left in the clear: while its own interfaces are not there, or down, packets
 * to it come back as unreachable instead of going the default way (unreachable in ip-route(8)).
 */
export interface BarrierItem {
    readonly type: "barrier";
    /** CIDR. */
    readonly to: string;
}

/** Behind every route that anybody has a use for. */
const metric = 0xff000000;

const words = ({ to }: BarrierItem) => ["unreachable", to, "metric", metric, "proto", ownProtocol] as const;

export const barrierType: ItemType<BarrierItem> = {
    key: (item) => `barrier ${item.to}`,
    parents: () => [],
    add: (item) => [ip(undefined, "route", "replace", ...words(item))],
    remove: (item) => [ip(undefined, "route", "del", ...words(item))],
    observe(item, snapshot) {
        const routes = snapshot.namespaces.get("")?.ownRoutes ?? [];
        return routes.some(({ type, dst }) => type === "unreachable" && dst === item.to) ? item : undefined;
    },
};
