/** Ethernet frames in hexadecimal, for what no socket sends. */

const bytes = (value: number, count: number) => value.toString(16).padStart(2 * count, "0");

export const mac = (address: string) => address.replaceAll(":", "");

const ipv4 = (address: string) =>
    address
        .split(".")
        .map((byte) => bytes(Number(byte), 1))
        .join("");

/** An address without an embedded IPv4 address. */
export function ipv6(address: string): string {
    const [head = "", tail] = address.split("::");
    const groups = (text: string | undefined) => (text ? text.split(":") : []);
    const missing = Array<string>(8 - groups(head).length - groups(tail).length).fill("0");
    const all = tail === undefined ? groups(head) : [...groups(head), ...missing, ...groups(tail)];
    return all.map((group) => group.padStart(4, "0")).join("");
}

/** RFC 1071. */
function checksum(hex: string): string {
    const words = hex.padEnd(Math.ceil(hex.length / 4) * 4, "0").match(/.{4}/g) ?? [];
    let sum = words.reduce((total, word) => total + Number.parseInt(word, 16), 0);
    while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
    return bytes(~sum & 0xffff, 2);
}

export interface Addresses {
    readonly source: string;
    readonly destination: string;
}

/** An IPv4 packet. @param fragment offset in units of 8 bytes, and whether more follow */
export function ipv4Packet(
    { source, destination }: Addresses,
    protocol: number,
    payload: string,
    fragment = { offset: 0, more: false },
): string {
    const length = bytes(20 + payload.length / 2, 2);
    const flags = bytes((fragment.more ? 0x2000 : 0) + fragment.offset, 2);
    const start = `4500${length}4242${flags}40${bytes(protocol, 1)}`;
    const end = `${ipv4(source)}${ipv4(destination)}`;
    return `${start}${checksum(`${start}0000${end}`)}${end}${payload}`;
}

/** By its flow label they are told from others' packets, e.g. by `ip6 flowlabel`. */
export const flowLabel = "0xabcde";

/** With the hop limit of neighbour discovery (RFC 4861). */
export function ipv6Packet({ source, destination }: Addresses, protocol: number, payload: string): string {
    return `600abcde${bytes(payload.length / 2, 2)}${bytes(protocol, 1)}ff${ipv6(source)}${ipv6(destination)}${payload}`;
}

/** Without a checksum, as IPv4 allows it, and connection tracking for IPv6 too. */
export function udp(sourcePort: number, port: number, data = "2a2a2a2a"): string {
    return `${bytes(sourcePort, 2)}${bytes(port, 2)}${bytes(8 + data.length / 2, 2)}0000${data}`;
}

/** ICMP "port unreachable" about the packet that it quotes. */
export function portUnreachable(quoted: string): string {
    return `0303${checksum(`0303000000000000${quoted}`)}00000000${quoted}`;
}

/** A frame with an IP packet. */
export function frame(to: string, from: string, packet: string): string {
    return `${mac(to)}${mac(from)}${packet.startsWith("4") ? "0800" : "86dd"}${packet}`;
}

/** What is behind the IPv6 header: ICMPv6 (58), or UDP (17) with its header; its checksum is filled in (RFC 8200, 8.1). */
export interface Ipv6Payload {
    readonly next: 58 | 17;
    /** In hexadecimal; spaces are for the reader. */
    readonly body: string;
}

export function ipv6Frame(
    mac: { readonly from: string; readonly to: string },
    address: { readonly from: string; readonly to: string },
    { next, body }: Ipv6Payload,
): string {
    const plain = body.replace(/[^0-9a-f]/g, "");
    const pseudo = `${ipv6(address.from)}${ipv6(address.to)}${bytes(plain.length / 2, 4)}${bytes(next, 4)}`;
    const at = next === 58 ? 4 : 12;
    const payload = `${plain.slice(0, at)}${checksum(`${pseudo}${plain}`)}${plain.slice(at + 4)}`;
    const addresses = { source: address.from, destination: address.to };
    return frame(mac.to, mac.from, ipv6Packet(addresses, next, payload));
}
