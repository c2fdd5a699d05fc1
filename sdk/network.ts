import type * as pulumi from "@pulumi/pulumi";
import type { RefValue } from "../provider/model/reference.js";
import type { Host } from "./host.js";
import { connectionOf, isBranded, type Many, projectRef, type Ref } from "./reference.js";
import {
    type CommonArgs,
    findExisting,
    type GetArgs,
    LinuxnetResource,
    type Lookup,
    type ResourceOptions,
    type Unset,
} from "./resource.js";

export interface NetworkArgs extends CommonArgs {
    /** The machine the network is on. Replaces. */
    host: Ref<Host>;
    /** Its name in messages and on the host. In place. @default the resource name */
    name?: pulumi.Input<string>;
    /**
     * "bridge" is a segment of the host's own; "macvlan" and "ipvlan" put endpoints on the segment of `parent`.
     * Replaces. @default "bridge"
     */
    driver?: pulumi.Input<NetworkDriver>;
    /**
     * The addresses of the segment, as CIDR (`172.20.0.0/24`); an array for both families, IPv6 alone with
     * `ipv4: false`. Replaces.
     * @default the next free subnet of the host's `addressPools`
     */
    subnet?: Many<string>;
    /**
     * The subnet may overlap addresses and routes of the host, which is otherwise refused: what they lead to is then not
     * reached. Networks of this provider never overlap. In place. @default false
     */
    allowOverlap?: pulumi.Input<boolean>;
    /** The host's own address on the segment; an array for both families. In place. @default the subnet's first */
    gateway?: Many<string>;
    /**
     * Where automatic addresses are taken from: CIDR, or "first-last". With both families those of IPv6 have the numbers of
     * those of IPv4. In place.
     * @default the subnet
     */
    ipRange?: Many<string>;
    /** Addresses never given to an endpoint (Docker's `--aux-address`), of either family. In place. @default [] */
    reserved?: Many<string>;
    /**
     * With false the network has IPv6 alone: subnet, addresses, gateway, published ports. Replaces, with its endpoints.
     * @default true
     */
    ipv4?: pulumi.Input<boolean>;
    /**
     * IPv6 beside IPv4; without an IPv6 subnet a /64 of the host's own prefix (RFC 4193). In place.
     * @default false, or true when a subnet is IPv6, or with `ipv4: false`
     */
    ipv6?: pulumi.Input<boolean>;
    /** No way in or out: no NAT, no default route, no published ports. In place. @default false */
    internal?: pulumi.Input<boolean>;
    /**
     * Endpoints and the host reach each other. With false neither does, at any address of the host, and no policy opens
     * it; what is published stays reachable, and the gateway still routes. In place. @default true
     */
    hostAccess?: pulumi.Input<boolean>;
    /** Endpoints of the network do not reach each other (Docker's ICC off). In place. @default false */
    isolateEndpoints?: pulumi.Input<boolean>;
    /**
     * What is decided about endpoints in a direction that no FirewallPolicy speaks of: "network" lets those of the network
     * talk, with the outside and with the host; "deny" drops all but ARP, in and out, published ports and the host
     * included, until a policy allows more: the egress of the source and the ingress of the target. An endpoint is closed
     * before it exists, and again when its last policy goes. Connections that are open when it comes go on. In place.
     * @default "network"
     */
    defaultPolicy?: pulumi.Input<DefaultPolicy>;
    /** Outbound traffic leaves with the host's address. In place. @default true */
    masquerade?: pulumi.Input<boolean>;
    /**
     * Routed mode: from outside the host, addresses of endpoints are reachable where an ingress policy of the endpoint
     * allows it (reference, CIDR or keyword); without a policy they stay closed, and so do other networks of this host.
     * Those outside need a route to the subnet over this host; usually with `masquerade: false`. Not together with
     * `internal`. In place. @default false
     */
    directAccess?: pulumi.Input<boolean>;
    /** Largest packet in bytes. In place. @default the largest that passes unfragmented */
    mtu?: pulumi.Input<number>;
    /**
     * The host's interface a macvlan or ipvlan network is on; "eth0.20" is `parent: "eth0"` with `vlan: 20`.
     * Replaces.
     */
    parent?: pulumi.Input<string>;
    /**
     * For macvlan "bridge", "private", "vepa", "passthru"; for ipvlan "l2", "l3", "l3s". Replaces.
     * @default "bridge", or "l2"
     */
    mode?: pulumi.Input<NetworkMode>;
    /** VLAN id on `parent`, 1 to 4094. Replaces. */
    vlan?: pulumi.Input<number>;
    /**
     * Uses the bridge `interfaceName` of others as it is, and never changes or deletes it: `subnet` is what is on it,
     * `gateway` where endpoints send to (default the bridge's own address), `ipRange` what of it is yours. Its traffic
     * stays the business of others, so policies, `internal`, `masquerade` and the like do not apply. Replaces.
     * @default false
     */
    existing?: pulumi.Input<boolean>;
    /**
     * The bridge of others to use with `existing`, or to take over with `adopt` (without it the one that has the
     * subnet). Replaces. @default a bridge of its own with a short name made from the resource's URN
     */
    interfaceName?: pulumi.Input<string>;
    /** How endpoints resolve names. In place. @default `{ mode: "server" }`, with `existing` `{ mode: "hosts" }` */
    dns?: pulumi.Input<DnsArgs>;
    /** Routes every endpoint of the network gets (Podman's `--route`). In place. @default [] */
    routes?: pulumi.Input<pulumi.Input<RouteArgs>[]>;
    /** Further names in every sandbox of the network: name to address, or to "host-gateway", the host. In place. @default {} */
    extraHosts?: pulumi.Input<Record<string, pulumi.Input<string>>>;
    /** Host address of port mappings that name none. In place. @default every address of the host */
    defaultHostAddress?: pulumi.Input<string>;
    /** Other stacks may attach endpoints, and name the network in policies. In place. @default false */
    attachable?: pulumi.Input<boolean>;
}

export type NetworkDriver = "bridge" | "macvlan" | "ipvlan";
export type NetworkMode = "bridge" | "private" | "vepa" | "passthru" | "l2" | "l3" | "l3s";
export type DefaultPolicy = "network" | "deny";

/** How names are resolved. What a Sandbox says goes before what its Networks say. */
export interface DnsArgs {
    /**
     * "server" answers by a resolver on the host; "hosts" writes the names into files, without one; "none" leaves names
     * alone.
     * @default of a Network "server", on a bridge of others (`existing`) "hosts"; of a Sandbox what its networks have
     */
    mode?: pulumi.Input<DnsMode>;
    /** Addresses where questions about all other names go. @default the host's own resolvers */
    servers?: Many<string>;
    /** Domains tried after a name. @default [] */
    search?: Many<string>;
    /**
     * Of a Network the domain of its names, which are found without it too: `db`, `db.backend`. Of a Sandbox the first of
     * `search`.
     * @default the network's name; of a Sandbox none
     */
    domain?: pulumi.Input<string>;
    /** Options of resolv.conf(5), such as "ndots:2". @default [] */
    options?: Many<string>;
}

export type DnsMode = "server" | "hosts" | "none";

/** A route. */
export interface RouteArgs {
    /** Destination, as CIDR. */
    to: pulumi.Input<string>;
    /** Address of the next hop, on the network. */
    via: pulumi.Input<string>;
    /** Lower is preferred. @default the kernel's */
    metric?: pulumi.Input<number>;
}

/** DNS settings in canonical form. */
export interface Dns {
    readonly mode?: DnsMode;
    readonly servers?: string[];
    readonly search?: string[];
    readonly domain?: string;
    readonly options?: string[];
}

const definition = {
    kind: "network",
    title: "Network",
    handler: `exports.handler = () => require("pulumi-linuxnet/provider").network;`,
} as const;

const unset: Unset<Network> = {
    host: undefined,
    driver: undefined,
    subnet: undefined,
    allowOverlap: undefined,
    gateway: undefined,
    ipRange: undefined,
    reserved: undefined,
    ipv4: undefined,
    ipv6: undefined,
    internal: undefined,
    hostAccess: undefined,
    isolateEndpoints: undefined,
    defaultPolicy: undefined,
    masquerade: undefined,
    directAccess: undefined,
    mtu: undefined,
    parent: undefined,
    mode: undefined,
    vlan: undefined,
    existing: undefined,
    interfaceName: undefined,
    dns: undefined,
    routes: undefined,
    extraHosts: undefined,
    defaultHostAddress: undefined,
    attachable: undefined,
    subnets: undefined,
    ranges: undefined,
    gateways: undefined,
    dnsServer: undefined,
};

/** One layer 2 segment on one host, with its subnets. */
export class Network extends LinuxnetResource<"network"> {
    declare readonly host: pulumi.Output<RefValue>;
    declare readonly driver: pulumi.Output<NetworkDriver | undefined>;
    /** The first subnet. */
    declare readonly subnet: pulumi.Output<string>;
    declare readonly allowOverlap: pulumi.Output<boolean | undefined>;
    /** The first gateway. */
    declare readonly gateway: pulumi.Output<string>;
    declare readonly ipRange: pulumi.Output<string | string[] | undefined>;
    declare readonly reserved: pulumi.Output<string[] | undefined>;
    declare readonly ipv4: pulumi.Output<boolean | undefined>;
    declare readonly ipv6: pulumi.Output<boolean | undefined>;
    declare readonly internal: pulumi.Output<boolean | undefined>;
    declare readonly hostAccess: pulumi.Output<boolean | undefined>;
    declare readonly isolateEndpoints: pulumi.Output<boolean | undefined>;
    declare readonly defaultPolicy: pulumi.Output<DefaultPolicy | undefined>;
    declare readonly masquerade: pulumi.Output<boolean | undefined>;
    declare readonly directAccess: pulumi.Output<boolean | undefined>;
    /** Largest packet in bytes, as it is on the host. */
    declare readonly mtu: pulumi.Output<number>;
    declare readonly parent: pulumi.Output<string | undefined>;
    declare readonly mode: pulumi.Output<NetworkMode | undefined>;
    declare readonly vlan: pulumi.Output<number | undefined>;
    declare readonly existing: pulumi.Output<boolean | undefined>;
    /** The bridge, or the parent of macvlan and ipvlan. */
    declare readonly interfaceName: pulumi.Output<string>;
    declare readonly dns: pulumi.Output<Dns | undefined>;
    declare readonly routes: pulumi.Output<{ to: string; via: string; metric?: number }[] | undefined>;
    declare readonly extraHosts: pulumi.Output<Record<string, string> | undefined>;
    declare readonly defaultHostAddress: pulumi.Output<string | undefined>;
    declare readonly attachable: pulumi.Output<boolean | undefined>;

    /** All subnets. */
    declare readonly subnets: pulumi.Output<string[]>;
    /** What this network has of its subnets: the `ipRange`, or all of it. */
    declare readonly ranges: pulumi.Output<string[]>;
    /** All gateways. */
    declare readonly gateways: pulumi.Output<string[]>;
    /** Address of the resolver its endpoints ask; undefined without one. */
    declare readonly dnsServer: pulumi.Output<string | undefined>;

    constructor(name: string, args: NetworkArgs, opts?: ResourceOptions) {
        const project = (at: string) => ({
            props: { ...unset, ...args, host: projectRef(`${at}: host`, ["host"], args.host) },
            connection: connectionOf(`${at}: host`, ["host"], args.host),
            host: args.host,
        });
        super(definition, name, args, project, opts);
    }

    /** True for a Network, also of another installed copy of the package. */
    static override isInstance(obj: unknown): obj is Network {
        return isBranded(obj, "network");
    }

    /**
     * A network another stack manages, with `attachable: true`: observed, never changed or deleted.
     * @param lookup its output `reference`, from a StackReference
     */
    static get(name: string, lookup: Lookup<Network>, args: GetArgs, opts?: ResourceOptions): Network {
        const existing = findExisting(definition, name, lookup, unset, args.host);
        return new Network(name, existing as never, opts);
    }
}
