#!/bin/bash
# Compares three ways to reach the addresses of other hosts over VXLAN, made by hand in namespaces: docs/decisions/0010.
# usage: bench/forwarding.sh entries|routes|proxyarp [peers]     as root; needs iproute2, nftables, iperf3, python3
set -e
mode=$1 peers=${2:-1} p=fw$$ t=$(mktemp -d)
cleanup() { for n in a b as bs; do ip netns del $p$n 2>/dev/null || :; done; rm -rf "$t"; }
trap cleanup EXIT
for n in a b as bs; do ip netns add $p$n; ip -n $p$n link set lo up; done
ip link add ${p}u netns ${p}a type veth peer name u netns ${p}b
ip -n ${p}a link set ${p}u name u
for k in 1:a 2:b; do ip -n $p${k#*:} address add 10.9.0.${k%:*}/16 dev u; ip -n $p${k#*:} link set u up; done
mac() { printf '02:6c:%02x:%02x:%02x:%02x' ${1//./ }; }

# Host k owns 20.0.k.0/24 of 20.0.0.0/8: its gateway is .1, its sandbox .2.
side() {
    local k=$1 h=$p$2 s=$p$2s
    ip netns exec $h sysctl -qw net.ipv4.ip_forward=1 net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.default.rp_filter=0
    ip -n $h link add br0 mtu 1450 type bridge nf_call_iptables 1
    ip -n $h link set br0 up
    ip -n $h address add 20.0.$k.1/8 dev br0
    ip -n $h link add v0 mtu 1450 type veth peer name eth0 mtu 1450 address "$(mac 20.0.$k.2)" netns $s
    ip -n $h link set v0 master br0 up
    ip -n $s link set eth0 up
    ip -n $s address add 20.0.$k.2/8 dev eth0
    ip -n $h link add vx mtu 1450 address "$(mac 10.9.0.$k)" type vxlan id 42 local 10.9.0.$k dstport 4789 nolearning
    case $mode in
    entries)
        ip -n $h link set vx master br0
        ip -n $h link set vx type bridge_slave learning off neigh_suppress on flood off mcast_flood off bcast_flood off
        ;;
    routes)
        ip -n $s route add 20.0.$k.0/24 dev eth0
        ip -n $s route add 20.0.0.0/9 via 20.0.$k.1
        ip -n $s route add 20.128.0.0/9 via 20.0.$k.1
        ;;
    proxyarp) ip netns exec $h sysctl -qw net.ipv4.conf.br0.proxy_arp=1 ;;
    esac
    ip -n $h link set vx up
    printf '%s\n' 'table inet t {' 'chain f {' 'type filter hook forward priority 0; policy accept;' \
        'ct state established,related accept' '}' '}' | ip netns exec $h nft -f -
}
side 1 a
side 2 b

python3 - $mode $peers "$t" <<'END'
import sys
mode, count, folder = sys.argv[1], int(sys.argv[2]), sys.argv[3]
mac = lambda a: "02:6c:" + ":".join("%02x" % int(x) for x in a.split("."))
for own in 1, 2:
    ip, bridge = [], []
    for k in [k for k in range(1, count + 2) if k != own] if own == 1 else [1]:
        host = f"10.9.0.{k}"
        if mode == "entries":
            for a in (f"20.0.{k}.{i}" for i in range(256)):
                ip.append(f"neigh replace {a} lladdr {mac(a)} dev br0 nud permanent")
                bridge.append(f"fdb replace {mac(a)} dev vx self permanent dst {host}")
                bridge.append(f"fdb replace {mac(a)} dev vx master static")
        else:
            ip.append(f"neigh replace 20.0.{k}.0 lladdr {mac(host)} dev vx nud permanent")
            ip.append(f"route replace 20.0.{k}.0/24 via 20.0.{k}.0 dev vx onlink src 20.0.{own}.1")
            bridge.append(f"fdb replace {mac(host)} dev vx self permanent dst {host}")
    for name, lines in ("ip", ip), ("bridge", bridge):
        open(f"{folder}/{name}{own}", "w").write("\n".join(lines) + "\n")
END
slab() { awk '/^Slab:/ { print $2 }' /proc/meminfo; }
before=$(slab) start=$(date +%s%N)
ip netns exec ${p}a ip -batch "$t/ip1"
ip netns exec ${p}a bridge -batch "$t/bridge1"
echo "$(cat "$t"/{ip,bridge}1 | wc -l) entries in $((($(date +%s%N) - start) / 1000000)) ms, $(($(slab) - before)) kB"
ip netns exec ${p}b ip -batch "$t/ip2"
ip netns exec ${p}b bridge -batch "$t/bridge2"

inside="ip netns exec ${p}as"
echo "first packet: $($inside ping -c1 -W2 20.0.2.2 | grep -o 'time=.*' || echo lost)"
$inside ping -q -c 50 -i 0.005 20.0.2.2 | tail -1
for ttl in 1 2 3; do echo "ttl $ttl: $($inside ping -c1 -W1 -t$ttl 20.0.2.2 | grep -E 'from|exceeded' || echo nothing)"; done
sent() { ip netns exec ${p}a cat /sys/class/net/vx/statistics/tx_packets; }
before=$(sent)
$inside ping -c2 -i0.1 -W0.3 -b 20.255.255.255 >/dev/null 2>&1 || :
$inside ping -c2 -i0.1 -W0.3 224.0.0.18 >/dev/null 2>&1 || :
echo "broadcasts and VRRP's multicasts that crossed: $(($(sent) - before))"
ip netns exec ${p}bs iperf3 -s -D --pidfile "$t/pid" >/dev/null
sleep 0.5
for streams in 1 4; do
    $inside iperf3 -c 20.0.2.2 -t 4 -P $streams -J | python3 -c \
        "import json, sys; print('$streams streams: %.1f Gbit/s' % (json.load(sys.stdin)['end']['sum_received']['bits_per_second'] / 1e9))"
done
kill "$(tr -d '\0' <"$t/pid")"
