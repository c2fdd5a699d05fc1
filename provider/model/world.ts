import type { AddressRange, Ipv4Range } from "./address.js";
import type { HostIdentity } from "./identity.js";
import { LayeredMap } from "./layered-map.js";
import {
    type BaseObject,
    type EndpointObject,
    type FirewallPlace,
    type FirewallPolicyObject,
    type HostObject,
    type NetworkObject,
    type OverlayTunnelObject,
    type PortMappingObject,
    type SandboxObject,
    targetsOf,
} from "./object.js";
import { blocksOf, type PortRange } from "./port-range.js";

/** A base chain of somebody else that drops what we need. */
export interface OtherFirewall {
    readonly product: "Docker" | "ufw" | "firewalld" | "another firewall";
    /** `table ip filter, policy drop in FORWARD`; `iptables-legacy, ...` */
    readonly where: string;
    /** What passes between interfaces or ports of one bridge, or what the host itself is sent. */
    readonly hook: "forward" | "input";
    /** Of the packets that meet it. */
    readonly families: readonly (4 | 6)[];
    /** What no rule of theirs accepts, or only what others than the host send to 127.0.0.0/8. */
    readonly drops: "rest" | "loopback";
    /** A rule of theirs lets pass what enters or leaves our bridges, `ln*`; on the input hook what sandboxes ask for names. */
    readonly letsPass: boolean;
    /** Ports that its rules name. */
    readonly ports: readonly string[];
    /** Where it takes rules of users. */
    readonly place: FirewallPlace;
    /** Interfaces of the host with a default route. */
    readonly uplinks: readonly string[];
}

type OfKind = {
    network: NetworkObject;
    sandbox: SandboxObject;
    endpoint: EndpointObject;
    "port-mapping": PortMappingObject;
    "firewall-policy": FirewallPolicyObject;
    "overlay-tunnel": OverlayTunnelObject;
};

/** An address on an interface that is not ours. */
export interface ForeignAddress {
    readonly interfaceName: string;
    readonly address: string;
    readonly range: Ipv4Range;
    readonly mtuBytes: number;
    readonly isBridge?: true;
}

/** Where a route leads. */
export interface Way {
    readonly interfaceName: string;
    readonly source?: string;
    readonly mtuBytes: number;
}

/** A route of the main table over an interface that is not ours. */
export interface ForeignRoute extends Way {
    readonly destination: Ipv4Range & { readonly text: string };
}

export interface ForeignIpv6Route extends Way {
    readonly destination: AddressRange<bigint> & { readonly text: string };
}

/** `net.ipv4.ip_local_port_range`, without those of `ip_local_reserved_ports`. */
export interface ClientPorts extends PortRange {
    readonly reserved: readonly PortRange[];
}

/** What a host with IPv6 has of it. */
export interface Ipv6Facts {
    /** Networks that interfaces of others have addresses in or lead to, without link-local ones and default routes. */
    readonly subnets: readonly {
        readonly text: string;
        readonly interfaceName: string;
        readonly range: AddressRange<bigint>;
    }[];
    /** Without those to link-local addresses. */
    readonly routes: readonly ForeignIpv6Route[];
    /** Of interfaces of others, with prefix length; without link-local ones. */
    readonly addresses: readonly {
        readonly interfaceName: string;
        readonly address: string;
        /** It is replaced by another one within a day (RFC 8981). */
        readonly isTemporary?: true;
    }[];
    readonly isRouter: boolean;
    /** Interfaces with a route that came by router advertisement, read by the kernel. */
    readonly advertised: readonly string[];
    /** Interfaces of others that are no bridges, and bridges with a default route. */
    readonly uplinks: readonly string[];
    /** The host's own prefix for networks without a subnet (RFC 4193), a /48. */
    readonly localPrefix: string;
}

/** What a host is without our objects, read once when connecting. */
export interface HostFacts {
    readonly machineId: string;
    readonly kernel: string;
    readonly nftables: string;
    readonly capabilities: readonly string[];
    /** As it was when the transaction was worked out, which does not happen where it is another one by then. */
    readonly identity?: HostIdentity;
    readonly addresses: readonly ForeignAddress[];
    readonly routes: readonly ForeignRoute[];
    /** Names of those of others. */
    readonly bridges: readonly string[];
    /** IPv4 forwarding per foreign interface. */
    readonly forwarding: Readonly<Record<string, boolean>>;
    /** `net.ipv4.ip_forward`. */
    readonly isRouter: boolean;
    /** `net.ipv4.conf.all.send_redirects`, which the kernel switches off with the first WireGuard interface. */
    readonly sendsRedirects?: boolean;
    /** Ports that the kernel hands out to clients. */
    readonly clientPorts?: ClientPorts;
    /** Absent: IPv6 is switched off. */
    readonly ipv6?: Ipv6Facts;
    /** The kernel knows nothing of IPv6 (ipv6.disable=1): no address of it, and no word about it. @default false */
    readonly lacksIpv6?: true;
    /** Ports that a transaction found processes listening on; none is known before. */
    readonly busyPorts?: ReadonlySet<number>;
    /** Addresses that a transaction found others answering for, by bridge; none is known before. */
    readonly answering?: ReadonlyMap<string, ReadonlySet<string>>;
    /** /run/netns, where the namespaces are. */
    readonly hasNetnsDirectory: boolean;
    /** /etc/netns, where files for programs in them are. */
    readonly hasNetnsFolder: boolean;
    readonly hasBridgeNetfilter: boolean;
    /** What others drop. */
    readonly otherFirewalls: readonly OtherFirewall[];
}

/**
 * What was read of a host that has objects, as it is without them: the last of them may go, and a first one come again,
 * while the facts are in use.
 */
export function withoutBase(facts: HostFacts, base: BaseObject | undefined): HostFacts {
    if (base === undefined) return facts;
    const closed = base.openedUplinks.filter((name) => name in facts.forwarding).map((name) => [name, false]);
    return {
        ...facts,
        ...(base.sentRedirects ? { sendsRedirects: true } : {}),
        forwarding: { ...facts.forwarding, ...Object.fromEntries(closed) },
        hasNetnsDirectory: facts.hasNetnsDirectory && !base.madeNetnsDirectory,
        hasNetnsFolder: facts.hasNetnsFolder && !base.madeNetnsFolder,
        hasBridgeNetfilter: facts.hasBridgeNetfilter && !base.loadedBridgeNetfilter,
    };
}

/** Objects by what they are looked up by: to index all of them for each change would grow with the square of their number. */
type Index = LayeredMap<readonly HostObject[]>;

/** Every object of one host, of all stacks. A value: `with` gives a new one. */
export class World {
    readonly objects: ReadonlyMap<string, HostObject>;
    readonly base: BaseObject | undefined;
    #index: Index | undefined;

    constructor(objects: ReadonlyMap<string, HostObject>, base: BaseObject | undefined) {
        this.objects = objects;
        this.base = base;
    }

    /** Puts (`undefined`: takes out) objects. */
    with(changes: ReadonlyMap<string, HostObject | undefined>): World {
        const objects = this.objects instanceof LayeredMap ? this.objects : new LayeredMap(this.objects);
        const world = new World(objects.with(changes), this.base);
        world.#index = this.#index?.with(changedLists(this.#index, this.objects, changes));
        return world;
    }

    withBase(base: BaseObject | undefined): World {
        const world = new World(this.objects, base);
        world.#index = this.#index;
        return world;
    }

    get<K extends keyof OfKind>(kind: K, key: string): OfKind[K] | undefined {
        const object = this.objects.get(key);
        return object?.kind === kind ? (object as OfKind[K]) : undefined;
    }

    all<K extends keyof OfKind>(kind: K): readonly OfKind[K][] {
        return this.#lookUp(`kind ${kind}`) as OfKind[K][];
    }

    endpointsOf(key: string): readonly EndpointObject[] {
        return this.#lookUp(`endpoints ${key}`) as EndpointObject[];
    }

    /** Port mappings with this endpoint among their targets. */
    mappingsOf(endpoint: string): readonly PortMappingObject[] {
        return this.#lookUp(`mappings ${endpoint}`) as PortMappingObject[];
    }

    /** Port mappings with a port of this protocol in a block (`blocksOf`). */
    mappingsAt(protocol: string, block: number): readonly PortMappingObject[] {
        return this.#lookUp(`ports ${protocol} ${block}`) as PortMappingObject[];
    }

    tunnelsOf(network: string): readonly OverlayTunnelObject[] {
        return this.#lookUp(`tunnels ${network}`) as OverlayTunnelObject[];
    }

    /** Policies with this key among their targets. */
    policiesOn(target: string): readonly FirewallPolicyObject[] {
        return this.#lookUp(`policies ${target}`) as FirewallPolicyObject[];
    }

    /** Policies with a rule that speaks of this object. */
    policiesAbout(peer: string): readonly FirewallPolicyObject[] {
        return this.#lookUp(`peers ${peer}`) as FirewallPolicyObject[];
    }

    /** The object of a resource: at most one, whatever its kernel name. */
    ownedBy(urn: string): HostObject | undefined {
        return this.#lookUp(`owner ${urn}`)[0];
    }

    #lookUp(entry: string): readonly HostObject[] {
        this.#index ??= new LayeredMap(listAll(this.objects.values()));
        return this.#index.get(entry) ?? [];
    }
}

/** What an object is found by. */
function entriesOf(object: HostObject): Set<string> {
    const entries = new Set([`kind ${object.kind}`, `owner ${object.owner.urn}`]);
    switch (object.kind) {
        case "endpoint":
            entries.add(`endpoints ${object.sandbox}`).add(`endpoints ${object.network}`);
            break;
        case "port-mapping":
            for (const { endpoint } of targetsOf(object)) entries.add(`mappings ${endpoint}`);
            for (const { protocol, hostPort } of object.bindings) {
                for (const block of blocksOf(hostPort)) entries.add(`ports ${protocol} ${block}`);
            }
            break;
        case "overlay-tunnel":
            entries.add(`tunnels ${object.network}`);
            break;
        case "firewall-policy":
            for (const target of object.targets) entries.add(`policies ${target}`);
            for (const rule of [...(object.ingress ?? []), ...(object.egress ?? [])]) {
                for (const peer of rule.peers) if ("object" in peer) entries.add(`peers ${peer.object}`);
            }
    }
    return entries;
}

function listAll(objects: Iterable<HostObject>): Map<string, HostObject[]> {
    const lists = new Map<string, HostObject[]>();
    for (const object of objects) {
        for (const entry of entriesOf(object)) {
            const list = lists.get(entry);
            if (list === undefined) lists.set(entry, [object]);
            else list.push(object);
        }
    }
    return lists;
}

/** Lists made anew: the world before still has the old ones. */
function changedLists(
    index: Index,
    objects: ReadonlyMap<string, HostObject>,
    changes: ReadonlyMap<string, HostObject | undefined>,
): Map<string, readonly HostObject[]> {
    const lists = new Map<string, readonly HostObject[]>();
    for (const [key, after] of changes) {
        const before = objects.get(key);
        const old = before === undefined ? new Set<string>() : entriesOf(before);
        const wanted = after === undefined ? new Set<string>() : entriesOf(after);
        for (const entry of new Set([...old, ...wanted])) {
            const list = lists.get(entry) ?? index.get(entry) ?? [];
            const at = before !== undefined && old.has(entry) ? list.indexOf(before) : list.length;
            const put = after !== undefined && wanted.has(entry) ? [after] : [];
            lists.set(entry, list.toSpliced(at, 1, ...put));
        }
    }
    return lists;
}
