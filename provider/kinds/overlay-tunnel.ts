import { z } from "zod";
import type { Item } from "../kernel/item.js";
import { linkAlias } from "../kernel/link.js";
import { contains, overlaps, parseIpv4, parseIpv4Cidr, parseIpv4Range } from "../model/address.js";
import { makerOf } from "../model/adoption.js";
import { macOfUnderlay } from "../model/mac.js";
import {
    encryptionOf,
    hostTarget,
    type NetworkObject,
    type OverlayTunnelObject,
    type TunnelPeer,
} from "../model/object.js";
import { parseId, type RefValue } from "../model/reference.js";
import { Refusal } from "../model/refusal.js";
import type { World } from "../model/world.js";
import { associate, keyDrift, keySchema, refuseWrongKey, renderKeys } from "./ipsec-keys.js";
import { type BuildContext, defined, describeObject, type ObjectKind, ownName } from "./kind.js";
import { peerIdentity, withNeededIdentity } from "./peer-identity.js";
import { targetsOfPoliciesAbout } from "./policy-rules.js";
import { addressRange, adopt, ipv4, known, labels, later, mtu, ref, shape } from "./schema.js";
import { routesAcross, tunnelMemberships, tunnelSysctls, vxlanEntries } from "./tunnel-forwarding.js";
import { companionsOf, ipsecItems, refuseMixture } from "./tunnel-ipsec.js";
import { chooseMtu, mtuDrift } from "./tunnel-mtu.js";
import { replyItems, withReplyMarks } from "./tunnel-replies.js";
import {
    keepAliveMs,
    refuseKeepAlive,
    refuseSharedPort,
    type WireguardPeer,
    wireguardEnds,
    wireguardItems,
} from "./tunnel-wireguard.js";
import { routeTo } from "./underlay.js";

const peer = shape(
    { underlayAddress: ipv4, ipRange: addressRange, keepAliveMs, ...peerIdentity },
    "{ underlayAddress, ipRange } is expected: each host owns a range",
);

const schema = shape({
    network: ref("network"),
    vni: z.int().min(1, "must be 1 to 16777215").max(16777215, "must be 1 to 16777215"),
    peers: z.array(known(peer)).default([]),
    remoteEndpoints: later("Forwarding follows the peers' ranges.", []),
    local: ipv4.optional(),
    port: z.int().min(1, "must be a port, 1 to 65535").max(65535, "must be a port, 1 to 65535").default(4789),
    encryption: z.enum(["none", "ipsec", "wireguard"]).optional(),
    key: keySchema.optional(),
    learning: later("Forwarding follows the ranges of the peers, and nothing is learnt.", false),
    mtu: mtu.optional(),
    adopt,
    labels,
})
    .superRefine(refuseWrongKey)
    .superRefine(refuseKeepAlive)
    .overwrite(withNeededIdentity);

interface TunnelInputs {
    readonly network: RefValue;
    readonly vni: number;
    readonly peers: (Pick<TunnelPeer, "underlayAddress" | "ipRange"> & WireguardPeer)[];
    readonly local?: string;
    readonly port: number;
    readonly encryption?: "none" | "ipsec" | "wireguard";
    readonly key?: string | string[];
    readonly mtu?: number;
    readonly labels: Record<string, string>;
}

type Context = BuildContext<OverlayTunnelObject>;

function chooseLocal(inputs: TunnelInputs, { facts, previous }: Context): string {
    const foreign = facts.addresses.filter(({ interfaceName }) => interfaceName !== "lo");
    const own = foreign.map(({ address }) => address.split("/")[0]);
    if (inputs.local !== undefined) {
        if (own.includes(inputs.local)) return inputs.local;
        throw new Refusal(`local ${inputs.local} is no address of the host. Its addresses are ${own.join(", ")}.`);
    }
    const first = inputs.peers[0];
    const route = first === undefined ? undefined : routeTo(first.underlayAddress, facts);
    const source =
        route?.source ?? facts.addresses.find(({ interfaceName }) => interfaceName === route?.interfaceName)?.address;
    const local = source?.split("/")[0] ?? previous?.local ?? (own.length === 1 ? own[0] : undefined);
    if (local === undefined)
        throw new Refusal("the address to send from cannot be told. Give local, an address of the host.");
    return local;
}

function refuseConflicts(inputs: TunnelInputs, network: NetworkObject, local: string, context: Context): void {
    refuseSharedPort(inputs.port, inputs.encryption === "wireguard", context.key, context.world);
    for (const other of context.world.all("overlay-tunnel")) {
        if (other.key === context.key) continue;
        if (other.vni === inputs.vni && other.port === inputs.port) {
            throw new Refusal(
                `vni ${inputs.vni} on port ${inputs.port} is already used by ${describeObject(other)}. Choose another vni.`,
            );
        }
        if (other.network === network.key)
            throw new Refusal(`network "${network.name}" has a tunnel already: ${describeObject(other)}.`);
    }
    const subnet = parseIpv4Cidr(network.subnet);
    const ranges = inputs.peers.map((each) => ({ ...each, range: parseIpv4Range(each.ipRange) }));
    for (const [i, { underlayAddress, ipRange, range }] of ranges.entries()) {
        const path = `peers[${i}]`;
        if (underlayAddress === local)
            throw new Refusal(`${path}: ${local} is this host itself. Name the other hosts only.`);
        if (!contains(subnet, range))
            throw new Refusal(`${path}: ipRange ${ipRange} is outside subnet ${network.subnet}.`);
        const own = network.ipRange;
        if (own !== undefined && overlaps(range, parseIpv4Range(own))) {
            throw new Refusal(
                `${path}: ipRange ${ipRange} overlaps this host's own ${own}. Give each host a range of its own.`,
            );
        }
        const twin = ranges.findIndex((other, j) => j < i && overlaps(other.range, range));
        if (twin >= 0)
            throw new Refusal(
                `${path}: ipRange ${ipRange} overlaps that of peers[${twin}]. Give each host a range of its own.`,
            );
        const gateway = parseIpv4(network.gateway);
        if (contains(range, { first: gateway, last: gateway })) {
            throw new Refusal(
                `${path}: ${network.gateway} of ipRange ${ipRange} is this host's own gateway. Give each host a range of its own.`,
            );
        }
    }
}

/** Who may send to a port: what tunnels on it have in common. */
function elementsOf(tunnel: OverlayTunnelObject, world: World): Item[] {
    const { port, peers, wireguard } = tunnel;
    // It hears nobody whose key it does not know, and a peer behind NAT comes from another address.
    if (wireguard !== undefined) return [];
    const allow = (set: string, ...key: (string | number)[]): Item => ({ type: "element", family: "inet", set, key });
    return [
        allow("tunnel_ports", port),
        ...peers.map((each) => allow("tunnel_peers", each.underlayAddress, port)),
        ...ipsecItems(tunnel, world),
    ];
}

/** Stands among keys of objects for what all tunnels on a port share; no object has such a key. */
const sharedPrefix = "tunnels on ";

/** What all tunnels on a port share; nothing when the key is an object's. */
export function sharedItems(key: string, world: World): Item[] {
    if (!key.startsWith(sharedPrefix)) return [];
    const port = Number(key.slice(sharedPrefix.length));
    return world.all("overlay-tunnel").flatMap((tunnel) => (tunnel.port === port ? elementsOf(tunnel, world) : []));
}

function vxlanOf({ key, vni, local, port, mtuBytes }: OverlayTunnelObject, alias: string): Item {
    return { type: "vxlan", name: key, mac: macOfUnderlay(local), vni, local, port, mtuBytes, alias };
}

/** One host's end of a segment, by VXLAN or WireGuard. Forwarding follows the hosts' ranges, so all of it is known before any endpoint is. */
export const overlayTunnel: ObjectKind<OverlayTunnelObject> = {
    kind: "overlay-tunnel",
    schema,
    replaces: ["network"],
    chosen: ["local", "mtu"],

    build(raw, context) {
        const inputs = raw as unknown as TunnelInputs;
        const network = context.world.get("network", parseId(inputs.network.id).key);
        if (network === undefined)
            throw new Refusal("its network is not on the host any more. Run `pulumi up --refresh`.");
        if (network.bridge !== undefined) {
            throw new Refusal(
                `network "${network.name}" is on bridge ${network.bridge.interfaceName} of others. A tunnel needs a network with a bridge of its own.`,
            );
        }
        if (network.ipv6 !== undefined)
            throw new Refusal(
                `network "${network.name}" has IPv6, and tunnels carry IPv4 only yet. Leave IPv6 out there.`,
            );
        const local = chooseLocal(inputs, context);
        refuseConflicts(inputs, network, local, context);
        const isIpsec = inputs.encryption === "ipsec";
        const { identity } = context.facts;
        const associations = isIpsec ? associate(inputs, local, identity, context.derive) : [];
        const wireguard = inputs.encryption === "wireguard" ? wireguardEnds(inputs.peers, context.facts) : undefined;
        const object = defined({
            schemaVersion: 1,
            kind: "overlay-tunnel",
            key: context.key,
            generation: context.generation,
            owner: context.owner,
            name: ownName(context),
            labels: inputs.labels,
            network: network.key,
            vni: inputs.vni,
            port: inputs.port,
            local,
            peers: withReplyMarks(
                inputs.peers.map(({ underlayAddress, ipRange }, i) =>
                    defined({ underlayAddress, ipRange, ipsec: associations[i], wireguard: wireguard?.peers[i] }),
                ),
                context,
            ),
            ...chooseMtu(inputs.mtu, inputs.peers, inputs.encryption ?? "none", context.facts),
            ...(isIpsec && identity !== undefined ? { ipsec: { id: identity.id, epoch: identity.epoch } } : {}),
            wireguard: wireguard?.own,
        }) as OverlayTunnelObject;
        refuseMixture(object, context.world);
        return object;
    },

    keys({ local, ipsec }, raw, { identity }, derive) {
        if (ipsec === undefined || identity === undefined) return undefined;
        return renderKeys(raw as unknown as TunnelInputs, local, identity, derive);
    },

    twins(raw, { world }) {
        const { network, vni } = raw as unknown as TunnelInputs;
        return world.tunnelsOf(parseId(network.id).key).filter((other) => other.vni === vni);
    },

    items(object, world) {
        const network = world.get("network", object.network);
        if (network === undefined) return [];
        const alias = linkAlias(`linuxnet tunnel ${object.name} (${makerOf(object).stack})`);
        const { key, wireguard } = object;
        return [
            ...elementsOf(object, world),
            ...tunnelMemberships(key, network),
            ...(wireguard === undefined ? [vxlanOf(object, alias)] : wireguardItems(object, network, alias)),
            ...tunnelSysctls(key),
            ...routesAcross(object, network, wireguard === undefined),
            ...(wireguard === undefined ? vxlanEntries(object) : []),
            ...replyItems(object, network, wireguard === undefined),
        ];
    },

    *affects(object, world) {
        // With the first tunnel nobody speaks over it as any of them (`ownAddresses`).
        for (const { key } of world.all("network")) yield key;
        // Tunnels on one port share elements (port, peers): the one that goes must not take the others' along.
        yield `${sharedPrefix}${object.port}`;
        yield* companionsOf(object, world);
        for (const endpoint of world.endpointsOf(object.network)) yield endpoint.key;
        // Rules about other hosts name its interface: those of endpoints, of the network's peers, and the host's own.
        yield* targetsOfPoliciesAbout(object.network, world);
        if (world.policiesOn(hostTarget).length > 0) yield "base";
    },

    dependents: () => [],
    driftOfFacts: (object, facts) => [...mtuDrift(object, encryptionOf(object), facts), ...keyDrift(object, facts)],
    outputs: ({ key, local, mtuBytes, wireguard }) => ({
        interfaceName: key,
        local,
        mtu: mtuBytes,
        publicKey: wireguard?.publicKey,
    }),
};
