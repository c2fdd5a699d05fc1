import { formatIpv6 } from "./ipv6.js";
import type { EndpointObject, NetworkObject } from "./object.js";
import { parseRange, rangeOf } from "./range.js";

/** What a network has of one address family: a network has one half or two. */
export interface Half {
    readonly family: 4 | 6;
    /** CIDR. */
    readonly subnet: string;
    readonly gateway: string;
    /** Where automatic addresses are; absent: in the whole subnet. */
    readonly ipRange?: string;
}

/** What of a network says which halves it has. */
export type Halves = Pick<NetworkObject, "subnet" | "gateway" | "ipRange" | "ipv6">;

/** IPv4's first. */
export function halvesOf({ subnet, gateway, ipRange, ipv6 }: Halves): Half[] {
    const ipv4 = subnet === undefined || gateway === undefined ? undefined : { subnet, gateway };
    return [
        ...(ipv4 === undefined ? [] : [{ family: 4, ...ipv4, ...(ipRange === undefined ? {} : { ipRange }) } as const]),
        ...(ipv6 === undefined ? [] : [{ family: 6, ...ipv6 } as const]),
    ];
}

export function halfOf(network: Halves, family: 4 | 6): Half | undefined {
    return halvesOf(network).find((half) => half.family === family);
}

/** The half that names the network, and its bridge's MAC address: IPv4's, where there is one. */
export function firstHalf(network: NetworkObject): Half {
    const [first] = halvesOf(network);
    if (first === undefined) throw new Error(`network ${network.key} has neither IPv4 nor IPv6`);
    return first;
}

/** One or two, in CIDR notation. */
export function subnetsOf(network: Halves): string[] {
    return halvesOf(network).map(({ subnet }) => subnet);
}

/** Where addresses come from that nobody chose. */
export const automaticRange = ({ subnet, ipRange }: Pick<Half, "subnet" | "ipRange">) => parseRange(ipRange ?? subnet);

/** The address that has the same number in a range as another one has in its own subnet. */
export function sameNumber(address: string, subnet: string, range: { readonly first: bigint }): string {
    return formatIpv6(range.first + rangeOf(address).first - parseRange(subnet).first);
}

/**
 * An endpoint's address of a family; `undefined` on a network without it. In dual stack that of IPv6 has the number of
 * that of IPv4, unless it was given.
 */
export function addressOf(
    endpoint: Pick<EndpointObject, "ipv4Address" | "ipv6Address">,
    network: Halves | undefined,
    family: 4 | 6,
): string | undefined {
    const { ipv4Address, ipv6Address } = endpoint;
    if (family === 4) return ipv4Address;
    const half = network === undefined ? undefined : halfOf(network, 6);
    if (half === undefined) return undefined;
    if (ipv6Address !== undefined || ipv4Address === undefined || network?.subnet === undefined) return ipv6Address;
    return sameNumber(ipv4Address, network.subnet, automaticRange(half));
}

/** One or two, IPv4's first. */
export function addressesOf(
    endpoint: Pick<EndpointObject, "ipv4Address" | "ipv6Address">,
    network: Halves | undefined,
): string[] {
    return ([4, 6] as const).flatMap((family) => addressOf(endpoint, network, family) ?? []);
}

/** An address with the prefix length of its half's subnet, as an interface has it. */
export function withPrefixOf({ subnet }: Half, address: string): string {
    return `${address}${subnet.slice(subnet.indexOf("/"))}`;
}

/** The nft sets of the base ruleset are twins: `subnets` and `subnets6`. */
export const twinOf = (set: string, family: 4 | 6) => (family === 6 ? `${set}6` : set);
