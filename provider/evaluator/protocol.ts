/** Assigned internet protocol numbers (IANA) of the names that rules take. */
const numbers: Readonly<Record<string, number>> = {
    icmp: 1,
    tcp: 6,
    udp: 17,
    gre: 47,
    esp: 50,
    ah: 51,
    icmpv6: 58,
    sctp: 132,
};

/** @throws Error when the name is none that rules take */
export function protocolNumber(protocol: string | number): number {
    const number = typeof protocol === "number" ? protocol : numbers[protocol];
    if (number === undefined)
        throw new Error(`"${protocol}" is no protocol that is known by name; give its IANA number`);
    return number;
}
