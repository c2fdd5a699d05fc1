import { announceMacs } from "./announcement.js";
import { type Flaws, withFlaws } from "./flaws.js";
import type { ItemType } from "./item.js";
import { ip, type Line, noLinkLocal, sysctl } from "./line.js";
import type { LinkJson, Snapshot } from "./snapshot.js";

/** A network namespace with a name, ip-netns(8). */
export interface NetnsItem extends Flaws {
    readonly type: "netns";
    readonly name: string;
}

export interface BridgeItem extends Flaws {
    readonly type: "bridge";
    readonly name: string;
    readonly mac: string;
    readonly mtuBytes: number;
    readonly alias: string;
}

/** Both ends of a veth(4) pair: a bridge port on the host, an interface in the sandbox. */
export interface VethItem extends Flaws {
    readonly type: "veth";
    readonly name: string;
    readonly bridge: string;
    readonly netns: string;
    readonly peerName: string;
    readonly peerMac: string;
    readonly mtuBytes: number;
    readonly alias: string;
}

/** A VXLAN device (RFC 7348) that is routed to, no port of a bridge: it floods nothing, and only hears. */
export interface VxlanItem extends Flaws {
    readonly type: "vxlan";
    readonly name: string;
    readonly mac: string;
    readonly vni: number;
    readonly local: string;
    readonly port: number;
    readonly mtuBytes: number;
    readonly alias: string;
}

/** A link's alias (ip-link(8)): plain characters only, because batch files know no escapes. */
export function linkAlias(text: string): string {
    return text.replace(/[^A-Za-z0-9 _.:()@/+-]/g, "_").slice(0, 200);
}

export function linkOf(snapshot: Snapshot, netns: string, name: string, kind: string): LinkJson | undefined {
    const link = snapshot.namespaces.get(netns)?.links.get(name);
    return link?.linkinfo?.info_kind === kind ? link : undefined;
}

/** Only links of a running delete are in it, for as long as it runs. */
const deletingGroup = "1280205361";

/** Written with every link, so that the way back from a delete that failed takes its links out of the group again. */
export const spared = ["group", 0] as const;

/**
 * Deletes links: several by one call on a group (ip-link(8)), because each call on its own waits out an RCU grace period
 * of 20-40 ms in the kernel (unregister_netdevice_many).
 */
export function deleteLinks(names: readonly string[]): Line[] {
    if (names.length < 2) return names.map((name) => ip(undefined, "link", "del", "dev", name));
    return [
        ...names.map((name) => ip(undefined, "link", "set", "dev", name, "group", deletingGroup)),
        ip(undefined, "link", "del", "group", deletingGroup),
    ];
}

export const isUp = (link: LinkJson) => link.flags?.includes("UP") ?? false;

/** Switches of an interface that are not as they were made; a kernel that does not show one is believed. */
function wrongFlags(
    shown: Readonly<Record<string, unknown>> | undefined,
    wanted: Readonly<Record<string, number | boolean>>,
): string[] {
    return Object.entries(wanted).flatMap(([name, value]) => {
        const actual = shown?.[name] ?? value;
        return actual === value ? [] : [`${name} is ${onOrOff(actual)}`];
    });
}

function onOrOff(value: unknown): string {
    return value === true || value === 1 ? "on" : "off";
}

function setFlags(flags: Readonly<Record<string, number | boolean>>): (string | number)[] {
    return Object.entries(flags).flatMap(([name, value]) => [name, typeof value === "number" ? value : onOrOff(value)]);
}

export function setMtu(netns: string | undefined, dev: string, mtuBytes: number): Line {
    return ip(netns, "link", "set", "dev", dev, "mtu", mtuBytes);
}

/** Only a MAC that differs: writing one, even the same, drops the neighbours of the link, permanent ones too. */
function setMac(netns: string | undefined, dev: string, from: string, to: string): Line[] {
    return from === to ? [] : [ip(netns, "link", "set", "dev", dev, "address", to)];
}

export const netnsType: ItemType<NetnsItem> = {
    key: (item) => `netns ${item.name}`,
    parents: () => [],
    claims: (item) => [{ path: `/run/netns/${item.name}`, what: `network namespace "${item.name}"` }],
    add: (item) => [ip(undefined, "netns", "add", item.name), ip(item.name, "link", "set", "dev", "lo", "up")],
    remove: (item) => [ip(undefined, "netns", "del", item.name)],
    change: (_from, to) => [ip(to.name, "link", "set", "dev", "lo", "up")],
    observe(item, snapshot) {
        const inside = snapshot.namespaces.get(item.name);
        if (inside === undefined) return undefined;
        const lo = inside.links.get("lo");
        return lo === undefined || isUp(lo) ? item : withFlaws(item, ["its interface lo is down"]);
    },
};

const bridgeFilter = { nf_call_iptables: 1, nf_call_ip6tables: 1 };

export const bridgeType: ItemType<BridgeItem> = {
    key: (item) => `link ${item.name}`,
    parents: () => [],
    claims: (item) => [{ path: `/sys/class/net/${item.name}`, what: `interface "${item.name}"` }],
    // nf_call_* from creation: turning it on later kills running flows (br_netfilter). Only an MTU that is changed later
    // stays; one from creation follows the ports as they come and go (br_mtu_auto_adjust).
    add: (item) => [
        ip(
            undefined,
            ...[
                "link",
                "add",
                "name",
                item.name,
                "mtu",
                item.mtuBytes === 1500 ? 1501 : 1500,
                "address",
                item.mac,
                "type",
                "bridge",
            ],
            ...[...setFlags(bridgeFilter), "forward_delay", 0],
        ),
        ip(
            undefined,
            ...["link", "set", "dev", item.name, "mtu", item.mtuBytes, ...noLinkLocal, "alias", item.alias],
            ...spared,
        ),
        ip(undefined, "link", "set", "dev", item.name, "up"),
    ],
    remove: (item) => deleteLinks([item.name]),
    change: (from, to) => [
        ...(from.mtuBytes === to.mtuBytes ? [] : [setMtu(undefined, to.name, to.mtuBytes)]),
        ...setMac(undefined, to.name, from.mac, to.mac),
        ip(undefined, "link", "set", "dev", to.name, "alias", to.alias, ...spared, "up"),
        ...(from.flaws === undefined
            ? []
            : [ip(undefined, "link", "set", "dev", to.name, "type", "bridge", ...setFlags(bridgeFilter))]),
    ],
    observe(item, snapshot) {
        const link = linkOf(snapshot, "", item.name, "bridge");
        if (link === undefined) return undefined;
        const seen = { ...item, mac: link.address ?? "", mtuBytes: link.mtu ?? 0, alias: link.ifalias ?? "" };
        return withFlaws(seen, [
            ...(isUp(link) ? [] : ["it is down"]),
            ...wrongFlags(link.linkinfo?.info_data, bridgeFilter),
        ]);
    },
};

/** What a port of ours is; `isolated` would cut what is published on its own network off. */
const portFlags = { hairpin: true, isolated: false };

export const vethType: ItemType<VethItem> = {
    key: (item) => `link ${item.name}`,
    // Not the bridge: it leaves its ports behind.
    parents: (item) => [`netns ${item.netns}`],
    // `ip netns del` returns before its veths are gone.
    staysBehind: true,
    claims: (item) => [{ path: `/sys/class/net/${item.name}`, what: `interface "${item.name}"` }],
    // No link-local addresses: duplicate address detection floods at many endpoints (RFC 4862).
    add: (item) => [
        ip(
            undefined,
            ...["link", "add", "name", item.name, "mtu", item.mtuBytes, "type", "veth"],
            ...["peer", "name", item.peerName, "mtu", item.mtuBytes, "address", item.peerMac, "netns", item.netns],
        ),
        ip(
            undefined,
            ...["link", "set", "dev", item.name, "master", item.bridge],
            ...[...noLinkLocal, "alias", item.alias, ...spared],
        ),
        ip(undefined, "link", "set", "dev", item.name, "type", "bridge_slave", ...setFlags(portFlags)),
        ip(undefined, "link", "set", "dev", item.name, "up"),
        ...announceMacs(item.netns, item.peerName),
        // On a network of IPv4 too: a bridge of others may have a router. Before it is up, or it asks for one (RFC 4861).
        sysctl(item.netns, `net/ipv6/conf/${item.peerName}/accept_ra`, "0", {}),
        ip(item.netns, "link", "set", "dev", item.peerName, ...noLinkLocal),
        ip(item.netns, "link", "set", "dev", item.peerName, "up"),
    ],
    remove: (item) => deleteLinks([item.name]),
    change(from, to) {
        if (from.netns !== to.netns || from.peerName !== to.peerName) return undefined;
        const mtuChanged = from.mtuBytes !== to.mtuBytes;
        return [
            ...(mtuChanged
                ? [setMtu(undefined, to.name, to.mtuBytes), setMtu(to.netns, to.peerName, to.mtuBytes)]
                : []),
            ip(undefined, "link", "set", "dev", to.name, "master", to.bridge, "alias", to.alias, ...spared, "up"),
            // A port's switches go with its bridge.
            ...(from.flaws === undefined && from.bridge === to.bridge
                ? []
                : [ip(undefined, "link", "set", "dev", to.name, "type", "bridge_slave", ...setFlags(portFlags))]),
            ...setMac(to.netns, to.peerName, from.peerMac, to.peerMac),
            ip(to.netns, "link", "set", "dev", to.peerName, "up"),
        ];
    },
    observe(item, snapshot) {
        const link = linkOf(snapshot, "", item.name, "veth");
        const peer = snapshot.namespaces.get(item.netns)?.links.get(item.peerName);
        // A pair without its inner end is beyond repair: it is made anew.
        if (link?.ifindex === undefined) return undefined;
        if (peer?.link_index !== link.ifindex) return { ...item, peerName: "" };
        const { mtuBytes } = item;
        const seen = {
            ...item,
            bridge: link.master ?? "",
            peerMac: peer.address ?? "",
            mtuBytes: (link.mtu === mtuBytes ? peer.mtu : link.mtu) ?? 0,
            alias: link.ifalias ?? "",
        };
        return withFlaws(seen, [
            ...(isUp(link) ? [] : ["its end on the host is down"]),
            ...(isUp(peer) ? [] : ["its end in the sandbox is down"]),
            ...wrongFlags(link.linkinfo?.info_slave_data, portFlags),
        ]);
    },
};

/** What no entry of ours names goes nowhere: nothing is learnt, and there is no default to flood to. */
const tunnelFlags = { learning: false };

export const vxlanType: ItemType<VxlanItem> = {
    key: (item) => `link ${item.name}`,
    parents: () => [],
    claims: (item) => [{ path: `/sys/class/net/${item.name}`, what: `interface "${item.name}"` }],
    add: (item) => [
        ip(
            undefined,
            ...["link", "add", "name", item.name, "mtu", item.mtuBytes, "address", item.mac, "type", "vxlan"],
            ...["id", item.vni, "local", item.local, "dstport", item.port, "nolearning"],
        ),
        ip(undefined, "link", "set", "dev", item.name, ...noLinkLocal, "alias", item.alias, ...spared),
        ip(undefined, "link", "set", "dev", item.name, "up"),
    ],
    remove: (item) => deleteLinks([item.name]),
    change(from, to) {
        // One that learns, or is a port of a bridge, is made anew: what it learnt goes with it.
        if (from.vni !== to.vni || from.local !== to.local || from.port !== to.port || from.flaws !== undefined)
            return undefined;
        return [
            ...(from.mtuBytes === to.mtuBytes ? [] : [setMtu(undefined, to.name, to.mtuBytes)]),
            ...setMac(undefined, to.name, from.mac, to.mac),
            ip(undefined, "link", "set", "dev", to.name, "alias", to.alias, ...spared, "up"),
        ];
    },
    observe(item, snapshot) {
        const link = linkOf(snapshot, "", item.name, "vxlan");
        if (link === undefined) return undefined;
        const data = link.linkinfo?.info_data ?? {};
        const seen = {
            ...item,
            mac: link.address ?? "",
            vni: Number(data["id"]),
            local: String(data["local"] ?? data["local6"]),
            port: Number(data["port"]),
            mtuBytes: link.mtu ?? 0,
            alias: link.ifalias ?? "",
        };
        return withFlaws(seen, [
            ...(isUp(link) ? [] : ["it is down"]),
            ...(link.master === undefined ? [] : [`it is a port of ${link.master}`]),
            ...wrongFlags(data, tunnelFlags),
        ]);
    },
};
