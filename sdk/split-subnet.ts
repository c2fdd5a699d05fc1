import { Address4, Address6 } from "ip-address";

/** A part of a subnet. */
export interface SubnetRange {
    /** Canonical CIDR: `10.64.1.0/24`. */
    readonly range: string;
    /** Its first address that a machine may have: `10.64.1.1`. */
    readonly gateway: string;
}

/**
 * Cuts a subnet into ranges of equal size, in order, from its start.
 * @param subnet CIDR of either family; set host bits are ignored
 * @param count how many ranges are wanted
 * @param prefix length of each range in bits
 * @default prefix 24 for IPv4, 64 for IPv6
 * @throws Error when the subnet does not hold so many, or is no CIDR
 */
export function splitSubnet(subnet: string, count: number, prefix?: number): SubnetRange[] {
    const { start, length, bits, format } = parseSubnet(subnet);
    const size = prefix ?? (bits === 32 ? 24 : 64);
    if (!Number.isInteger(size) || size < length || size > bits - 2) {
        throw new Error(`prefixPerHost ${size} does not fit ${subnet}: expected ${length} to ${bits - 2}.`);
    }
    const available = 1n << BigInt(size - length);
    if (BigInt(count) > available) {
        throw new Error(
            `${subnet} has room for ${available} ranges of /${size}, but there are ${count} hosts. Use a larger subnet, or a longer prefixPerHost.`,
        );
    }
    const step = 1n << BigInt(bits - size);
    return Array.from({ length: count }, (_, index) => {
        const first = start + BigInt(index) * step;
        return { range: `${format(first)}/${size}`, gateway: format(first + 1n) };
    });
}

/**
 * The first address a machine may have in a range that the program chose: CIDR, or "first-last".
 * @throws Error when the text is neither
 */
export function firstAddress(range: string): string {
    const [first = "", last] = range.split("-");
    if (last === undefined) {
        const { start, format } = parseSubnet(range);
        return format(start + 1n);
    }
    const { start, format } = parseAddress(first.trim(), range);
    return format(start);
}

interface Parsed {
    readonly start: bigint;
    readonly length: number;
    /** 32 or 128. */
    readonly bits: number;
    readonly format: (value: bigint) => string;
}

function parseSubnet(subnet: string): Parsed {
    if (!subnet.includes("/")) throw new Error(`"${subnet}" is not a subnet: expected CIDR, as in 10.64.0.0/16.`);
    const { start, length, bits, format } = parseAddress(subnet, subnet);
    const hostBits = BigInt(bits - length);
    return { start: (start >> hostBits) << hostBits, length, bits, format };
}

function parseAddress(text: string, whole: string): Parsed {
    if (Address4.isValid(text)) {
        const address = new Address4(text);
        const format = (value: bigint) => Address4.fromBigInt(value).correctForm();
        return { start: address.bigInt(), length: address.subnetMask, bits: 32, format };
    }
    if (Address6.isValid(text)) {
        const address = new Address6(text);
        const format = (value: bigint) => Address6.fromBigInt(value).correctForm();
        return { start: address.bigInt(), length: address.subnetMask, bits: 128, format };
    }
    throw new Error(`"${whole}" is neither CIDR (10.64.0.0/16) nor "first-last".`);
}
