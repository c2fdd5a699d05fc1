import type { Item } from "../kernel/item.js";
import { epochsFrom } from "../kernel/xfrm.js";
import { isIpv6 } from "../model/ipv6.js";
import type { OverlayTunnelObject, PeerAssociations, TunnelPeer } from "../model/object.js";
import { Refusal } from "../model/refusal.js";
import type { World } from "../model/world.js";
import { describeObject } from "./kind.js";

type Tunnel = Pick<OverlayTunnelObject, "key" | "local" | "port" | "peers" | "ipsec">;

/** Keys of the tunnels whose policies and associations this one shares. */
export function* companionsOf(tunnel: Tunnel, world: World): Iterable<string> {
    if (tunnel.ipsec === undefined) return;
    for (const peer of tunnel.peers) for (const { key } of companions(tunnel, peer, world)) yield key;
}

/** The other tunnels of the host whose packets to a peer no policy can tell from this one's. */
function companions(tunnel: Tunnel, peer: TunnelPeer, world: World): readonly OverlayTunnelObject[] {
    return world
        .all("overlay-tunnel")
        .filter(
            (other) =>
                other.key !== tunnel.key &&
                other.port === tunnel.port &&
                other.local === tunnel.local &&
                other.peers.some(({ underlayAddress }) => underlayAddress === peer.underlayAddress),
        );
}

/** Policies select by addresses and port, not by the segment. @throws Refusal */
export function refuseMixture(tunnel: Tunnel, world: World): void {
    for (const peer of tunnel.peers) {
        for (const other of companions(tunnel, peer, world)) {
            const what = `what goes to ${peer.underlayAddress} on port ${tunnel.port}`;
            if ((other.ipsec === undefined) !== (tunnel.ipsec === undefined)) {
                const how = other.ipsec === undefined ? 'without encryption "ipsec"' : 'with encryption "ipsec"';
                throw new Refusal(
                    `${describeObject(other)} sends ${what} ${how}, and IPsec cannot tell the segments apart. Give one of them another port.`,
                );
            }
        }
        if (tunnel.ipsec !== undefined && sendingReqid(tunnel, peer, world) === undefined) {
            throw new Refusal(
                `another segment of this host encrypts what goes to ${peer.underlayAddress} on port ${tunnel.port} with another key. Give both one key, or one of them another port.`,
            );
        }
    }
}

const associationsOf = (tunnel: Tunnel, address: string): readonly PeerAssociations[] =>
    tunnel.peers.flatMap(({ underlayAddress, ipsec }) =>
        underlayAddress === address && ipsec !== undefined ? [ipsec] : [],
    );

/** Of all tunnels that share the way to the peer, in an order that is the same for each of them. */
function sharedAssociations(tunnel: Tunnel, { underlayAddress }: TunnelPeer, others: readonly Tunnel[]) {
    const sorted = [tunnel, ...others].sort((a, b) => (a.key < b.key ? -1 : 1));
    return sorted.flatMap((each) => associationsOf(each, underlayAddress));
}

/** The first secret of the first tunnel that all of them know: while one is changed after the other, both ends have it. */
function sendingReqid(tunnel: Tunnel, peer: TunnelPeer, world: World): number | undefined {
    const all = sharedAssociations(tunnel, peer, companions(tunnel, peer, world));
    return all[0]?.reqids.find(({ send }) => all.every(({ reqids }) => reqids.some((each) => each.send === send)))
        ?.send;
}

/** Policies, associations, and the peers that nothing is taken from or sent to in the clear. */
export function ipsecItems(tunnel: Tunnel, world: World): Item[] {
    if (tunnel.ipsec === undefined) return [];
    const { local, port } = tunnel;
    return tunnel.peers.flatMap((peer): Item[] => {
        const remote = peer.underlayAddress;
        const all = sharedAssociations(tunnel, peer, companions(tunnel, peer, world));
        const reqid = sendingReqid(tunnel, peer, world);
        const numbers = new Map(all.flatMap(({ reqids }) => reqids.map((each) => [each.send, each])));
        const epochs = epochsFrom(Math.max(...all.map(({ epoch }) => epoch)));
        const set = isIpv6(remote) ? "encrypted_peers6" : "encrypted_peers";
        const [out, back] = [
            { source: local, destination: remote },
            { source: remote, destination: local },
        ];
        return [
            { type: "element", family: "inet", set, key: [remote, port] },
            { type: "xfrm-policy", direction: "out", ...out, port, ...(reqid === undefined ? {} : { reqid }) },
            { type: "xfrm-policy", direction: "in", ...back, port },
            ...[...numbers.values()].flatMap(({ send, receive }): Item[] => [
                { type: "xfrm-receive", ...back, reqid: receive, epochs },
                { type: "xfrm-send", ...out, reqid: send },
            ]),
        ];
    });
}
