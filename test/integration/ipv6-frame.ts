function inFull(address: string): string {
    const [head = "", tail = ""] = address.split("::");
    const groups = (side: string) => (side === "" ? [] : side.split(":").map((group) => group.padStart(4, "0")));
    const missing = 8 - groups(head).length - groups(tail).length;
    return [...groups(head), ...Array(missing).fill("0000"), ...groups(tail)].join("");
}

/** What is behind the IPv6 header: ICMPv6 (58), or UDP (17) with its header; its checksum is filled in (RFC 8200, 8.1). */
export interface Ipv6Payload {
    readonly next: 58 | 17;
    /** In hexadecimal; spaces are for the reader. */
    readonly body: string;
}

/** An Ethernet frame with IPv6, in hexadecimal, with flow label abcde. */
export function ipv6Frame(
    mac: { readonly from: string; readonly to: string },
    address: { readonly from: string; readonly to: string },
    { next, body }: Ipv6Payload,
): string {
    const [source, destination] = [inFull(address.from), inFull(address.to)];
    const plain = body.replace(/[^0-9a-f]/g, "");
    const length = (plain.length / 2).toString(16).padStart(4, "0");
    const protocol = next.toString(16).padStart(2, "0");
    const pseudo = `${source}${destination}0000${length}000000${protocol}`;
    const words = `${pseudo}${plain.padEnd(Math.ceil(plain.length / 4) * 4, "0")}`.match(/.{4}/g) ?? [];
    let sum = words.reduce((total, word) => total + Number.parseInt(word, 16), 0);
    while (sum > 0xffff) sum = (sum & 0xffff) + (sum >> 16);
    const checksum = (~sum & 0xffff).toString(16).padStart(4, "0");
    const at = next === 58 ? 4 : 12;
    const checked = `${plain.slice(0, at)}${checksum}${plain.slice(at + 4)}`;
    return `${mac.to} ${mac.from} 86dd 600abcde${length}${protocol}ff${source}${destination} ${checked}`;
}
