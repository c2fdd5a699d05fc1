import { capabilitiesScript } from "../../provider/host/facts.js";
import { printManifest } from "../../provider/host/manifest.js";
import { otherFirewallsScript } from "../../provider/kernel/other-firewalls.js";

/** Tools that the provider calls, and the packages they are in. */
export const requiredTools = {
    ip: "iproute2",
    bridge: "iproute2",
    ss: "iproute2",
    nft: "nftables",
    flock: "util-linux",
    nsenter: "util-linux",
} as const;

/**
 * Reads all that the checks look at, in one round trip. Nothing is written and no module loaded: iptables is asked only
 * where its legacy tables are in use, because asking would create them.
 */
export const doctorScript = `${printManifest}
print_manifest
${capabilitiesScript}
echo '@@ missing'
for t in ${Object.keys(requiredTools).join(" ")} conntrack dnsmasq; do command -v $t >/dev/null || echo $t; done
if [ ! -e /proc/sys/net/bridge ]; then command -v modprobe >/dev/null || echo modprobe; fi
echo '@@ package manager'
for t in apt-get dnf yum apk pacman zypper; do command -v $t >/dev/null && echo $t && break; done
echo '@@ kernel'
cat /proc/sys/kernel/osrelease
echo '@@ nftables'
nft --version 2>/dev/null
echo '@@ chains'
nft -j list chains 2>/dev/null
${otherFirewallsScript}
echo '@@ ufw'
if grep -qsi '^ENABLED=yes' /etc/ufw/ufw.conf; then echo enabled; fi
echo '@@ forwarding files'
grep -Els '^[[:space:]]*net[./]ipv4[./]ip_forward[[:space:]]*=[[:space:]]*0' /etc/sysctl.conf /etc/sysctl.d/*.conf
echo '@@ interfaces'
for d in /proc/sys/net/ipv4/conf/*; do
    read -r f <$d/forwarding; read -r r <$d/rp_filter
    echo "\${d##*/} $f $r"
done
echo '@@ links'
ip -j link show 2>/dev/null
echo '@@ routes'
ip -j -4 route show default 2>/dev/null
echo '@@ bridge switches'
for f in iptables arptables; do
    if [ -r /proc/sys/net/bridge/bridge-nf-call-$f ]; then cat /proc/sys/net/bridge/bridge-nf-call-$f; fi
done
echo '@@ connections'
for f in count max; do
    if [ -r /proc/sys/net/netfilter/nf_conntrack_$f ]; then cat /proc/sys/net/netfilter/nf_conntrack_$f; fi
done
echo '@@ listeners'
ss -HlntupS 2>/dev/null
echo '@@ end'
`;
