import { z } from "zod";
import { ref, shape } from "./schema.js";

const notOfHost = "the output identity of a Host is expected";

/** What a peer of an encrypted segment is told by, beside its addresses. */
export const peerIdentity = {
    host: ref("host").optional(),
    identity: shape(
        {
            id: z.string(notOfHost).regex(/^[0-9a-f]{32}$/, notOfHost),
            epoch: z.int(notOfHost).min(1, notOfHost),
            wireguardPublicKey: z
                .string(notOfHost)
                .regex(/^[A-Za-z0-9+/]{43}=$/, notOfHost)
                .optional(),
        },
        notOfHost,
    )
        .partial()
        .optional(),
};

interface Peer {
    readonly host?: unknown;
    readonly identity?: unknown;
}

/** What each encryption makes keys of. */
const needed: Readonly<Record<string, readonly string[]>> = {
    none: [],
    ipsec: ["id", "epoch"],
    wireguard: ["wireguardPublicKey"],
};

/**
 * Tunnels without what they do not need: a peer's boot changes its epoch, and a tunnel that makes nothing of it stays as it
 * is. Of an encryption that is still unknown all may be needed.
 */
export function withNeededIdentity<T extends { readonly peers?: unknown; readonly encryption?: unknown }>(
    tunnel: T,
): T {
    const { peers, encryption = "none" } = tunnel;
    const names = needed[String(encryption)];
    if (!Array.isArray(peers) || names === undefined) return tunnel;
    return { ...tunnel, peers: peers.map((peer) => (typeof peer === "object" ? strip(peer, names) : peer)) };
}

function strip(peer: Peer, names: readonly string[]): Peer {
    const { host, identity, ...rest } = peer;
    if (names.length === 0) return rest;
    const told = host === undefined ? rest : { ...rest, host };
    if (identity === undefined) return told;
    if (typeof identity !== "object" || identity === null) return { ...told, identity };
    const kept = Object.entries(identity).filter(([name, value]) => names.includes(name) && value !== undefined);
    return { ...told, identity: Object.fromEntries(kept) };
}
