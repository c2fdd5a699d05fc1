import type { Item } from "../kernel/item.js";
import { type AddressRange, contains, overlaps, parseIpv4, parseIpv4Cidr, withPrefix } from "../model/address.js";
import type { AddressPool } from "../model/connection.js";
import { ofMaker } from "../model/foreign.js";
import { formatIpv6, type Ipv6Cidr, isIpv6, linkLocalOf, parseIpv6, parseIpv6Cidr } from "../model/ipv6.js";
import type { EndpointObject, NetworkObject, SandboxObject } from "../model/object.js";
import { parseRange } from "../model/range.js";
import { Refusal } from "../model/refusal.js";
import type { World } from "../model/world.js";
import { chooseIpv6Subnet } from "./address-pools.js";
import { type BuildContext, describeObject } from "./kind.js";

/** The IPv6 half of a network, as `NetworkObject` holds it. */
type Ipv6Half = NonNullable<NetworkObject["ipv6"]>;

/** The subnets of a network, one or two. */
export function subnetsOf({ subnet, ipv6 }: NetworkObject): string[] {
    return [subnet, ...(ipv6 === undefined ? [] : [ipv6.subnet])];
}

/** The address that has the same number in its IPv6 subnet (or range) as an IPv4 address has in its own subnet. */
function sameNumber(ipv4Address: string, ipv4Subnet: string, range: AddressRange<bigint>): string {
    return formatIpv6(range.first + BigInt(parseIpv4(ipv4Address) - parseIpv4Cidr(ipv4Subnet).first));
}

/** An endpoint's IPv6 address; `undefined` on a network without IPv6. */
export function ipv6AddressOf(endpoint: EndpointObject, network: NetworkObject | undefined): string | undefined {
    if (network?.ipv6 === undefined) return undefined;
    return endpoint.ipv6Address ?? sameNumber(endpoint.ipv4Address, network.subnet, automaticRange(network.ipv6));
}

/** Where addresses come from that nobody chose. */
const automaticRange = ({ subnet, ipRange }: Ipv6Half): AddressRange<bigint> => parseRange(ipRange ?? subnet);

const special: Readonly<Record<string, string>> = {
    "::/8": "it is reserved (RFC 4291)",
    "fe80::/10": "fe80::/10 is link-local, which every interface has by itself",
    "ff00::/8": "ff00::/8 is multicast",
};

/** @throws Refusal */
function refuseSubnet(subnet: Ipv6Cidr, own: string, ipv4Subnet: string, context: BuildContext<NetworkObject>): void {
    const choose = "Choose another subnet.";
    for (const [range, reason] of Object.entries(special)) {
        if (overlaps(subnet, parseIpv6Cidr(range)))
            throw new Refusal(`subnet ${own} is not for hosts: ${reason}. ${choose}`);
    }
    if (128 - subnet.prefixLength < 32 - parseIpv4Cidr(ipv4Subnet).prefixLength)
        throw new Refusal(`subnet ${own} has fewer addresses than ${ipv4Subnet}. Use a /64.`);
    for (const other of context.world.all("network")) {
        if (other.key === context.key || other.ipv6 === undefined) continue;
        if (overlaps(subnet, parseIpv6Cidr(other.ipv6.subnet)))
            throw new Refusal(`subnet ${own} overlaps ${other.ipv6.subnet} of ${describeObject(other)}. ${choose}`);
    }
    for (const { range, text, interfaceName } of context.facts.ipv6?.subnets ?? []) {
        if (!overlaps(subnet, range)) continue;
        throw new Refusal(
            `subnet ${own} overlaps ${text} of the host's interface ${interfaceName}${ofMaker(interfaceName)}. ${choose}`,
        );
    }
}

/**
 * What a network has of IPv6; `undefined`: nothing.
 * @throws Refusal when the host has none, or the wishes do not fit what is there
 */
export function chooseIpv6Half(
    wanted: {
        readonly ipv6?: boolean | undefined;
        readonly subnet: string | undefined;
        readonly gateway: string | undefined;
        readonly ipRange: string | undefined;
        /** Where it takes its subnet from. */
        readonly pools: readonly AddressPool[];
    },
    ipv4: Pick<NetworkObject, "subnet" | "gateway" | "mtuBytes"> & {
        readonly bridge: NetworkObject["bridge"] | undefined;
    },
    context: BuildContext<NetworkObject>,
): Ipv6Half | undefined {
    const { world, facts, previous } = context;
    if (wanted.subnet === undefined && wanted.ipv6 !== true) {
        for (const name of ["gateway", "ipRange"] as const) {
            if (wanted[name] === undefined) continue;
            throw new Refusal(
                `${name} ${wanted[name]} is IPv6, which the network has not. Set ipv6: true, or give a subnet.`,
            );
        }
        refuseAsPublished(context);
        return undefined;
    }
    if (facts.ipv6 === undefined) {
        throw new Refusal(
            "IPv6 is switched off on the host (net.ipv6.conf.default.disable_ipv6). Switch it on there, or leave IPv6 out.",
        );
    }
    if (ipv4.bridge !== undefined) {
        throw new Refusal(
            `IPv6 on bridge ${ipv4.bridge.interfaceName} of others is not supported yet. Leave IPv6 out, or use a network of its own.`,
        );
    }
    if (ipv4.mtuBytes < 1280)
        throw new Refusal(
            `mtu ${ipv4.mtuBytes} is too small: IPv6 needs 1280 bytes (RFC 8200). Raise it, or leave IPv6 out.`,
        );
    const tunnel = world.tunnelsOf(context.key).find(({ wireguard }) => wireguard !== undefined);
    if (tunnel !== undefined) {
        throw new Refusal(
            `it is a segment of ${describeObject(tunnel)}, and WireGuard tunnels carry IPv4 only yet. Leave IPv6 out.`,
        );
    }
    const own = wanted.subnet ?? previous?.ipv6?.subnet ?? chooseIpv6Subnet(wanted.pools, context);
    const subnet = parseIpv6Cidr(own);
    refuseSubnet(subnet, own, ipv4.subnet, context);
    const kept = previous?.ipv6?.subnet === own ? previous.ipv6.gateway : undefined;
    const { ipRange } = wanted;
    if (ipRange !== undefined) refuseRange(ipRange, subnet, ipv4.subnet);
    const gateway = wanted.gateway ?? kept ?? sameNumber(ipv4.gateway, ipv4.subnet, parseRange(ipRange ?? own));
    refuseAsAddress(gateway, `gateway ${gateway}`, subnet);
    const half = { subnet: own, gateway, ...(ipRange === undefined ? {} : { ipRange }) };
    const after = { ...previous, subnet: ipv4.subnet, ipv6: half } as NetworkObject;
    const holder = world.endpointsOf(context.key).find((each) => ipv6AddressOf(each, after) === gateway);
    if (holder !== undefined)
        throw new Refusal(`gateway ${gateway} is used by ${describeObject(holder)}. Choose another.`);
    return half;
}

/** @throws Refusal */
function refuseRange(ipRange: string, subnet: Ipv6Cidr, ipv4Subnet: string): void {
    const range = parseRange(ipRange);
    if (!contains(subnet, range))
        throw new Refusal(`ipRange ${ipRange} is outside subnet ${subnet.text}. Choose one inside.`);
    const { first, last } = parseIpv4Cidr(ipv4Subnet);
    if (range.last - range.first < BigInt(last - first))
        throw new Refusal(`ipRange ${ipRange} has fewer addresses than ${ipv4Subnet}. Use a /64.`);
}

/** What it had of IPv6 goes. @throws Refusal when a port is published on an IPv6 address to one of its endpoints */
function refuseAsPublished({ previous, key, world }: BuildContext<NetworkObject>): void {
    if (previous?.ipv6 === undefined) return;
    for (const mapping of world.endpointsOf(key).flatMap((endpoint) => world.mappingsOf(endpoint.key))) {
        const binding = mapping.bindings.find(({ hostAddress }) => hostAddress !== undefined && isIpv6(hostAddress));
        if (binding === undefined) continue;
        throw new Refusal(
            `${describeObject(mapping)} publishes on ${binding.hostAddress}. Take that address out first, or keep IPv6.`,
        );
    }
}

/** @throws Refusal */
function refuseAsAddress(address: string, what: string, subnet: Ipv6Cidr): void {
    const value = parseIpv6(address);
    if (!contains(subnet, { first: value, last: value }))
        throw new Refusal(`${what} is outside subnet ${subnet.text}. Choose one inside.`);
    if (value === subnet.first)
        throw new Refusal(
            `${what} is the first of ${subnet.text}, which means all routers (RFC 4291). Choose another.`,
        );
}

/**
 * The IPv6 address that an endpoint has to keep; `undefined`: it follows from the IPv4 address.
 * @throws Refusal when the wanted one does not fit
 */
export function chooseIpv6Address(
    wanted: string | undefined,
    ipv4Address: string,
    network: NetworkObject,
    context: BuildContext<EndpointObject>,
): string | undefined {
    if (network.ipv6 === undefined) {
        if (wanted === undefined) return undefined;
        throw new Refusal(`network "${network.name}" has no IPv6. Set ipv6: true on it, or leave ipv6Address out.`);
    }
    const subnet = parseIpv6Cidr(network.ipv6.subnet);
    const others = context.world.endpointsOf(network.key).filter(({ key }) => key !== context.key);
    const kept = new Set(others.map((other) => other.ipv6Address));
    const range = automaticRange(network.ipv6);
    const derived = sameNumber(ipv4Address, network.subnet, range);
    if (wanted !== undefined) {
        refuseAsAddress(wanted, `ipv6Address ${wanted}`, subnet);
        const holder = others.find((other) => ipv6AddressOf(other, network) === wanted);
        if (wanted === network.ipv6.gateway)
            throw new Refusal(`ipv6Address ${wanted} is the gateway of network "${network.name}". Choose another.`);
        if (holder !== undefined) {
            throw new Refusal(
                `ipv6Address ${wanted} is already used by ${describeObject(holder)}. Choose another, or leave it out.`,
            );
        }
        return wanted === derived ? undefined : wanted;
    }
    const { previous } = context;
    // One that follows from an IPv4 address is as much its endpoint's alone as that.
    const isFree = (address: string) =>
        !kept.has(address) && !context.staticAddresses.has(address) && address !== network.ipv6?.gateway;
    if (previous?.network === network.key && previous.ipv6Address !== undefined) {
        const value = parseIpv6(previous.ipv6Address);
        if (contains(subnet, { first: value, last: value })) return previous.ipv6Address;
    }
    if (isFree(derived)) return undefined;
    // Behind all numbers of the IPv4 subnet, so that it is never in the way of an endpoint to come.
    let value = range.first + (1n << BigInt(32 - parseIpv4Cidr(network.subnet).prefixLength));
    while (!isFree(formatIpv6(value))) value++;
    if (value <= range.last) return formatIpv6(value);
    throw new Refusal(
        `network "${network.name}" has no free address left in ${subnet.text}. Use a /64, or give ipv6Address.`,
    );
}

const setSysctls = (
    values: Readonly<Record<string, string>>,
    dev: string,
    at: { netns?: string; link: string },
): Item[] =>
    Object.entries(values).map(([key, value]) => ({
        type: "sysctl",
        ...at,
        key: `net/ipv6/conf/${dev}/${key}`,
        value,
    }));

/** What a network's own bridge has of IPv6. The kernel asks for neighbours from a link-local address when it forwards. */
export function bridgeItems(network: NetworkObject, mac: string): Item[] {
    if (network.ipv6 === undefined) return [];
    const at = { type: "address", dev: network.key, link: `link ${network.key}` } as const;
    return [
        { ...at, address: withPrefix(network.ipv6.gateway, parseIpv6Cidr(network.ipv6.subnet)) },
        { ...at, address: `${linkLocalOf(mac)}/64` },
        ...setSysctls({ accept_ra: "0" }, network.key, { link: at.link }),
    ];
}

/** The sets of the base ruleset that know a network by its IPv6 addresses. */
export function ipv6Memberships(network: NetworkObject, interfaceName: string, mac: string): Item[] {
    if (network.ipv6 === undefined) return [];
    const { subnet, gateway } = network.ipv6;
    const element = (set: string, ...key: string[]): Item => ({ type: "element", family: "inet", set, key });
    return [
        element("subnets6", interfaceName, subnet),
        element("gateways6", interfaceName, gateway),
        element("gateways6", interfaceName, linkLocalOf(mac)),
        element("gateway_addresses6", gateway),
        ...(network.defaultPolicy === "deny" ? [element("denied_subnets6", subnet)] : []),
        ...(network.masquerade && !network.internal ? [element("masqueraded6", subnet)] : []),
    ];
}

/** The addresses that an endpoint's port may speak as in IPv6. */
export function ipv6SourcesOf(endpoint: EndpointObject, network: NetworkObject): string[] {
    const address = ipv6AddressOf(endpoint, network);
    return address === undefined ? [] : [address, linkLocalOf(endpoint.macAddress)];
}

/** Its own addresses only, as source and as what it answers for (neighbour advertisements). */
export function ipv6GuardItems(endpoint: EndpointObject, network: NetworkObject, port: string): Item[] {
    // nft 1.0.6 has no name for the target of an advertisement, and gives bytes without one the type "integer".
    const asInteger = (address: string) => `0x${parseIpv6(address).toString(16)}`;
    return ipv6SourcesOf(endpoint, network).flatMap((address): Item[] => [
        { type: "element", family: "bridge", set: "sources6", key: [port, address] },
        { type: "element", family: "bridge", set: "advertised6", key: [port, asInteger(address)] },
    ]);
}

/** Addresses and switches of an endpoint's interface, usable at once: without duplicate address detection. */
export function ipv6LinkItems(endpoint: EndpointObject, sandbox: SandboxObject, network: NetworkObject): Item[] {
    const [address, linkLocal] = ipv6SourcesOf(endpoint, network);
    if (network.ipv6 === undefined || address === undefined) return [];
    const at = { netns: sandbox.name, link: `link ${endpoint.key}` };
    const dev = endpoint.interfaceName;
    return [
        { type: "address", ...at, dev, address: withPrefix(address, parseIpv6Cidr(network.ipv6.subnet)) },
        { type: "address", ...at, dev, address: `${linkLocal}/64` },
        ...setSysctls({ accept_ra: "0", accept_redirects: "0" }, dev, at),
    ];
}

/** The default route of a sandbox over this endpoint, in one of its tables. */
export function ipv6DefaultRoute(
    endpoint: EndpointObject,
    sandbox: SandboxObject,
    network: NetworkObject,
    table: string,
): Item[] {
    const address = ipv6AddressOf(endpoint, network);
    if (network.ipv6 === undefined || address === undefined) return [];
    const { interfaceName: dev } = endpoint;
    // Not its address: with that, other than in IPv4, its routes do not go.
    const link = `link ${endpoint.key}`;
    return [{ type: "route", netns: sandbox.name, dev, link, table, to: "::/0", via: network.ipv6.gateway }];
}

/** Replies leave by the endpoint they came in by. */
export function ipv6Routing(endpoint: EndpointObject, sandbox: SandboxObject, network: NetworkObject): Item[] {
    const table = String(endpoint.routingTable);
    const address = ipv6AddressOf(endpoint, network);
    return ipv6DefaultRoute(endpoint, sandbox, network, table).flatMap((route): Item[] => {
        if (route.type !== "route" || network.ipv6 === undefined || address === undefined) return [];
        const { via: _, ...at } = route;
        return [
            { ...at, to: parseIpv6Cidr(network.ipv6.subnet).text, source: address },
            route,
            { type: "rule", netns: sandbox.name, priority: endpoint.routingTable, from: address, table },
        ];
    });
}

/** Whether any network of the host has IPv6. */
export function hasIpv6(world: World): boolean {
    return world.all("network").some(({ ipv6 }) => ipv6 !== undefined);
}
