/**
 * The addresses of one lab. Labs share the blocks reserved for benchmarks, which nobody routes:
 * 198.18.0.0/15 (RFC 2544) in 512 /24s and 2001:2::/48 (RFC 5180) in /64s.
 */
export type AddressPlan = {
    /** 0-511: the lab's number among those that run on this machine. */
    readonly index: number;
    /** The interface in the calling program's own network namespace; its name being free is what claims the index. */
    readonly linkName: string;
    readonly subnet: string;
    readonly ipv6Subnet: string;
};

/** How many labs can run at once. */
export const labCount = 512;

/** The numbers of the machines in each subnet: hosts count up from 11. */
export const hostNumbers = { router: 1, client: 2, firstHost: 11, outside: 254 } as const;

/** How many hosts one lab can have. */
export const maxHosts = hostNumbers.outside - hostNumbers.firstHost;

/** The plan of the lab with this number. */
export function planAddresses(index: number): AddressPlan {
    return {
        index,
        linkName: `lnlab-${index.toString(16).padStart(3, "0")}`,
        subnet: `198.${18 + (index >> 8)}.${index & 255}.0/24`,
        // From 1 on: a fourth zero would be written in another way (RFC 5952).
        ipv6Subnet: `2001:2:0:${(index + 1).toString(16)}::/64`,
    };
}

/** A machine's two addresses. */
export function planMachine(plan: AddressPlan, number: number): { address: string; ipv6Address: string } {
    return {
        address: plan.subnet.replace("0/24", String(number)),
        ipv6Address: plan.ipv6Subnet.replace("/64", number.toString(16)),
    };
}

/** Whether an IPv4 destination of a routing table, other than a default route, overlaps the plan's subnet. */
export function overlapsDestination(plan: AddressPlan, destination: string): boolean {
    const [address = "", length = "32"] = destination.split("/");
    const prefixLength = Number(length);
    // 0.0.0.0/1 and 128.0.0.0/1 are how VPN clients write a default route.
    if (!/^\d+(\.\d+){3}$/.test(address) || prefixLength < 2) return false;
    const mask = (-1 << (32 - Math.min(prefixLength, 24))) >>> 0;
    return (toNumber(address) & mask) >>> 0 === (toNumber(plan.subnet.slice(0, -3)) & mask) >>> 0;
}

function toNumber(address: string): number {
    return address.split(".").reduce((sum, byte) => sum * 256 + Number(byte), 0);
}
