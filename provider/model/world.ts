import type { Ipv4Range } from "./address.js";
import type {
    BaseObject,
    EndpointObject,
    FirewallPolicyObject,
    HostObject,
    NetworkObject,
    OverlayTunnelObject,
    PortMappingObject,
    SandboxObject,
} from "./object.js";

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

/** A route of the main table over an interface that is not ours. */
export interface ForeignRoute {
    readonly destination: Ipv4Range & { readonly text: string };
    readonly interfaceName: string;
    readonly source?: string;
    readonly mtuBytes: number;
}

/** What a host is, read once when connecting. */
export interface HostFacts {
    readonly machineId: string;
    readonly kernel: string;
    readonly nftables: string;
    readonly capabilities: readonly string[];
    readonly addresses: readonly ForeignAddress[];
    readonly routes: readonly ForeignRoute[];
    /** IPv4 forwarding per foreign interface. */
    readonly forwarding: Readonly<Record<string, boolean>>;
    /** Ports that a transaction found processes listening on; none is known before. */
    readonly busyPorts?: ReadonlySet<number>;
    readonly hasNetnsDirectory: boolean;
    readonly hasBridgeNetfilter: boolean;
}

/** Every object of one host, of all stacks. A value: `with` gives a new one. */
export class World {
    readonly objects: ReadonlyMap<string, HostObject>;
    readonly base: BaseObject | undefined;
    #index: Map<string, HostObject[]> | undefined;

    constructor(objects: ReadonlyMap<string, HostObject>, base: BaseObject | undefined) {
        this.objects = objects;
        this.base = base;
    }

    /** Puts (`undefined`: takes out) objects. */
    with(changes: ReadonlyMap<string, HostObject | undefined>): World {
        const objects = new Map(this.objects);
        for (const [key, object] of changes) {
            if (object === undefined) objects.delete(key);
            else objects.set(key, object);
        }
        return new World(objects, this.base);
    }

    withBase(base: BaseObject | undefined): World {
        return new World(this.objects, base);
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

    mappingsOf(endpoint: string): readonly PortMappingObject[] {
        return this.#lookUp(`mappings ${endpoint}`) as PortMappingObject[];
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
        this.#index ??= buildIndex(this.objects.values());
        return this.#index.get(entry) ?? [];
    }
}

function buildIndex(objects: Iterable<HostObject>): Map<string, HostObject[]> {
    const index = new Map<string, HostObject[]>();
    const enter = (entry: string, object: HostObject) => {
        const list = index.get(entry);
        if (list === undefined) index.set(entry, [object]);
        else if (list.at(-1) !== object) list.push(object);
    };
    for (const object of objects) {
        enter(`kind ${object.kind}`, object);
        enter(`owner ${object.owner.urn}`, object);
        if (object.kind === "endpoint") {
            enter(`endpoints ${object.sandbox}`, object);
            enter(`endpoints ${object.network}`, object);
        }
        if (object.kind === "port-mapping") enter(`mappings ${object.endpoint}`, object);
        if (object.kind === "overlay-tunnel") enter(`tunnels ${object.network}`, object);
        if (object.kind === "firewall-policy") {
            for (const target of object.targets) enter(`policies ${target}`, object);
            for (const rule of [...(object.ingress ?? []), ...(object.egress ?? [])]) {
                for (const peer of rule.peers) if ("object" in peer) enter(`peers ${peer.object}`, object);
            }
        }
    }
    return index;
}
