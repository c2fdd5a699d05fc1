import { automaticRange, type Half } from "./half.js";
import { formatAddress, parseRange } from "./range.js";

/** Addresses that no interface can have: in IPv4 the subnet's first and last (RFC 919), in IPv6 the first (RFC 4291, 2.6.1). */
export function unusableOf({ family, subnet }: Half): ReadonlySet<bigint> {
    const { first, last } = parseRange(subnet);
    return new Set(family === 4 ? [first, last] : [first]);
}

/**
 * The lowest address of the half that is neither taken nor in a range of others; `undefined` when none is left.
 * @param taken in canonical form
 */
export function lowestFree(
    half: Half,
    taken: ReadonlySet<string>,
    others: readonly { readonly first: bigint; readonly last: bigint }[] = [],
): string | undefined {
    const unusable = unusableOf(half);
    const { first, last } = automaticRange(half);
    for (let value = first; value <= last; value++) {
        const other = others.find((each) => each.first <= value && value <= each.last);
        if (other !== undefined) {
            value = other.last;
            continue;
        }
        if (unusable.has(value)) continue;
        const address = formatAddress(value, half.family);
        if (!taken.has(address)) return address;
    }
    return undefined;
}
