import { type AddressRange, contains, parseIpv4, parseIpv4Cidr } from "../model/address.js";
import { addressOf, type Half, halfOf } from "../model/half.js";
import { isIpv6, parseIpv6, parseIpv6Cidr } from "../model/ipv6.js";
import type { EndpointObject, NetworkObject, SandboxObject } from "../model/object.js";
import { familyOf } from "../model/range.js";
import type { HostFacts, Way, World } from "../model/world.js";

/** One host: what it carries, and what it is without us. */
export interface Site {
    readonly world: World;
    readonly facts: Pick<HostFacts, "addresses" | "routes" | "ipv6">;
}

/** What a network or an endpoint has of one family; `undefined` when it has nothing of it. */
type OfFamily<T> = T | undefined;

/** @param cidr also of the other family, which holds none */
export function isWithin(address: string, cidr: string): boolean {
    if (isIpv6(address) !== isIpv6(cidr)) return false;
    if (isIpv6(cidr)) {
        const value = parseIpv6(address);
        return contains(parseIpv6Cidr(cidr), { first: value, last: value });
    }
    const value = parseIpv4(address);
    return contains(parseIpv4Cidr(cidr), { first: value, last: value });
}

export const isLoopback = (address: string) => isWithin(address, "127.0.0.0/8") || isWithin(address, "::1/128");

/** A bridge of others that is used as it is: nothing of ours decides there. */
export const isOfOthers = (network: NetworkObject) => network.bridge?.isManaged === false;

/** Subnet and gateway of the family of an address. */
export function subnetFor(address: string, network: NetworkObject): OfFamily<Half> {
    return halfOf(network, familyOf(address));
}

/** An endpoint's own address of the family of another one. */
export function addressFor(address: string, endpoint: EndpointObject, site: Site): OfFamily<string> {
    return addressOf(endpoint, networkOf(endpoint, site), familyOf(address));
}

export function endpointAt(address: string, site: Site): EndpointObject | undefined {
    return site.world.all("endpoint").find((endpoint) => addressFor(address, endpoint, site) === address);
}

export function isOn(address: string, network: NetworkObject): boolean {
    const own = subnetFor(address, network);
    return own !== undefined && isWithin(address, own.subnet);
}

export function networkAround(address: string, { world }: Site): NetworkObject | undefined {
    return world.all("network").find((network) => isOn(address, network));
}

/** The network whose gateway this is. */
export function networkOfGateway(address: string, { world }: Site): NetworkObject | undefined {
    return world.all("network").find((network) => subnetFor(address, network)?.gateway === address);
}

/** Whether the host itself has the address. */
export function isOfHost(address: string, site: Site): boolean {
    if (isLoopback(address) || networkOfGateway(address, site) !== undefined) return true;
    const own = isIpv6(address) ? (site.facts.ipv6?.addresses ?? []) : site.facts.addresses;
    return own.some((each) => each.address.split("/")[0] === address);
}

/** The address the host sends from: to itself the same one, to a network its gateway's, else that of the uplink. */
export function hostSource(destination: string, site: Site): string {
    if (isOfHost(destination, site)) return destination;
    const network = networkAround(destination, site);
    const gateway = network === undefined ? undefined : subnetFor(destination, network)?.gateway;
    if (gateway !== undefined) return gateway;
    const { routes, addresses, ipv6 } = site.facts;
    const source = isIpv6(destination)
        ? uplinkSource(parseIpv6(destination), ipv6?.routes ?? [], ipv6?.addresses ?? [])
        : uplinkSource(parseIpv4(destination), routes, addresses);
    return source ?? "";
}

/** What packets by the way with the longest prefix carry. */
function uplinkSource<T extends number | bigint>(value: T, ways: readonly WayTo<T>[], addresses: readonly Own[]) {
    const fitting = ways.filter(({ destination: { first, last } }) => first <= value && value <= last);
    const size = ({ destination: { first, last } }: WayTo<T>) => BigInt(last) - BigInt(first);
    const [way] = fitting.sort((a, b) => Number(size(a) - size(b)));
    const own = addresses.find(({ interfaceName }) => interfaceName === way?.interfaceName);
    return way?.source ?? own?.address.split("/")[0];
}

type WayTo<T extends number | bigint> = Way & { readonly destination: AddressRange<T> };
type Own = { readonly interfaceName: string; readonly address: string };

export function networkOf(endpoint: EndpointObject, { world }: Site): NetworkObject {
    const network = world.get("network", endpoint.network);
    if (network === undefined) throw new Error(`endpoint ${endpoint.name} has no network`);
    return network;
}

/**
 * The endpoint with a sandbox's default route to an address: the highest priority, then the network's name; internal ones
 * and those without its family never.
 */
export function defaultEndpoint(to: string, sandbox: SandboxObject, site: Site): EndpointObject | undefined {
    const able = site.world.endpointsOf(sandbox.key).filter((endpoint) => {
        const network = networkOf(endpoint, site);
        return endpoint.gatewayPriority !== "never" && !network.internal && subnetFor(to, network) !== undefined;
    });
    const rank = (endpoint: EndpointObject) => Number(endpoint.gatewayPriority);
    const name = (endpoint: EndpointObject) => networkOf(endpoint, site).name;
    return able.sort((a, b) => rank(b) - rank(a) || (name(a) < name(b) ? -1 : 1))[0];
}
