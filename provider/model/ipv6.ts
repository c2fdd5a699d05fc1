import { type AddressRange, parseIpv4 } from "./address.js";

/** An IPv6 network in CIDR notation, taken apart. */
export interface Ipv6Cidr extends AddressRange<bigint> {
    /** Canonical text (RFC 5952): `fd00:1::/64`. */
    readonly text: string;
    readonly prefixLength: number;
}

/** What an address of the other family or none looks like, and never is. */
export const isIpv6 = (text: string) => text.includes(":");

/** The 16 bit groups of one side of "::"; the last may be two in IPv4's dotted form (RFC 4291, 2.2). */
function parseGroups(text: string): bigint[] | undefined {
    if (text === "") return [];
    const parts = text.split(":");
    const last = parts.at(-1) ?? "";
    const dotted = last.includes(".") ? BigInt(parseIpv4(last)) : undefined;
    const hex = dotted === undefined ? parts : parts.slice(0, -1);
    if (!hex.every((part) => /^[0-9a-f]{1,4}$/i.test(part))) return undefined;
    const groups = hex.map((part) => BigInt(`0x${part}`));
    return dotted === undefined ? groups : [...groups, dotted >> 16n, dotted & 0xffffn];
}

/**
 * Every form of RFC 4291. Not by `ip-address`, as IPv4 is not: the provider would load and run it for each address.
 * @throws Error when the text is no IPv6 address, has a zone, or is an IPv4 address in disguise (`::ffff:192.0.2.1`)
 */
export function parseIpv6(text: string): bigint {
    const wrong = new Error(`"${text}" is not an IPv6 address such as fd00:1::10`);
    if (text.includes("%"))
        throw new Error(`"${text}" has a zone, which means something on one machine only; leave "%..." out`);
    const [head = "", tail, more] = text.split("::");
    if (more !== undefined || (tail !== undefined && head.includes("."))) throw wrong;
    let sides: (bigint[] | undefined)[];
    try {
        sides = [parseGroups(head), parseGroups(tail ?? "")];
    } catch {
        throw wrong;
    }
    const [left, right] = sides;
    if (left === undefined || right === undefined) throw wrong;
    const missing = 8 - left.length - right.length;
    if (tail === undefined ? missing !== 0 : missing < 1) throw wrong;
    const groups = [...left, ...Array<bigint>(missing).fill(0n), ...right];
    const value = groups.reduce((sum, group) => (sum << 16n) | group, 0n);
    if (value >> 32n === 0xffffn) {
        const bytes = [24n, 16n, 8n, 0n].map((shift) => (value >> shift) & 255n);
        throw new Error(`"${text}" is an IPv4 address in the form of IPv6; write ${bytes.join(".")}`);
    }
    return value;
}

/** The canonical text (RFC 5952): lower case, no leading zeros, the longest run of zero groups (the first of equals) as "::". */
export function formatIpv6(value: bigint): string {
    const groups = Array.from({ length: 8 }, (_, i) => ((value >> BigInt(112 - 16 * i)) & 0xffffn).toString(16));
    const runs = [...groups.join(":").matchAll(/(?<![0-9a-f])0(?::0(?![0-9a-f]))+/g)];
    const [longest] = runs.sort((a, b) => b[0].length - a[0].length || a.index - b.index);
    if (longest === undefined) return groups.join(":");
    const text = groups.join(":");
    const before = text.slice(0, longest.index).replace(/:$/, "");
    const after = text.slice(longest.index + longest[0].length).replace(/^:/, "");
    return `${before}::${after}`;
}

/** @throws Error when the text is no IPv6 network, or has bits set behind the prefix (the message names what was meant). */
export function parseIpv6Cidr(text: string): Ipv6Cidr {
    const [, local = "", length = ""] = /^([^/]*)\/(0|[1-9]\d{0,2})$/.exec(text) ?? [];
    const prefixLength = Number(length);
    if (local === "" || prefixLength > 128)
        throw new Error(`"${text}" is not an IPv6 network in CIDR notation such as fd00:1::/64`);
    const { first, last } = networkAround(parseIpv6(local), prefixLength);
    const canonical = `${formatIpv6(first)}/${prefixLength}`;
    if (first !== parseIpv6(local))
        throw new Error(`"${text}" has bits set behind its prefix; the network is ${canonical}`);
    return { text: canonical, prefixLength, first, last };
}

/** The network that an address is in. */
export function networkAround(address: bigint, prefixLength: number): AddressRange<bigint> {
    const hostBits = BigInt(128 - prefixLength);
    const first = (address >> hostBits) << hostBits;
    return { first, last: first + (1n << hostBits) - 1n };
}

/** The link-local address that follows from a MAC address (modified EUI-64, RFC 4291 appendix A). */
export function linkLocalOf(mac: string): string {
    const bytes = mac.split(":").map((byte) => BigInt(`0x${byte}`));
    const [first = 0n, ...rest] = bytes;
    const identifier = [first ^ 2n, ...rest.slice(0, 2), 0xffn, 0xfen, ...rest.slice(2)];
    return formatIpv6((0xfe80n << 112n) | identifier.reduce((sum, byte) => (sum << 8n) | byte, 0n));
}
