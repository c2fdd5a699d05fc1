import { isIpv6 } from "../model/ipv6.js";
import type { HostFacts } from "../model/world.js";
import type { Item } from "./item.js";

/**
 * Whether a host takes no such item because its IPv6 is off: by sysctl, for its own interfaces; in its kernel, for all. Such
 * items are left as they are, or a network of both families could neither change nor go until IPv6 is on again.
 */
export function isRefused(item: Item, { ipv6, lacksIpv6 }: Pick<HostFacts, "ipv6" | "lacksIpv6">): boolean {
    if (ipv6 !== undefined) return false;
    const isLacking = lacksIpv6 === true;
    const isOwn = !("netns" in item) || item.netns === undefined;
    switch (item.type) {
        case "address":
        case "neighbour":
            return isIpv6(item.address) && (isLacking || isOwn);
        case "route":
        case "barrier":
            return isIpv6(item.to) && (isLacking || isOwn);
        case "rule":
            return isIpv6(item.from) && isLacking;
        case "reply-rule":
            return item.family === 6 && isLacking;
        case "sysctl":
            return item.key.startsWith("net/ipv6/") && isLacking;
        default:
            return false;
    }
}
