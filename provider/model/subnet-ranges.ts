import { type AddressRange, contains, formatIpv4, overlaps, parseIpv4 } from "./address.js";
import { formatIpv6, isIpv6, parseIpv6 } from "./ipv6.js";

/** What one host has of a segment; arrays for two families. */
export interface HostRange {
    readonly ipRange: string | string[];
    readonly gateway: string | string[];
}

/** What ranges follow from. */
export interface RangeRequest {
    /** Names, in the order of the program. */
    readonly hosts: readonly string[];
    /** CIDR; set host bits are ignored. */
    readonly subnet: string | readonly string[];
    /** Bits, in the order of `subnet`. @default 24 for IPv4, 64 for IPv6 */
    readonly prefixPerHost?: number | readonly number[];
    /** Ranges that the program chose, by host. */
    readonly given?: Readonly<Record<string, string | string[]>>;
}

type Range = AddressRange<bigint>;

/**
 * Gives each host a part of the subnet: the one the program chose, else the one it had, else the lowest free one. One that a
 * host left in this very change is taken only when no other is free, because its packets may still be on their way.
 * @param kept what the hosts had before
 * @throws Error when the subnet does not hold so many, or a text is no subnet or range
 */
export function assignRanges(
    request: RangeRequest,
    kept: Readonly<Record<string, HostRange>> = {},
): Record<string, HostRange> {
    const { hosts, subnet, given = {} } = request;
    const stranger = Object.keys(given).find((name) => !hosts.includes(name));
    if (stranger !== undefined) throw new Error(`ranges.${stranger}: is not one of the hosts (${hosts.join(", ")}).`);
    const prefixes = [request.prefixPerHost].flat();
    const families = [subnet].flat().map((text, index) => {
        const cut = parseCut(text, prefixes[index]);
        return { ...cut, byHost: assignFamily(cut, hosts, given, kept) };
    });
    const entries = hosts.map((name): [string, HostRange] => {
        const chosen = given[name];
        if (chosen !== undefined)
            return [name, { ipRange: chosen, gateway: likeGiven(chosen, [chosen].flat().map(firstAddress)) }];
        const own = families.flatMap(({ byHost, prefix, format }) => {
            const { first } = byHost.get(name) ?? {};
            return first === undefined ? [] : { range: `${format(first)}/${prefix}`, gateway: format(first + 1n) };
        });
        const ipRange = own.map(({ range }) => range);
        const gateway = own.map((one) => one.gateway);
        return [name, { ipRange: likeGiven(subnet, ipRange), gateway: likeGiven(subnet, gateway) }];
    });
    return Object.fromEntries(entries);
}

/** A subnet that is cut into ranges of equal size. */
interface Cut {
    readonly text: string;
    readonly whole: Range;
    readonly step: bigint;
    readonly prefix: number;
    readonly available: bigint;
    readonly format: (value: bigint) => string;
}

function parseCut(text: string, prefixPerHost: number | undefined): Cut {
    const { address, length, bits, format } = parseSubnet(text);
    const prefix = prefixPerHost ?? (bits === 32 ? 24 : 64);
    if (!Number.isInteger(prefix) || prefix < length || prefix > bits - 2) {
        throw new Error(`prefixPerHost ${prefix} does not fit ${text}: expected ${length} to ${bits - 2}.`);
    }
    const size = 1n << BigInt(bits - length);
    const first = address - (address % size);
    const step = 1n << BigInt(bits - prefix);
    return { text, whole: { first, last: first + size - 1n }, step, prefix, available: size / step, format };
}

function assignFamily(
    cut: Cut,
    hosts: readonly string[],
    given: Readonly<Record<string, string | string[]>>,
    kept: Readonly<Record<string, HostRange>>,
): Map<string, Range> {
    const ofFamily = (texts: string | readonly string[] = []) =>
        [texts].flat().flatMap((text) => (isIpv6(text) === isIpv6(cut.text) ? parseRange(text) : []));
    const chosen = Object.values(given).flatMap(ofFamily);
    const before = new Map(
        Object.entries(kept).map(([name, { ipRange }]) => [
            name,
            ofFamily(ipRange).find((range) => isSlot(range, cut)),
        ]),
    );
    const byHost = new Map<string, Range>();
    const others = hosts.filter((name) => given[name] === undefined);
    for (const name of others) {
        const range = before.get(name);
        if (range !== undefined && !chosen.some((one) => overlaps(one, range))) byHost.set(name, range);
    }
    const left = [...before].flatMap(([name, range]) => (range === undefined || hosts.includes(name) ? [] : range));
    for (const name of others) {
        if (byHost.has(name)) continue;
        const taken = [...chosen, ...byHost.values()];
        const range = lowestFreePart(cut, [...taken, ...left]) ?? lowestFreePart(cut, taken);
        if (range === undefined) {
            throw new Error(
                `${cut.text} has room for ${cut.available} ranges of /${cut.prefix}, but there are ${hosts.length} hosts. ` +
                    "Use a larger subnet, or a longer prefixPerHost.",
            );
        }
        byHost.set(name, range);
    }
    return byHost;
}

const isSlot = (range: Range, { whole, step }: Cut) =>
    contains(whole, range) && range.last - range.first === step - 1n && (range.first - whole.first) % step === 0n;

/** The first part of `step` addresses, at a multiple of them, that overlaps nothing; `undefined` when none is left. */
export function lowestFreePart(
    { whole, step }: { readonly whole: Range; readonly step: bigint },
    taken: readonly Range[],
): Range | undefined {
    const sorted = [...taken].sort((a, b) => (a.first < b.first ? -1 : 1));
    let first = whole.first;
    for (const one of sorted) {
        if (!overlaps(one, { first, last: first + step - 1n })) continue;
        first = whole.first + ((one.last - whole.first) / step + 1n) * step;
    }
    const last = first + step - 1n;
    return last <= whole.last ? { first, last } : undefined;
}

interface Parsed {
    readonly address: bigint;
    readonly length: number;
    /** 32 or 128. */
    readonly bits: number;
    readonly format: (value: bigint) => string;
}

function parseAddress(text: string, whole: string): Omit<Parsed, "length"> {
    try {
        if (isIpv6(text)) return { address: parseIpv6(text), bits: 128, format: formatIpv6 };
        return { address: BigInt(parseIpv4(text)), bits: 32, format: (value) => formatIpv4(Number(value)) };
    } catch {
        throw new Error(`"${whole}" is neither CIDR (10.64.0.0/16) nor "first-last".`);
    }
}

function parseSubnet(text: string): Parsed {
    const [local = "", length, more] = text.split("/");
    if (length === undefined) throw new Error(`"${text}" is not a subnet: expected CIDR, as in 10.64.0.0/16.`);
    const parsed = parseAddress(local, text);
    if (!/^\d{1,3}$/.test(length) || Number(length) > parsed.bits || more !== undefined)
        throw new Error(`"${text}" is neither CIDR (10.64.0.0/16) nor "first-last".`);
    return { ...parsed, length: Number(length) };
}

/** CIDR or "first-last". */
function parseRange(text: string): Range {
    const [first = "", last] = text.split("-");
    if (last !== undefined)
        return { first: parseAddress(first.trim(), text).address, last: parseAddress(last.trim(), text).address };
    const { address, length, bits } = parseSubnet(text);
    const size = 1n << BigInt(bits - length);
    const start = address - (address % size);
    return { first: start, last: start + size - 1n };
}

/** The first address of a range that a machine may have. */
function firstAddress(text: string): string {
    const { first } = parseRange(text);
    const { format } = parseAddress(text.split(/[-/]/)[0]?.trim() ?? "", text);
    return format(text.includes("-") ? first : first + 1n);
}

/** A single value stays one, several stay an array. */
function likeGiven(given: string | readonly string[], values: string[]): string | string[] {
    return typeof given === "string" ? (values[0] ?? []) : values;
}
