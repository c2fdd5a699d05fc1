import { z } from "zod";
import type { Item } from "../kernel/item.js";
import { subnetsOf } from "../model/half.js";
import type { HostIdentity } from "../model/identity.js";
import type { NetworkObject, OverlayTunnelObject } from "../model/object.js";
import { blocksOf } from "../model/port-range.js";
import { Refusal } from "../model/refusal.js";
import type { HostFacts, World } from "../model/world.js";
import { describeObject } from "./kind.js";
import { crossingsOf } from "./tunnel-forwarding.js";
import { unknown } from "./unknown.js";

const wholeSeconds = "must be whole seconds in milliseconds, 1000 to 65535000";

/** How often a peer is sent something, so that a NAT on the way to it remembers this host. */
export const keepAliveMs = z
    .int(wholeSeconds)
    .refine((value) => value % 1000 === 0 && value >= 1000 && value <= 65_535_000, wholeSeconds)
    .optional();

/** What the arguments say of a peer beside its range. */
export interface WireguardPeer {
    readonly underlayAddress: string;
    readonly identity?: Partial<HostIdentity> | undefined;
    readonly keepAliveMs?: number | undefined;
}

/** @throws nothing; adds what is wrong with the arguments, told while nothing is touched */
export function refuseKeepAlive(
    { encryption = "none", peers }: { readonly encryption?: unknown; readonly peers?: unknown },
    context: z.core.$RefinementCtx,
): void {
    if (encryption === "wireguard" || encryption === unknown || !Array.isArray(peers)) return;
    for (const [i, peer] of peers.entries()) {
        const input = (peer as WireguardPeer | undefined)?.keepAliveMs;
        if (input === undefined) continue;
        const message = `belongs to encryption "wireguard" and would do nothing with "${encryption}"; leave it out`;
        context.issues.push({ code: "custom", message, path: ["peers", i, "keepAliveMs"], input });
    }
}

/** @throws Refusal when the host cannot be an end of it. */
function ownKey({ identity, capabilities }: HostFacts): string {
    if (!capabilities.includes("wg")) {
        throw new Refusal(
            'encryption "wireguard" needs the tool wg, which this host lacks. Install it there: apt-get install wireguard-tools ' +
                "(or dnf, apk, pacman, zypper: package wireguard-tools), then run `pulumi up --refresh`.",
        );
    }
    const key = identity?.wireguardPublicKey;
    if (key !== undefined) return key;
    throw new Refusal(
        'encryption "wireguard" needs a key of the host\'s own, which it does not have yet. Run `pulumi up --refresh`.',
    );
}

/** Each peer's key, in the order of the peers. @throws Refusal */
function keysOf(peers: readonly WireguardPeer[], own: string): string[] {
    const keys: string[] = [];
    for (const [i, { underlayAddress, identity }] of peers.entries()) {
        const key = identity?.wireguardPublicKey;
        if (key === undefined) {
            throw new Refusal(
                `peers[${i}]: encryption "wireguard" needs the public key of the host at ${underlayAddress}. Name its Host as \`host\` ` +
                    "and give its output `identity`. A Host without a key has one when wireguard-tools is installed there, after `pulumi up --refresh`.",
            );
        }
        if (key === own) throw new Refusal(`peers[${i}]: its WireGuard key is that of this host itself.`);
        const twin = keys.indexOf(key);
        if (twin >= 0)
            throw new Refusal(`peers[${i}]: it has the WireGuard key of peers[${twin}]. Name each host once.`);
        keys.push(key);
    }
    return keys;
}

/** One interface listens on a port. @throws Refusal */
export function refuseSharedPort(port: number, isWireguard: boolean, key: string, world: World): void {
    const others = world.all("overlay-tunnel").filter((other) => other.key !== key && other.port === port);
    const other = others.find(({ wireguard }) => isWireguard || wireguard !== undefined);
    if (other !== undefined) {
        throw new Refusal(
            `port ${port} is already used by ${describeObject(other)}, and WireGuard needs one for each segment. Choose another port.`,
        );
    }
    if (!isWireguard) return;
    const mapping = world
        .mappingsAt("udp", blocksOf({ first: port, last: port })[0] ?? 0)
        .find(({ bindings }) =>
            bindings.some(
                ({ protocol, hostPort: { first, last } }) => protocol === "udp" && first <= port && port <= last,
            ),
        );
    if (mapping !== undefined) {
        throw new Refusal(`port ${port}/udp is published by ${describeObject(mapping)}. Choose another port.`);
    }
}

/** What a tunnel's object has of WireGuard: public keys. @throws Refusal */
export function wireguardEnds(peers: readonly WireguardPeer[], facts: HostFacts) {
    const publicKey = ownKey(facts);
    const keys = keysOf(peers, publicKey);
    return {
        own: { publicKey },
        peers: peers.map(({ keepAliveMs }, i) => ({
            publicKey: keys[i] ?? "",
            ...(keepAliveMs === undefined ? {} : { keepAliveMs }),
        })),
    };
}

/**
 * The tunnel's device as a wireguard(4) interface: the kernel sends to a peer what the routes lead there and its list
 * allows, and takes from it nothing else. Whatever is not there, the barrier is.
 */
export function wireguardItems(tunnel: OverlayTunnelObject, network: NetworkObject, alias: string): Item[] {
    const { key: dev, port, mtuBytes, wireguard } = tunnel;
    if (wireguard === undefined) return [];
    const crossings = crossingsOf(tunnel, network);
    const peers = tunnel.peers.flatMap((peer): Item[] => {
        if (peer.wireguard === undefined) return [];
        const { publicKey, keepAliveMs = 0 } = peer.wireguard;
        const address = peer.underlayAddress;
        const allowed = crossings.flatMap(({ to, underlayAddress }) => (underlayAddress === address ? [to.text] : []));
        return [{ type: "wireguard-peer", dev, publicKey, address, port, allowed, keepAlive: keepAliveMs / 1000 }];
    });
    return [
        ...subnetsOf(network).map((to): Item => ({ type: "barrier", to })),
        { type: "wireguard", name: dev, port, mtuBytes, alias },
        ...peers,
        { type: "wireguard-key", dev, port, publicKey: wireguard.publicKey },
    ];
}
