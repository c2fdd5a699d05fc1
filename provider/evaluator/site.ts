import { parseIpv4, parseIpv4Cidr } from "../model/address.js";
import { isIpv6 } from "../model/ipv6.js";
import type { EndpointObject, NetworkObject, SandboxObject } from "../model/object.js";
import type { HostFacts, World } from "../model/world.js";

/** One host: what it carries, and what it is without us. */
export interface Site {
    readonly world: World;
    readonly facts: Pick<HostFacts, "addresses" | "routes">;
}

export function isWithin(address: string, cidr: string): boolean {
    // Packets are IPv4 ones.
    if (isIpv6(cidr)) return false;
    const { first, last } = parseIpv4Cidr(cidr);
    const value = parseIpv4(address);
    return first <= value && value <= last;
}

export const isLoopback = (address: string) => isWithin(address, "127.0.0.0/8");

/** A bridge of others that is used as it is: nothing of ours decides there. */
export const isOfOthers = (network: NetworkObject) => network.bridge?.isManaged === false;

export function endpointAt(address: string, { world }: Site): EndpointObject | undefined {
    return world.all("endpoint").find((endpoint) => endpoint.ipv4Address === address);
}

export function networkAround(address: string, { world }: Site): NetworkObject | undefined {
    return world.all("network").find((network) => isWithin(address, network.subnet));
}

/** The network whose gateway this is. */
export function networkOfGateway(address: string, { world }: Site): NetworkObject | undefined {
    return world.all("network").find((network) => network.gateway === address);
}

/** Whether the host itself has the address. */
export function isOfHost(address: string, site: Site): boolean {
    if (isLoopback(address) || networkOfGateway(address, site) !== undefined) return true;
    return site.facts.addresses.some((own) => own.address.split("/")[0] === address);
}

/** The address the host sends from: to itself the same one, to a network its gateway's, else that of the uplink. */
export function hostSource(destination: string, site: Site): string {
    if (isOfHost(destination, site)) return destination;
    const network = networkAround(destination, site);
    if (network !== undefined) return network.gateway;
    const value = parseIpv4(destination);
    const routes = site.facts.routes.filter(({ destination: to }) => to.first <= value && value <= to.last);
    const size = (route: (typeof routes)[number]) => route.destination.last - route.destination.first;
    const [route] = routes.sort((a, b) => size(a) - size(b));
    const own = site.facts.addresses.find(({ interfaceName }) => interfaceName === route?.interfaceName);
    return route?.source ?? own?.address.split("/")[0] ?? "";
}

export function networkOf(endpoint: EndpointObject, { world }: Site): NetworkObject {
    const network = world.get("network", endpoint.network);
    if (network === undefined) throw new Error(`endpoint ${endpoint.name} has no network`);
    return network;
}

/** The endpoint with a sandbox's default route: the highest priority, then the network's name; internal ones never. */
export function defaultEndpoint(sandbox: SandboxObject, site: Site): EndpointObject | undefined {
    const able = site.world
        .endpointsOf(sandbox.key)
        .filter((endpoint) => endpoint.gatewayPriority !== "never" && !networkOf(endpoint, site).internal);
    const rank = (endpoint: EndpointObject) => Number(endpoint.gatewayPriority);
    const name = (endpoint: EndpointObject) => networkOf(endpoint, site).name;
    return able.sort((a, b) => rank(b) - rank(a) || (name(a) < name(b) ? -1 : 1))[0];
}
