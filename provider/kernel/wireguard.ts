import { isIpv6 } from "../model/ipv6.js";
import { type Flaws, withFlaws } from "./flaws.js";
import { wireguardKeyPath, wireguardPublicKeyPath } from "./identity.js";
import type { ItemType } from "./item.js";
import { ip, type Line, noLinkLocal } from "./line.js";
import { deleteLinks, isUp, linkOf, setMtu, spared } from "./link.js";

/** A wireguard(4) interface: it only sends to peers whose key it has, and only hears them. */
export interface WireguardItem extends Flaws {
    readonly type: "wireguard";
    readonly name: string;
    readonly mtuBytes: number;
    readonly alias: string;
    /** UDP; one interface has it for itself. */
    readonly port: number;
}

/** One of the other ends, wg(8). */
export interface WireguardPeerItem {
    readonly type: "wireguard-peer";
    readonly dev: string;
    readonly publicKey: string;
    /** Where it is looked for first. From where it is heard later is where it is: the kernel remembers that by itself. */
    readonly address: string;
    readonly port: number;
    /** CIDRs: what is sent to it, and may come from it. */
    readonly allowed: readonly string[];
    /** Seconds; something is sent at least this often, so that a NAT on the way remembers us. 0: only what has to be. */
    readonly keepAlive: number;
}

/** What the interface is to its peers; it comes up with this, when it has its peers. */
export interface WireguardKeyItem {
    readonly type: "wireguard-key";
    readonly dev: string;
    readonly port: number;
    /** Of the key in `wireguardKeyPath`, which wg(8) reads; nobody else does. */
    readonly publicKey: string;
}

/** One `wg set` of an interface; neighbouring ones become one process. */
function set(dev: string, ...words: readonly (string | number)[]): Line {
    return { tool: "wg", args: ["set", dev, ...words.map(String)] };
}

/** Made and thrown away in a namespace of its own: a module that is missing shows, and one that is built in. */
const trial = ["unshare", "--net", "ip", "link", "add", "dev", "trial", "type", "wireguard"];
const lacking =
    'encryption "wireguard" needs a kernel with WireGuard, which this host lacks. Install its module (Linux 5.6 and newer have ' +
    'it; Debian: linux-image-amd64), or use encryption "ipsec".';

export const wireguardType: ItemType<WireguardItem> = {
    key: (item) => `link ${item.name}`,
    parents: () => [],
    claims: (item) => [
        { works: trial, lacking },
        { path: `/sys/class/net/${item.name}`, what: `interface "${item.name}"` },
        { protocol: "udp", port: item.port, address: "0.0.0.0", argument: "port" },
    ],
    add: (item) => [
        ip(undefined, "link", "add", "name", item.name, "mtu", item.mtuBytes, "type", "wireguard"),
        ip(undefined, "link", "set", "dev", item.name, ...noLinkLocal, "alias", item.alias, ...spared),
    ],
    remove: (item) => deleteLinks([item.name]),
    change: (from, to) => [
        ...(from.mtuBytes === to.mtuBytes ? [] : [setMtu(undefined, to.name, to.mtuBytes)]),
        ip(undefined, "link", "set", "dev", to.name, "alias", to.alias, ...spared, "up"),
    ],
    observe(item, snapshot) {
        const link = linkOf(snapshot, "", item.name, "wireguard");
        if (link === undefined) return undefined;
        const seen = { ...item, mtuBytes: link.mtu ?? 0, alias: link.ifalias ?? "" };
        return withFlaws(seen, isUp(link) ? [] : ["it is down"]);
    },
};

const endpointOf = ({ address, port }: WireguardPeerItem) => `${isIpv6(address) ? `[${address}]` : address}:${port}`;

export const wireguardPeerType: ItemType<WireguardPeerItem> = {
    key: (item) => `wireguard peer ${item.dev} ${item.publicKey}`,
    parents: (item) => [`link ${item.dev}`],
    add: (item) => [
        set(
            ...[item.dev, "peer", item.publicKey, "endpoint", endpointOf(item)],
            ...["persistent-keepalive", item.keepAlive, "allowed-ips", item.allowed.join(",")],
        ),
    ],
    remove: (item) => [set(item.dev, "peer", item.publicKey, "remove")],
    // Where it was heard last stays, unless the program says something new.
    change: (from, to) => [
        set(
            ...[to.dev, "peer", to.publicKey],
            ...(endpointOf(from) === endpointOf(to) ? [] : ["endpoint", endpointOf(to)]),
            ...["persistent-keepalive", to.keepAlive, "allowed-ips", to.allowed.join(",")],
        ),
    ],
    observe(item, { wireguard }) {
        const found = wireguard?.get(item.dev)?.peers.get(item.publicKey);
        if (found === undefined) return undefined;
        const isSame =
            found.allowed.size === item.allowed.length && item.allowed.every((cidr) => found.allowed.has(cidr));
        return { ...item, keepAlive: found.keepAlive, allowed: isSame ? item.allowed : [...found.allowed] };
    },
};

export const wireguardKeyType: ItemType<WireguardKeyItem> = {
    key: (item) => `wireguard key ${item.dev}`,
    parents: (item) => [`link ${item.dev}`],
    add: (item) => [
        set(item.dev, "listen-port", item.port, "private-key", wireguardKeyPath),
        ip(undefined, "link", "set", "dev", item.dev, "up"),
    ],
    // It goes with its interface.
    remove: () => [],
    change: (_from, to) => wireguardKeyType.add(to),
    observe(item, { wireguard }) {
        const found = wireguard?.get(item.dev);
        if (found === undefined) return undefined;
        // The next boot would bring the one that is kept.
        const publicKey = found.keptKey === item.publicKey ? found.publicKey : found.keptKey;
        return { ...item, port: found.port, publicKey };
    },
};

/** What wg(8) shows of one interface, without what is secret. */
export interface WireguardSnapshot {
    readonly publicKey: string;
    /** Of the key in the host's identity; "" where there is none. */
    readonly keptKey: string;
    readonly port: number;
    /** By public key. */
    readonly peers: ReadonlyMap<string, { readonly allowed: ReadonlySet<string>; readonly keepAlive: number }>;
}

const shows = ["public-key", "listen-port", "allowed-ips", "persistent-keepalive"] as const;

/** Shell commands; `wg show` without these words would read the private keys too. */
export const lookAtWireguard = [
    "echo '@@ wireguard'",
    `sed 's/^/kept-key\t/' ${wireguardPublicKeyPath} 2>/dev/null`,
    ...shows.map((what) => `wg show all ${what} | sed 's/^/${what}\t/'`),
];

/** What `lookAtWireguard` prints: what it is, interface, and for a peer its public key, with tabs between. */
export function parseWireguard(body: string): Map<string, WireguardSnapshot> {
    const rows = body.split("\n").map((line) => line.trim().split("\t"));
    const of = (what: (typeof shows)[number] | "kept-key") =>
        rows.flatMap(([name, ...rest]) => (name === what ? [rest] : []));
    const [[keptKey = ""] = []] = of("kept-key");
    const ports = new Map(of("listen-port").map(([dev, port]) => [dev, Number(port)]));
    return new Map(
        of("public-key").map(([dev = "", publicKey = ""]) => {
            const ofDev = (what: (typeof shows)[number]) => of(what).filter(([name]) => name === dev);
            const keepAlives = new Map(
                ofDev("persistent-keepalive").map(([, key, value]) => [key, Number(value) || 0]),
            );
            const peers = ofDev("allowed-ips").map(([, key = "", allowed = ""]) => {
                const cidrs = allowed.split(" ").filter((cidr) => cidr.includes("/"));
                return [key, { allowed: new Set(cidrs), keepAlive: keepAlives.get(key) ?? 0 }] as const;
            });
            return [dev, { publicKey, keptKey, port: ports.get(dev) ?? 0, peers: new Map(peers) }];
        }),
    );
}

/** Lines `set <interface> ...` as one `wg set` an interface: its own settings have to come before its peers. */
export function mergeSets(lines: readonly (readonly string[])[]): string[][] {
    const byDevice = new Map<string, { own: string[]; peers: string[] }>();
    for (const [, dev = "", ...words] of lines) {
        const sets = byDevice.get(dev) ?? { own: [], peers: [] };
        byDevice.set(dev, sets);
        (words[0] === "peer" ? sets.peers : sets.own).push(...words);
    }
    return [...byDevice].map(([dev, { own, peers }]) => ["wg", "set", dev, ...own, ...peers]);
}

/**
 * Shell function `set_wireguard` for the restore script: the same with the lines of a file. Peers that are there stay as
 * they are, with the address at which they were heard last.
 */
export const setWireguard = `set_wireguard() {
    { wg show all peers; echo @; cat "$1"; } | awk '
        $1 == "@" { isWanted = 1; next }
        !isWanted { there[$1 " " $2] = 1; next }
        $3 == "peer" && ($2 " " $4) in there { next }
        { dev = $2; isPeer = $3 == "peer"; $1 = $2 = ""; all[dev]; if (isPeer) peers[dev] = peers[dev] $0; else own[dev] = own[dev] $0 }
        END { for (dev in all) print "wg set " dev own[dev] peers[dev] }' | sh
}
`;
