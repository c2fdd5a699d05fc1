import { dnsNameOf } from "../model/dns-name.js";
import { addressesOf, halvesOf } from "../model/half.js";
import type {
    DnsMode,
    DnsSettings,
    EndpointObject,
    ForeignBridge,
    NetworkDns,
    NetworkObject,
    SandboxObject,
} from "../model/object.js";
import type { World } from "../model/world.js";
import { endpointsInOrder } from "./default-route.js";
import type { BuildContext } from "./kind.js";

/** The names of one endpoint on its network, and the addresses they lead to. */
export interface NameRecord {
    /** Key of the endpoint. */
    readonly endpoint: string;
    /** IPv4, then IPv6. */
    readonly addresses: readonly string[];
    /** In lower case, each once; the first is what a reverse look-up answers. */
    readonly names: readonly string[];
}

/** How the programs in a sandbox find names. */
export interface SandboxDns {
    readonly mode: DnsMode;
    /** Keys of the networks whose names the server answers, sorted. */
    readonly networks: readonly string[];
    /** Where questions about all other names go; none: where the host's own go. */
    readonly servers: readonly string[];
    /** Questions about other names are answered; not where all networks are internal. */
    readonly forwards: boolean;
    /** The gateway that answers; absent without the mode "server". */
    readonly resolver?: string;
    readonly search: readonly string[];
    /** As resolv.conf(5) has them. */
    readonly options: readonly string[];
}

/** What others on its networks call a sandbox. */
export function hostnameOf({ hostname, owner }: SandboxObject): string {
    return hostname ?? defaultHostname(owner.name);
}

/** The hostname of a sandbox that is given none. */
export function defaultHostname(resourceName: string): string {
    return dnsNameOf(resourceName, "sandbox");
}

/** The domain of a network's names: `db.backend`. */
export function domainOf({ dns, name }: NetworkObject): string {
    return dns?.domain ?? dnsNameOf(name, "network");
}

/**
 * How names are resolved on a network: by a server where the gateway is the host's own. Absent: not at all. An adopted
 * network keeps what the program leaves out.
 */
export function chooseDns(
    given: DnsSettings | undefined,
    bridge: ForeignBridge | undefined,
    { adoptedFrom }: BuildContext<NetworkObject>,
): NetworkDns | undefined {
    if (given === undefined && adoptedFrom !== undefined) return adoptedFrom.dns;
    const { mode = bridge?.isManaged === false ? "hosts" : "server" } = given ?? {};
    return mode === "none" ? undefined : { ...given, mode };
}

/** Where a network's endpoints ask. */
export function dnsServerOf(network: NetworkObject): string | undefined {
    return network.dns?.mode === "server" ? hostAddressesOf(network)[0] : undefined;
}

/** Nothing is resolved on a network that was made before there were names. */
const dnsOfNetwork = ({ dns }: NetworkObject): NetworkDns => dns ?? { mode: "none" };

const unique = <T>(values: readonly T[]): T[] => [...new Set(values)];

/** The names of one endpoint. */
export function recordOf(endpoint: EndpointObject, network: NetworkObject, sandbox: SandboxObject): NameRecord {
    const single = [hostnameOf(sandbox), dnsNameOf(sandbox.name, "sandbox"), ...(endpoint.aliases ?? [])];
    const domain = domainOf(network);
    const [first = "", ...others] = single.flatMap((name) => [`${name}.${domain}`, name]);
    return {
        endpoint: endpoint.key,
        addresses: addressesOf(endpoint, network),
        names: unique([first, ...others]),
    };
}

/** The names of all endpoints on a network, in the order of their keys; several may have one. */
export function recordsOf(network: NetworkObject, world: World): NameRecord[] {
    if (dnsOfNetwork(network).mode === "none") return [];
    return world.endpointsOf(network.key).flatMap((endpoint) => {
        const sandbox = world.get("sandbox", endpoint.sandbox);
        return sandbox === undefined ? [] : recordOf(endpoint, network, sandbox);
    });
}

/** The networks of a sandbox, the one with its default route first. */
function networksOf(sandbox: SandboxObject, world: World): NetworkObject[] {
    return endpointsInOrder(sandbox, world).flatMap(({ network }) => world.get("network", network) ?? []);
}

/** The host's own addresses on a network, IPv4 first; none on a bridge of others that the host itself is not on. */
function hostAddressesOf(network: NetworkObject): string[] {
    const { bridge } = network;
    if (bridge?.isManaged === false)
        return [bridge.address, bridge.ipv6Address].flatMap((address) => address?.replace(/\/.*/, "") ?? []);
    return halvesOf(network).map(({ gateway }) => gateway);
}

/** What "host-gateway" is for a sandbox, IPv4 first: the host on the network that gives the default route, or the first one. */
export function hostGatewaysOf(sandbox: SandboxObject, world: World): string[] {
    return (
        networksOf(sandbox, world)
            .map(hostAddressesOf)
            .find((addresses) => addresses.length > 0) ?? []
    );
}

/**
 * How a sandbox finds names: what its program says, else what its networks say, the one with the default route first. A
 * server answers at their gateways, so where none of them has one there are files instead.
 */
export function dnsOf(sandbox: SandboxObject, world: World): SandboxDns {
    const all = networksOf(sandbox, world);
    const named = all.filter((network) => dnsOfNetwork(network).mode !== "none");
    const served = named.filter((network) => dnsOfNetwork(network).mode === "server");
    const own = sandbox.dns ?? {};
    const asks = named.length > 0 || sandbox.dns !== undefined || sandbox.extraHosts !== undefined;
    const wanted = own.mode ?? (asks ? "server" : "none");
    const mode = wanted === "server" && served.length === 0 ? "hosts" : wanted;
    /** The sandbox's own, else those of its networks. */
    const settings = (name: "servers" | "search" | "options") =>
        own[name] ?? unique(named.flatMap((network) => dnsOfNetwork(network)[name] ?? []));
    const [resolver] = mode === "server" ? served.flatMap(hostAddressesOf) : [];
    return {
        mode,
        networks: mode === "server" ? served.map(({ key }) => key).sort() : [],
        servers: settings("servers"),
        forwards: sandbox.joined?.hasDefaultRoute === true || all.some(({ internal }) => !internal),
        ...(resolver === undefined ? {} : { resolver }),
        search: unique([...(own.domain === undefined ? [] : [own.domain]), ...settings("search")]),
        options: settings("options"),
    };
}
