import type { PortRange } from "./port-range.js";
import type { Owner } from "./reference.js";

/** What every object of a host's manifest has; one JSON file each in /var/lib/linuxnet/objects, without secrets. */
interface ObjectBase<K extends string> {
    readonly schemaVersion: 1;
    readonly kind: K;
    /** Kernel name and file name. */
    readonly key: string;
    /** Changes with each creation. */
    readonly generation: string;
    readonly owner: Owner;
    readonly name: string;
    readonly labels: Readonly<Record<string, string>>;
    /** The same thing as its owner before had it: put back when this one goes. */
    readonly adoptedFrom?: HostObject;
    /** Its stack forgets it without deleting it (Pulumi's retainOnDelete), so that nothing sweeps it. */
    readonly retained?: true;
}

/** A bridge of others that a network is on: never made, changed or removed. */
export interface ForeignBridge {
    readonly interfaceName: string;
    /** It is a network like any other from now on; without, its traffic stays the business of others. */
    readonly isManaged: boolean;
    /** The gateway's address of IPv4 was on it, with prefix length; that of IPv6. */
    readonly address?: string;
    readonly ipv6Address?: string;
    /** That of a managed one on a network with IPv6, and whether it had none. */
    readonly linkLocal?: { readonly address: string; readonly isOurs?: true };
    /** What was switched before: keys below /proc/sys, and options of the bridge. */
    readonly oldSysctls: Readonly<Record<string, string>>;
    readonly oldOptions: Readonly<Record<string, number>>;
}

export const dnsModes = ["server", "hosts", "none"] as const;

/** A resolver on the host, files with the names, or nothing of ours. */
export type DnsMode = (typeof dnsModes)[number];

/** How names are resolved, as the program says. */
export interface DnsSettings {
    readonly mode?: DnsMode;
    /** Addresses that questions about all other names go to. */
    readonly servers?: readonly string[];
    readonly search?: readonly string[];
    readonly domain?: string;
    /** As resolv.conf(5) has them. */
    readonly options?: readonly string[];
}

export interface NetworkDns extends DnsSettings {
    readonly mode: DnsMode;
}

/** Addresses by name; "host-gateway" is the host. */
export type ExtraHosts = Readonly<Record<string, string>>;

export interface NetworkObject extends ObjectBase<"network"> {
    /** Id of the Host resource it was made by. */
    readonly host: string;
    /** Of IPv4, as gateway and range are; absent: IPv6 only (`halvesOf`). */
    readonly subnet?: string;
    readonly gateway?: string;
    readonly ipRange?: string;
    /** Of either family. */
    readonly reserved: readonly string[];
    /** Absent: IPv4 only. */
    readonly ipv6?: {
        readonly subnet: string;
        readonly gateway: string;
        /** Where automatic addresses are; absent: in the whole subnet. */
        readonly ipRange?: string;
    };
    readonly internal: boolean;
    readonly isolateEndpoints: boolean;
    readonly masquerade: boolean;
    readonly attachable: boolean;
    /** Absent: endpoints and the host reach each other. */
    readonly hostAccess?: false;
    /** Absent: what no policy decides is up to the network. */
    readonly defaultPolicy?: "deny";
    /** Absent: from outside nobody reaches an endpoint but by a published port. */
    readonly directAccess?: true;
    /** Its Host wants exceptions in firewalls of others. @default false */
    readonly cooperate?: true;
    readonly mtuBytes: number;
    /** The program chose the MTU; absent: it is that of the uplink. */
    readonly isMtuGiven?: true;
    /** Absent: a bridge of its own, called by the key. */
    readonly bridge?: ForeignBridge;
    /** Absent: mode "none", as what was made before there were names. */
    readonly dns?: NetworkDns;
    readonly extraHosts?: ExtraHosts;
}

/** The network's interface on the host. */
export function interfaceOf(network: NetworkObject): string {
    return network.bridge?.interfaceName ?? network.key;
}

/** A namespace of others that a sandbox is in: never made, changed or removed. */
export interface ForeignNamespace {
    /** It has its default route already. */
    readonly hasDefaultRoute: boolean;
    readonly oldSysctls: Readonly<Record<string, string>>;
}

export interface SandboxObject extends ObjectBase<"sandbox"> {
    readonly host: string;
    readonly sysctls: Readonly<Record<string, string>>;
    /** Absent: a namespace of its own. */
    readonly joined?: ForeignNamespace;
    /** Absent: it follows from the resource's name (`hostnameOf`). */
    readonly hostname?: string;
    /** What differs from its networks' settings. */
    readonly dns?: DnsSettings;
    readonly extraHosts?: ExtraHosts;
}

export interface EndpointObject extends ObjectBase<"endpoint"> {
    /** Keys of the sandbox and of the network. */
    readonly sandbox: string;
    readonly network: string;
    /** Absent: its network has no IPv4 (`addressesOf`). */
    readonly ipv4Address?: string;
    /** On a network with IPv6, when it is not the one that has the IPv4 address's number (`addressOf`). */
    readonly ipv6Address?: string;
    readonly macAddress: string;
    /** Further names of its sandbox on the network. */
    readonly aliases?: readonly string[];
    readonly interfaceName: string;
    /** Highest gives the sandbox its default route. */
    readonly gatewayPriority: number | "never";
    /** Its routing table inside the sandbox, from 1000 up. */
    readonly routingTable: number;
    /** A veth of others: its end on the host, and whether that sent back what came from it; absent: one of its own. */
    readonly foreignVeth?: { readonly hostInterface: string; readonly hairpin: number };
}

/** The endpoint's interface on the host. */
export function hostInterfaceOf(endpoint: EndpointObject): string {
    return endpoint.foreignVeth?.hostInterface ?? endpoint.key;
}

export type PortProtocol = "tcp" | "udp" | "sctp";

/** One published range: as many ports of the target as of the host. */
export interface Binding {
    readonly protocol: PortProtocol;
    /** Absent: every address of the host. */
    readonly hostAddress?: string;
    readonly hostPort: PortRange;
    readonly targetPort: PortRange;
}

/** One of several endpoints that connections are spread over. */
export interface PortTarget {
    /** Key of the endpoint; its id, when it is on another host. */
    readonly endpoint: string;
    /** Of an endpoint on another host: one of each family that it has. */
    readonly addresses?: readonly string[];
    /** Its first port, instead of the binding's. */
    readonly port?: number;
    /** Its share of new connections; 0: none. @default 1 */
    readonly weight?: number;
}

export interface PortMappingObject extends ObjectBase<"port-mapping"> {
    /** Key of the only target, or of the first of several. */
    readonly endpoint: string;
    /** Absent: `endpoint` alone. */
    readonly targets?: readonly PortTarget[];
    readonly bindings: readonly Binding[];
    /** What happens to connections whose target or port goes. @default "cut" for udp, else "drain" */
    readonly existingFlows?: "drain" | "cut";
    /** Targets on other hosts see the client's address. Absent: that of this host's gateway on the segment. */
    readonly keepsSource?: true;
    /** The range that the program asked for; the output `hostPort` is a number. */
    readonly hostPortGiven?: string;
}

/** Where a mapping's connections go; endpoints that are gone are among them until it changes. */
export function targetsOf({ targets, endpoint }: PortMappingObject): readonly PortTarget[] {
    return targets ?? [{ endpoint }];
}

/**
 * Who a rule speaks of: an object of the host by key (a network with the rest of its segment on other hosts, or without),
 * one of another host by id and addresses, a network in CIDR notation, or a class of peers.
 */
export type Peer =
    | { readonly object: string; readonly segment?: true }
    | { readonly remote: string; readonly addresses: readonly string[] }
    | { readonly cidr: string }
    | { readonly keyword: "any" | "host" | "internal" | "external" };

export interface PolicyRule {
    readonly action: "allow" | "drop" | "reject";
    readonly peers: readonly Peer[];
    /** IANA numbers or names; empty: every protocol. */
    readonly protocols: readonly (string | number)[];
    /** Ports of the target, each with its own protocol when it was written so ("5432/tcp"). */
    readonly ports: readonly { readonly range: PortRange; readonly protocol?: "tcp" | "udp" | "sctp" }[];
    /** Names or numbers; absent: every type. */
    readonly icmpTypes?: readonly (string | number)[];
    /** Absent: "admin-prohibited". */
    readonly rejectWith?: "tcp-reset" | "port-unreachable" | "host-unreachable" | "admin-prohibited" | "no-route";
    readonly limit?: RuleLimit;
    /** A prefix, or one made from the policy's name. */
    readonly log?: string | true;
    readonly description?: string;
}

/** Beyond it a rule does not match. */
export interface RuleLimit {
    /** `20/minute` */
    readonly rate?: string;
    /** Absent: the rate's number. */
    readonly burst?: number;
    /** Absent: each target counts all sources together. */
    readonly perSource?: boolean;
    readonly connections?: number;
}

/** Stands for the machine itself among the targets of a policy; the key in a Host's id. */
export const hostTarget = "host";

export interface FirewallPolicyObject extends ObjectBase<"firewall-policy"> {
    /** Keys of endpoints, sandboxes and networks, or `hostTarget`. */
    readonly targets: readonly string[];
    /** Id of the Host resource among its targets. */
    readonly host?: string;
    readonly ingress?: readonly PolicyRule[];
    readonly egress?: readonly PolicyRule[];
    readonly defaultAction: "drop" | "reject" | "allow";
    readonly priority: number;
}

export interface TunnelPeer {
    readonly underlayAddress: string;
    /** Absent: it has single addresses only. */
    readonly ipRange?: string;
    readonly ipv6Range?: string;
    /** With encryption "ipsec". */
    readonly ipsec?: PeerAssociations;
    /** Of connections that come from there with a source outside the segment. Absent: none do. */
    readonly replyMark?: number;
    /** With encryption "wireguard". */
    readonly wireguard?: { readonly publicKey: string; readonly keepAliveMs?: number };
}

/** What the associations with a peer are known by, without their keys. */
export interface PeerAssociations {
    /** The epoch that the peer is known to be in. */
    readonly epoch: number;
    /** Numbers of the associations in both directions for each secret, in the order in which the secrets are given. */
    readonly reqids: readonly { readonly send: number; readonly receive: number }[];
}

export interface OverlayTunnelObject extends ObjectBase<"overlay-tunnel"> {
    readonly network: string;
    readonly vni: number;
    readonly port: number;
    readonly local: string;
    readonly peers: readonly TunnelPeer[];
    /** Addresses that are not where the ranges say; absent: none. */
    readonly remoteEndpoints?: readonly { readonly address: string; readonly underlayAddress: string }[];
    readonly mtuBytes: number;
    /** The program chose the MTU; absent: it follows from the underlay. */
    readonly isMtuGiven?: true;
    /** With encryption "ipsec"; its keys are in a file of their own. */
    readonly ipsec?: {
        /** The host's own identity, of which they are made, and the epoch that those it sends by begin with. */
        readonly id: string;
        readonly epoch: number;
    };
    /** It is a WireGuard interface, with this key of the host's; each peer has one too. */
    readonly wireguard?: { readonly publicKey: string };
}

/** Whether keys are kept for the object on its host. */
export function hasKeys(object: HostObject | BaseObject | undefined): boolean {
    return object?.kind === "overlay-tunnel" && object.ipsec !== undefined;
}

export function encryptionOf({ ipsec, wireguard }: OverlayTunnelObject): "none" | "ipsec" | "wireguard" {
    if (wireguard !== undefined) return "wireguard";
    return ipsec === undefined ? "none" : "ipsec";
}

export type HostObject =
    | NetworkObject
    | SandboxObject
    | EndpointObject
    | PortMappingObject
    | FirewallPolicyObject
    | OverlayTunnelObject;

/** IPv6 forwarding of a host, which is one switch for all of its interfaces, as the first network with IPv6 found it. */
export interface OpenedIpv6 {
    /** Keys below /proc/sys that were written over, and their values; none when the host forwards IPv6 by itself. */
    readonly oldSysctls: Readonly<Record<string, string>>;
    /** Interfaces of others between which the host forwards now. */
    readonly uplinks: readonly string[];
}

/** Where a firewall of somebody else takes rules, and the tool that writes them. */
export interface FirewallPlace {
    readonly tool:
        | "nft"
        | "iptables-nft"
        | "iptables-legacy"
        | "ip6tables-nft"
        | "ip6tables-legacy"
        | "ufw"
        | "firewalld";
    /** `inet office fwd_all` of nft, `DOCKER-USER` of iptables; "route" or "input" of the other two. */
    readonly chain: string;
}

/** A rule in a firewall of somebody else that lets ours pass, in the words of its tool and without our mark. */
export interface FirewallException extends FirewallPlace {
    readonly rule: string;
}

/**
 * What all objects of a host share: the two nft tables, forwarding on the uplinks, /run/netns. Present exactly while
 * the host has objects; holds what is put back with the last one.
 */
export interface BaseObject {
    readonly schemaVersion: 1;
    readonly kind: "base";
    readonly key: "base";
    /** Uplinks whose IPv4 forwarding was off. */
    readonly openedUplinks: readonly string[];
    /** Bridges among the opened uplinks. @default [] */
    readonly openedBridges?: readonly string[];
    /** `net.ipv4.ip_forward` was 1, and the uplinks were closed one by one. @default false */
    readonly wasRouter?: boolean;
    /** `net.ipv4.ip_forward` was switched on after the first object: what others route is theirs to decide. @default false */
    readonly becameRouter?: boolean;
    /** There while a network has IPv6. */
    readonly openedIpv6?: OpenedIpv6;
    /** There while a tunnel is a WireGuard interface: what `net.ipv4.conf.all.send_redirects` was before. */
    readonly sentRedirects?: boolean;
    /** Global br_netfilter switches to write back after the module was loaded by us; absent when it was there. */
    readonly loadedBridgeNetfilter: boolean;
    readonly madeNetnsDirectory: boolean;
    /** There was no /etc/netns. @default false */
    readonly madeNetnsFolder?: boolean;
    /** systemd runs the host, so its restore service is installed. */
    readonly hasSystemd?: boolean;
    /** What was written into firewalls of others for networks that cooperate. @default [] */
    readonly exceptions?: readonly FirewallException[];
    /** Version of the restore script and its units. @default 1 */
    readonly restoreVersion?: number;
}
