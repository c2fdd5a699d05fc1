import type * as pulumi from "@pulumi/pulumi";
import type { RefValue } from "../provider/model/reference.js";
import { projectAddresses } from "./address-projection.js";
import type { Endpoint } from "./endpoint.js";
import type { Host } from "./host.js";
import type { OverlayNetwork } from "./overlay-network.js";
import {
    connectionOf,
    connectionOfFirst,
    follow,
    isBranded,
    type Many,
    projectMany,
    projectRef,
    type Ref,
} from "./reference.js";
import {
    type CommonArgs,
    findExisting,
    type GetArgs,
    LinuxnetResource,
    type Lookup,
    type ResourceOptions,
    type Unset,
} from "./resource.js";

export interface PortMappingArgs extends CommonArgs {
    /**
     * Where connections go. New ones are dealt out to several in turn, by `weight`; one that leaves takes no flow of the
     * others along. At most 64. In place.
     */
    target: Many<Ref<Endpoint> | WeightedTargetArgs>;
    /** The port inside the sandbox, or a range "8000-8010". In place. @default `hostPort` */
    targetPort?: pulumi.Input<number | string>;
    /**
     * The port on the host, or a range "8000-8010"; of a range for one target port the first free one. In place.
     * @default a free one from 20000-32767, and stable
     */
    hostPort?: pulumi.Input<number | string>;
    /** In place. @default "tcp" */
    protocol?: Many<Protocol>;
    /**
     * Several ports in one mapping, in place of `targetPort`, `hostPort` and `protocol`: Compose's short form (`"8080:80"`,
     * `"127.0.0.1:53:53/udp"`, `"8000-8010:80-90"`; `"80"` or `80` takes a free port of the host), its long form, or objects
     * with the names used here. Kept as the latter. In place.
     * @see https://docs.docker.com/reference/compose-file/services/#ports
     */
    ports?: Many<string | number | PortArgs | ComposePortArgs>;
    /**
     * Addresses of the host; "0.0.0.0" and "::" mean every one of a family, 127.0.0.1 this machine only (::1 cannot be
     * published). A mapping on one address goes before one on every address of the same stack; between stacks that is
     * refused. In place. @default every address of the host, of the families that its targets have
     */
    hostAddress?: Many<string>;
    /**
     * What happens to connections whose target, port or mapping goes: they may go on until they end ("drain"), or are cut
     * at once ("cut"): the next packet is a new connection. What was set before a change counts for that change. In place.
     * @default "cut" for udp, else "drain"
     */
    existingFlows?: pulumi.Input<ExistingFlows>;
    /** How long a delete or a change waits for connections to end, in ms. In place. @default 0 */
    drainTimeoutMs?: pulumi.Input<number>;
    /**
     * What targets on other hosts see: "masquerade" the address of this host's gateway on the segment, "keep" the client's;
     * then their host sends replies back through this one. Targets on this host see the client's in either case. In place.
     * @default "masquerade"
     */
    sourceAddress?: pulumi.Input<SourceAddress>;
    /**
     * The host whose ports these are. Targets on other hosts have to be on an OverlayNetwork that this host is on, too, or
     * on networks joined by OverlayTunnels that are there before. Replaces. @default the host of the first target
     */
    publishOn?: Ref<Host>;
}

/** One of several targets. */
export interface WeightedTargetArgs {
    endpoint: Ref<Endpoint>;
    /** The port inside this target's sandbox. @default `targetPort` */
    port?: pulumi.Input<number | string>;
    /** Its share of new connections, 0 to 100; 0: it gets none, and keeps those it has. @default 1 */
    weight?: pulumi.Input<number>;
}

/** One published port, or range. */
export interface PortArgs {
    /** The port inside the sandbox, or a range. */
    targetPort: pulumi.Input<number | string>;
    /** The port on the host, or a range. @default a free one, and stable */
    hostPort?: pulumi.Input<number | string>;
    /** @default "tcp" */
    protocol?: Many<Protocol>;
    /** @default the mapping's `hostAddress` */
    hostAddress?: Many<string>;
}

/** One published port, or range, as Compose's long form has it. */
export interface ComposePortArgs {
    /** The port inside the sandbox, or a range. */
    target: pulumi.Input<number | string>;
    /** The port on the host, or a range. @default a free one, and stable */
    published?: pulumi.Input<number | string>;
    /** @default "tcp" */
    protocol?: pulumi.Input<Protocol>;
    /** @default the mapping's `hostAddress` */
    host_ip?: pulumi.Input<string>;
    /** "host", which is what happens. */
    mode?: pulumi.Input<"host">;
    /** Accepted and not used. */
    name?: pulumi.Input<string>;
    /** Accepted and not used. */
    app_protocol?: pulumi.Input<string>;
}

export type Protocol = "tcp" | "udp" | "sctp";
export type ExistingFlows = "drain" | "cut";
export type SourceAddress = "keep" | "masquerade";

/** A target in canonical form; one on another host has the addresses it is known by. */
export type PortTarget =
    | TargetValue
    | { readonly endpoint: TargetValue; readonly port?: number | string; readonly weight?: number };

type TargetValue = RefValue & { readonly addresses?: string[] };

/** One of `ports` in canonical form. */
export interface PublishedPort {
    readonly targetPort: number | string;
    readonly hostPort?: number | string;
    readonly protocol: Protocol[];
    readonly hostAddress?: string[];
}

/** One way in; of several targets one for each. */
export interface Binding {
    readonly protocol: Protocol;
    readonly hostAddress: string;
    readonly hostPort: number;
    readonly targetAddress: string;
    readonly targetPort: number;
    readonly url: string;
}

const definition = {
    kind: "port-mapping",
    title: "PortMapping",
    handler: `exports.handler = () => require("pulumi-linuxnet/provider").portMapping;`,
} as const;

const unset: Unset<PortMapping> = {
    target: undefined,
    targetPort: undefined,
    hostPort: undefined,
    protocol: undefined,
    ports: undefined,
    hostAddress: undefined,
    existingFlows: undefined,
    drainTimeoutMs: undefined,
    sourceAddress: undefined,
    publishOn: undefined,
    bindings: undefined,
};

/** Publishes ports of the host to one or several endpoints. */
export class PortMapping extends LinuxnetResource<"port-mapping"> {
    declare readonly target: pulumi.Output<PortTarget[]>;
    declare readonly targetPort: pulumi.Output<number | string | undefined>;
    /** The port on the host; of several the first. */
    declare readonly hostPort: pulumi.Output<number>;
    declare readonly protocol: pulumi.Output<Protocol[] | undefined>;
    declare readonly ports: pulumi.Output<PublishedPort[] | undefined>;
    declare readonly hostAddress: pulumi.Output<string[] | undefined>;
    declare readonly existingFlows: pulumi.Output<ExistingFlows | undefined>;
    declare readonly drainTimeoutMs: pulumi.Output<number | undefined>;
    declare readonly sourceAddress: pulumi.Output<SourceAddress | undefined>;
    declare readonly publishOn: pulumi.Output<RefValue | undefined>;

    /** Every way in. */
    declare readonly bindings: pulumi.Output<Binding[]>;

    constructor(name: string, args: PortMappingArgs, opts?: ResourceOptions) {
        const project = (at: string) => {
            const { publishOn } = args;
            const place = publishOn ?? hostOfFirst(args.target);
            const projectOne = (target: unknown, where: string) => projectTarget(target, where, place);
            const target = projectMany(`${at}: target`, args.target, projectOne);
            if (publishOn === undefined)
                return {
                    props: { ...unset, ...args, target },
                    connection: connectionOfFirst(`${at}: target`, ["endpoint"], args.target, endpointOf),
                };
            return {
                props: { ...unset, ...args, target, publishOn: projectRef(`${at}: publishOn`, ["host"], publishOn) },
                connection: connectionOf(`${at}: publishOn`, ["host"], publishOn),
            };
        };
        super(definition, name, args, project, opts);
    }

    /** True for a PortMapping, also of another installed copy of the package. */
    static override isInstance(obj: unknown): obj is PortMapping {
        return isBranded(obj, "port-mapping");
    }

    /**
     * A port mapping another stack manages: observed, never changed or deleted.
     * @param lookup its output `reference`, from a StackReference
     */
    static get(name: string, lookup: Lookup<PortMapping>, args: GetArgs, opts?: ResourceOptions): PortMapping {
        return new PortMapping(name, findExisting(definition, name, lookup, unset, args.host) as never, opts);
    }
}

/** The host of the first target, where the program can tell when it starts. */
function hostOfFirst(target: unknown): unknown {
    const first = endpointOf(Array.isArray(target) ? target[0] : target);
    return isBranded(first, "endpoint") ? first.__linuxnet.host : undefined;
}

function projectTarget(target: unknown, at: string, host: unknown): unknown {
    return follow(target, (known) => {
        const endpoint = endpointOf(known);
        if (endpoint === known) return projectEndpoint(at, known, host);
        return { ...(known as WeightedTargetArgs), endpoint: projectEndpoint(`${at}.endpoint`, endpoint, host) };
    });
}

function projectEndpoint(at: string, endpoint: unknown, host: unknown): unknown {
    return follow(endpoint, (known) => ({
        ...(projectRef(at, ["endpoint"], known) as RefValue),
        ...projectAddresses(known, wayTo(known, host)),
    }));
}

/** The publishing host's end of the segment of an endpoint: it has to be there before. */
function wayTo(endpoint: unknown, host: unknown): pulumi.Resource | undefined {
    const network = isBranded(endpoint, "endpoint") ? endpoint.__linuxnet.network : undefined;
    const overlay = isBranded(network, "network") ? network.__linuxnet.overlay : network;
    if (!isBranded(overlay, "overlay-network") || !isBranded(host, "host")) return undefined;
    return (overlay as unknown as OverlayNetwork).tunnelOn(host as unknown as Host);
}

/** The endpoint of a target: of `{ endpoint, port, weight }`, or the target itself. */
function endpointOf(target: unknown): unknown {
    if (typeof target !== "object" || target === null || isBranded(target, "endpoint")) return target;
    return "endpoint" in target ? target.endpoint : target;
}
