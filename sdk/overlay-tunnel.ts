import * as pulumi from "@pulumi/pulumi";
import type { RefValue } from "../provider/model/reference.js";
import type { Host, HostIdentity } from "./host.js";
import type { Network } from "./network.js";
import { connectionOf, follow, isBranded, type Many, projectMany, projectRef, type Ref } from "./reference.js";
import {
    type CommonArgs,
    findExisting,
    type GetArgs,
    LinuxnetResource,
    type Lookup,
    type ResourceOptions,
    type Unset,
} from "./resource.js";

export interface OverlayTunnelArgs extends CommonArgs {
    /** The network of this host that the tunnel joins to the segment. Replaces. */
    network: Ref<Network>;
    /** Number of the segment, 1 to 16777215; the same on all its hosts. In place. */
    vni: pulumi.Input<number>;
    /**
     * The other hosts of the segment. With an `ipRange` the host owns that part of the subnet, and forwarding follows
     * the range: a new endpoint touches only its own host. In place. @default []
     */
    peers?: pulumi.Input<pulumi.Input<TunnelPeer>[]>;
    /**
     * Endpoints that are not where the ranges say: with an address of another host's range (one that moved), or on a host
     * without a range. Each is a route of its own. In place. @default []
     */
    remoteEndpoints?: pulumi.Input<pulumi.Input<RemoteEndpointArgs>[]>;
    /**
     * Underlay address of this end, of the same family as the peers'. In place.
     * @default what the route to the first peer sends from
     */
    local?: pulumi.Input<string>;
    /** UDP port. In place. @default 4789 */
    port?: pulumi.Input<number>;
    /**
     * "ipsec": ESP with AES-256-GCM between the hosts, and nothing in the clear, also while it is set up, changed or taken
     * down. Every peer needs its `identity`. In place. @default "none"
     */
    encryption?: pulumi.Input<Encryption>;
    /**
     * Secret shared by all ends, at least 16 characters; required for "ipsec", whose keys are made of it. Of several the
     * first one sends and all receive, which is how it is changed without a lost packet: `[old]`, `[old, new]`,
     * `[new, old]`, `[new]`, with an `up` of all hosts for each. In place.
     */
    key?: Many<string>;
    /** Not supported: forwarding follows the ranges, and nothing is learnt. @default false */
    learning?: pulumi.Input<boolean>;
    /** Largest packet in bytes. In place. @default the largest that the underlay's route carries unfragmented */
    mtu?: pulumi.Input<number>;
}

/** A Host, the underlay address of a machine, or its address with the range it owns. */
export type TunnelPeer = Ref<Host> | string | TunnelPeerArgs;

export interface TunnelPeerArgs {
    /** Where the machine is reached on the underlay: an IPv4 or IPv6 address, global or unique local. */
    underlayAddress: pulumi.Input<string>;
    /** The part of the subnet the machine's endpoints are in: CIDR or "first-last"; an array for both families. */
    ipRange?: Many<string>;
    /** The machine, for messages. */
    host?: Ref<Host>;
    /** Its Host's output `identity`; required for encryption. */
    identity?: pulumi.Input<HostIdentity | undefined>;
    /**
     * Only with encryption "wireguard": something is sent to it at least this often, in milliseconds (whole seconds), so that
     * a NAT between this host and the peer lets the peer's packets in. 25000 suits most. @default never
     */
    keepAliveMs?: pulumi.Input<number>;
}

export interface RemoteEndpointArgs {
    /** The endpoint's address on the segment. */
    address: pulumi.Input<string>;
    /** Underlay address of the machine it is on. */
    underlayAddress: pulumi.Input<string>;
    /** Accepted and not needed any more: what crosses is routed, and MACs stay on their host. */
    macAddress?: pulumi.Input<string>;
}

export type Encryption = "none" | "ipsec" | "wireguard";

/** A peer in canonical form. */
export interface TunnelPeerValue {
    readonly host?: RefValue;
    readonly underlayAddress: string;
    readonly ipRange?: string | string[];
    /** Only with encryption. */
    readonly identity?: Partial<HostIdentity>;
    readonly keepAliveMs?: number;
}

const definition = {
    kind: "overlay-tunnel",
    title: "OverlayTunnel",
    handler: `exports.handler = () => require("pulumi-linuxnet/provider").overlayTunnel;`,
} as const;

const unset: Unset<OverlayTunnel> = {
    network: undefined,
    vni: undefined,
    peers: undefined,
    remoteEndpoints: undefined,
    local: undefined,
    port: undefined,
    encryption: undefined,
    key: undefined,
    learning: undefined,
    mtu: undefined,
    interfaceName: undefined,
    publicKey: undefined,
};

/** One host's end of a VXLAN segment that joins networks on several hosts. */
export class OverlayTunnel extends LinuxnetResource<"overlay-tunnel"> {
    declare readonly network: pulumi.Output<RefValue>;
    declare readonly vni: pulumi.Output<number>;
    declare readonly peers: pulumi.Output<(string | TunnelPeerValue)[] | undefined>;
    declare readonly remoteEndpoints: pulumi.Output<pulumi.Unwrap<RemoteEndpointArgs>[] | undefined>;
    declare readonly local: pulumi.Output<string | undefined>;
    declare readonly port: pulumi.Output<number | undefined>;
    declare readonly encryption: pulumi.Output<Encryption | undefined>;
    /** A secret. */
    declare readonly key: pulumi.Output<string | string[] | undefined>;
    declare readonly learning: pulumi.Output<boolean | undefined>;
    /** Largest packet in bytes, as it is on the host. */
    declare readonly mtu: pulumi.Output<number>;

    /** The VXLAN or WireGuard interface on the host. */
    declare readonly interfaceName: pulumi.Output<string>;
    /** This end's WireGuard key, in base64; undefined without. */
    declare readonly publicKey: pulumi.Output<string | undefined>;

    constructor(name: string, args: OverlayTunnelArgs, opts?: ResourceOptions) {
        const project = (at: string) => ({
            props: {
                ...unset,
                ...args,
                network: projectRef(`${at}: network`, ["network"], args.network),
                peers: projectMany(`${at}: peers`, args.peers, projectPeer),
                key: args.key === undefined ? undefined : pulumi.secret(args.key),
            },
            connection: connectionOf(`${at}: network`, ["network"], args.network),
            secrets: ["key"],
        });
        super(definition, name, args, project, opts);
    }

    /** True for an OverlayTunnel, also of another installed copy of the package. */
    static override isInstance(obj: unknown): obj is OverlayTunnel {
        return isBranded(obj, "overlay-tunnel");
    }

    /**
     * A tunnel another stack manages: observed, never changed or deleted.
     * @param lookup its output `reference`, from a StackReference
     */
    static get(name: string, lookup: Lookup<OverlayTunnel>, args: GetArgs, opts?: ResourceOptions): OverlayTunnel {
        return new OverlayTunnel(name, findExisting(definition, name, lookup, unset, args.host) as never, opts);
    }
}

function projectPeer(peer: unknown, at: string): unknown {
    return follow(peer, (known) => {
        if (known === undefined || typeof known === "string") return known;
        if (typeof known === "object" && known !== null && !pulumi.Resource.isInstance(known) && !("kind" in known)) {
            const { host } = known as TunnelPeerArgs;
            return host === undefined ? known : { ...known, host: projectRef(`${at}.host`, ["host"], host) };
        }
        const host = projectRef(at, ["host"], known);
        if (isBranded(known, "host")) {
            const { underlayAddress, identity } = known as unknown as Host;
            return { host, underlayAddress, identity };
        }
        throw new Error(
            `${at}: a reference to a Host has no underlay address. Use Host.get(name, reference, { connection }) first.`,
        );
    });
}
