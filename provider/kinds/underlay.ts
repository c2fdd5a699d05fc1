import { contains, parseIpv4 } from "../model/address.js";
import type { ForeignRoute, HostFacts } from "../model/world.js";

/** The route a packet to the address takes: the longest prefix of the main table, or the interface it is connected to. */
export function routeTo(address: string, facts: HostFacts): ForeignRoute | undefined {
    const value = parseIpv4(address);
    const fitting = facts.routes.filter(({ destination }) => contains(destination, { first: value, last: value }));
    return fitting.sort(
        (a, b) => a.destination.last - a.destination.first - (b.destination.last - b.destination.first),
    )[0];
}
