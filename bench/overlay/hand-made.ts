import { randomBytes } from "node:crypto";
import type { LabHost } from "../../lab/index.js";
import type { Path } from "./path.js";

/** One of the two ends of a hand-made way. */
interface End {
    readonly host: LabHost;
    readonly peer: LabHost;
    /** 1 and 2. */
    readonly own: number;
    readonly other: number;
}

async function onBoth<T>([left, right]: Path["hosts"], lay: (end: End) => Promise<T>): Promise<[T, T]> {
    return Promise.all([
        lay({ host: left, peer: right, own: 1, other: 2 }),
        lay({ host: right, peer: left, own: 2, other: 1 }),
    ]);
}

interface VxlanOptions {
    readonly name?: string;
    readonly namespace?: string;
    /** 0-255; two of them on the same hosts need two. */
    readonly number?: number;
    readonly mtuBytes?: number;
}

/** VXLAN as usually made: the device is a port of a bridge, whose other port leads into a namespace; all entries by hand. */
export async function layVxlan(hosts: Path["hosts"], options: VxlanOptions = {}): Promise<Path> {
    const { name = "VXLAN by hand", namespace = "vxlan", number = 81, mtuBytes = 1450 } = options;
    const mac = (end: number) => `02:81:00:00:${number.toString(16).padStart(2, "0")}:0${end}`;
    await onBoth(hosts, ({ host, peer, own, other }) =>
        host.exec(`set -e
            ip netns add ${namespace}
            ip link add br${number} type bridge
            ip link add vx${number} type vxlan id ${number} local ${host.address} dstport ${portOf(number)} nolearning
            ip link add ve${number} type veth peer name eth0 netns ${namespace}
            for link in vx ve; do
                ip link set "$link"${number} mtu ${mtuBytes} master br${number}
                ip link set "$link"${number} up
            done
            ip link set br${number} mtu ${mtuBytes} up
            ip -n ${namespace} link set eth0 mtu ${mtuBytes} address ${mac(own)}
            ip -n ${namespace} link set lo up
            ip -n ${namespace} link set eth0 up
            ip -n ${namespace} address add 10.${number}.0.${own}/24 dev eth0
            ip -n ${namespace} neigh add 10.${number}.0.${other} lladdr ${mac(other)} dev eth0 nud permanent
            bridge fdb add ${mac(other)} dev vx${number} self dst ${peer.address}
            bridge fdb add ${mac(other)} dev vx${number} master static`),
    );
    return { name, hosts, namespaces: [namespace, namespace], address: `10.${number}.0.2` };
}

/** UDP port of a hand-made VXLAN. */
function portOf(number: number): number {
    return 4800 + number;
}

/** A VXLAN like that inside ESP in transport mode: AES-GCM with one key for each direction, of `ip xfrm`. */
export async function layXfrm(hosts: Path["hosts"], mtuBytes: number): Promise<Path> {
    const number = 82;
    const keys = [randomBytes(36), randomBytes(36)].map((key) => `0x${key.toString("hex")}`);
    const state = (from: LabHost, to: LabHost, spi: number) =>
        `ip xfrm state add src ${from.address} dst ${to.address} proto esp spi ${spi} mode transport flag esn replay-window 128 \\
                aead 'rfc4106(gcm(aes))' ${keys[spi - 0x8201]} 128`;
    const policy = (from: LabHost, to: LabHost, direction: "in" | "out") =>
        `ip xfrm policy add src ${from.address} dst ${to.address} proto udp dport ${portOf(number)} dir ${direction} \\
                tmpl src ${from.address} dst ${to.address} proto esp mode transport`;
    await onBoth(hosts, ({ host, peer }) =>
        host.exec(`set -e
            ${state(hosts[0], hosts[1], 0x8201)}
            ${state(hosts[1], hosts[0], 0x8202)}
            ${policy(host, peer, "out")}
            ${policy(peer, host, "in")}`),
    );
    return layVxlan(hosts, { name: "ip xfrm by hand", namespace: "xfrm", number, mtuBytes });
}

/** A wireguard interface between the hosts, and behind it on each a namespace of its own subnet. */
export async function layWireguard(hosts: Path["hosts"], mtuBytes: number): Promise<Path> {
    const publicKeys = await onBoth(hosts, async ({ host }) => {
        const { stdout } = await host.exec("umask 077; wg genkey | tee /run/hand.key | wg pubkey");
        return stdout;
    });
    await onBoth(hosts, ({ host, peer, own, other }) =>
        host.exec(`set -e
            ip link add wg83 type wireguard
            wg set wg83 listen-port 51883 private-key /run/hand.key peer ${publicKeys[other - 1]} \\
                allowed-ips 10.83.${other}.0/24 endpoint ${peer.address}:51883
            ip link set wg83 mtu ${mtuBytes} up
            ip netns add wg
            ip link add ve83 type veth peer name eth0 netns wg
            ip link set ve83 mtu ${mtuBytes} up
            ip address add 10.83.${own}.1/24 dev ve83
            ip -n wg link set eth0 mtu ${mtuBytes} up
            ip -n wg link set lo up
            ip -n wg address add 10.83.${own}.2/24 dev eth0
            ip -n wg route add default via 10.83.${own}.1
            ip route add 10.83.${other}.0/24 dev wg83
            sysctl -qw net.ipv4.conf.ve83.forwarding=1 net.ipv4.conf.wg83.forwarding=1`),
    );
    return { name: "wg by hand", hosts, namespaces: ["wg", "wg"], address: "10.83.2.2" };
}
