import { otherFirewallsScript, parseOtherFirewalls } from "../kernel/other-firewalls.js";
import { parseIpv4, parseIpv4Cidr } from "../model/address.js";
import { isKernelName } from "../model/kernel-name.js";
import { parsePortRange } from "../model/port-range.js";
import type { ClientPorts, ForeignAddress, ForeignRoute, HostFacts } from "../model/world.js";
import { ipv6FactsScript, isIpv6Route, parseIpv6Facts } from "./ipv6-facts.js";
import { printManifest } from "./manifest.js";
import { parseJsonLines, parseSections } from "./sections.js";

export interface AddressJson {
    readonly ifname?: string;
    readonly mtu?: number;
    readonly linkinfo?: { readonly info_kind?: string };
    readonly link_type?: string;
    readonly addr_info?: readonly {
        readonly family: string;
        readonly local: string;
        readonly prefixlen: number;
        readonly temporary?: boolean;
    }[];
}

export interface RouteJson {
    readonly dst: string;
    readonly dev?: string;
    readonly gateway?: string;
    readonly prefsrc?: string;
    /** Absent: main. */
    readonly table?: string | number;
    readonly protocol?: string;
    readonly metrics?: readonly { readonly mtu?: number }[];
    /** Of IPv6 only. */
    readonly pref?: string;
}

/** Tools without which nothing works, and the packages they are in. */
const required = {
    ip: "iproute2",
    nft: "nftables",
    flock: "util-linux",
    nsenter: "util-linux",
    ss: "iproute2",
} as const;

/** Asked once when connecting, together with the manifest: what the host is. */
export const factsScript = `
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C
export PATH LC_ALL
${printManifest}
echo '@@ missing'
for t in ${Object.keys(required).join(" ")}; do command -v $t >/dev/null || echo $t; done
echo '@@ tools'
for t in conntrack dnsmasq wg; do command -v $t >/dev/null && echo $t; done
if [ -d /run/systemd/system ]; then echo systemd; fi
echo '@@ machine-id'
id=
if [ -s /etc/machine-id ]; then read -r id </etc/machine-id; fi
if [ -z "$id" ] && [ -s /var/lib/linuxnet/machine-id ]; then read -r id </var/lib/linuxnet/machine-id; fi
if [ -z "$id" ]; then
    mkdir -p /var/lib/linuxnet
    read -r id </proc/sys/kernel/random/uuid
    echo "$id" >/var/lib/linuxnet/machine-id.new && sync /var/lib/linuxnet/machine-id.new
    mv -f /var/lib/linuxnet/machine-id.new /var/lib/linuxnet/machine-id
fi
echo "$id"
echo '@@ kernel'
read -r release </proc/sys/kernel/osrelease
echo "$release"
echo '@@ nftables'
nft --version 2>/dev/null
echo '@@ addresses'
ip -j -d addr show
echo '@@ routes'
ip -j route show table all type unicast
echo '@@ forwarding'
for f in /proc/sys/net/ipv4/conf/*/forwarding; do
    read -r v <$f
    f=\${f#/proc/sys/net/ipv4/conf/}
    echo "\${f%/forwarding} $v"
done
echo '@@ redirects'
read -r v </proc/sys/net/ipv4/conf/all/send_redirects
echo "$v"
${ipv6FactsScript}
${otherFirewallsScript}
echo '@@ client ports'
cd /proc/sys/net/ipv4 && cat ip_local_port_range ip_local_reserved_ports 2>/dev/null
cd /
echo '@@ paths'
for f in /run/netns /etc/netns /proc/sys/net/bridge; do if [ -e $f ]; then echo $f; fi; done
print_manifest
echo '@@ end'
`;

/** Modules and built-in code that a capability needs; built-in code shows in kallsyms by its set-up function. */
const capabilities = {
    bridge: ["bridge", "br_dev_setup"],
    bridgeFirewall: ["br_netfilter", "br_nf_pre_routing"],
    vxlan: ["vxlan", "vxlan_setup"],
    macvlan: ["macvlan", "macvlan_common_setup"],
    ipvlan: ["ipvlan", "ipvlan_link_setup"],
    vlan: ["8021q", "vlan_setup"],
    wireguard: ["wireguard", "wg_setup"],
    ipsec: ["esp4", "esp_input"],
} as const;

/** Asked when a Host is created or refreshed: which kinds of devices the kernel offers. */
export const capabilitiesScript = `
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
symbols=$(grep -owE '${Object.values(capabilities)
    .map(([, symbol]) => symbol)
    .join("|")}' /proc/kallsyms 2>/dev/null)
echo '@@ capabilities'
${Object.entries(capabilities)
    .map(
        ([name, [module, symbol]]) =>
            `case "$symbols" in *${symbol}*) echo ${name} ;; *) if modprobe -n -q ${module} 2>/dev/null; then echo ${name}; fi ;; esac`,
    )
    .join("\n")}
`;

function words(body: string | undefined): string[] {
    return (body ?? "")
        .split("\n")
        .map((line) => line.trim())
        .filter((line) => line !== "");
}

function parseAddresses(links: readonly AddressJson[]): ForeignAddress[] {
    return links.flatMap((link) => {
        const name = link.ifname ?? "";
        if (name === "" || isKernelName(name)) return [];
        const ofIpv4 = (link.addr_info ?? []).filter(({ family }) => family === "inet");
        return ofIpv4.map(({ local, prefixlen }) => {
            const value = parseIpv4(local);
            const size = 2 ** (32 - prefixlen);
            const first = value - (value % size);
            const range = { first, last: first + size - 1 };
            const isBridge = link.linkinfo?.info_kind === "bridge" ? { isBridge: true as const } : {};
            const address = `${local}/${prefixlen}`;
            return { interfaceName: name, address, range, mtuBytes: link.mtu ?? 1500, ...isBridge };
        });
    });
}

function parseRoutes(routes: readonly RouteJson[], links: readonly AddressJson[]): ForeignRoute[] {
    const mtus = new Map(links.map((link) => [link.ifname, link.mtu ?? 1500]));
    return routes.flatMap((route) => {
        const { dst, dev, prefsrc, table = "main", metrics = [] } = route;
        if (dev === undefined || isKernelName(dev) || table !== "main" || isIpv6Route(route)) return [];
        const text = dst === "default" ? "0.0.0.0/0" : dst.includes("/") ? dst : `${dst}/32`;
        const source = prefsrc === undefined ? {} : { source: prefsrc };
        const mtuBytes = Math.min(mtus.get(dev) ?? 1500, ...metrics.flatMap(({ mtu }) => mtu ?? []));
        return [{ destination: parseIpv4Cidr(text), interfaceName: dev, ...source, mtuBytes }];
    });
}

/** `32768	60999`, and below it `8080,9148-9150` or nothing (ip-sysctl). */
function parseClientPorts(body: string | undefined): ClientPorts | undefined {
    const [range = "", reserved = ""] = words(body);
    const [, first, last] = /^(\d+)\s+(\d+)$/.exec(range) ?? [];
    if (first === undefined) return undefined;
    const kept = reserved.split(",").filter((each) => each !== "");
    return { first: Number(first), last: Number(last), reserved: kept.map(parsePortRange) };
}

/** @throws Error naming the tools that the host lacks and how to install them. */
export function parseFacts(stdout: string): HostFacts {
    const sections = parseSections(stdout);
    const missing = words(sections.get("missing")) as (keyof typeof required)[];
    if (missing.length > 0) {
        const packages = [...new Set(missing.map((tool) => required[tool]))].join(" ");
        throw new Error(
            `the host has no ${missing.join(", ")}. Install it there: apt-get install ${packages} ` +
                `(or dnf, apk, pacman, zypper: packages ${packages}).`,
        );
    }
    if ((sections.get("addresses") ?? "").trim() === "") {
        throw new Error("the host's `ip` cannot print JSON (busybox?). Install the package iproute2 there.");
    }
    const links = parseJsonLines<AddressJson[]>(sections.get("addresses")).flat();
    const forwarding = words(sections.get("forwarding")).map((line) => line.split(" ") as [string, string]);
    const foreign = forwarding.filter(([name]) => !isKernelName(name) && !["all", "default", "lo"].includes(name));
    const clientPorts = parseClientPorts(sections.get("client ports"));
    const paths = words(sections.get("paths"));
    const machineId = (sections.get("machine-id") ?? "").trim();
    const allRoutes = parseJsonLines<RouteJson[]>(sections.get("routes")).flat();
    const routes = parseRoutes(allRoutes, links);
    const uplinks = routes
        .filter(({ destination }) => destination.text === "0.0.0.0/0")
        .map((each) => each.interfaceName);
    const ipv6 = parseIpv6Facts(sections.get("ipv6"), links, allRoutes, machineId);
    const uplinks6 = (ipv6?.routes ?? [])
        .filter(({ destination }) => destination.text === "::/0")
        .map((each) => each.interfaceName);
    return {
        machineId,
        kernel: (sections.get("kernel") ?? "").trim(),
        nftables: /v([\d.]+)/.exec(sections.get("nftables") ?? "")?.[1] ?? "",
        capabilities: words(sections.get("tools")).map((tool) => (tool === "dnsmasq" ? "dns" : tool)),
        addresses: parseAddresses(links),
        routes,
        bridges: links.flatMap(({ ifname = "", linkinfo }) =>
            linkinfo?.info_kind === "bridge" && !isKernelName(ifname) ? [ifname] : [],
        ),
        forwarding: Object.fromEntries(foreign.map(([name, value]) => [name, value === "1"])),
        ...(ipv6 === undefined ? {} : { ipv6 }),
        ...(sections.get("ipv6")?.trim() === "" ? { lacksIpv6: true as const } : {}),
        sendsRedirects: (sections.get("redirects") ?? "").trim() === "1",
        isRouter: forwarding.some(([name, value]) => name === "all" && value === "1"),
        ...(clientPorts === undefined ? {} : { clientPorts }),
        hasNetnsDirectory: paths.includes("/run/netns"),
        hasNetnsFolder: paths.includes("/etc/netns"),
        hasBridgeNetfilter: paths.includes("/proc/sys/net/bridge"),
        otherFirewalls: parseOtherFirewalls(sections, [...new Set([...uplinks, ...uplinks6])]),
    };
}

export function parseCapabilities(stdout: string): string[] {
    return words(parseSections(stdout).get("capabilities"));
}
