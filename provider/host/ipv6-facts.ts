import { createHash } from "node:crypto";
import { formatIpv6, isIpv6, networkAround, parseIpv6 } from "../model/ipv6.js";
import { isKernelName } from "../model/kernel-name.js";
import type { ForeignIpv6Route, Ipv6Facts } from "../model/world.js";
import type { AddressJson, RouteJson } from "./facts.js";

/** Prints nothing on a kernel without IPv6 (ipv6.disable=1). Interfaces of ours are left out, they may be thousands. */
export const ipv6FactsScript = `echo '@@ ipv6'
if [ -e /proc/sys/net/ipv6/conf/default/disable_ipv6 ]; then
    m=
    for k in default/disable_ipv6 lo/disable_ipv6 all/forwarding; do
        read -r v </proc/sys/net/ipv6/conf/$k
        echo "$k $v"
    done
    for f in /proc/sys/net/ipv6/conf/*/accept_ra; do
        k=\${f#/proc/sys/net/ipv6/conf/}
        case $k in l?[0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f]/*) continue ;; esac
        read -r v <$f
        echo "$k $v"
        m="$m \${f%accept_ra}mtu"
    done
    # Not by read: dash sees one digit of a number here.
    grep -s '' $m /dev/null
fi`;

/** ip(8) calls the default routes of both families "default"; only those of IPv6 have a preference (RFC 4191). */
export function isIpv6Route({ dst, gateway = "", pref }: Pick<RouteJson, "dst" | "gateway" | "pref">): boolean {
    return isIpv6(dst) || isIpv6(gateway) || pref !== undefined;
}

/** `undefined` where IPv6 is switched off. */
export function parseIpv6Facts(
    shown: string | undefined,
    links: readonly AddressJson[],
    routes: readonly RouteJson[],
    machineId: string,
): Ipv6Facts | undefined {
    const switches = new Map((shown ?? "").split("\n").map((line) => line.trim().split(" ") as [string, string]));
    // Written for all interfaces, the switch reaches lo too, which has the addresses of the servers of names.
    if (["default", "lo"].some((name) => switches.get(`${name}/disable_ipv6`) !== "0")) return undefined;
    const foreign = links.filter(({ ifname }) => ifname !== undefined && ifname !== "lo" && !isKernelName(ifname));
    const around = (interfaceName: string, address: string, prefixLength: number) => {
        const range = networkAround(parseIpv6(address), prefixLength);
        return { text: `${formatIpv6(range.first)}/${prefixLength}`, interfaceName, range };
    };
    const addresses = foreign.flatMap(({ ifname = "", addr_info = [] }) =>
        addr_info
            .filter(({ family, local }) => family === "inet6" && !local.startsWith("fe80:"))
            .map(({ local, prefixlen, temporary }) => ({ interfaceName: ifname, local, prefixlen, temporary })),
    );
    const mtus = new Map(links.map(({ ifname, mtu }) => [ifname, mtu]));
    // Of a router's advertisement (RFC 4861, 4.6.4), below the interface's own.
    for (const [, dev, mtu] of (shown ?? "").matchAll(/conf\/(\S+)\/mtu:(\d+)/g))
        mtus.set(dev, Math.min(mtus.get(dev) ?? 1500, Number(mtu)));
    const known = routes.flatMap(({ dst, dev, table = "main", ...route }): ForeignIpv6Route[] => {
        if (dev === undefined || isKernelName(dev) || table !== "main" || !isIpv6Route({ dst, ...route })) return [];
        const [address = "", length = "128"] = (dst === "default" ? "::/0" : dst).split("/");
        if (address.startsWith("fe80:")) return [];
        const { prefsrc, metrics = [] } = route;
        const { text, range } = around(dev, address, Number(length));
        const source = prefsrc === undefined ? {} : { source: prefsrc };
        const mtuBytes = Math.min(mtus.get(dev) ?? 1500, ...metrics.flatMap(({ mtu }) => mtu ?? []));
        return [{ destination: { ...range, text }, interfaceName: dev, ...source, mtuBytes }];
    });
    const advertised = routes.flatMap(({ dev = "", gateway = "", protocol }) =>
        protocol === "ra" && isIpv6(gateway) && switches.get(`${dev}/accept_ra`) === "1" ? [dev] : [],
    );
    const ways = new Set(
        known.flatMap(({ destination, interfaceName }) => (destination.text === "::/0" ? interfaceName : [])),
    );
    return {
        subnets: [
            ...addresses.map(({ interfaceName, local, prefixlen }) => around(interfaceName, local, prefixlen)),
            ...known.flatMap(({ destination: { text, ...range }, interfaceName }) =>
                text === "::/0" ? [] : [{ text, interfaceName, range }],
            ),
        ],
        routes: known,
        addresses: addresses.map(({ interfaceName, local, prefixlen, temporary }) => ({
            interfaceName,
            address: `${local}/${prefixlen}`,
            ...(temporary ? { isTemporary: true as const } : {}),
        })),
        isRouter: switches.get("all/forwarding") === "1",
        advertised: [...new Set(advertised)],
        // On other bridges are containers and machines of others, which begin connections.
        uplinks: foreign.flatMap(({ ifname = "", linkinfo }) =>
            linkinfo?.info_kind === "bridge" && !ways.has(ifname) ? [] : [ifname],
        ),
        // The id itself is confidential (machine-id(5)); 40 bits that depend on all of it, as RFC 4193 wants them.
        localPrefix: `${createHash("sha256")
            .update(`linuxnet ${machineId}`)
            .digest("hex")
            .replace(/^(..)(....)(....).*$/, "fd$1:$2:$3::")}/48`,
    };
}
