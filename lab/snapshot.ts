import type { LabMachine } from "./machine.js";

/** Everything of a host that must be the same before the first `up` and after `destroy`; compare with `toEqual`. */
export type HostSnapshot = {
    /** `ip -j addr`, without lifetimes. */
    readonly interfaces: readonly unknown[];
    /** `ip -j route show table all` of both families, sorted. */
    readonly routes: readonly unknown[];
    /** `ip -j rule` of both families. */
    readonly rules: readonly unknown[];
    /** Names of network namespaces. */
    readonly namespaces: readonly string[];
    /** `nft --stateless list ruleset`. */
    readonly ruleset: string;
    /** `ip xfrm state` and `ip xfrm policy`. */
    readonly ipsec: string;
    /** Path below /proc/sys -> value. */
    readonly sysctls: Readonly<Record<string, string>>;
    /** Path, mode, and size or link target of what is below /run, /var/lib/linuxnet, /etc/netns, /etc/systemd/system. */
    readonly files: readonly string[];
};

/** Gathers a {@link HostSnapshot} in one command. */
export async function snapshotHost(host: Pick<LabMachine, "exec">): Promise<HostSnapshot> {
    const { stdout } = await host.exec(snapshotScript);
    const sections = new Map<string, string>();
    for (const part of stdout.split(/^=== /m).slice(1)) {
        const end = part.indexOf("\n");
        sections.set(part.slice(0, end < 0 ? undefined : end), end < 0 ? "" : part.slice(end + 1).trim());
    }
    const text = (name: string) => sections.get(name) ?? "";
    const json = (name: string) => parseJson(text(name));
    return {
        interfaces: json("addr"),
        routes: [...json("route4"), ...json("route6")].sort(byText),
        rules: [...json("rule4"), ...json("rule6")],
        namespaces: json("netns")
            .map((entry) => (entry as { name: string }).name)
            .sort(),
        ruleset: text("nft"),
        ipsec: text("xfrm"),
        sysctls: Object.fromEntries(lines(text("sysctl")).map((line) => line.split(/:(.*)/s).slice(0, 2))),
        files: lines(text("files")).sort(),
    };
}

/** Counts down, or depends on when one looks. */
const volatileKeys = new Set(["valid_life_time", "preferred_life_time", "expires", "tentative", "dadfailed"]);

function parseJson(text: string): unknown[] {
    if (text === "") return [];
    return JSON.parse(text, (key, value) => (volatileKeys.has(key) ? undefined : value));
}

function lines(text: string): string[] {
    return text === "" ? [] : text.split("\n");
}

function byText(left: unknown, right: unknown): number {
    const [a, b] = [JSON.stringify(left), JSON.stringify(right)];
    return a < b ? -1 : a > b ? 1 : 0;
}

const snapshotScript = `section() { printf '\\n=== %s\\n' "$1"; }
# The route of an address of IPv6 comes when nobody else was found to have it, after two seconds at most.
i=0; while [ -n "$(ip -6 -oneline address show tentative 2>/dev/null)" ] && [ $i -lt 25 ]; do sleep 0.1; i=$((i + 1)); done
section addr; ip -json address || exit
section route4; ip -4 -json route show table all || exit
section route6; if [ -e /proc/sys/net/ipv6 ]; then ip -6 -json route show table all; fi
section rule4; ip -4 -json rule || exit
section rule6; if [ -e /proc/sys/net/ipv6 ]; then ip -6 -json rule; fi
section netns; ip -json netns list || exit
# A kernel without IPsec has no such tables, a host without nft no rules.
section xfrm; { ip xfrm state; ip xfrm policy; } 2>/dev/null
section nft; if command -v nft >/dev/null; then nft --stateless list ruleset || exit; fi
section sysctl; cd /proc/sys && grep -s . net/ipv4/ip_forward net/ipv4/conf/*/forwarding net/ipv4/conf/*/rp_filter \\
    net/ipv4/conf/*/route_localnet net/ipv4/conf/*/accept_local net/ipv4/conf/*/proxy_arp net/ipv4/conf/*/arp_ignore \\
    net/ipv4/conf/*/arp_announce net/ipv4/conf/*/send_redirects net/ipv4/conf/*/src_valid_mark \\
    net/ipv6/conf/*/forwarding net/ipv6/conf/*/accept_ra net/ipv6/conf/*/disable_ipv6 net/ipv6/conf/*/proxy_ndp \\
    net/ipv4/ip_local_reserved_ports net/bridge/bridge-nf-call-*
# Who answered for names goes two seconds after the last question it may be asked.
# What is inside the folders: an empty folder is as good as none. /run/lab is the lab's own, the others are made by
# logging in, by mount, by sudo, and all the time by systemd.
i=0; while [ -e /run/linuxnet-dns/leaving ] && [ $i -lt 50 ]; do sleep 0.1; i=$((i + 1)); done
section files; find /run /var/lib/linuxnet /etc/netns /etc/systemd/system /etc/sysctl.d -mindepth 1 \\
    \\( -path /run/lab -o -path /run/mount -o -path /run/sudo -o -path '/run/sshd*' -o -path /run/utmp \\
    -o -path /run/systemd -o -path /run/udev -o -path /run/log \\) -prune -o \\
    \\( -type f -printf '%p %M %s\\n' -o -printf '%p %M %l\\n' \\) 2>/dev/null
exit 0
`;
