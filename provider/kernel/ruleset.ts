import { resolverRanges } from "./resolver.js";
import { marked } from "./rule-mark.js";

/** A chain of ours that hangs on a hook, or is jumped to from one. */
export interface BaseChain {
    readonly name: string;
    /** `type filter hook forward priority 0`; absent for a chain that is only jumped to. */
    readonly hook?: string;
    readonly rules: readonly string[];
}

export interface BaseTable {
    readonly family: "inet" | "bridge";
    /** Name and type of each set and map. */
    readonly sets: readonly { readonly name: string; readonly kind: "set" | "map"; readonly type: string }[];
    readonly chains: readonly BaseChain[];
}

const set = (name: string, type: string) => ({ name, kind: "set", type }) as const;
const map = (name: string, type: string) => ({ name, kind: "map", type }) as const;

/** A port on one address goes before the same port on every address. */
const publishing = [
    "fib daddr type != local accept",
    "meta nfproto ipv6 goto publish6",
    "dnat ip to ip daddr . meta l4proto . th dport map @published",
    "ip daddr . meta l4proto . th dport vmap @spread",
    "dnat ip to meta l4proto . th dport map @published_any",
    "meta l4proto . th dport vmap @spread_any",
];

/**
 * Marks of connections that came in over a tunnel with a source outside its segment, one for each peer: by it the answers
 * find the way back. Other marks of connections are left alone.
 */
export const replyMarks = { first: 0x4c4e0001, last: 0x4c4effff } as const;

/** Published by another host, with the client's address. */
export const fromElsewhere = "ct mark & 0xffff0000 == 0x4c4e0000";
export const notFromElsewhere = "ct mark & 0xffff0000 != 0x4c4e0000";

/** Questions for names, on their way to who answers them on the host. */
export const ledToResolvers = [
    `iifname @networks ct status dnat ip daddr ${resolverRanges[4]} accept`,
    `iifname @networks ct status dnat ip6 daddr ${resolverRanges[6]} accept`,
] as const;

/** Questions for names, to the other hosts of a segment. */
export const toPeersResolvers = [
    "meta l4proto { tcp, udp } th dport 53 oifname . ip daddr @peer_gateways accept",
    "meta l4proto { tcp, udp } th dport 53 oifname . ip6 daddr @peer_gateways6 accept",
] as const;

/** VXLAN's packets, to the other hosts of a segment. */
export const toTunnelPeers = [
    "ip daddr . udp dport @tunnel_peers accept",
    "ip6 daddr . udp dport @tunnel_peers6 accept",
] as const;

const neighbourDiscovery = "icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert }";

/**
 * Connection tracking, NAT and policies of all networks of a host. Objects add elements and chains of their own; the
 * number of base chains and of rules a packet meets does not grow with them.
 */
const inet: BaseTable = {
    family: "inet",
    sets: [
        set("networks", "type ifname"),
        set("internal", "type ifname"),
        set("same_network", "type ifname . ifname"),
        set("isolated", "type ifname . ifname"),
        set("no_host_access", "type ifname"),
        // defaultPolicy "deny": what no policy decided is dropped.
        set("denied", "type ifname"),
        set("denied_subnets", "type ipv4_addr; flags interval"),
        set("denied_subnets6", "type ipv6_addr; flags interval"),
        set("opened_uplinks", "type ifname"),
        // Bridges among them: where bridges are filtered (br_netfilter), what their ports send each other is forwarded as well.
        set("same_uplink", "type ifname . ifname"),
        set("same_sandbox", "type ipv4_addr . ipv4_addr"),
        set("same_sandbox6", "type ipv6_addr . ipv6_addr"),
        set("opened_uplinks6", "type ifname"),
        set("subnets", "type ifname . ipv4_addr; flags interval"),
        set("subnets6", "type ifname . ipv6_addr; flags interval"),
        set("masqueraded", "type ipv4_addr; flags interval"),
        set("masqueraded6", "type ipv6_addr; flags interval"),
        set("gateways", "type ifname . ipv4_addr"),
        set("gateways6", "type ifname . ipv6_addr"),
        set("gateway_addresses", "type ipv4_addr"),
        set("gateway_addresses6", "type ipv6_addr"),
        set("tunnel_ports", "type inet_service"),
        set("tunnel_peers", "type ipv4_addr . inet_service"),
        set("tunnel_peers6", "type ipv6_addr . inet_service"),
        // Of WireGuard's interfaces: they hear nobody whose key they do not know.
        set("wireguard_ports", "type inet_service"),
        set("encrypted_peers", "type ipv4_addr . inet_service"),
        set("encrypted_peers6", "type ipv6_addr . inet_service"),
        // Devices of tunnels, the addresses that their hosts have on the segment, and the peers behind them.
        set("tunnels", "type ifname"),
        map("tunnel_gateways", "type ifname : ipv4_addr"),
        map("tunnel_gateways6", "type ifname : ipv6_addr"),
        set("peer_gateways", "type ifname . ipv4_addr"),
        set("peer_gateways6", "type ifname . ipv6_addr"),
        set("peer_hosts", "type ifname . ipv4_addr"),
        set("peer_hosts6", "type ifname . ipv6_addr"),
        map("peer_marks", "type ifname . ether_addr : mark"),
        // What is published to another host and keeps the client's address.
        set("kept_sources", "type ipv4_addr . inet_proto . inet_service"),
        set("kept_sources6", "type ipv6_addr . inet_proto . inet_service"),
        // All networks' own.
        set("network_subnets", "type ipv4_addr; flags interval"),
        set("network_subnets6", "type ipv6_addr; flags interval"),
        map("egress", "type ifname . ipv4_addr : verdict"),
        map("egress6", "type ifname . ipv6_addr : verdict"),
        map("ingress", "type ifname . ipv4_addr : verdict"),
        map("ingress6", "type ifname . ipv6_addr : verdict"),
        // The output hook still sees the interface from before DNAT, so the host's own packets go by address alone.
        map("ingress_from_host", "type ipv4_addr : verdict"),
        map("ingress_from_host6", "type ipv6_addr : verdict"),
        map("published", "type ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service"),
        map("published_any", "type inet_proto . inet_service : ipv4_addr . inet_service"),
        // Several targets: a chain of the mapping chooses one.
        map("spread", "type ipv4_addr . inet_proto . inet_service : verdict"),
        map("spread_any", "type inet_proto . inet_service : verdict"),
        map("published6", "type ipv6_addr . inet_proto . inet_service : ipv6_addr . inet_service"),
        map("published_any6", "type inet_proto . inet_service : ipv6_addr . inet_service"),
        map("spread6", "type ipv6_addr . inet_proto . inet_service : verdict"),
        map("spread_any6", "type inet_proto . inet_service : verdict"),
        // Who answers an endpoint's questions for names.
        map("resolvers", "type ifname . ipv4_addr : ipv4_addr . inet_service"),
        map("resolvers6", "type ifname . ipv6_addr : ipv6_addr . inet_service"),
    ],
    chains: [
        {
            // Before connection tracking: with route_localnet on, only the host itself may speak as 127.0.0.0/8.
            name: "guard_loopback",
            hook: "type filter hook prerouting priority -310",
            rules: [
                // Where Docker's programs look for their resolver: sent on below, or dropped at the input hook.
                "ip daddr 127.0.0.11 iifname @networks ip saddr != 127.0.0.0/8 th dport 53 accept",
                'ip daddr 127.0.0.0/8 iifname != "lo" drop',
                'ip saddr 127.0.0.0/8 iifname != "lo" drop',
            ],
        },
        {
            // Over a tunnel came what is not of its segment: a published connection that keeps the client's address.
            name: "from_elsewhere",
            rules: [
                "fib saddr type != unicast drop",
                "ip saddr @network_subnets drop",
                "ip6 saddr @network_subnets6 drop",
                "ip6 saddr fe80::/10 drop",
                "meta nfproto ipv4 iifname . ip daddr != @subnets drop",
                "meta nfproto ipv6 iifname . ip6 daddr != @subnets6 drop",
                "fib daddr type local drop",
                "ct state new ct mark set iifname . ether saddr map @peer_marks",
                `${notFromElsewhere} drop`,
            ],
        },
        {
            // Behind connection tracking and before routing: who may speak on a tunnel, and the way back of what came by one.
            name: "ways",
            hook: "type filter hook prerouting priority -150",
            rules: [
                "iifname @tunnels fib saddr . iif oif missing goto from_elsewhere",
                `${fromElsewhere} ct direction reply iifname @networks meta mark set ct mark`,
            ],
        },
        {
            name: "publish6",
            rules: [
                // What is sent to a link-local address is never forwarded (RFC 4291, 2.5.6). An answer to ::1 is translated
                // back on the bridge already (br_netfilter), and the kernel drops ::1 that comes by an interface.
                "ip6 daddr fe80::/10 accept",
                "ip6 daddr ::1 accept",
                "dnat ip6 to ip6 daddr . meta l4proto . th dport map @published6",
                "ip6 daddr . meta l4proto . th dport vmap @spread6",
                "dnat ip6 to meta l4proto . th dport map @published_any6",
                "meta l4proto . th dport vmap @spread_any6",
            ],
        },
        {
            name: "publish",
            hook: "type nat hook prerouting priority -100",
            rules: [
                ...["ip daddr 127.0.0.11", "iifname . ip daddr @gateways"].map(
                    (to) => `meta l4proto { tcp, udp } th dport 53 ${to} dnat ip to iifname . ip saddr map @resolvers`,
                ),
                "meta l4proto { tcp, udp } th dport 53 iifname . ip6 daddr @gateways6 dnat ip6 to iifname . ip6 saddr map @resolvers6",
                ...publishing,
            ],
        },
        {
            name: "publish_to_host",
            hook: "type nat hook output priority -100",
            rules: [
                // Resolvers ask each other, whatever is published.
                "ip daddr 127.64.0.0/10 accept",
                ...publishing,
            ],
        },
        {
            name: "masquerade_outbound",
            hook: "type nat hook postrouting priority 100",
            rules: [
                // To a target on another host. Its own address the host shows nowhere else, nor its peers theirs: they take
                // nothing in that seems to come from themselves.
                "ct status dnat ip daddr . meta l4proto . th dport @kept_sources fib saddr type != local oifname . ip saddr != @peer_hosts accept",
                "ct status dnat ip6 daddr . meta l4proto . th dport @kept_sources6 fib saddr type != local oifname . ip6 saddr != @peer_hosts6 accept",
                "ct status dnat snat ip to oifname map @tunnel_gateways",
                "ct status dnat snat ip6 to oifname map @tunnel_gateways6",
                // Hairpin: without an iifname match, because br_netfilter shows the bridge path differently.
                "ct status dnat oifname . ip saddr @subnets masquerade",
                // A sandbox drops what comes in with one of its own addresses as source.
                "ct status dnat ip saddr . ip daddr @same_sandbox masquerade",
                "oifname @networks ip saddr 127.0.0.0/8 masquerade",
                'ip saddr @masqueraded oifname != @networks oifname != "lo" masquerade',
                "ct status dnat oifname . ip6 saddr @subnets6 masquerade",
                "ct status dnat ip6 saddr . ip6 daddr @same_sandbox6 masquerade",
                'ip6 saddr @masqueraded6 oifname != @networks oifname != "lo" masquerade',
            ],
        },
        // Stage 4: what no policy decided, or what policies allowed.
        {
            name: "closing",
            rules: [
                // Interface index 0: the packet comes from the host itself (output hook).
                "iif 0 accept",
                "ct status dnat accept",
                // Published on another host, or sent by that host itself: no endpoint does.
                `${fromElsewhere} accept`,
                "iifname . ip saddr @peer_gateways accept",
                "iifname . ip6 saddr @peer_gateways6 accept",
                "iifname . oifname @isolated drop",
                "iifname . oifname @same_network accept",
                "iifname @networks oifname @networks drop",
                "iifname @networks accept",
                "oifname @networks drop",
            ],
        },
        // Stage 4 of a network with directAccess, for what an ingress policy allows: open to the outside too.
        { name: "direct", rules: ["iifname != @networks accept", "goto closing"] },
        // Stage 3: the ingress policies of the target; an allow goes on to `closing`.
        {
            name: "ingress_stage",
            rules: [
                "oifname . ip daddr vmap @ingress",
                "oifname . ip6 daddr vmap @ingress6",
                "oifname @denied drop",
                "goto closing",
            ],
        },
        {
            name: "forward",
            hook: "type filter hook forward priority 0",
            rules: [
                // First of all, so that packets of a connection meet one rule: what follows decides who may begin one.
                "ct state established,related accept",
                // We switched IPv4 forwarding on for our networks only, so no connection begins by it between interfaces of
                // others. Their own come back by it (containers of Docker, machines of libvirt), published ones go in by it.
                "iifname @opened_uplinks oifname != @networks iifname . oifname != @same_uplink meta nfproto ipv4 ct status & dnat == 0 ct state new,invalid,untracked drop",
                "iifname @opened_uplinks6 oifname != @networks iifname . oifname != @same_uplink meta nfproto ipv6 ct status & dnat == 0 ct state new,invalid,untracked drop",
                "iifname != @networks oifname != @networks accept",
                "ct state invalid drop",
                // Who has an address is asked on a bridge without connection tracking (RFC 4861), as ARP is.
                `iifname . oifname @same_network ${neighbourDiscovery} accept`,
                // A sandbox takes packets for any of its addresses by any interface, so on a bridge they are for its subnet only;
                // or for several: multicast and broadcast (224.0.0.0 and above), link-local and multicast (fe80:: and above).
                "iifname . oifname @same_network ip daddr < 224.0.0.0 oifname . ip daddr != @subnets drop",
                "iifname . oifname @same_network ip6 daddr < fe80:: oifname . ip6 daddr != @subnets6 drop",
                "iifname @internal iifname . oifname != @same_network drop",
                "oifname @internal iifname . oifname != @same_network drop",
                // Stage 2: the egress policies of the source; an allow goes on to `ingress_stage`.
                "iifname . ip saddr vmap @egress",
                "iifname . ip6 saddr vmap @egress6",
                "iifname @denied drop",
                "goto ingress_stage",
            ],
        },
        // Decided here and not below: VXLAN's packets have one port to go to and another to come from (RFC 7348, 5), so
        // connection tracking never sees an answer, and each of them would meet every rule.
        {
            name: "from_peers",
            rules: [
                "ip saddr . udp dport != @tunnel_peers drop",
                "ip6 saddr . udp dport != @tunnel_peers6 drop",
                "ip saddr . udp dport @encrypted_peers meta secpath missing drop",
                "ip6 saddr . udp dport @encrypted_peers6 meta secpath missing drop",
                "accept",
            ],
        },
        {
            name: "to_peers",
            rules: [
                // The kernel's policies see to it; whoever takes them away lets nothing out in the clear.
                "ip daddr . udp dport @encrypted_peers rt ipsec missing drop",
                "ip6 daddr . udp dport @encrypted_peers6 rt ipsec missing drop",
                ...toTunnelPeers,
            ],
        },
        {
            name: "input",
            hook: "type filter hook input priority 0",
            rules: [
                "udp dport @tunnel_ports goto from_peers",
                'iifname "lo" accept',
                "ct state established,related accept",
                ...ledToResolvers,
                "ip daddr 127.0.0.0/8 drop",
                "iifname != @networks ip daddr @gateway_addresses drop",
                "iifname != @networks ip6 daddr @gateway_addresses6 drop",
                "iifname != @networks accept",
                "ct state invalid drop",
                `${neighbourDiscovery} accept`,
                "iifname @internal iifname . ip daddr != @gateways drop",
                "iifname @internal iifname . ip6 daddr != @gateways6 drop",
                "ip daddr @gateway_addresses iifname . ip daddr != @gateways drop",
                "ip6 daddr @gateway_addresses6 iifname . ip6 daddr != @gateways6 drop",
                "iifname @no_host_access drop",
                "iifname . ip saddr vmap @egress",
                "iifname . ip6 saddr vmap @egress6",
                "iifname @denied drop",
            ],
        },
        {
            name: "output",
            hook: "type filter hook output priority 0",
            rules: [
                // Of send_redirects "all" counts too, which is the host's. A neighbour that a redirect names may be gone, or behind a
                // tunnel, the next moment, and who believed it goes on sending there for five minutes.
                "icmp type redirect oifname @networks drop",
                "icmpv6 type nd-redirect oifname @networks drop",
                "udp dport @tunnel_ports jump to_peers",
                "ct state established,related accept",
                `${neighbourDiscovery} accept`,
                ...toPeersResolvers,
                "oifname @no_host_access ct status & dnat == 0 drop",
                "ip daddr vmap @ingress_from_host",
                "ip6 daddr vmap @ingress_from_host6",
                // Link-local addresses: the same one may be on several networks, and is never translated.
                "oifname . ip6 daddr vmap @ingress6",
                // By subnet: behind DNAT the interface is still the one from before. A gateway's address is the host itself.
                "ip daddr @denied_subnets ip daddr != @gateway_addresses drop",
                "ip6 daddr @denied_subnets6 ip6 daddr != @gateway_addresses6 drop",
                "ip6 daddr fe80::/10 oifname @denied drop",
            ],
        },
    ],
};

/**
 * Stateless guard of each endpoint's bridge port: its own addresses only, and nothing but IPv4, ARP and, where it has an
 * address of it, IPv6.
 */
const bridge: BaseTable = {
    family: "bridge",
    sets: [
        set("endpoints", "type ifname"),
        set("macs", "type ifname . ether_addr"),
        set("sources", "type ifname . ipv4_addr"),
        set("sources6", "type ifname . ipv6_addr"),
        // nft 1.0.6 has no `icmpv6 taddr`: the target of an advertisement is behind the first 8 bytes (RFC 4861, 4.4).
        set("advertised6", "typeof iifname . @th,64,128"),
        set("guarded", "type ifname"),
    ],
    chains: [
        {
            name: "from_endpoint",
            hook: "type filter hook prerouting priority -300",
            rules: [
                // Nobody but the host leads out of a network, or gives addresses.
                "iifname != @endpoints accept",
                "iifname . ether saddr != @macs drop",
                "ether type ip udp sport 67 drop",
                "ether type ip iifname . ip saddr @sources accept",
                "ether type arp iifname . arp saddr ip @sources accept",
                "icmpv6 type { nd-router-advert, nd-redirect } drop",
                "icmpv6 type nd-neighbor-advert iifname . @th,64,128 != @advertised6 drop",
                "ether type ip6 udp sport 547 drop",
                "ether type ip6 iifname . ip6 saddr @sources6 accept",
                "drop",
            ],
        },
        {
            // Policies judge what is for an address of an endpoint; what is for several reaches it in frames for all or for it.
            name: "to_endpoint",
            hook: "type filter hook postrouting priority 300",
            rules: [
                "oifname != @guarded accept",
                "ether type ip ether daddr & 01:00:00:00:00:00 == 01:00:00:00:00:00 drop",
                "ether type ip oifname . ip daddr != @sources drop",
                `${neighbourDiscovery} accept`,
                "ether type ip6 ether daddr & 01:00:00:00:00:00 == 01:00:00:00:00:00 drop",
                "ether type ip6 oifname . ip6 daddr != @sources6 drop",
            ],
        },
    ],
};

export const baseTables: readonly BaseTable[] = [inet, bridge];

/** Where a base chain hangs, as `nft -j` shows it; `undefined` for one that is only jumped to. */
export function hookOf({ hook }: Pick<BaseChain, "hook">): string | undefined {
    const [, type, name, priority] = /^type (\w+) hook (\w+) priority (-?\d+)$/.exec(hook ?? "") ?? [];
    return type === undefined ? undefined : `${type} ${name} ${priority} accept`;
}

export function addChain(at: string, chain: Pick<BaseChain, "name" | "hook">): string {
    const hook = chain.hook === undefined ? "" : ` { ${chain.hook}; policy accept; }`;
    return `add chain ${at} ${chain.name}${hook}`;
}

/** Adds what is missing and writes every base chain anew; harmless when all is there. */
export function renderBase(table: BaseTable): string[] {
    const at = `${table.family} linuxnet`;
    return [
        `add table ${at}`,
        ...table.sets.map((entry) => `add ${entry.kind} ${at} ${entry.name} { ${entry.type}; }`),
        ...table.chains.map((chain) => addChain(at, chain)),
        ...table.chains.map((chain) => `flush chain ${at} ${chain.name}`),
        ...table.chains.flatMap((chain) => renderRules(at, chain)),
    ];
}

/**
 * Writes the named base chains anew, and what else the table lacks; other chains keep their rules. A chain that hangs
 * elsewhere than it should cannot be moved, so it is made again, in the same transaction.
 */
export function repairBase(table: BaseTable, names: readonly string[]): string[] {
    const at = `${table.family} linuxnet`;
    const chains = table.chains.filter(({ name }) => names.includes(name));
    if (chains.length === 0) return [];
    const hooked = chains.filter(({ hook }) => hook !== undefined);
    return [
        `add table ${at}`,
        ...table.sets.map((entry) => `add ${entry.kind} ${at} ${entry.name} { ${entry.type}; }`),
        ...hooked.flatMap(({ name }) => ["add", "flush", "delete"].map((verb) => `${verb} chain ${at} ${name}`)),
        ...chains.map((chain) => addChain(at, chain)),
        ...chains.map((chain) => `flush chain ${at} ${chain.name}`),
        ...chains.flatMap((chain) => renderRules(at, chain)),
    ];
}

function renderRules(at: string, chain: BaseChain): string[] {
    return chain.rules.map((rule) => `add rule ${at} ${chain.name} ${marked(rule)}`);
}
