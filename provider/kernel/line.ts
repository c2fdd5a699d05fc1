/**
 * One line for one of the kernel's tools. `ip`, `ip6` (`ip -6`) and `bridge` lines go into `-batch` files (ip(8), bridge(8)), `nft` lines
 * into one transaction (nft(8)), `file` lines are a path and its content, `require` lines a sentence and the command that must succeed, `xfrm` lines what `loadAssociations` reads, `wg` lines arguments of wg(8), `netns-file` lines a path, how its lines are written and these (a path alone: it is removed), `resolver` and `names` lines those of the functions in resolver.ts, the others are shell built-ins or single commands. Arguments are data: the renderer
 * quotes them, in one place.
 */
export interface Line {
    readonly tool:
        | "ip"
        | "ip6"
        | "bridge"
        | "nft"
        | "sysctl"
        | "conntrack"
        | "file"
        | "require"
        | "xfrm"
        | "wg"
        | "netns-file"
        | "resolver"
        | "names"
        | "command";
    /** Network namespace the line runs in; absent: the host's own. */
    readonly netns?: string;
    readonly args: readonly string[];
    /** Of a switch of an interface of others, which may be gone by now: when to write it at all. */
    readonly guard?: Guard;
    /** Of no use later: the restore script does not repeat it. */
    readonly isMomentary?: true;
}

export interface Guard {
    /** Only over this value: another one was written by somebody else meanwhile. */
    readonly over?: string;
    /** Key of a switch that, when it is 1, wants this one as it is. */
    readonly unless?: string;
}

export function ip(netns: string | undefined, ...args: readonly (string | number)[]): Line {
    return { tool: "ip", ...(netns === undefined ? {} : { netns }), args: args.map(String) };
}

/** For what does not know its family by its arguments: rules (ip-rule(8)). */
export function ip6(netns: string | undefined, ...args: readonly (string | number)[]): Line {
    return { ...ip(netns, ...args), tool: "ip6" };
}

export function bridge(...args: readonly (string | number)[]): Line {
    return { tool: "bridge", args: args.map(String) };
}

/** One statement of the nft transaction; its text is rendered by us, strings by `nftString`. */
export function nft(text: string): Line {
    return { tool: "nft", args: [text] };
}

/**
 * Writes a key below /proc/sys/, with slashes: `net/ipv4/conf/ln0123/forwarding`. Without a value: the one that a new
 * namespace has, when a new namespace has the key.
 */
export function sysctl(netns: string | undefined, key: string, value?: string, guard?: Guard): Line {
    return {
        tool: "sysctl",
        ...(netns === undefined ? {} : { netns }),
        args: value === undefined ? [key] : [key, value],
        ...(guard === undefined ? {} : { guard }),
    };
}

/** In `ip link set`: the kernel makes the link no link-local address of its own. */
export const noLinkLocal = ["addrgenmode", "none"] as const;

/** The line as a kernel without IPv6 takes it (ipv6.disable=1), which refuses every word about that family. */
export function withoutIpv6(line: Line): Line {
    const at = line.args.findIndex((word, i) => word === noLinkLocal[0] && line.args[i + 1] === noLinkLocal[1]);
    return at < 0 ? line : { ...line, args: line.args.toSpliced(at, noLinkLocal.length) };
}

/** Fails with the sentence unless the command succeeds. */
export function must(sentence: string, ...words: readonly string[]): Line {
    return { tool: "require", args: [sentence, ...words] };
}

export function command(...args: readonly string[]): Line {
    return { tool: "command", args };
}
