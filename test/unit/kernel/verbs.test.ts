import { expect, test } from "vitest";
import { restoreScriptPath } from "../../../provider/kernel/file.js";
import { type Item, keyOf, typeOf } from "../../../provider/kernel/item.js";
import { isEmpty, plan } from "../../../provider/kernel/plan.js";
import { firewallUnit, restoreScript, restoreUnit } from "../../../provider/kernel/restore.js";
import { baseTables, renderBase, repairBase } from "../../../provider/kernel/ruleset.js";
import { printLine } from "./print.js";

interface Case<I extends Item> {
    readonly item: I;
    readonly add: readonly string[];
    readonly remove: readonly string[];
    /** Another state of the same thing, with the lines to get there; "anew": it is removed and added. */
    readonly changes: readonly { readonly to: Partial<I>; readonly lines: readonly string[] | "anew" }[];
}

type Cases = { [T in Item["type"]]: Case<Extract<Item, { type: T }>> };

const unitFiles = [
    `file /etc/systemd/system/linuxnet-restore.service ${restoreUnit}`,
    `file /etc/systemd/system/linuxnet-firewall.service ${firewallUnit}`,
];

// The type makes the table complete: a new type of item without a row does not compile.
const cases: Cases = {
    ruleset: {
        item: { type: "ruleset", version: 2 },
        add: baseTables.flatMap(renderBase).map((text) => `nft ${text}`),
        remove: ["nft delete table inet linuxnet", "nft delete table bridge linuxnet"],
        changes: [
            {
                to: { version: 3 },
                lines: baseTables
                    .flatMap((table) =>
                        repairBase(
                            table,
                            table.chains.map(({ name }) => name),
                        ),
                    )
                    .map((text) => `nft ${text}`),
            },
        ],
    },
    chain: {
        item: { type: "chain", name: "in_le1", rules: ["tcp dport 80 goto closing", "drop"] },
        add: [
            "nft add chain inet linuxnet in_le1",
            "nft flush chain inet linuxnet in_le1",
            'nft add rule inet linuxnet in_le1 tcp dport 80 goto closing comment "#b3b3ea8b"',
            'nft add rule inet linuxnet in_le1 drop comment "#a9a58d8c"',
        ],
        remove: ["nft flush chain inet linuxnet in_le1", "nft delete chain inet linuxnet in_le1"],
        changes: [
            {
                to: { rules: ["drop"] },
                lines: [
                    "nft add chain inet linuxnet in_le1",
                    "nft flush chain inet linuxnet in_le1",
                    'nft add rule inet linuxnet in_le1 drop comment "#a9a58d8c"',
                ],
            },
        ],
    },
    element: {
        item: {
            type: "element",
            family: "inet",
            set: "published",
            key: ["203.0.113.10", "tcp", 80],
            value: ["172.20.0.2", 8080],
        },
        add: ["nft add element inet linuxnet published { 203.0.113.10 . tcp . 80 : 172.20.0.2 . 8080 }"],
        remove: ["nft delete element inet linuxnet published { 203.0.113.10 . tcp . 80 }"],
        changes: [{ to: { value: ["172.20.0.3", 8080] }, lines: "anew" }],
    },
    counter: {
        item: { type: "counter", name: "count_le1", comment: '"only the API"' },
        add: ['nft add counter inet linuxnet count_le1 { comment "only the API"; }'],
        remove: ["nft delete counter inet linuxnet count_le1"],
        changes: [],
    },
    meter: {
        item: { type: "meter", name: "rate_le1", keyType: "ipv4_addr", timeoutSeconds: 120 },
        add: [
            "nft add set inet linuxnet rate_le1 { type ipv4_addr; size 65536; flags dynamic,timeout; timeout 120s; }",
        ],
        remove: ["nft delete set inet linuxnet rate_le1"],
        changes: [],
    },
    kept: {
        item: { type: "kept", what: "namespace", netns: "web" },
        add: [
            "require network namespace web is not on the host any more. It was never of this provider: bring it back, or remove the resource. test -e /run/netns/web",
        ],
        remove: [],
        changes: [],
    },
    option: {
        item: {
            type: "option",
            dev: "br0",
            kind: "bridge",
            options: { nf_call_iptables: 1 },
            old: { nf_call_iptables: 0 },
        },
        add: ["ip link set dev br0 type bridge nf_call_iptables 1"],
        remove: ["ip link set dev br0 type bridge nf_call_iptables 0"],
        changes: [
            { to: { options: { nf_call_iptables: 0 } }, lines: ["ip link set dev br0 type bridge nf_call_iptables 0"] },
        ],
    },
    "restore-script": {
        item: { type: "restore-script", version: 1 },
        add: [`file ${restoreScriptPath} ${restoreScript}`],
        remove: [`command rm -f ${restoreScriptPath}`],
        changes: [{ to: { version: 2 }, lines: [`file ${restoreScriptPath} ${restoreScript}`] }],
    },
    exception: {
        item: { type: "exception", tool: "iptables-nft", chain: "DOCKER-USER", rule: "-o ln+ -j ACCEPT" },
        add: [
            "require The exception that cooperate asks for cannot be written into the other firewall. Type `iptables -I DOCKER-USER -o ln+ -j ACCEPT` on the host, or take cooperate out of its Host. " +
                'sh -c t=$1 c=$2; shift 2; command -v "$t" >/dev/null || t=${t%-*}; "$t" -w 5 -C "$c" "$@" 2>/dev/null && exit; ' +
                'if [ "$c" = DOCKER-USER ]; then "$t" -w 5 -N "$c" 2>/dev/null; fi; "$t" -w 5 -I "$c" "$@" ' +
                "sh iptables-nft DOCKER-USER -o ln+ -m comment --comment linuxnet -j ACCEPT",
        ],
        remove: [
            'command sh -c t=$1 c=$2; shift 2; command -v "$t" >/dev/null || t=${t%-*}; "$t" -w 5 -C "$c" "$@" 2>/dev/null || exit 0; ' +
                '"$t" -w 5 -D "$c" "$@" sh iptables-nft DOCKER-USER -o ln+ -m comment --comment linuxnet -j ACCEPT',
        ],
        changes: [],
    },
    "xfrm-policy": {
        item: {
            ...{ type: "xfrm-policy", direction: "out", port: 4789, reqid: 0x80000010 },
            ...{ source: "192.0.2.10", destination: "192.0.2.20" },
        },
        add: [
            "ip xfrm policy add src 192.0.2.10/32 dst 192.0.2.20/32 proto udp dport 4789 dir out index 0xa7634309 priority 1789 tmpl src 192.0.2.10 dst 192.0.2.20 proto esp reqid 2147483664 mode transport",
        ],
        remove: ["ip xfrm policy delete dir out index 0xa7634309"],
        changes: [
            {
                to: { reqid: 0x80000020 },
                lines: [
                    "ip xfrm policy update src 192.0.2.10/32 dst 192.0.2.20/32 proto udp dport 4789 dir out index 0xa7634309 priority 1789 tmpl src 192.0.2.10 dst 192.0.2.20 proto esp reqid 2147483680 mode transport",
                ],
            },
        ],
    },
    "xfrm-send": {
        item: {
            ...{ type: "xfrm-send", source: "192.0.2.10", destination: "192.0.2.20" },
            reqid: 0x80000010,
        },
        add: ["xfrm send 192.0.2.10 192.0.2.20 2147483664 0x80000010"],
        remove: ["xfrm delete 192.0.2.10 192.0.2.20 2147483664"],
        changes: [{ to: { source: "192.0.2.11" }, lines: "anew" }],
    },
    "xfrm-receive": {
        item: {
            ...{ type: "xfrm-receive", source: "192.0.2.20", destination: "192.0.2.10" },
            ...{ reqid: 0x80000020, epochs: [15, 16] },
        },
        add: [
            "xfrm receive 192.0.2.20 192.0.2.10 2147483680 0x8000002f 15",
            "xfrm receive 192.0.2.20 192.0.2.10 2147483680 0x80000020 16",
        ],
        remove: [
            "xfrm delete 192.0.2.20 192.0.2.10 2147483680 0x8000002f",
            "xfrm delete 192.0.2.20 192.0.2.10 2147483680 0x80000020",
        ],
        changes: [
            {
                to: { epochs: [16, 17] },
                lines: [
                    "xfrm delete 192.0.2.20 192.0.2.10 2147483680 0x8000002f",
                    "xfrm receive 192.0.2.20 192.0.2.10 2147483680 0x80000021 17",
                ],
            },
        ],
    },
    barrier: {
        item: { type: "barrier", to: "172.25.0.0/24" },
        add: ["ip route replace unreachable 172.25.0.0/24 metric 4278190080 proto 108"],
        remove: ["ip route del unreachable 172.25.0.0/24 metric 4278190080 proto 108"],
        changes: [],
    },
    wireguard: {
        item: { type: "wireguard", name: "lt1", port: 4789, mtuBytes: 1440, alias: "linuxnet tunnel mesh (dev)" },
        add: [
            "ip link add name lt1 mtu 1440 type wireguard",
            "ip link set dev lt1 addrgenmode none alias linuxnet tunnel mesh (dev) group 0",
        ],
        remove: ["ip link del dev lt1"],
        changes: [
            {
                to: { mtuBytes: 1400 },
                lines: [
                    "ip link set dev lt1 mtu 1400",
                    "ip link set dev lt1 alias linuxnet tunnel mesh (dev) group 0 up",
                ],
            },
        ],
    },
    "wireguard-peer": {
        item: {
            ...{ type: "wireguard-peer", dev: "lt1", publicKey: "KEY=", address: "192.0.2.20", port: 4789 },
            ...{ allowed: ["172.25.0.128/25", "172.25.0.7/32"], keepAlive: 0 },
        },
        add: [
            "wg set lt1 peer KEY= endpoint 192.0.2.20:4789 persistent-keepalive 0 allowed-ips 172.25.0.128/25,172.25.0.7/32",
        ],
        remove: ["wg set lt1 peer KEY= remove"],
        changes: [
            // Where it was heard last stays.
            {
                to: { allowed: ["172.25.0.128/25"], keepAlive: 25 },
                lines: ["wg set lt1 peer KEY= persistent-keepalive 25 allowed-ips 172.25.0.128/25"],
            },
            {
                to: { address: "2001:db8::20", allowed: ["172.25.0.128/25"] },
                lines: [
                    "wg set lt1 peer KEY= endpoint [2001:db8::20]:4789 persistent-keepalive 0 allowed-ips 172.25.0.128/25",
                ],
            },
        ],
    },
    resolver: {
        item: {
            type: "resolver",
            view: "0a1b2c3d4e5f",
            port: 15200,
            addresses: ["127.64.0.1"],
            networks: ["ln1", "ln2"],
            options: ["cache-size=1000"],
        },
        add: ["resolver start 0a1b2c3d4e5f 15200 127.64.0.1 ln1,ln2 cache-size=1000"],
        remove: ["resolver stop 0a1b2c3d4e5f"],
        changes: [],
    },
    names: {
        item: {
            ...{ type: "names", network: "ln1", endpoint: "le1", addresses: ["172.20.0.2", "fd00::2"] },
            names: ["web.shop", "web"],
        },
        add: ["names ln1 le1 172.20.0.2,fd00::2 web.shop web"],
        remove: ["names ln1 le1"],
        changes: [
            { to: { names: ["api"] }, lines: ["names ln1 le1 172.20.0.2,fd00::2 api"] },
            { to: { network: "ln2" }, lines: "anew" },
        ],
    },
    "wireguard-key": {
        item: { type: "wireguard-key", dev: "lt1", port: 4789, publicKey: "OWN=" },
        add: [
            "wg set lt1 listen-port 4789 private-key /var/lib/linuxnet/identity/wireguard.key",
            "ip link set dev lt1 up",
        ],
        remove: [],
        changes: [
            {
                to: { port: 4790 },
                lines: [
                    "wg set lt1 listen-port 4790 private-key /var/lib/linuxnet/identity/wireguard.key",
                    "ip link set dev lt1 up",
                ],
            },
        ],
    },
    "restore-unit": {
        item: { type: "restore-unit", version: 1 },
        add: [
            ...unitFiles,
            "command systemctl --quiet enable linuxnet-restore.service linuxnet-firewall.service",
            "command systemctl --no-block start linuxnet-restore.service",
        ],
        remove: [
            "command systemctl --quiet --now disable linuxnet-restore.service linuxnet-firewall.service",
            "command rm -f /etc/systemd/system/linuxnet-restore.service /etc/systemd/system/linuxnet-firewall.service",
            "command systemctl daemon-reload",
        ],
        changes: [
            {
                to: { version: 2 },
                lines: [
                    ...unitFiles,
                    "command systemctl --quiet reenable linuxnet-restore.service linuxnet-firewall.service",
                ],
            },
        ],
    },
    "netns-folder": {
        item: { type: "netns-folder" },
        add: [],
        remove: ["command sh -c rmdir /etc/netns 2>/dev/null || :"],
        changes: [],
    },
    "netns-file": {
        item: { type: "netns-file", netns: "web", file: "resolv.conf", lines: ["nameserver 172.20.0.1"] },
        add: ["netns-file /etc/netns/web/resolv.conf write nameserver 172.20.0.1"],
        remove: ["netns-file /etc/netns/web/resolv.conf"],
        changes: [
            {
                to: { lines: ["options rotate"], hasHostServers: true },
                lines: ["netns-file /etc/netns/web/resolv.conf ask options rotate"],
            },
        ],
    },
    "netns-directory": {
        item: { type: "netns-directory" },
        add: [],
        remove: [
            'command sh -c cd /run/netns 2>/dev/null || exit 0; for f in *; do [ ! -e "$f" ] || exit 0; done; cd / && umount /run/netns && rmdir /run/netns',
        ],
        changes: [],
    },
    netns: {
        item: { type: "netns", name: "web" },
        add: ["ip netns add web", "ip -n web link set dev lo up"],
        remove: ["ip netns del web"],
        changes: [],
    },
    "bridge-netfilter": {
        item: { type: "bridge-netfilter" },
        add: [
            "command modprobe br_netfilter",
            "sysctl net/bridge/bridge-nf-call-iptables 0",
            "sysctl net/bridge/bridge-nf-call-ip6tables 0",
            "sysctl net/bridge/bridge-nf-call-arptables 0",
        ],
        remove: ["command modprobe -r br_netfilter"],
        changes: [],
    },
    bridge: {
        item: { type: "bridge", name: "ln1", mac: "02:6c:ac:14:00:01", mtuBytes: 1500, alias: "linuxnet network a" },
        add: [
            "ip link add name ln1 mtu 1501 address 02:6c:ac:14:00:01 type bridge nf_call_iptables 1 nf_call_ip6tables 1 forward_delay 0",
            "ip link set dev ln1 mtu 1500 addrgenmode none alias linuxnet network a group 0",
            "ip link set dev ln1 up",
        ],
        remove: ["ip link del dev ln1"],
        changes: [
            {
                to: { mtuBytes: 1450 },
                lines: ["ip link set dev ln1 mtu 1450", "ip link set dev ln1 alias linuxnet network a group 0 up"],
            },
            {
                to: { mac: "02:6c:ac:14:00:fe" },
                lines: [
                    "ip link set dev ln1 address 02:6c:ac:14:00:fe",
                    "ip link set dev ln1 alias linuxnet network a group 0 up",
                ],
            },
        ],
    },
    vxlan: {
        item: {
            type: "vxlan",
            name: "lt1",
            mac: "02:6c:c0:00:02:01",
            vni: 42,
            local: "192.0.2.1",
            port: 4789,
            mtuBytes: 1450,
            alias: "t",
        },
        add: [
            "ip link add name lt1 mtu 1450 address 02:6c:c0:00:02:01 type vxlan id 42 local 192.0.2.1 dstport 4789 nolearning",
            "ip link set dev lt1 addrgenmode none alias t group 0",
            "ip link set dev lt1 up",
        ],
        remove: ["ip link del dev lt1"],
        changes: [
            {
                to: { mtuBytes: 1400, alias: "u" },
                lines: ["ip link set dev lt1 mtu 1400", "ip link set dev lt1 alias u group 0 up"],
            },
            {
                to: { mac: "02:6c:c0:00:02:09" },
                lines: ["ip link set dev lt1 address 02:6c:c0:00:02:09", "ip link set dev lt1 alias t group 0 up"],
            },
            { to: { vni: 43 }, lines: "anew" },
            { to: { local: "192.0.2.9" }, lines: "anew" },
            { to: { port: 4790 }, lines: "anew" },
        ],
    },
    veth: {
        item: {
            type: "veth",
            name: "le1",
            bridge: "ln1",
            netns: "web",
            peerName: "eth0",
            peerMac: "02:6c:ac:14:00:02",
            mtuBytes: 1500,
            alias: "e",
        },
        add: [
            "ip link add name le1 mtu 1500 type veth peer name eth0 mtu 1500 address 02:6c:ac:14:00:02 netns web",
            "ip link set dev le1 master ln1 addrgenmode none alias e group 0",
            "ip link set dev le1 type bridge_slave hairpin on isolated off",
            "ip link set dev le1 up",
            "sysctl -n web net/ipv4/conf/eth0/arp_notify 1",
            "sysctl -n web net/ipv6/conf/eth0/ndisc_notify 1",
            "sysctl -n web net/ipv6/conf/eth0/accept_ra 0",
            "ip -n web link set dev eth0 addrgenmode none",
            "ip -n web link set dev eth0 up",
        ],
        remove: ["ip link del dev le1"],
        changes: [
            {
                to: { mtuBytes: 1450, peerMac: "02:6c:ac:14:00:03" },
                lines: [
                    "ip -n web link set dev eth0 mtu 1450",
                    "ip -n web link set dev eth0 address 02:6c:ac:14:00:03",
                    "ip -n web link set dev eth0 up",
                    "ip link set dev le1 mtu 1450",
                    "ip link set dev le1 master ln1 alias e group 0 up",
                ],
            },
            { to: { peerName: "eth1" }, lines: "anew" },
            { to: { netns: "api" }, lines: "anew" },
        ],
    },
    announcement: {
        item: {
            type: "announcement",
            netns: "web",
            dev: "eth0",
            link: "link le1",
            mac: "02:6c:ac:14:00:02",
            addresses: ["172.20.0.2"],
        },
        add: ["ip -n web link set dev eth0 address 02:6c:ac:14:00:02"],
        remove: [],
        changes: [
            {
                to: { addresses: ["172.20.0.9"] },
                lines: [
                    "sysctl -n web net/ipv4/conf/eth0/arp_notify 1",
                    "sysctl -n web net/ipv6/conf/eth0/ndisc_notify 1",
                    "ip -n web link set dev eth0 address 02:6c:ac:14:00:02",
                ],
            },
        ],
    },
    address: {
        item: { type: "address", netns: "web", dev: "eth0", link: "link le1", address: "172.20.0.2/24" },
        add: ["ip -n web address replace 172.20.0.2/24 dev eth0"],
        remove: ["ip -n web address del 172.20.0.2/24 dev eth0"],
        changes: [],
    },
    route: {
        item: {
            type: "route",
            netns: "web",
            dev: "eth0",
            link: "address web eth0 172.20.0.2/24",
            table: "1000",
            to: "default",
            via: "172.20.0.1",
        },
        add: ["ip -n web route replace default via 172.20.0.1 dev eth0 table 1000"],
        remove: ["ip -n web route del default dev eth0 table 1000"],
        changes: [
            {
                to: { via: "172.20.0.254" },
                lines: ["ip -n web route replace default via 172.20.0.254 dev eth0 table 1000"],
            },
            {
                to: { source: "172.20.0.2" },
                lines: ["ip -n web route replace default via 172.20.0.1 dev eth0 src 172.20.0.2 table 1000"],
            },
        ],
    },
    rule: {
        item: { type: "rule", netns: "web", priority: 1000, from: "172.20.0.2", table: "1000" },
        add: ["ip -n web rule add priority 1000 from 172.20.0.2 lookup 1000"],
        remove: ["ip -n web rule del priority 1000 from 172.20.0.2 lookup 1000"],
        changes: [],
    },
    "reply-rule": {
        item: { type: "reply-rule", family: 4, from: "ln1", mark: 0x4c4e0001 },
        add: ["ip rule add priority 1080 iif ln1 fwmark 1280180225 lookup 1280180225"],
        remove: ["ip rule del priority 1080 iif ln1 fwmark 1280180225 lookup 1280180225"],
        changes: [],
    },
    neighbour: {
        item: {
            type: "neighbour",
            dev: "ln1",
            address: "10.0.0.9",
            mac: "02:6c:0a:00:00:09",
        },
        add: ["ip neigh replace 10.0.0.9 lladdr 02:6c:0a:00:00:09 dev ln1 nud permanent"],
        remove: ["ip neigh del 10.0.0.9 dev ln1"],
        changes: [
            {
                to: { mac: "02:6c:0a:00:00:08" },
                lines: ["ip neigh replace 10.0.0.9 lladdr 02:6c:0a:00:00:08 dev ln1 nud permanent"],
            },
        ],
    },
    fdb: {
        item: { type: "fdb", dev: "lt1", mac: "02:6c:0a:00:00:09", remote: "192.0.2.2" },
        add: ["bridge fdb replace 02:6c:0a:00:00:09 dev lt1 self permanent dst 192.0.2.2"],
        remove: ["bridge fdb del 02:6c:0a:00:00:09 dev lt1 self dst 192.0.2.2"],
        changes: [
            {
                to: { remote: "192.0.2.3" },
                lines: ["bridge fdb replace 02:6c:0a:00:00:09 dev lt1 self permanent dst 192.0.2.3"],
            },
        ],
    },
    sysctl: {
        item: {
            type: "sysctl",
            key: "net/ipv4/conf/eth0/forwarding",
            value: "1",
            old: "0",
            unless: "net/ipv4/ip_forward",
        },
        add: ["sysctl net/ipv4/conf/eth0/forwarding 1"],
        remove: ["sysctl net/ipv4/conf/eth0/forwarding 0"],
        changes: [{ to: { value: "2" }, lines: ["sysctl net/ipv4/conf/eth0/forwarding 2"] }],
    },
    flows: {
        item: { type: "flows", filter: ["-p", "udp", "--orig-port-dst", "53"], cut: "when removed" },
        add: [],
        remove: ["conntrack -p udp --orig-port-dst 53"],
        changes: [{ to: { cut: "never" }, lines: [] }],
    },
};

const rows = Object.values(cases) as unknown as Case<Item>[];
const print = (before: Item[], after: Item[]) => {
    const { remove, nft, add } = plan(before, after);
    return { remove: remove.map(printLine), nft: nft.map(printLine), add: add.map(printLine) };
};
const isNft = (item: Item) => ["ruleset", "counter", "meter", "chain", "element"].includes(item.type);

test.each(rows.map((row) => [row.item.type, row] as const))("%s: is added and removed by exact lines", (_type, row) => {
    const { item } = row;
    const added = print([], [item]);
    const removed = print([item], []);
    const inside = (lines: readonly string[]) => ({
        remove: [],
        nft: [],
        add: [],
        // Nobody is led to a resolver before it serves.
        ...{ [isNft(item) ? "nft" : item.type === "resolver" ? "remove" : "add"]: lines },
    });
    expect(added).toEqual(inside(row.add));
    // Flows are cut last: before, the next packet would begin them anew; a resolver serves to the end.
    const part = isNft(item) ? "nft" : ["flows", "resolver"].includes(item.type) ? "add" : "remove";
    expect(removed).toEqual({ remove: [], nft: [], add: [], [part]: row.remove });
});

const changes = rows.flatMap(({ item, changes }) =>
    changes.map(({ to, lines }) => [item.type, to, lines, item] as const),
);

test.each(changes)("%s: changes to %j by exact lines", (_type, to, lines, item) => {
    const after = { ...item, ...to } as Item;
    expect(keyOf(after)).toBe(keyOf(item));
    const planned = print([item], [after]);
    if (lines === "anew") {
        const anew = { removed: print([item], []), added: print([], [after]) };
        expect(planned).toEqual({
            remove: anew.removed.remove,
            nft: [...anew.removed.nft, ...anew.added.nft],
            add: anew.added.add,
        });
    } else {
        expect(planned).toEqual({ remove: [], nft: [], add: [], [isNft(item) ? "nft" : "add"]: lines });
    }
});

/** What an observed item shows beside its properties, and the lines that mend it. */
const repairs: [keyof Cases, object, readonly string[]][] = [
    [
        "ruleset",
        { flaws: ["chain to_endpoint of table bridge linuxnet is missing"], strangeChains: ["to_endpoint"] },
        [
            "nft add table bridge linuxnet",
            "nft add set bridge linuxnet endpoints { type ifname; }",
            "nft add set bridge linuxnet macs { type ifname . ether_addr; }",
            "nft add set bridge linuxnet sources { type ifname . ipv4_addr; }",
            "nft add set bridge linuxnet sources6 { type ifname . ipv6_addr; }",
            "nft add set bridge linuxnet advertised6 { typeof iifname . @th,64,128; }",
            "nft add set bridge linuxnet guarded { type ifname; }",
            "nft add chain bridge linuxnet to_endpoint",
            "nft flush chain bridge linuxnet to_endpoint",
            "nft delete chain bridge linuxnet to_endpoint",
            "nft add chain bridge linuxnet to_endpoint { type filter hook postrouting priority 300; policy accept; }",
            "nft flush chain bridge linuxnet to_endpoint",
            'nft add rule bridge linuxnet to_endpoint oifname != @guarded accept comment "#74e8efa4"',
            'nft add rule bridge linuxnet to_endpoint ether type ip ether daddr & 01:00:00:00:00:00 == 01:00:00:00:00:00 drop comment "#77b9ceb6"',
            'nft add rule bridge linuxnet to_endpoint ether type ip oifname . ip daddr != @sources drop comment "#b9641016"',
            'nft add rule bridge linuxnet to_endpoint icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept comment "#f9bfe695"',
            'nft add rule bridge linuxnet to_endpoint ether type ip6 ether daddr & 01:00:00:00:00:00 == 01:00:00:00:00:00 drop comment "#f38b35e4"',
            'nft add rule bridge linuxnet to_endpoint ether type ip6 oifname . ip6 daddr != @sources6 drop comment "#127448ea"',
        ],
    ],
    [
        "chain",
        { flaws: ["has other rules than this version writes"] },
        [
            "nft add chain inet linuxnet in_le1",
            "nft flush chain inet linuxnet in_le1",
            'nft add rule inet linuxnet in_le1 tcp dport 80 goto closing comment "#b3b3ea8b"',
            'nft add rule inet linuxnet in_le1 drop comment "#a9a58d8c"',
        ],
    ],
    ["netns", { flaws: ["its interface lo is down"] }, ["ip -n web link set dev lo up"]],
    [
        "bridge",
        { flaws: ["nf_call_iptables is off"] },
        [
            "ip link set dev ln1 alias linuxnet network a group 0 up",
            "ip link set dev ln1 type bridge nf_call_iptables 1 nf_call_ip6tables 1",
        ],
    ],
    [
        "veth",
        { bridge: "" },
        [
            "ip link set dev le1 master ln1 alias e group 0 up",
            "ip link set dev le1 type bridge_slave hairpin on isolated off",
            "ip -n web link set dev eth0 up",
        ],
    ],
    [
        "address",
        { flaws: ["the route to 172.20.0.0/24 is gone"] },
        ["ip -n web route replace 172.20.0.0/24 dev eth0 proto kernel scope link src 172.20.0.2"],
    ],
];

test.each(repairs)("%s: seen with %j, is mended by exact lines", (type, seen, lines) => {
    const { item } = cases[type];
    const flawed = { ...item, ...seen } as Item;
    expect(print([flawed], [item])).toEqual({ remove: [], nft: [], add: [], [isNft(item) ? "nft" : "add"]: lines });
});

test.each(rows.map((row) => [row.item.type, row.item] as const))(
    "%s: plans nothing when it is there already",
    (_type, item) => {
        expect(isEmpty(plan([item], [structuredClone(item)]))).toBe(true);
    },
);

test.each([
    ["interface names are quoted", { set: "networks", key: ["ln1"] }, 'networks { "ln1" }'],
    ["names that are words of nft too", { set: "networks", key: ["ip"] }, 'networks { "ip" }'],
    [
        "names beside addresses and prefixes",
        { set: "subnets", key: ["ln1", "10.0.0.0/8"] },
        'subnets { "ln1" . 10.0.0.0/8 }',
    ],
    ["names beside MACs", { set: "macs", key: ["le1", "02:6c:ac:14:00:02"] }, 'macs { "le1" . 02:6c:ac:14:00:02 }'],
    [
        "protocols and ports",
        { set: "published_any", key: ["udp", 53], value: ["10.0.0.2", 53] },
        "published_any { udp . 53 : 10.0.0.2 . 53 }",
    ],
    [
        "chains to go to",
        { set: "ingress", key: ["ln1", "10.0.0.2"], value: { goto: "in_le1" } },
        'ingress { "ln1" . 10.0.0.2 : goto in_le1 }',
    ],
] as const)("element: writes %s", (_title, item, text) => {
    const [line] = typeOf({ type: "element", family: "inet", ...item }).add({
        type: "element",
        family: "inet",
        ...item,
    });
    expect(line?.args).toEqual([`add element inet linuxnet ${text}`]);
});

test("links: several are deleted in one go, because each waits out a grace period of the kernel", () => {
    const { veth, bridge, netns } = cases;
    expect(print([bridge.item, veth.item, netns.item], []).remove).toEqual([
        "ip link set dev le1 group 1280205361",
        "ip link set dev ln1 group 1280205361",
        "ip link del group 1280205361",
        "ip netns del web",
    ]);
});
