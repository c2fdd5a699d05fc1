import type { z } from "zod";
import { type AddressRange, contains, parseIpv4 } from "../model/address.js";
import { formatIpv6, isIpv6, parseIpv6, parseIpv6Cidr } from "../model/ipv6.js";
import { familyOf } from "../model/range.js";
import type { HostFacts, Way } from "../model/world.js";
import { text } from "./schema.js";
import { unknown } from "./unknown.js";

/** IPv6 addresses at which no other host reaches one, and why. */
const unreachable = Object.entries({
    "::/8": "is reserved (RFC 4291), and no host's",
    "fe80::/10": "is link-local, which means something on one link only",
    "ff00::/8": "is multicast, which means several hosts",
}).map(([range, why]) => ({ range: parseIpv6Cidr(range), why }));

/** At which other hosts reach one; of either family. */
export const underlayAddress = text((value) => {
    if (!isIpv6(value)) {
        parseIpv4(value);
        return value;
    }
    const parsed = parseIpv6(value);
    const wrong = unreachable.find(({ range }) => contains(range, { first: parsed, last: parsed }));
    if (wrong !== undefined)
        throw new Error(`"${value}" ${wrong.why}; give a global address of the host, or one of fd00::/8`);
    return formatIpv6(parsed);
});

/** @throws nothing; adds what is wrong with the arguments, told while nothing is touched */
export function refuseMixedFamilies(
    { local, peers = [] }: { readonly local?: unknown; readonly peers?: unknown },
    context: z.core.$RefinementCtx,
): void {
    const told: [at: (string | number)[], address: unknown][] = [[["local"], local]];
    for (const [i, peer] of (Array.isArray(peers) ? peers : []).entries())
        told.push([
            ["peers", i, "underlayAddress"],
            (peer as { underlayAddress?: unknown } | undefined)?.underlayAddress,
        ]);
    const known = told.filter(
        (each): each is [(string | number)[], string] => typeof each[1] === "string" && each[1] !== unknown,
    );
    const [first] = known;
    const other = known.find(([, address]) => familyOf(address) !== familyOf(first?.[1] ?? ""));
    if (first === undefined || other === undefined) return;
    const [path, input] = other;
    const where = first[0].length === 1 ? "local" : `peers[${first[0][1]}]`;
    const message =
        `is IPv${familyOf(input)}, and ${where} is ${first[1]}: the hosts of a segment need underlay addresses of one family. ` +
        "Give each Host an underlayAddress of that family";
    context.issues.push({ code: "custom", message, path, input });
}

/** The route a packet to the address takes: the longest prefix of the main table, or the interface it is connected to. */
export function routeTo(address: string, { routes, ipv6 }: HostFacts): Way | undefined {
    return isIpv6(address) ? longest(ipv6?.routes ?? [], parseIpv6(address)) : longest(routes, parseIpv4(address));
}

type RouteTo<T extends number | bigint> = Way & { readonly destination: AddressRange<T> };

/** Of equals the first: the kernel lists the one it prefers before the others. */
function longest<T extends number | bigint>(routes: readonly RouteTo<T>[], value: T): Way | undefined {
    const fitting = routes.filter(({ destination }) => contains(destination, { first: value, last: value }));
    const isLonger = (a: RouteTo<T>, b: RouteTo<T>) =>
        contains(b.destination, a.destination) && !contains(a.destination, b.destination);
    return fitting.reduce<RouteTo<T> | undefined>(
        (best, route) => (best === undefined || isLonger(route, best) ? route : best),
        undefined,
    );
}

/**
 * The address that packets to another one carry: the route's, else of its interface the one with most bits in common
 * (RFC 6724, 5, rule 8). Without prefix length.
 */
export function sourceFor(address: string, facts: HostFacts): string | undefined {
    const route = routeTo(address, facts);
    if (route?.source !== undefined) return route.source;
    const ofInterface = ownAddresses(familyOf(address), facts).filter(
        ({ interfaceName }) => interfaceName === route?.interfaceName,
    );
    if (!isIpv6(address)) return ofInterface[0]?.address;
    const difference = (own: string) => parseIpv6(own) ^ parseIpv6(address);
    const temporary = (facts.ipv6?.addresses ?? []).flatMap((own) =>
        own.isTemporary ? withoutLength(own.address) : [],
    );
    const lasting = ofInterface.map((own) => own.address).filter((own) => !temporary.includes(own));
    return lasting.sort((a, b) => (difference(a) < difference(b) ? -1 : 1))[0];
}

/** Addresses of the host that others may send to, without prefix length. */
export function ownAddresses(family: 4 | 6, { addresses, ipv6 }: HostFacts) {
    const all = family === 6 ? (ipv6?.addresses ?? []) : addresses;
    return all
        .filter(({ interfaceName }) => interfaceName !== "lo")
        .map(({ interfaceName, address }) => ({ interfaceName, address: withoutLength(address) }));
}

const withoutLength = (address: string) => address.split("/")[0] ?? "";
