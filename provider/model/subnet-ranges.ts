import { type AddressRange, contains, overlaps } from "./address.js";
import { type FamilyRange, familyOf, formatAddress, rangeOf } from "./range.js";

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
        const own = families.flatMap(({ byHost, prefix, whole: { family } }) => {
            const { first } = byHost.get(name) ?? {};
            if (first === undefined) return [];
            return { range: `${formatAddress(first, family)}/${prefix}`, gateway: formatAddress(first + 1n, family) };
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
    readonly whole: FamilyRange;
    readonly step: bigint;
    readonly prefix: number;
}

function parseCut(text: string, prefixPerHost: number | undefined): Cut {
    const { length, bits, ...whole } = parseSubnet(text);
    const prefix = prefixPerHost ?? (whole.family === 6 ? 64 : 24);
    if (!Number.isInteger(prefix) || prefix < length || prefix > bits - 2) {
        throw new Error(`prefixPerHost ${prefix} does not fit ${text}: expected ${length} to ${bits - 2}.`);
    }
    return { text, whole, step: 1n << BigInt(bits - prefix), prefix };
}

function assignFamily(
    cut: Cut,
    hosts: readonly string[],
    given: Readonly<Record<string, string | string[]>>,
    kept: Readonly<Record<string, HostRange>>,
): Map<string, Range> {
    const ofFamily = (texts: string | readonly string[] = []) =>
        [texts].flat().flatMap((text) => (familyOf(text) === cut.whole.family ? parseRange(text) : []));
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
            const available = (cut.whole.last - cut.whole.first + 1n) / cut.step;
            throw new Error(
                `${cut.text} has room for ${available} ranges of /${cut.prefix}, but there are ${hosts.length} hosts. ` +
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

const neither = (text: string) => new Error(`"${text}" is neither CIDR (10.64.0.0/16) nor "first-last".`);

function parseAddress(text: string, whole: string): FamilyRange {
    try {
        return rangeOf(text);
    } catch {
        throw neither(whole);
    }
}

/** Of a network in CIDR notation; bits behind the prefix may be set. */
function parseSubnet(text: string): FamilyRange & { readonly length: number; readonly bits: number } {
    const [local = "", length, more] = text.split("/");
    if (length === undefined) throw new Error(`"${text}" is not a subnet: expected CIDR, as in 10.64.0.0/16.`);
    const { family, first: address } = parseAddress(local, text);
    const bits = family === 6 ? 128 : 32;
    if (!/^\d{1,3}$/.test(length) || Number(length) > bits || more !== undefined) throw neither(text);
    const size = 1n << BigInt(bits - Number(length));
    const first = address - (address % size);
    return { family, first, last: first + size - 1n, length: Number(length), bits };
}

/** CIDR or "first-last". */
function parseRange(text: string): FamilyRange {
    const [first = "", last] = text.split("-");
    if (last === undefined) return parseSubnet(text);
    const from = parseAddress(first.trim(), text);
    return { ...from, last: parseAddress(last.trim(), text).first };
}

/** The first address of a range that a machine may have. */
function firstAddress(text: string): string {
    const { family, first } = parseRange(text);
    return formatAddress(text.includes("-") ? first : first + 1n, family);
}

/** A single value stays one, several stay an array. */
function likeGiven(given: string | readonly string[], values: string[]): string | string[] {
    return typeof given === "string" ? (values[0] ?? []) : values;
}
