import { parseIpv4 } from "./address.js";
import { isIpv6, parseIpv6 } from "./ipv6.js";

/**
 * The MAC address that follows from an IPv4 address: locally administered, unicast (IEEE 802 clause 8), so that every
 * host of an overlay knows the MAC of each address without asking.
 */
export function macOfIpv4(address: string): string {
    const value = parseIpv4(address);
    const bytes = [24, 16, 8, 0].map((shift) => ((value >>> shift) & 255).toString(16).padStart(2, "0"));
    return `02:6c:${bytes.join(":")}`;
}

/**
 * The MAC address that follows from an address: of an endpoint or a gateway, or that of a tunnel's device, which every peer
 * knows from the underlay address of its host. An IPv6 address does not fit, so 40 bits of its hash (FNV-1a) stand for it,
 * behind another first byte.
 */
export function macOf(address: string): string {
    if (!isIpv6(address)) return macOfIpv4(address);
    let hash = 0xcbf29ce484222325n;
    for (let value = parseIpv6(address), i = 0; i < 16; i++, value >>= 8n)
        hash = ((hash ^ (value & 255n)) * 0x100000001b3n) & 0xffffffffffffffffn;
    const bytes = [32n, 24n, 16n, 8n, 0n].map((shift) => ((hash >> shift) & 255n).toString(16).padStart(2, "0"));
    return `06:${bytes.join(":")}`;
}

/** Lower case with colons. @throws Error when the text is no unicast MAC address. */
export function parseMac(text: string): string {
    const mac = text.toLowerCase().replaceAll("-", ":");
    if (!/^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/.test(mac) || mac === "00:00:00:00:00:00") {
        throw new Error(`"${text}" is not a MAC address such as 02:6c:ac:14:00:0a`);
    }
    if ((Number.parseInt(mac.slice(0, 2), 16) & 1) === 1) {
        throw new Error(`"${text}" is a multicast address; an endpoint needs a unicast one (first byte even)`);
    }
    return mac;
}
