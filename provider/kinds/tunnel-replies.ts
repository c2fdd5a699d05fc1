import type { Item } from "../kernel/item.js";
import { replyMarks } from "../kernel/ruleset.js";
import { halvesOf, twinOf } from "../model/half.js";
import { macOf } from "../model/mac.js";
import type { NetworkObject, OverlayTunnelObject, TunnelPeer } from "../model/object.js";
import { familyOf, formatAddress } from "../model/range.js";
import type { World } from "../model/world.js";
import { nextHopOf, rangesOf } from "./tunnel-forwarding.js";

/**
 * A port that a peer publishes may keep the client's address: then connections come over the tunnel from anywhere, and what
 * is answered has to leave by the same peer, which knows them. Which peer that was is told by its MAC, and kept as a mark of
 * the connection. Every tunnel is able to, because a host does not know what others publish.
 */

/** The peers, each with a number that no other of the host has; one that was there keeps its own. */
export function withReplyMarks(
    peers: readonly TunnelPeer[],
    own: { readonly key: string; readonly previous: OverlayTunnelObject | undefined; readonly world: World },
): TunnelPeer[] {
    const others = own.world.all("overlay-tunnel").filter(({ key }) => key !== own.key);
    const before = new Map(own.previous?.peers.map((peer) => [peer.underlayAddress, peer.replyMark]));
    const kept = peers.map(({ underlayAddress }) => before.get(underlayAddress));
    const taken = new Set([...others.flatMap((tunnel) => tunnel.peers.map(({ replyMark }) => replyMark)), ...kept]);
    let next: number = replyMarks.first;
    return peers.map((peer, i) => {
        while (taken.has(next)) next++;
        const replyMark = kept[i] ?? next;
        taken.add(replyMark);
        return { ...peer, replyMark };
    });
}

/** The addresses that the host with these ranges has on the segment, unless its program says otherwise: of a CIDR the second. */
export function gatewaysOf(peer: TunnelPeer, network: NetworkObject): string[] {
    return rangesOf(peer, network).map(({ family, first }) => {
        const text = family === 6 ? (peer.ipv6Range ?? peer.ipRange) : peer.ipRange;
        return formatAddress(first + (text?.includes("/") ? 1n : 0n), family);
    });
}

/** Nobody speaks over a tunnel as one of this host's networks; where there is no tunnel nobody could. */
export function ownSubnets(network: NetworkObject, world: World): Item[] {
    if (world.all("overlay-tunnel").length === 0) return [];
    return halvesOf(network).map(({ family, subnet }) => ({
        type: "element",
        family: "inet",
        set: twinOf("network_subnets", family),
        key: [subnet],
    }));
}

/**
 * Where an interface has no address at all, even loose rp_filter takes strict sources only (fib_validate_source). One that
 * never changes, because with its last address the kernel drops an interface's routes and neighbours: the dummy of RFC 7600.
 */
const anyAddress = "192.0.0.8/32";

/** Who is behind a tunnel, and how answers go back through whom they are for. */
export function replyItems(tunnel: OverlayTunnelObject, network: NetworkObject, isAddressed: boolean): Item[] {
    const dev = tunnel.key;
    const element = (set: string, key: string[], ...value: string[]): Item => ({
        type: "element",
        family: "inet",
        set,
        key,
        ...(value.length === 0 ? {} : { value }),
    });
    return [
        element("tunnels", [dev]),
        ...(isAddressed ? [{ type: "address", dev, link: `link ${dev}`, address: anyAddress } as const] : []),
        ...halvesOf(network).map(({ family, gateway }) => element(twinOf("tunnel_gateways", family), [dev], gateway)),
        ...tunnel.peers.flatMap((peer): Item[] => {
            const { underlayAddress, replyMark } = peer;
            const known = [
                ...gatewaysOf(peer, network).map((gateway) =>
                    element(twinOf("peer_gateways", familyOf(gateway)), [dev, gateway]),
                ),
                element(twinOf("peer_hosts", familyOf(underlayAddress)), [dev, underlayAddress]),
            ];
            // Answers go by the gateways that its ranges have; without a range nothing is kept.
            const ranges = rangesOf(peer, network);
            if (replyMark === undefined || !isAddressed || ranges.length === 0) return known;
            const at = { type: "route", dev, link: `link ${dev}`, table: String(replyMark), isOnLink: true } as const;
            return [
                ...known,
                element("peer_marks", [dev, macOf(underlayAddress)], String(replyMark)),
                ...ranges.flatMap((range): Item[] => [
                    { ...at, to: range.family === 6 ? "::/0" : "default", via: nextHopOf(range, underlayAddress) },
                    { type: "reply-rule", family: range.family, from: network.key, mark: replyMark },
                ]),
            ];
        }),
    ];
}
