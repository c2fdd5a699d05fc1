import { type AddressRange, overlaps, parseIpv4, parseIpv4Cidr } from "./address.js";
import { isIpv6, parseIpv6, parseIpv6Cidr } from "./ipv6.js";

/** Addresses in a row, of either family. */
export interface Span extends AddressRange<bigint> {
    readonly family: 4 | 6;
}

/** Of an address, a network in CIDR notation, or a range `10.0.0.1-10.0.0.9`. */
export function parseSpan(text: string): Span {
    const family = isIpv6(text) ? 6 : 4;
    if (text.includes("/")) {
        const { first, last } = family === 6 ? parseIpv6Cidr(text) : parseIpv4Cidr(text);
        return { family, first: BigInt(first), last: BigInt(last) };
    }
    const value = (address: string) => (family === 6 ? parseIpv6(address) : BigInt(parseIpv4(address)));
    const [first = "", last = first] = text.split("-");
    return { family, first: value(first.trim()), last: value(last.trim()) };
}

/** Whether any address is in both. */
export function meetSpans(a: string, b: string): boolean {
    const [one, other] = [parseSpan(a), parseSpan(b)];
    return one.family === other.family && overlaps(one, other);
}
