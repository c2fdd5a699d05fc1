import type * as pulumi from "@pulumi/pulumi";
import type { RefValue } from "../provider/model/reference.js";
import { Endpoint, type EndpointArgs } from "./endpoint.js";
import type { Host } from "./host.js";
import type { Dns, DnsArgs, Network } from "./network.js";
import type { OverlayNetwork } from "./overlay-network.js";
import { connectionOf, isBranded, type Many, projectRef, type Ref, type Reference } from "./reference.js";
import {
    type CommonArgs,
    findExisting,
    type GetArgs,
    LinuxnetResource,
    type Lookup,
    type ResourceOptions,
    type Unset,
} from "./resource.js";

export interface SandboxArgs extends CommonArgs {
    /** The machine the sandbox is on. Replaces. */
    host: Ref<Host>;
    /** Name of the namespace (`/run/netns/<name>`). Replaces. @default `<resource name>-<6 hex digits>` */
    name?: pulumi.Input<string>;
    /**
     * The name by which others on its networks find it (`db:5432`), one label or several. Two sandboxes with one are both
     * answered. In place; once it is left out it stays until the sandbox changes otherwise.
     * @default the resource name in lower case, with "-" for what no name has
     */
    hostname?: pulumi.Input<string>;
    /**
     * Joins this existing namespace (a name of `ip netns`, or its path below /run/netns) and never owns it: what the
     * sandbox adds goes with it, the namespace stays. Replaces.
     */
    namespace?: pulumi.Input<string>;
    /** "private" is a namespace of its own, "host" the host's. Replaces. @default "private" */
    networkMode?: pulumi.Input<NetworkModeOfSandbox>;
    /** How names are resolved, where it differs from the networks' own settings. In place. */
    dns?: pulumi.Input<DnsArgs>;
    /** Further names: name to address, or to "host-gateway", the host on the sandbox's network. In place. @default {} */
    extraHosts?: pulumi.Input<Record<string, pulumi.Input<string>>>;
    /** Kernel settings of the namespace; only keys that are per namespace. In place. @default {} */
    sysctls?: pulumi.Input<Record<string, pulumi.Input<string | number>>>;
    /**
     * The sandbox routes for others (a VPN gateway); `masquerade` names the interfaces that traffic leaves by with the
     * sandbox's own address. In place. @default false
     */
    forwarding?: pulumi.Input<boolean | ForwardingArgs>;
}

/** "private": a namespace of its own; "host": the host's own. */
export type NetworkModeOfSandbox = "private" | "host";

export interface ForwardingArgs {
    /** Interfaces inside the sandbox. */
    masquerade: Many<string>;
}

const definition = {
    kind: "sandbox",
    title: "Sandbox",
    handler: `exports.handler = () => require("pulumi-linuxnet/provider").sandbox;`,
} as const;

const unset: Unset<Sandbox> = {
    host: undefined,
    hostname: undefined,
    namespace: undefined,
    networkMode: undefined,
    dns: undefined,
    extraHosts: undefined,
    sysctls: undefined,
    forwarding: undefined,
    exec: undefined,
    podmanArgs: undefined,
};

/** One network namespace. Without endpoints it has only `lo`: Docker's none. */
export class Sandbox extends LinuxnetResource<"sandbox"> {
    declare readonly host: pulumi.Output<RefValue>;
    declare readonly hostname: pulumi.Output<string>;
    /** Path of the namespace: `/run/netns/<name>`. */
    declare readonly namespace: pulumi.Output<string>;
    declare readonly networkMode: pulumi.Output<NetworkModeOfSandbox | undefined>;
    declare readonly dns: pulumi.Output<Dns | undefined>;
    declare readonly extraHosts: pulumi.Output<Record<string, string> | undefined>;
    declare readonly sysctls: pulumi.Output<Record<string, string> | undefined>;
    declare readonly forwarding: pulumi.Output<boolean | { masquerade: string[] } | undefined>;

    /** What runs a command inside it: `ip netns exec <name>`. */
    declare readonly exec: pulumi.Output<string>;
    /** What puts a Podman container inside it: `--network ns:/run/netns/<name>`. */
    declare readonly podmanArgs: pulumi.Output<string>;

    constructor(name: string, args: SandboxArgs, opts?: ResourceOptions) {
        const project = (at: string) => ({
            props: { ...unset, ...args, host: projectRef(`${at}: host`, ["host"], args.host) },
            connection: connectionOf(`${at}: host`, ["host"], args.host),
            host: args.host,
        });
        super(definition, name, args, project, opts);
    }

    /** True for a Sandbox, also of another installed copy of the package. */
    static override isInstance(obj: unknown): obj is Sandbox {
        return isBranded(obj, "sandbox");
    }

    /**
     * A sandbox another stack manages: observed, never changed or deleted.
     * @param lookup its output `reference`, from a StackReference
     */
    static get(name: string, lookup: Lookup<Sandbox>, args: GetArgs, opts?: ResourceOptions): Sandbox {
        return new Sandbox(name, findExisting(definition, name, lookup, unset, args.host) as never, opts);
    }

    /** Attaches the sandbox to a network: makes the Endpoint `<sandbox>-<network>` (the logical names). */
    connect(
        network: Network | OverlayNetwork | Reference<Network>,
        args: Omit<EndpointArgs, "sandbox" | "network"> = {},
        opts?: ResourceOptions,
    ): Endpoint {
        const networkName = isBranded(network, "network", "overlay-network")
            ? network.__linuxnet.name
            : ownName(network);
        return new Endpoint(`${this.__linuxnet.name}-${networkName}`, { ...args, sandbox: this, network }, opts);
    }
}

/** The logical name in a reference; what is no reference at all is refused by the Endpoint. */
function ownName(network: unknown): string {
    return (network as Partial<Reference<Network>> | null | undefined)?.owner?.name ?? "network";
}
