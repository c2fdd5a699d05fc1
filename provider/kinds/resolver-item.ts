import type { ResolverItem } from "../kernel/resolver.js";
import { hash } from "../kernel/rule-mark.js";
import { formatIpv4 } from "../model/address.js";
import { formatIpv6, parseIpv6 } from "../model/ipv6.js";

/** `fd`, and 40 bits that were drawn once (RFC 4193): an address of it is on no interface but the host's own `lo`. */
const ulaPrefix = "fd53:7a1c:9e0b::";

/** The ports of resolvers: below those of clients, and with none that is known for something (services(5)). */
const firstPort = 15104;

/**
 * A resolver that follows from what it answers alone, its address and port too (30 bits of a hash), so nobody has to remember
 * which one is whose.
 */
export function resolverItem(
    networks: readonly string[],
    options: readonly string[],
    families: readonly (4 | 6)[],
): ResolverItem {
    const text = JSON.stringify([networks, options, families]);
    const number = Number.parseInt(hash(text), 16);
    const view = `${hash(text)}${hash(`${text} `).slice(0, 4)}`;
    return {
        type: "resolver",
        view,
        port: firstPort + (number >>> 24),
        addresses: families.map((family) =>
            family === 4
                ? formatIpv4(0x7f400000 + (number & 0x3fffff))
                : formatIpv6(parseIpv6(ulaPrefix) + BigInt(`0x${view}`)),
        ),
        networks,
        options,
    };
}
