import { type AddressRange, contains, formatIpv4, overlaps, parseIpv4, parseIpv4Range } from "./address.js";
import { formatIpv6, isIpv6, parseIpv6, parseIpv6Cidr } from "./ipv6.js";

/** Addresses of one family, in a row. */
export interface FamilyRange extends AddressRange<bigint> {
    readonly family: 4 | 6;
}

export const familyOf = (text: string): 4 | 6 => (isIpv6(text) ? 6 : 4);

const parseAddress = (text: string) => (isIpv6(text) ? parseIpv6(text) : BigInt(parseIpv4(text)));

export function formatAddress(value: bigint, family: 4 | 6): string {
    return family === 6 ? formatIpv6(value) : formatIpv4(Number(value));
}

/** CIDR or first and last address, of either family. @throws Error when the text is neither */
export function parseRange(text: string): FamilyRange {
    if (!isIpv6(text)) {
        const { first, last } = parseIpv4Range(text);
        return { family: 4, first: BigInt(first), last: BigInt(last) };
    }
    const [from = "", to, more] = text.split("-");
    if (to === undefined) return { family: 6, ...parseIpv6Cidr(text) };
    if (more !== undefined)
        throw new Error(`"${text}" is not a range such as fd00:1:0:2::/64 or fd00:1::10-fd00:1::20`);
    const [first, last] = [parseIpv6(from.trim()), parseIpv6(to.trim())];
    if (first > last) throw new Error(`"${text}" ends before it begins`);
    return { family: 6, first, last };
}

/** One address as a range. */
export function rangeOf(address: string): FamilyRange {
    const value = parseAddress(address);
    return { family: familyOf(address), first: value, last: value };
}

export function covers(outer: FamilyRange, inner: FamilyRange): boolean {
    return outer.family === inner.family && contains(outer, inner);
}

/** Whether any address is in both: addresses, networks in CIDR notation, or ranges. */
export function meet(a: string, b: string): boolean {
    const [one, other] = [a, b].map((text) => (/[/-]/.test(text) ? parseRange(text) : rangeOf(text)));
    return one !== undefined && other !== undefined && one.family === other.family && overlaps(one, other);
}

/** A range that a route can lead to. */
export interface Prefix extends FamilyRange {
    /** CIDR. */
    readonly text: string;
}

/** The fewest prefixes that make up a range exactly, in order. */
export function prefixesOf({ family, first, last }: FamilyRange): Prefix[] {
    const found: Prefix[] = [];
    const bits = family === 6 ? 128 : 32;
    for (let start = first; start <= last; ) {
        let length = bits;
        const size = () => 1n << BigInt(bits - length);
        while (length > 0 && start % (size() * 2n) === 0n && start + size() * 2n - 1n <= last) length--;
        const text = `${formatAddress(start, family)}/${length}`;
        found.push({ family, text, first: start, last: start + size() - 1n });
        start += size();
    }
    return found;
}
