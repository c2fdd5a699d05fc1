import type * as pulumi from "@pulumi/pulumi";
import type { HostIdentity } from "../provider/model/identity.js";
import type { CommandConnection, ConnectionArgs } from "./connection.js";
import { isBranded, readReference } from "./reference.js";
import {
    type CommonArgs,
    Existing,
    LinuxnetResource,
    type Lookup,
    type ResourceOptions,
    type Unset,
} from "./resource.js";

export type { HostIdentity };

export interface HostArgs extends CommonArgs {
    /** How the machine is reached; kept as one secret. In place, nothing runs on the host. */
    connection: pulumi.Input<ConnectionArgs>;
    /**
     * Any values. A change means another machine: everything on it is made anew, and nothing is deleted over the old
     * connection. Replaces. @default []
     */
    triggers?: pulumi.Input<pulumi.Input<unknown>[]>;
    /**
     * Address at which other hosts reach this one, IPv4 or IPv6; the same family on all hosts of a segment. In place.
     * @default the source address of its default route of IPv4
     */
    underlayAddress?: pulumi.Input<string>;
    /** Address at which users reach it. In place. @default `connection.host`, unless there is a proxy */
    publicAddress?: pulumi.Input<string>;
    /**
     * Where networks without a `subnet` take theirs from: the first part that overlaps no network, address or route of
     * the host. In place: existing networks keep theirs.
     * @default 10.176.0.0/12 in /24s, and /64s of one RFC 4193 prefix for each host
     */
    addressPools?: pulumi.Input<pulumi.Input<AddressPool>[]>;
    /** Kernel settings of the host (`net.core.rmem_max`); set, and restored on delete. In place. @default {} */
    sysctls?: pulumi.Input<Record<string, pulumi.Input<string | number>>>;
    /**
     * Makes the exceptions that firewalls of others (Docker, ufw, firewalld, nft, iptables) need to let the traffic of this
     * Host's networks pass, with the first of them, and takes them back with the last. Only where one drops it, only for our
     * bridges, for what sandboxes ask for names, and for the tunnels' ports. A firewall that cannot be written to is an error with the command to type. In place.
     * See docs/firewalls.md. @default false
     */
    cooperate?: pulumi.Input<boolean>;
    /**
     * Delete succeeds, of everything on the host, when the machine does not answer: for machines that are gone for good.
     * `LINUXNET_DELETE_UNREACHABLE=true` in the environment does the same for one run. In place. @default false
     */
    deleteUnreachable?: pulumi.Input<boolean>;
}

/** A range of addresses that is handed out in subnets. */
export interface AddressPool {
    /** The range, as CIDR. */
    base: pulumi.Input<string>;
    /** Prefix length of each subnet taken from it, in bits. */
    size: pulumi.Input<number>;
}

/** What the host's kernel and tools can do. */
export interface Capabilities {
    readonly bridge: boolean;
    /** Same-network policies: br_netfilter is available. */
    readonly bridgeFirewall: boolean;
    readonly vxlan: boolean;
    readonly macvlan: boolean;
    readonly ipvlan: boolean;
    readonly vlan: boolean;
    readonly wireguard: boolean;
    readonly ipsec: boolean;
    /** The tool `conntrack` is installed. */
    readonly conntrack: boolean;
    /** `dnsmasq` is installed, which answers sandboxes' questions for names. */
    readonly dns: boolean;
    readonly systemd: boolean;
}

const definition = {
    kind: "host",
    title: "Host",
    handler: `exports.handler = () => require("pulumi-linuxnet/provider").host;`,
} as const;

const unset: Unset<Host> = {
    triggers: undefined,
    underlayAddress: undefined,
    publicAddress: undefined,
    addressPools: undefined,
    sysctls: undefined,
    cooperate: undefined,
    deleteUnreachable: undefined,
    address: undefined,
    machineId: undefined,
    kernel: undefined,
    nftables: undefined,
    capabilities: undefined,
    identity: undefined,
    commandConnection: undefined,
};

const secrets = ["commandConnection"];

/** One Linux machine, reached over SSH. */
export class Host extends LinuxnetResource<"host"> {
    declare readonly triggers: pulumi.Output<unknown[] | undefined>;
    declare readonly underlayAddress: pulumi.Output<string>;
    declare readonly publicAddress: pulumi.Output<string>;
    declare readonly addressPools: pulumi.Output<{ base: string; size: number }[] | undefined>;
    declare readonly sysctls: pulumi.Output<Record<string, string> | undefined>;
    declare readonly cooperate: pulumi.Output<boolean | undefined>;
    declare readonly deleteUnreachable: pulumi.Output<boolean | undefined>;

    /** Where the machine is reached: `connection.host`. */
    declare readonly address: pulumi.Output<string>;
    /** From /etc/machine-id, else made once and kept; two Hosts are one machine when it is equal. */
    declare readonly machineId: pulumi.Output<string>;
    /** Version of the kernel, as `uname -r` says. */
    declare readonly kernel: pulumi.Output<string>;
    /** Version of nftables. */
    declare readonly nftables: pulumi.Output<string>;
    declare readonly capabilities: pulumi.Output<Capabilities>;
    /**
     * What the host's peers in an encrypted segment know of it, without secrets. Undefined for a Host of an earlier
     * version, until a refresh and an update.
     */
    declare readonly identity: pulumi.Output<HostIdentity | undefined>;
    /** The connection for `@pulumi/command`. A secret. */
    declare readonly commandConnection: pulumi.Output<CommandConnection>;

    constructor(name: string, args: HostArgs, opts?: ResourceOptions) {
        const project = (at: string) => {
            if (!args.connection)
                throw new Error(`${at}: connection: got nothing, expected how the machine is reached.`);
            return { props: { ...unset, ...args }, connection: args.connection, secrets };
        };
        super(definition, name, args, project, opts);
    }

    /** True for a Host, also of another installed copy of the package. */
    static override isInstance(obj: unknown): obj is Host {
        return isBranded(obj, "host");
    }

    /**
     * A machine another stack manages: observed, never changed or deleted.
     * @param lookup its output `reference`, from a StackReference
     */
    static get(name: string, lookup: Lookup<Host>, args: Pick<HostArgs, "connection">, opts?: ResourceOptions): Host {
        const id = readReference(`Host.get("${name}")`, "host", lookup);
        const existing = new Existing(id, { props: unset, connection: args.connection, secrets });
        return new Host(name, existing as never, opts);
    }
}
