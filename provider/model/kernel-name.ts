/**
 * Interface names hold 15 bytes (IFNAMSIZ, linux/if.h), so objects are named by two letters for their kind and 12 hex
 * digits of a hash. The letters are permanent: they are in users' state and on their hosts.
 */
export const kernelPrefixes = {
    network: "ln",
    sandbox: "ls",
    endpoint: "le",
    "port-mapping": "lp",
    "firewall-policy": "lf",
    "overlay-tunnel": "lt",
} as const;

/** Interfaces of ours begin with two letters and a hash; everything else is foreign. */
export function isKernelName(interfaceName: string): boolean {
    return /^l[a-z][0-9a-f]{12}$/.test(interfaceName);
}

const maximum = 15;

/** Names the kernel refuses: sysctl directories of its own (sysctl_dev_name_is_allowed, net/ipv4/devinet.c), files, lo. */
const reserved = new Set(["", ".", "..", "lo", "all", "default"]);

/**
 * An interface name inside a sandbox made from a logical name: characters the kernel refuses become "-", and a name that
 * is too long is cut to 10 + "-" + 4 hex digits of `hash`.
 */
export function interfaceNameOf(logicalName: string, hash: string): string {
    const name = logicalName.replace(/[^A-Za-z0-9_.-]/g, "-");
    if (!reserved.has(name) && name.length <= maximum) return name;
    return `${name.slice(0, 10)}-${hash.slice(0, 4)}`;
}

/** @throws Error when the kernel would refuse the interface name (dev_valid_name, net/core/dev.c). */
export function parseInterfaceName(text: string): string {
    if (!/^[A-Za-z0-9_.-]{1,15}$/.test(text) || reserved.has(text)) {
        throw new Error(
            `"${text}" is not an interface name: 1 to 15 letters, digits, "-", "_" or "."; not "lo", "all" or "default"`,
        );
    }
    return text;
}

/** @throws Error when the text cannot name a network namespace (a file below /run/netns, ip-netns(8)). */
export function parseNamespaceName(text: string): string {
    if (!/^[A-Za-z0-9_][A-Za-z0-9_.-]{0,62}$/.test(text)) {
        throw new Error(
            `"${text}" is not a namespace name: up to 63 letters, digits, "-", "_" or ".", the first a letter, a digit or "_"`,
        );
    }
    return text;
}
