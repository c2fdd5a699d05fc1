import type { HostFacts } from "../model/world.js";

/** Why a host without `facts.ipv6` has none, and what to do there: a sentence, and the begin of one that goes on with "or". */
export function describeIpv6Off({ lacksIpv6 }: HostFacts): string {
    return lacksIpv6
        ? "the host's kernel has no IPv6 (it was started with ipv6.disable=1). Start it without that"
        : "IPv6 is switched off on the host (net.ipv6.conf.default.disable_ipv6 or net.ipv6.conf.lo.disable_ipv6). Switch it on there";
}
