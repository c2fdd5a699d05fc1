import { z } from "zod";
import type { Item } from "../kernel/item.js";
import { linkAlias } from "../kernel/link.js";
import { overlaps } from "../model/address.js";
import { makerOf } from "../model/adoption.js";
import { halfOf, subnetsOf } from "../model/half.js";
import { isIpv6 } from "../model/ipv6.js";
import { macOf, parseMac } from "../model/mac.js";
import {
    encryptionOf,
    hostTarget,
    type NetworkObject,
    type OverlayTunnelObject,
    type TunnelPeer,
} from "../model/object.js";
import { covers, type FamilyRange, familyOf, parseRange, rangeOf } from "../model/range.js";
import { parseId, type RefValue } from "../model/reference.js";
import { Refusal } from "../model/refusal.js";
import type { World } from "../model/world.js";
import { warnOfFirewalls } from "./cooperation.js";
import { associate, keyDrift, keySchema, refuseWrongKey, renderKeys } from "./ipsec-keys.js";
import { describeIpv6Off } from "./ipv6-off.js";
import { type BuildContext, defined, describeObject, type ObjectKind, ownName } from "./kind.js";
import { peerIdentity, withNeededIdentity } from "./peer-identity.js";
import { targetsOfPoliciesAbout } from "./policy-rules.js";
import { answersAcross } from "./resolver-across.js";
import {
    address,
    addressRange,
    adopt,
    known,
    labels,
    later,
    mtu,
    ofFamily,
    type PerFamily,
    perFamily,
    ref,
    shape,
    text,
} from "./schema.js";
import { routesAcross, tunnelMemberships, tunnelSysctls, vxlanEntries } from "./tunnel-forwarding.js";
import { companionsOf, ipsecItems, refuseMixture } from "./tunnel-ipsec.js";
import { chooseMtu, mtuDrift, refuseWithoutRoom } from "./tunnel-mtu.js";
import { replyItems, withReplyMarks } from "./tunnel-replies.js";
import {
    keepAliveMs,
    refuseKeepAlive,
    refuseSharedPort,
    type WireguardPeer,
    wireguardEnds,
    wireguardItems,
} from "./tunnel-wireguard.js";
import { ownAddresses, refuseMixedFamilies, sourceFor, underlayAddress } from "./underlay.js";
import { unknown } from "./unknown.js";

const peer = shape(
    { underlayAddress, ipRange: perFamily(addressRange).optional(), keepAliveMs, ...peerIdentity },
    "an underlay address, or { underlayAddress, ipRange }, is expected: each host owns a range",
);

/** A bare address is a peer without a range. */
const fromAddress = (given: unknown) =>
    typeof given === "string" && given !== unknown ? { underlayAddress: given } : given;

const remoteEndpoint = shape(
    // MACs do not matter between hosts: what crosses is routed.
    { address, underlayAddress, macAddress: text(parseMac).optional() },
    "{ address, underlayAddress } is expected",
);

const schema = shape({
    network: ref("network"),
    vni: z.int().min(1, "must be 1 to 16777215").max(16777215, "must be 1 to 16777215"),
    peers: z.array(known(z.preprocess(fromAddress, peer))).default([]),
    remoteEndpoints: z.array(known(remoteEndpoint)).optional(),
    local: underlayAddress.optional(),
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
    .superRefine(refuseMixedFamilies)
    .overwrite(withNeededIdentity);

interface TunnelInputs {
    readonly network: RefValue;
    readonly vni: number;
    readonly peers: (WireguardPeer & { readonly ipRange?: PerFamily })[];
    readonly remoteEndpoints?: { readonly address: string; readonly underlayAddress: string }[];
    readonly local?: string;
    readonly port: number;
    readonly encryption?: "none" | "ipsec" | "wireguard";
    readonly key?: string | string[];
    readonly mtu?: number;
    readonly labels: Record<string, string>;
}

type Context = BuildContext<OverlayTunnelObject>;

function chooseLocal(inputs: TunnelInputs, { facts, previous }: Context): string {
    const [peer] = inputs.peers;
    const family = familyOf(inputs.local ?? peer?.underlayAddress ?? previous?.local ?? "");
    if (family === 6 && facts.ipv6 === undefined) {
        throw new Refusal(
            `${inputs.local ?? peer?.underlayAddress} is IPv6, and ${describeIpv6Off(facts)}, or give addresses of IPv4.`,
        );
    }
    const own = ownAddresses(family, facts).map(({ address }) => address);
    if (inputs.local !== undefined) {
        // WireGuard sends from whatever address leads to a peer, and a host behind NAT has not the one it is known by.
        if (own.includes(inputs.local) || inputs.encryption === "wireguard") return inputs.local;
        const told = own.length === 0 ? `It has none of IPv${family}.` : `Its addresses are ${own.join(", ")}.`;
        throw new Refusal(`local ${inputs.local} is no address of the host. ${told}`);
    }
    const before = previous !== undefined && familyOf(previous.local) === family ? previous.local : undefined;
    const source = peer === undefined ? undefined : sourceFor(peer.underlayAddress, facts);
    const local = source ?? before ?? (own.length === 1 ? own[0] : undefined);
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
    refusePeers(peersOf(inputs), network, local);
    for (const [i, { address, underlayAddress }] of (inputs.remoteEndpoints ?? []).entries()) {
        const path = `remoteEndpoints[${i}]`;
        if (!subnetsOf(network).some((subnet) => covers(parseRange(subnet), rangeOf(address))))
            throw new Refusal(
                `${path}: ${address} is outside ${subnetsOf(network).join(" and ")} of network "${network.name}".`,
            );
        if (!inputs.peers.some((peer) => peer.underlayAddress === underlayAddress))
            throw new Refusal(`${path}: ${underlayAddress} is none of the peers. Add it to peers.`);
    }
}

const peersOf = (inputs: TunnelInputs): TunnelPeer[] =>
    inputs.peers.map(
        ({ underlayAddress, ipRange }) =>
            defined({ underlayAddress, ipRange: ofFamily(ipRange, 4), ipv6Range: ofFamily(ipRange, 6) }) as TunnelPeer,
    );

function refusePeers(peers: readonly TunnelPeer[], network: NetworkObject, local: string): void {
    const known: { readonly i: number; readonly range: FamilyRange }[] = [];
    for (const [i, { underlayAddress, ipRange, ipv6Range }] of peers.entries()) {
        const path = `peers[${i}]`;
        if (underlayAddress === local)
            throw new Refusal(`${path}: ${local} is this host itself. Name the other hosts only.`);
        const first = peers.findIndex((other) => other.underlayAddress === underlayAddress);
        if (ipRange !== undefined && ipv6Range === undefined && network.ipv6?.ipRange !== undefined) {
            throw new Refusal(
                `${path}: ipRange ${ipRange} has none of IPv6, as network "${network.name}" has (${network.ipv6.ipRange}). Give both.`,
            );
        }
        for (const text of [ipRange, ipv6Range].filter((each) => each !== undefined)) {
            const range = parseRange(text);
            const half = halfOf(network, range.family);
            if (half === undefined)
                throw new Refusal(
                    `${path}: ipRange ${text} is IPv${range.family}, which network "${network.name}" has not.`,
                );
            const { subnet, ipRange: own, gateway } = half;
            const each = "Give each host a range of its own.";
            if (!covers(parseRange(subnet), range))
                throw new Refusal(`${path}: ipRange ${text} is outside subnet ${subnet}.`);
            if (own !== undefined && overlaps(range, parseRange(own)))
                throw new Refusal(`${path}: ipRange ${text} overlaps this host's own ${own}. ${each}`);
            const twin = known.find((other) => other.range.family === range.family && overlaps(other.range, range));
            if (twin !== undefined)
                throw new Refusal(`${path}: ipRange ${text} overlaps that of peers[${twin.i}]. ${each}`);
            if (covers(range, rangeOf(gateway)))
                throw new Refusal(`${path}: ${gateway} of ipRange ${text} is this host's own gateway. ${each}`);
            known.push({ i, range });
        }
        if (first < i)
            throw new Refusal(`${path}: ${underlayAddress} is that of peers[${first}]. Name each host once.`);
    }
}

/** Who may send to a port: what tunnels on it have in common. */
function elementsOf(tunnel: OverlayTunnelObject, world: World): Item[] {
    const { port, peers, wireguard } = tunnel;
    const allow = (set: string, ...key: (string | number)[]): Item => ({ type: "element", family: "inet", set, key });
    // A peer behind NAT comes from another address.
    if (wireguard !== undefined) return [allow("wireguard_ports", port)];
    return [
        allow("tunnel_ports", port),
        ...peers.map(({ underlayAddress: peer }) => allow(isIpv6(peer) ? "tunnel_peers6" : "tunnel_peers", peer, port)),
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
    return { type: "vxlan", name: key, mac: macOf(local), vni, local, port, mtuBytes, alias };
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
        const { encryption = "none" } = inputs;
        if (halfOf(network, 4) === undefined && encryption !== "none") {
            throw new Refusal(
                `network "${network.name}" has no IPv4, which segments with encryption need yet. Leave ipv4: false out there, or encryption here.`,
            );
        }
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
                peersOf(inputs).map((each, i) =>
                    defined({ ...each, ipsec: associations[i], wireguard: wireguard?.peers[i] }),
                ),
                context,
            ),
            ...(inputs.remoteEndpoints?.length
                ? {
                      remoteEndpoints: inputs.remoteEndpoints.map(({ address, underlayAddress }) => ({
                          address,
                          underlayAddress,
                      })),
                  }
                : {}),
            ...chooseMtu(inputs.mtu, { local, peers: inputs.peers }, inputs.encryption ?? "none", context.facts),
            ...(isIpsec && identity !== undefined ? { ipsec: { id: identity.id, epoch: identity.epoch } } : {}),
            wireguard: wireguard?.own,
        }) as OverlayTunnelObject;
        refuseMixture(object, context.world);
        refuseWithoutRoom(object, network);
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
            ...tunnelSysctls(key, network),
            ...routesAcross(object, network, world, wireguard === undefined),
            ...(wireguard === undefined ? vxlanEntries(object, network) : []),
            ...replyItems(object, network, wireguard === undefined),
            ...answersAcross(object, network, world),
        ];
    },

    *affects(object, world) {
        // With the first tunnel nobody speaks over it as any of them (`ownSubnets`).
        for (const { key } of world.all("network")) yield key;
        // Tunnels on one port share elements (port, peers): the one that goes must not take the others' along.
        yield `${sharedPrefix}${object.port}`;
        yield* companionsOf(object, world);
        for (const endpoint of world.endpointsOf(object.network)) {
            yield endpoint.key;
            yield endpoint.sandbox;
        }
        // Rules about other hosts name its interface: those of endpoints, of the network's peers, and the host's own.
        yield* targetsOfPoliciesAbout(object.network, world);
        if (world.policiesOn(hostTarget).length > 0) yield "base";
    },

    dependents: () => [],
    warnings: warnOfFirewalls,
    driftOfFacts: (object, facts) => [...mtuDrift(object, encryptionOf(object), facts), ...keyDrift(object, facts)],
    outputs: ({ key, local, mtuBytes, wireguard }) => ({
        interfaceName: key,
        local,
        mtu: mtuBytes,
        publicKey: wireguard?.publicKey,
    }),
};
