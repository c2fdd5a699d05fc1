import type { Item } from "../kernel/item.js";
import { addressKey, type RouteItem } from "../kernel/route.js";
import { lowestFree, unusableOf } from "../model/free-address.js";
import { addressOf, automaticRange, type Half, halfOf, halvesOf, sameNumber, withPrefixOf } from "../model/half.js";
import { formatIpv6, linkLocalOf, parseIpv6 } from "../model/ipv6.js";
import { type EndpointObject, interfaceOf, type NetworkObject, type SandboxObject } from "../model/object.js";
import { covers, familyOf, parseRange, rangeOf } from "../model/range.js";
import { Refusal } from "../model/refusal.js";
import type { World } from "../model/world.js";
import { enumerate } from "./enumeration.js";
import { type BuildContext, defined, describeObject } from "./kind.js";
import { rangesAcross } from "./tunnel-forwarding.js";

type Context = BuildContext<EndpointObject>;

/** What an endpoint has of addresses. */
type Addresses = Pick<EndpointObject, "ipv4Address" | "ipv6Address">;

const nameIn = { 4: "ipv4Address", 6: "ipv6Address" } as const;

const othersOn = (network: NetworkObject, { world, key }: Context) =>
    world.endpointsOf(network.key).filter((other) => other.key !== key);

/**
 * The addresses that an endpoint has to keep: in dual stack that of IPv6 follows from that of IPv4 unless it is there.
 * @throws Refusal when the wanted ones do not fit, or none is left
 */
export function chooseAddresses(wanted: Addresses, network: NetworkObject, context: Context): Addresses {
    for (const family of [4, 6] as const) {
        const name = nameIn[family];
        if (wanted[name] === undefined || halfOf(network, family) !== undefined) continue;
        const instead = family === 6 ? "Set ipv6: true on it, or leave" : "Leave";
        throw new Refusal(`network "${network.name}" has no IPv${family}. ${instead} ${name} out.`);
    }
    const [ipv4, ipv6] = [halfOf(network, 4), halfOf(network, 6)];
    if (ipv4 === undefined)
        return ipv6 === undefined ? {} : { ipv6Address: chooseAddress(wanted.ipv6Address, ipv6, network, context) };
    const ipv4Address = chooseAddress(wanted.ipv4Address, ipv4, network, context);
    if (ipv6 === undefined) return { ipv4Address };
    const ipv6Address = chooseBeside(wanted.ipv6Address, ipv4Address, { ipv4, ipv6 }, network, context);
    return defined({ ipv4Address, ipv6Address });
}

/** @throws Refusal for an address of the program's choice that the endpoint cannot have */
function refuseWanted(what: string, wanted: string, half: Half, network: NetworkObject, context: Context): void {
    const { family, subnet } = half;
    const of = `of network "${network.name}"`;
    const instead = `Choose another ${nameIn[family]}, or leave it out.`;
    if (!covers(parseRange(subnet), rangeOf(wanted)))
        throw new Refusal(`${what} ${wanted} is outside subnet ${subnet} ${of}. ${instead}`);
    if (unusableOf(half).has(rangeOf(wanted).first)) {
        const which = family === 4 ? "first or last" : "first";
        throw new Refusal(`${what} ${wanted} is the ${which} of ${subnet}, which no endpoint can have. ${instead}`);
    }
    if (wanted === half.gateway) throw new Refusal(`${what} ${wanted} is the gateway ${of}. ${instead}`);
    const holder = othersOn(network, context).find((other) => addressOf(other, network, family) === wanted);
    if (holder !== undefined)
        throw new Refusal(`${what} ${wanted} is already used by ${describeObject(holder)}. ${instead}`);
}

/** The address that the program gives, or that the endpoint has, or the lowest free one. @throws Refusal */
function chooseAddress(wanted: string | undefined, half: Half, network: NetworkObject, context: Context): string {
    const { family, subnet } = half;
    const name = nameIn[family];
    const others = othersOn(network, context);
    if (wanted !== undefined) {
        refuseWanted("address", wanted, half, network, context);
        return wanted;
    }
    const before = context.previous?.network === network.key ? context.previous[name] : undefined;
    if (before !== undefined && covers(parseRange(subnet), rangeOf(before))) return before;
    if (network.bridge?.isManaged === false && half.ipRange === undefined) {
        throw new Refusal(
            `network "${network.name}" is on bridge ${network.bridge.interfaceName} of others, who have addresses of it too. ` +
                `Give ${name}, or give the network an ipRange that is yours.`,
        );
    }
    const { staticAddresses } = context;
    const held = others.flatMap((other) => addressOf(other, network, family) ?? []);
    const away = context.world
        .tunnelsOf(network.key)
        .flatMap((tunnel) => rangesAcross(tunnel, network))
        .filter((range) => range.family === family);
    const strangers = strangersOn(network, family, context);
    const taken = new Set([half.gateway, ...network.reserved, ...held, ...staticAddresses, ...strangers]);
    const free = lowestFree(half, taken, away);
    if (free !== undefined) return free;
    throw new Refusal(
        `network "${network.name}" has no free address left in ${half.ipRange ?? subnet}: ` +
            `${listHolders(others)}${listPlanned(family, held, staticAddresses)}${listStrangers(strangers)} Use a larger subnet or ipRange, or remove endpoints.`,
    );
}

/** Who has the addresses, the first few by name. */
function listHolders(others: readonly EndpointObject[]): string {
    const by = others.length === 0 ? "" : `, by ${enumerate(others.map(describeObject))}`;
    return `${others.length} are in use${by}.`;
}

/** What the program gives to endpoints that are not there yet. */
function listPlanned(family: 4 | 6, held: readonly string[], staticAddresses: ReadonlySet<string>): string {
    const planned = [...staticAddresses].filter((each) => familyOf(each) === family && !held.includes(each));
    return planned.length === 0 ? "" : ` The program gives ${planned.join(", ")} to others.`;
}

/** Addresses that others behind the network's bridge, which is theirs, answer for. */
function strangersOn(network: NetworkObject, family: 4 | 6, { facts }: Context): string[] {
    return [...(facts.answering?.get(interfaceOf(network)) ?? [])].filter((each) => familyOf(each) === family);
}

const listStrangers = (strangers: readonly string[]) =>
    strangers.length === 0 ? "" : ` Others on the bridge have ${strangers.join(", ")}.`;

/**
 * The IPv6 address beside an IPv4 one; `undefined`: it has the same number.
 * @throws Refusal when the wanted one does not fit
 */
function chooseBeside(
    wanted: string | undefined,
    ipv4Address: string,
    { ipv4, ipv6 }: { readonly ipv4: Half; readonly ipv6: Half },
    network: NetworkObject,
    context: Context,
): string | undefined {
    const { previous } = context;
    const others = othersOn(network, context);
    const range = automaticRange(ipv6);
    const derived = sameNumber(ipv4Address, ipv4.subnet, range);
    if (wanted !== undefined) {
        refuseWanted("ipv6Address", wanted, ipv6, network, context);
        return wanted === derived ? undefined : wanted;
    }
    // One that follows from an IPv4 address is as much its endpoint's alone as that.
    const held = others.map((other) => other.ipv6Address);
    const strangers = strangersOn(network, 6, context);
    const taken = new Set([ipv6.gateway, ...network.reserved, ...held, ...context.staticAddresses, ...strangers]);
    const before = previous?.network === network.key ? previous.ipv6Address : undefined;
    if (before !== undefined && covers(parseRange(ipv6.subnet), rangeOf(before))) return before;
    if (!taken.has(derived)) return undefined;
    // Behind all numbers of the IPv4 subnet, so that it is never in the way of an endpoint to come.
    const { first, last } = parseRange(ipv4.subnet);
    let value = range.first + (last - first + 1n);
    while (taken.has(formatIpv6(value))) value++;
    if (value <= range.last) return formatIpv6(value);
    throw new Refusal(
        `network "${network.name}" has no free address left in ${ipv6.ipRange ?? ipv6.subnet}: ${listHolders(others)} ` +
            "Use a /64, or give ipv6Address.",
    );
}

/** The addresses that an endpoint's port may speak as in IPv6. */
export function ipv6SourcesOf(endpoint: EndpointObject, network: NetworkObject): string[] {
    const address = addressOf(endpoint, network, 6);
    return address === undefined ? [] : [address, linkLocalOf(endpoint.macAddress)];
}

/** All addresses that are the endpoint's own, its link-local one included. */
export function sourcesOf(endpoint: EndpointObject, network: NetworkObject): string[] {
    return [addressOf(endpoint, network, 4) ?? [], ipv6SourcesOf(endpoint, network)].flat();
}

/** Its own addresses only, as source and as what it answers for (neighbour advertisements). */
export function guardItems(endpoint: EndpointObject, network: NetworkObject, port: string): Item[] {
    const element = (set: string, value: string): Item => ({
        type: "element",
        family: "bridge",
        set,
        key: [port, value],
    });
    // nft 1.0.6 has no name for the target of an advertisement, and gives bytes without one the type "integer".
    const asInteger = (address: string) => `0x${parseIpv6(address).toString(16)}`;
    const ipv4Address = addressOf(endpoint, network, 4);
    return [
        ...(ipv4Address === undefined ? [] : [element("sources", ipv4Address)]),
        ...ipv6SourcesOf(endpoint, network).flatMap((address) => [
            element("sources6", address),
            element("advertised6", asInteger(address)),
        ]),
    ];
}

/** Addresses and switches of an endpoint's interface, usable at once: in IPv6 without duplicate address detection. */
export function linkItems(endpoint: EndpointObject, sandbox: SandboxObject, network: NetworkObject): Item[] {
    const at = { netns: sandbox.name, link: `link ${endpoint.key}` };
    const dev = endpoint.interfaceName;
    const switches = { accept_ra: "0", accept_redirects: "0" };
    const wire = network.bridge === undefined ? {} : { wire: network.bridge.interfaceName };
    return halvesOf(network).flatMap((half): Item[] => {
        const address = addressOf(endpoint, network, half.family);
        if (address === undefined) return [];
        const own: Item = { type: "address", ...at, dev, address: withPrefixOf(half, address), ...wire };
        if (half.family === 4) return [own];
        return [
            // First: reports of multicast listeners are sent from it, and from :: until it is there (RFC 3810, 5.2.13).
            { type: "address", ...at, dev, address: `${linkLocalOf(endpoint.macAddress)}/64` },
            own,
            ...Object.entries(switches).map(
                ([key, value]): Item => ({ type: "sysctl", ...at, key: `net/ipv6/conf/${dev}/${key}`, value }),
            ),
        ];
    });
}

/** What the routes of an endpoint's half hang on: in IPv4 they go with the address, in IPv6 with the interface. */
export function routeLink(
    endpoint: EndpointObject,
    sandbox: SandboxObject,
    network: NetworkObject,
    family: 4 | 6,
): string {
    const half = halfOf(network, family);
    const address = addressOf(endpoint, network, family);
    if (family === 6 || half === undefined || address === undefined) return `link ${endpoint.key}`;
    return addressKey(sandbox.name, endpoint.interfaceName, withPrefixOf(half, address));
}

/** The default route of a sandbox over this endpoint, in one of its tables; nothing on a network without the family. */
export function defaultRoute(
    endpoint: EndpointObject,
    sandbox: SandboxObject,
    network: NetworkObject,
    family: 4 | 6,
    table: string,
): RouteItem[] {
    const half = halfOf(network, family);
    if (half === undefined || addressOf(endpoint, network, family) === undefined) return [];
    return [
        {
            type: "route",
            netns: sandbox.name,
            dev: endpoint.interfaceName,
            link: routeLink(endpoint, sandbox, network, family),
            table,
            to: family === 6 ? "::/0" : "default",
            via: half.gateway,
        },
    ];
}

/** Replies leave by the endpoint they came in by, whatever the default route is: one table each, chosen by source. */
export function replyRouting(endpoint: EndpointObject, sandbox: SandboxObject, network: NetworkObject): Item[] {
    if (network.internal) return [];
    const { interfaceName: dev, routingTable } = endpoint;
    const netns = sandbox.name;
    const table = String(routingTable);
    return halvesOf(network).flatMap(({ family, subnet }): Item[] => {
        const source = addressOf(endpoint, network, family);
        if (source === undefined) return [];
        const link = routeLink(endpoint, sandbox, network, family);
        return [
            { type: "route", netns, dev, link, table, to: subnet, source },
            ...defaultRoute(endpoint, sandbox, network, family, table),
            { type: "rule", netns, priority: routingTable, from: source, table },
        ];
    });
}

/** Whether any network of the host has IPv6. */
export function hasIpv6(world: World): boolean {
    return world.all("network").some(({ ipv6 }) => ipv6 !== undefined);
}
