import type * as pulumi from "@pulumi/pulumi";
import type { RefValue } from "../provider/model/reference.js";
import type { Host } from "./host.js";
import type { Network } from "./network.js";
import type { OverlayNetwork } from "./overlay-network.js";
import { connectionOf, follow, isBranded, type Many, projectRef, type Ref } from "./reference.js";
import {
    type CommonArgs,
    findExisting,
    type GetArgs,
    LinuxnetResource,
    type Lookup,
    type ResourceOptions,
    type Unset,
} from "./resource.js";
import type { Sandbox } from "./sandbox.js";
import { listStaticAddresses, noteStaticAddresses } from "./static-addresses.js";

export interface EndpointArgs extends CommonArgs {
    /** The sandbox to attach. Replaces. */
    sandbox: Ref<Sandbox>;
    /** The network to attach it to; of an OverlayNetwork the one on the sandbox's host. Replaces. */
    network: Ref<Network | OverlayNetwork>;
    /**
     * On a network with IPv4. In place.
     * @default allocated on the host, none that the program gives to another endpoint, and stable
     */
    ipv4Address?: pulumi.Input<string>;
    /**
     * On a network with IPv6. In place.
     * @default the one with the number of the IPv4 address, or allocated on a network without IPv4, and stable
     */
    ipv6Address?: pulumi.Input<string>;
    /** In place. @default made from the address */
    macAddress?: pulumi.Input<string>;
    /** Further names by which others on the network find the sandbox; several may share one. In place. @default [] */
    aliases?: Many<string>;
    /**
     * The interface inside the sandbox, up to 15 bytes. In place.
     * @default the network's logical name; of a longer one the first 10 bytes, "-" and 4 hex digits
     */
    interfaceName?: pulumi.Input<string>;
    /**
     * The endpoint with the highest number gives the sandbox its default route, ties go by network name; "never" and
     * internal networks give none. Replies leave by the endpoint they came in by, whatever this says. In place.
     * @default 0
     */
    gatewayPriority?: pulumi.Input<number | "never">;
    /** Routes inside the sandbox. In place. @default [] */
    routes?: pulumi.Input<pulumi.Input<EndpointRouteArgs>[]>;
    /** Further source addresses (CIDR) the sandbox may send from; others are dropped. In place. @default [] */
    allowedAddresses?: Many<string>;
}

/** A route whose next hop may be another sandbox. */
export interface EndpointRouteArgs {
    /** Destination, as CIDR. */
    to: pulumi.Input<string>;
    /** The next hop on the network: an address, or another sandbox's endpoint. */
    via: pulumi.Input<string> | Ref<Endpoint>;
    /** Lower is preferred. @default the kernel's */
    metric?: pulumi.Input<number>;
}

const definition = {
    kind: "endpoint",
    title: "Endpoint",
    handler: `exports.handler = () => require("pulumi-linuxnet/provider").endpoint;`,
} as const;

const unset: Unset<Endpoint> = {
    sandbox: undefined,
    network: undefined,
    ipv4Address: undefined,
    ipv6Address: undefined,
    macAddress: undefined,
    aliases: undefined,
    interfaceName: undefined,
    gatewayPriority: undefined,
    routes: undefined,
    allowedAddresses: undefined,
    address: undefined,
    addresses: undefined,
    hostInterface: undefined,
};

/** The attachment of one sandbox to one network. A running sandbox gains and loses endpoints. */
export class Endpoint extends LinuxnetResource<"endpoint"> {
    declare readonly sandbox: pulumi.Output<RefValue>;
    declare readonly network: pulumi.Output<RefValue>;
    /** Undefined on a network without IPv4. */
    declare readonly ipv4Address: pulumi.Output<string | undefined>;
    /** Undefined on a network without IPv6. */
    declare readonly ipv6Address: pulumi.Output<string | undefined>;
    declare readonly macAddress: pulumi.Output<string>;
    declare readonly aliases: pulumi.Output<string[] | undefined>;
    /** The interface inside the sandbox. */
    declare readonly interfaceName: pulumi.Output<string>;
    declare readonly gatewayPriority: pulumi.Output<number | "never" | undefined>;
    declare readonly routes: pulumi.Output<{ to: string; via: string | RefValue; metric?: number }[] | undefined>;
    declare readonly allowedAddresses: pulumi.Output<string[] | undefined>;

    /** The first address: IPv4 where there is one. */
    declare readonly address: pulumi.Output<string>;
    /** All addresses, one of each family. */
    declare readonly addresses: pulumi.Output<string[]>;
    /** The interface on the host. */
    declare readonly hostInterface: pulumi.Output<string>;

    constructor(name: string, args: EndpointArgs, opts?: ResourceOptions) {
        const project = (at: string) => {
            const sandbox = projectRef(`${at}: sandbox`, ["sandbox"], args.sandbox);
            const network = projectNetwork(`${at}: network`, args);
            return {
                props: {
                    ...unset,
                    ...args,
                    sandbox,
                    network,
                    routes: projectRoutes(`${at}: routes`, args.routes),
                    staticAddresses: projectStaticAddresses(args, [sandbox, network]),
                },
                connection: connectionOf(`${at}: sandbox`, ["sandbox"], args.sandbox),
                host: isBranded(args.sandbox, "sandbox") ? args.sandbox.__linuxnet.host : undefined,
                network: isBranded(args.network, "network", "overlay-network") ? args.network : undefined,
            };
        };
        super(definition, name, args, project, opts);
        // A preview has it among the outputs, a run has not: an endpoint that is exported as a whole would never be the same.
        Object.defineProperty(this, "staticAddresses", { enumerable: false });
    }

    /** True for an Endpoint, also of another installed copy of the package. */
    static override isInstance(obj: unknown): obj is Endpoint {
        return isBranded(obj, "endpoint");
    }

    /**
     * An endpoint another stack manages: observed, never changed or deleted.
     * @param lookup its output `reference`, from a StackReference
     */
    static get(name: string, lookup: Lookup<Endpoint>, args: GetArgs, opts?: ResourceOptions): Endpoint {
        return new Endpoint(name, findExisting(definition, name, lookup, unset, args.host) as never, opts);
    }
}

function projectNetwork(at: string, args: EndpointArgs): unknown {
    return follow(args.network, (network) => {
        if (!isBranded(network, "overlay-network")) return projectRef(at, ["network"], network);
        return follow(args.sandbox, (sandbox) => {
            if (!isBranded(sandbox, "sandbox")) {
                throw new Error(
                    `${at}: with an OverlayNetwork the sandbox has to be the Sandbox itself, its host decides.`,
                );
            }
            return follow(sandbox.__linuxnet.host, (host) => {
                const overlay = network as unknown as OverlayNetwork;
                if (isBranded(host, "host")) return projectRef(at, ["network"], overlay.on(host as unknown as Host));
                throw new Error(`${at}: the host of the sandbox is not one of the OverlayNetwork's hosts.`);
            });
        });
    });
}

/** What it must leave to others, of the families in which it is given none itself. */
function projectStaticAddresses({ network, ipv4Address, ipv6Address }: EndpointArgs, after: unknown[]): unknown {
    noteStaticAddresses(network, [ipv4Address, ipv6Address]);
    if (ipv4Address !== undefined && ipv6Address !== undefined) return undefined;
    const isWanted = (address: string) => (address.includes(":") ? ipv6Address : ipv4Address) === undefined;
    return listStaticAddresses(network, isWanted, after);
}

function projectRoutes(at: string, routes: unknown): unknown {
    return follow(routes, (list) => {
        if (!Array.isArray(list)) return list;
        return list.map((element, index) => follow(element, (route) => projectVia(`${at}[${index}].via`, route)));
    });
}

function projectVia(at: string, route: unknown): unknown {
    if (typeof route !== "object" || route === null || !("via" in route)) return route;
    const via = follow(route.via, (hop) => (typeof hop === "string" ? hop : projectRef(at, ["endpoint"], hop)));
    return { ...route, via };
}
