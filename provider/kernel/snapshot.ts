import type { WireguardSnapshot } from "./wireguard.js";
import type { XfrmSnapshot } from "./xfrm-show.js";

/** What `ip -json -details address show` says of one interface, as far as it is read. */
export interface LinkJson {
    readonly ifindex?: number;
    readonly ifname: string;
    /** Of a veth: the index of its other end, in that end's namespace. */
    readonly link_index?: number;
    readonly address?: string;
    readonly mtu?: number;
    readonly master?: string;
    readonly flags?: readonly string[];
    readonly ifalias?: string;
    readonly linkinfo?: {
        readonly info_kind?: string;
        readonly info_data?: Readonly<Record<string, unknown>>;
        readonly info_slave_data?: Readonly<Record<string, unknown>>;
    };
    readonly addr_info?: readonly { readonly family: string; readonly local?: string; readonly prefixlen?: number }[];
}

/** One entry of `ip -json route show table all`. */
export interface RouteJson {
    readonly dst: string;
    readonly dev?: string;
    readonly gateway?: string;
    readonly table?: string | number;
    readonly type?: string;
    readonly prefsrc?: string;
}

/** One entry of `ip -json rule show`. */
export interface RuleJson {
    readonly priority: number;
    readonly src?: string;
    readonly iif?: string;
    /** As `0x1`. */
    readonly fwmark?: string;
    readonly table?: string | number;
}

/** One entry of `ip -json neigh show` or `bridge -json fdb show`. */
export interface NeighbourJson {
    readonly dst?: string;
    readonly dev?: string;
    readonly lladdr?: string;
    readonly state?: readonly string[];
}

export interface FdbJson {
    readonly mac: string;
    readonly ifname: string;
    readonly dst?: string;
    readonly master?: string;
    readonly flags?: readonly string[];
}

/** What one network namespace (or the host itself) shows. */
export interface NamespaceSnapshot {
    readonly links: ReadonlyMap<string, LinkJson>;
    /** Unicast routes; of the host itself only those that the kernel made with an address. Absent: they were not read. */
    readonly routes?: readonly RouteJson[];
    /** Those of the host itself that are ours. */
    readonly ownRoutes?: readonly RouteJson[];
    readonly rules: readonly RuleJson[];
    /** Values of the keys that were asked for. */
    readonly sysctls: ReadonlyMap<string, string>;
}

/** A chain: the comments of its rules in order, and where it hangs (`filter forward 0 accept`) if on a hook. */
export interface ChainSnapshot {
    readonly hook?: string;
    readonly comments: readonly string[];
}

/** One nftables table: its chains, its sets and maps with their elements. */
export interface TableSnapshot {
    readonly chains: ReadonlyMap<string, ChainSnapshot>;
    readonly elements: ReadonlyMap<string, ReadonlyMap<string, string>>;
    /** Names of counters. */
    readonly counters: ReadonlySet<string>;
}

/** What the kernel of one host shows, read in one go; the key of the host's own namespace is "". */
export interface Snapshot {
    readonly namespaces: ReadonlyMap<string, NamespaceSnapshot>;
    readonly neighbours: ReadonlySet<string>;
    readonly fdb: ReadonlySet<string>;
    /** By family. */
    readonly tables: ReadonlyMap<string, TableSnapshot>;
    /** Paths that exist, of those that were asked for. */
    readonly paths: ReadonlySet<string>;
    /** Content of files that were asked for, by path. */
    readonly files: ReadonlyMap<string, string>;
    /** Keys of the exceptions in firewalls of others that are there, of those that were asked for. */
    readonly exceptions: ReadonlySet<string>;
    /** Absent: it was not asked for. */
    readonly xfrm?: XfrmSnapshot;
    /** By interface. */
    readonly wireguard?: ReadonlyMap<string, WireguardSnapshot>;
    /** Words of the resolvers that serve, by view. */
    readonly resolvers?: ReadonlyMap<string, string>;
    /** Lines of names, by network and endpoint. */
    readonly names?: ReadonlyMap<string, readonly string[]>;
}
