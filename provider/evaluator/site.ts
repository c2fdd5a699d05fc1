import { contains, parseIpv4, parseIpv4Cidr } from "../model/address.js";
import { addressOf, type Half, halfOf } from "../model/half.js";
import { isIpv6, parseIpv6, parseIpv6Cidr } from "../model/ipv6.js";
import type { EndpointObject, NetworkObject, SandboxObject } from "../model/object.js";
import { familyOf } from "../model/range.js";
import type { HostFacts, World } from "../model/world.js";

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
    return gateway ?? (isIpv6(destination) ? ipv6Uplink(destination, site) : ipv4Uplink(destination, site)) ?? "";
}

function ipv4Uplink(destination: string, { facts }: Site): string | undefined {
    const value = parseIpv4(destination);
    const routes = facts.routes.filter(({ destination: to }) => to.first <= value && value <= to.last);
    const size = (route: (typeof routes)[number]) => route.destination.last - route.destination.first;
    const [route] = routes.sort((a, b) => size(a) - size(b));
    const own = facts.addresses.find(({ interfaceName }) => interfaceName === route?.interfaceName);
    return route?.source ?? own?.address.split("/")[0];
}

/** Default routes of IPv6 are not among the facts: with several uplinks it may be another one. */
function ipv6Uplink(destination: string, { facts }: Site): string | undefined {
    const { subnets = [], addresses = [] } = facts.ipv6 ?? {};
    const near = subnets.find(({ text }) => isWithin(destination, text))?.interfaceName;
    const own = addresses.find(({ interfaceName }) => interfaceName === near) ?? addresses[0];
    return own?.address.split("/")[0];
}

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
