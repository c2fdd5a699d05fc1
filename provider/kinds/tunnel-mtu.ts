import type { NetworkObject, OverlayTunnelObject } from "../model/object.js";
import { familyOf } from "../model/range.js";
import { Refusal } from "../model/refusal.js";
import type { HostFacts } from "../model/world.js";
import { routeTo } from "./underlay.js";

export type Encryption = "none" | "ipsec" | "wireguard";

/** What is around a packet of the segment over IPv4, in bytes; over IPv6 the outer header has 20 more. */
const overheads: Readonly<Record<Encryption, number>> = {
    /** IPv4 20, UDP 8, VXLAN 8 (RFC 7348), and the inner Ethernet header 14. */
    none: 20 + 8 + 8 + 14,
    /** VXLAN in ESP (RFC 4303) with AES-GCM (RFC 4106): header 8, IV 8, trailer 2, ICV 16. */
    ipsec: 20 + 8 + 8 + 14 + 8 + 8 + 2 + 16,
    /** IPv4 20, UDP 8, header 16 and tag 16 of a data message; it carries packets, not frames. */
    wireguard: 20 + 8 + 16 + 16,
};

/** Bytes that a packet of a segment grows by on the underlay. */
export function overheadOf(encryption: Encryption, underlay: 4 | 6): number {
    return overheads[encryption] + (underlay === 6 ? 20 : 0);
}

/** The largest packet of a segment that crosses an underlay of this MTU in one piece. */
export function largestInside(underlayBytes: number, encryption: Encryption, underlay: 4 | 6): number {
    // ESP pads what it encrypts to a multiple of 4 bytes (RFC 4303, 2.4); the rest of the headers is one.
    const usable = encryption === "ipsec" ? underlayBytes - (underlayBytes % 4) : underlayBytes;
    return usable - overheadOf(encryption, underlay);
}

type Ends = Pick<OverlayTunnelObject, "local"> & {
    readonly peers: readonly { readonly underlayAddress: string }[];
};

/** Of the narrowest way to a peer: one MTU for the segment on this host, so that no sandbox sends what does not arrive. */
function possibleMtu({ local, peers }: Ends, encryption: Encryption, facts: HostFacts): number {
    const possible = peers.map(({ underlayAddress }) =>
        largestInside(routeTo(underlayAddress, facts)?.mtuBytes ?? 1500, encryption, familyOf(underlayAddress)),
    );
    return possible.length === 0 ? largestInside(1500, encryption, familyOf(local)) : Math.min(...possible, 65535);
}

const doesNotFit = (mtuBytes: number, possible: number) =>
    `mtu ${mtuBytes} does not fit the underlay: at most ${possible} bytes pass unfragmented`;

/** @throws Refusal when the wanted one does not pass in one piece */
export function chooseMtu(
    wanted: number | undefined,
    ends: Ends,
    encryption: Encryption,
    facts: HostFacts,
): Pick<OverlayTunnelObject, "mtuBytes" | "isMtuGiven"> {
    const possible = possibleMtu(ends, encryption, facts);
    if (wanted === undefined) return { mtuBytes: possible };
    if (wanted <= possible) return { mtuBytes: wanted, isMtuGiven: true };
    throw new Refusal(`${doesNotFit(wanted, possible)}. Lower it, or leave it out.`);
}

/** @throws Refusal where the network has IPv6 and the tunnel has no room for it (RFC 8200, 5) */
export function refuseWithoutRoom({ mtuBytes }: OverlayTunnelObject, { name, ipv6 }: NetworkObject): void {
    if (ipv6 === undefined || mtuBytes >= 1280) return;
    throw new Refusal(
        `mtu ${mtuBytes} is too small for network "${name}", whose IPv6 needs 1280 bytes (RFC 8200). Raise the underlay's MTU, or leave IPv6 out.`,
    );
}

/** What is not as the underlay wants it by now. */
export function mtuDrift(tunnel: OverlayTunnelObject, encryption: Encryption, facts: HostFacts): string[] {
    const possible = possibleMtu(tunnel, encryption, facts);
    if (tunnel.mtuBytes > possible) return [doesNotFit(tunnel.mtuBytes, possible)];
    return tunnel.isMtuGiven || tunnel.mtuBytes === possible
        ? []
        : [`mtu is ${tunnel.mtuBytes}, and ${possible} bytes pass the underlay unfragmented`];
}
