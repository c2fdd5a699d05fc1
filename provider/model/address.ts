/** An inclusive range of addresses as unsigned numbers. */
export interface AddressRange<T extends number | bigint> {
    readonly first: T;
    readonly last: T;
}

export type Ipv4Range = AddressRange<number>;

/** An IPv4 network in CIDR notation, taken apart. */
export interface Ipv4Cidr extends Ipv4Range {
    /** Canonical text: `172.20.0.0/24`. */
    readonly text: string;
    readonly prefixLength: number;
}

const octet = "(25[0-5]|2[0-4]\\d|1\\d\\d|[1-9]?\\d)";
const dottedQuad = new RegExp(`^${octet}\\.${octet}\\.${octet}\\.${octet}$`);

/**
 * Not by `ip-address`, which takes 3 us for each: an overlay alone has hundreds of addresses a host.
 * @throws Error when the text is no dotted-quad IPv4 address.
 */
export function parseIpv4(text: string): number {
    const octets = dottedQuad.exec(text);
    if (octets === null) {
        const decimal = text.replace(/(?<!\d)0+(?=\d)/g, "");
        if (decimal !== text && dottedQuad.test(decimal))
            throw new Error(`"${text}" has leading zeros, which some programs read as octal; write ${decimal}`);
        throw new Error(`"${text}" is not an IPv4 address such as 172.20.0.10`);
    }
    return octets.slice(1).reduce((value, each) => value * 256 + Number(each), 0);
}

export function formatIpv4(value: number): string {
    return [24, 16, 8, 0].map((shift) => (value >>> shift) & 255).join(".");
}

/**
 * @throws Error when the text is no IPv4 network, or has bits set behind the prefix (the message names the network that
 * was probably meant).
 */
export function parseIpv4Cidr(text: string): Ipv4Cidr {
    const match = /^([\d.]+)\/(\d{1,2})$/.exec(text);
    const prefixLength = Number(match?.[2]);
    if (match?.[1] === undefined || prefixLength > 32) {
        throw new Error(`"${text}" is not an IPv4 network in CIDR notation such as 172.20.0.0/24`);
    }
    const address = parseIpv4(match[1]);
    const size = 2 ** (32 - prefixLength);
    const first = address - (address % size);
    if (first !== address) {
        throw new Error(
            `"${text}" has bits set behind its prefix; the network is ${formatIpv4(first)}/${prefixLength}`,
        );
    }
    return { text: `${formatIpv4(first)}/${prefixLength}`, prefixLength, first, last: first + size - 1 };
}

/** A range written as CIDR (`172.20.0.128/25`) or as first and last address (`172.20.0.10-172.20.0.20`). */
export function parseIpv4Range(text: string): Ipv4Range {
    if (text.includes("/")) return parseIpv4Cidr(text);
    const [from, to, more] = text.split("-");
    if (from === undefined || to === undefined || more !== undefined) {
        throw new Error(`"${text}" is not a range such as 172.20.0.128/25 or 172.20.0.10-172.20.0.20`);
    }
    const range = { first: parseIpv4(from.trim()), last: parseIpv4(to.trim()) };
    if (range.first > range.last) throw new Error(`"${text}" ends before it begins`);
    return range;
}

export function contains<T extends number | bigint>(outer: AddressRange<T>, inner: AddressRange<T>): boolean {
    return outer.first <= inner.first && inner.last <= outer.last;
}

export function overlaps<T extends number | bigint>(a: AddressRange<T>, b: AddressRange<T>): boolean {
    return a.first <= b.last && b.first <= a.last;
}

/** The prefix length of an address's network, as `172.20.0.1/24` needs it. */
export function withPrefix(address: string, cidr: { readonly prefixLength: number }): string {
    return `${address}/${cidr.prefixLength}`;
}
