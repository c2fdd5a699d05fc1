import * as pulumi from "@pulumi/pulumi";
import type { HostRange } from "../provider/model/subnet-ranges.js";
import type { Host } from "./host.js";
import { type DefaultPolicy, type DnsArgs, Network } from "./network.js";
import { OverlayRanges } from "./overlay-ranges.js";
import { type Encryption, OverlayTunnel, type OverlayTunnelArgs } from "./overlay-tunnel.js";
import { isBranded, type Many } from "./reference.js";
import type { CommonArgs, Identity } from "./resource.js";

export interface OverlayNetworkArgs extends Pick<CommonArgs, "labels"> {
    /**
     * The machines of the segment: an array, where each goes by its logical name, or a record of names of your own.
     * Hosts are added and removed in place, in any order; no address of the others moves.
     */
    hosts: readonly Host[] | Readonly<Record<string, Host>>;
    /** The addresses of the whole segment, as CIDR; an array for both families, IPv6 alone with `ipv4: false`. Replaces. */
    subnet: Many<string>;
    /** With false the segment has IPv6 alone, and no encryption yet. Replaces. @default true */
    ipv4?: pulumi.Input<boolean>;
    /**
     * Prefix length of each host's range, in bits; an array in the order of `subnet`. In place.
     * @default 24 for IPv4, 64 for IPv6
     */
    prefixPerHost?: Many<number>;
    /**
     * Ranges of hosts by their names: CIDR, "first-last", or an array for both families. A host without one is given the
     * lowest free part of the subnet when it comes, and keeps it. In place.
     */
    ranges?: pulumi.Input<Record<string, Many<string>>>;
    /**
     * Endpoints whose address is not in the range of the host that they are on: one that moved and keeps its address.
     * In place. @default []
     */
    remoteEndpoints?: readonly { readonly address: pulumi.Input<string>; readonly host: Host }[];
    /** Number of the segment, 1 to 16777215. In place. */
    vni: pulumi.Input<number>;
    /** UDP port. In place. @default 4789 */
    port?: pulumi.Input<number>;
    /** In place. @default "none" */
    encryption?: pulumi.Input<Encryption>;
    /** As `TunnelPeerArgs.keepAliveMs`, of every host to every other one: for hosts behind NAT. In place. @default never */
    keepAliveMs?: pulumi.Input<number>;
    /** Secret shared by all hosts, or several while it is changed: see OverlayTunnel. Required for "ipsec". In place. */
    key?: Many<string>;
    /** No way in or out. In place. @default false */
    internal?: pulumi.Input<boolean>;
    /** Endpoints do not reach each other. In place. @default false */
    isolateEndpoints?: pulumi.Input<boolean>;
    /** Other stacks may attach endpoints. In place. @default false */
    attachable?: pulumi.Input<boolean>;
    /** What endpoints without a policy may do. In place. @default "network" */
    defaultPolicy?: pulumi.Input<DefaultPolicy>;
    /**
     * How endpoints resolve names; `domain` is the segment's name where it is left out. In place.
     * @default `{ mode: "server" }`
     */
    dns?: pulumi.Input<DnsArgs>;
    /** Largest packet in bytes. In place. @default the largest that the underlay carries unfragmented */
    mtu?: pulumi.Input<number>;
}

/**
 * One segment over many hosts: on each a Network `<name>-<host>` with a range of the subnet of its own, and the
 * OverlayTunnel `<name>-<host>` that joins it to the others.
 */
export class OverlayNetwork extends pulumi.ComponentResource {
    /**
     * The brand, as that of the resources.
     * @internal
     */
    declare readonly __linuxnet: Identity<"overlay-network">;

    /** The network on each host, by the host's name. */
    readonly networks: Readonly<Record<string, Network>>;

    // A private name: not enumerable, so that a component that is exported as a whole does not drag its hosts along.
    readonly #hosts: readonly NamedHost[];
    readonly #tunnels = new Map<Network, OverlayTunnel>();

    constructor(name: string, args: OverlayNetworkArgs, opts?: pulumi.ComponentResourceOptions) {
        const at = `OverlayNetwork "${name}"`;
        const hosts = listHosts(`${at}: hosts`, args?.hosts);
        super("linuxnet:index:OverlayNetwork", name, {}, opts);
        Object.defineProperty(this, "__linuxnet", { value: { kind: "overlay-network", name } });

        // What is left over goes to the networks, so that their check refuses a misspelt argument.
        const {
            hosts: _hosts,
            prefixPerHost,
            ranges: given,
            vni,
            port,
            encryption,
            key,
            keepAliveMs,
            remoteEndpoints,
            ...ofNetwork
        } = args;
        const ofTunnel = { vni, port, encryption, key, mtu: args.mtu, labels: args.labels };
        const names = hosts.map(([hostName]) => hostName);
        const request = { segment: name, hosts: names, subnet: args.subnet, prefixPerHost, given };
        const { ranges } = new OverlayRanges(name, request, { parent: this });
        const range = (of: string, what: keyof HostRange) =>
            ranges.apply((all) => all?.[of]?.[what]) as pulumi.Output<string | string[]>;
        const networks: Record<string, Network> = {};
        // One domain everywhere; the networks' names are those of their hosts.
        const domain = name.toLowerCase().replace(/[^a-z0-9_.-]/g, "-");
        const dns = pulumi.output(args.dns).apply((given) => ({ domain, ...given }));
        for (const [hostName, host] of hosts) {
            const child = `${name}-${host.__linuxnet.name}`;
            const own = { host, ipRange: range(hostName, "ipRange"), gateway: range(hostName, "gateway") };
            const network = new Network(child, { ...ofNetwork, dns, ...own }, { parent: this });
            const peers = hosts
                .filter(([peerName]) => peerName !== hostName)
                .map(([peerName, peer]) => ({
                    host: peer,
                    underlayAddress: peer.underlayAddress,
                    ipRange: range(peerName, "ipRange"),
                    identity: peer.identity,
                    ...(keepAliveMs === undefined ? {} : { keepAliveMs }),
                }));
            const elsewhere = remoteEndpoints
                ?.filter((one) => one.host !== host)
                .map(({ address, host: { underlayAddress } }) => ({ address, underlayAddress }));
            // The address that the peers know this end by.
            const local = host.underlayAddress;
            const ends = { ...ofTunnel, network, local, peers, remoteEndpoints: elsewhere } as OverlayTunnelArgs;
            const tunnel = new OverlayTunnel(child, ends, { parent: this });
            this.#tunnels.set(network, tunnel);
            Object.assign(network.__linuxnet, { overlay: this });
            networks[hostName] = network;
        }
        this.#hosts = hosts;
        this.networks = networks;
        this.registerOutputs({});
    }

    /** True for an OverlayNetwork, also of another installed copy of the package. */
    static override isInstance(obj: unknown): obj is OverlayNetwork {
        return isBranded(obj, "overlay-network");
    }

    /**
     * The network on one of the hosts.
     * @throws Error when the host is not one of them
     */
    on(host: Host | string): Network {
        const found = this.#hosts.find(([name, one]) => name === host || one === host);
        const network = found && this.networks[found[0]];
        if (network) return network;
        const wanted = typeof host === "string" ? host : host.__linuxnet.name;
        const known = this.#hosts.map(([name]) => name).join(", ");
        throw new Error(`OverlayNetwork "${this.__linuxnet.name}": "${wanted}" is not one of its hosts (${known}).`);
    }

    /**
     * One host's end of the segment: what publishes an endpoint of another host there comes after it.
     * @internal
     * @throws Error as `on`
     */
    tunnelOn(host: Host): OverlayTunnel | undefined {
        return this.#tunnels.get(this.on(host));
    }
}

/** A host and the name it goes by. */
type NamedHost = readonly [string, Host];

function listHosts(at: string, hosts: OverlayNetworkArgs["hosts"] | undefined): NamedHost[] {
    if (
        typeof hosts !== "object" ||
        hosts === null ||
        pulumi.Output.isInstance(hosts) ||
        pulumi.Resource.isInstance(hosts)
    ) {
        throw new Error(`${at}: expected a plain array or record of Hosts.`);
    }
    const entries = Object.entries(hosts).map(([key, host]): NamedHost => {
        if (!isBranded(host, "host"))
            throw new Error(`${at}[${key}]: expected a Host object, not an Output or a reference.`);
        return [Array.isArray(hosts) ? host.__linuxnet.name : key, host as Host];
    });
    const twice = entries.find(([key, host], index) =>
        entries.some(([k, h], i) => i < index && (k === key || h === host)),
    );
    if (twice) throw new Error(`${at}: "${twice[0]}" is given twice.`);
    return entries;
}
