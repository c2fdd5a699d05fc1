import { isIpv6 } from "./ipv6.js";

export type Family = 4 | 6;

/** What is said of a port's address: `undefined` is every address of the host, these are every one of a family. */
export const everyAddress: Readonly<Record<Family, string>> = { 4: "0.0.0.0", 6: "::" };

/** Whether it stands for more addresses than one. */
export function isEvery(address: string | undefined): boolean {
    return address === undefined || address === everyAddress[4] || address === everyAddress[6];
}

/** The families in which a port is published. */
export function familiesOf(address: string | undefined): readonly Family[] {
    if (address === undefined) return [4, 6];
    return [isIpv6(address) ? 6 : 4];
}

export function shareFamily(a: string | undefined, b: string | undefined): boolean {
    return familiesOf(a).some((family) => familiesOf(b).includes(family));
}

/** As URLs and `host:port` have it: IPv6 in brackets (RFC 3986, 3.2.2). */
export function withBrackets(address: string): string {
    return isIpv6(address) ? `[${address}]` : address;
}
