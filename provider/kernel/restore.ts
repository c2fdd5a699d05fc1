import { identityDirectory, raiseEpoch } from "./identity.js";
import { noLinkLocal } from "./line.js";
import { namesFunctions, resolverFunctions } from "./resolver.js";
import { setWireguard } from "./wireguard.js";
import { loadAssociations } from "./xfrm-load.js";

/**
 * Ends what a killed transaction left, under the host lock; `$r` is the folder of lock and undo. The stage is the last
 * line of its file, which is only appended to; at stage 0 nothing was done yet, and the undo may be half written. An undo
 * that says it could not end (it returns 1) stays for the next one.
 */
export const recoverScript = `if [ -s $r/undo ]; then
    s=0
    while read -r n; do s=$n; done <$r/stage
    if [ "$s" = 0 ]; then rm -f /var/lib/linuxnet/new/*; : >$r/undo; elif . $r/undo; then : >$r/undo; fi
    recovered=yes
fi
`;

/**
 * Goes up with every change of the script, a unit or the base ruleset: a host that has older ones gets these with its next
 * operation. A set or map of the ruleset keeps its type for good, nft cannot change it in place.
 */
export const restoreVersion = 8;

/**
 * Puts back everything that the manifest of a host says, in one pass and without Pulumi. The fragments beside the objects
 * hold the planner's own lines: `<rank> <tool> <namespace or -> <text>`. What is there already stays as it is; the two nft
 * tables are replaced in one transaction.
 */
export const restoreScript = `#!/bin/sh
# linuxnet-restore ${restoreVersion}
# Rebuilds what pulumi-linuxnet put on this host; safe to run at any time. See docs/host.md of the project.
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C
export PATH LC_ALL
d=/var/lib/linuxnet r=/run/linuxnet
# /proc/sys/net shows the namespace of who looks, so a sandbox's switches are written by this script inside it.
write_sysctls() {
    while read -r key value; do
        if [ -e "/proc/sys/$key" ]; then printf '%s\\n' "$value" >"/proc/sys/$key"
        elif [ "\${key#net/ipv6/}" = "$key" ] || [ -e /proc/sys/net/ipv6 ]; then
            echo "linuxnet: there is no /proc/sys/$key (yet); run this again when there is" >&2
        fi
    done
}
if [ "$1" = --sysctls ]; then write_sysctls; exit; fi
while :; do
    if [ ! -d $d/objects ]; then echo 'linuxnet: nothing to restore'; exit 0; fi
    [ -d $r ] || mkdir -p -m 700 $r
    exec 9>>$r/lock
    flock -w 60 9 || { echo 'linuxnet: another transaction holds the lock' >&2; exit 1; }
    # The file goes with the last object: then this lock does not count.
    if [ $r/lock -ef /proc/self/fd/9 ]; then break; fi
done
${recoverScript}if [ ! -f $d/objects/base.json ]; then rm -rf $r; echo 'linuxnet: nothing to restore'; exit 0; fi
${raiseEpoch}raise_epoch || echo 'linuxnet: the boot could not be counted: ${identityDirectory}/epoch' >&2
t=$(mktemp -d $r/restore.XXXXXX) || exit 1
trap 'rm -rf $t' EXIT
# Listed under the lock: the tables are replaced, so an object that came meanwhile must not be missing. Lines without
# their object are what a power cut left of its removal.
for f in $d/objects/*.restore; do
    if [ -f "\${f%.restore}.json" ]; then echo "$f"; fi
done >$t/objects
xargs cat <$t/objects | sort -s -k1,1 | awk -v t="$t" '
    { f = t "/" $2 "@" $3; if (f != last) { close(last); last = f } print substr($0, length($1 $2 $3) + 4) >> f }'
: >$t/errors
if [ -f $t/command@- ]; then sh $t/command@- 2>>$t/errors; fi
# Who loaded it when the first object came may come later at boot, or not at all; policies on one bridge need it now.
if [ ! -e /proc/sys/net/bridge ]; then
    modprobe br_netfilter 2>>$t/errors && /lib/systemd/systemd-sysctl --prefix=net/bridge 2>/dev/null
fi
{
    for f in inet bridge; do printf 'add table %s linuxnet\\ndelete table %s linuxnet\\n' $f $f; done
    cat $t/nft@-
} >$t/ruleset
nft -f $t/ruleset || { echo 'linuxnet: the nft tables could not be restored' >&2; exit 1; }
${loadAssociations}if [ -f $t/xfrm@- ]; then load_associations -force <$t/xfrm@- 2>>$t/errors; fi
# A kernel without IPv6 (ipv6.disable=1) refuses every word about that family, and another one may have been here before.
if [ ! -e /proc/sys/net/ipv6 ]; then sed -i 's/ ${noLinkLocal.join(" ")}//' $t/ip@*; fi
for tool in ip bridge; do
    if [ -f $t/$tool@- ]; then $tool -force -batch $t/$tool@- 2>>$t/errors; fi
done
${setWireguard}if [ -f $t/wg@- ]; then set_wireguard $t/wg@- 2>>$t/errors; fi
# Before there are addresses: with the first one an interface asks for a router.
for f in $t/sysctl@*; do
    n=\${f#$t/sysctl@}
    case $n in
        '*') ;;
        -) write_sysctls <"$f" 2>>$t/errors ;;
        *) nsenter --net="/run/netns/$n" sh "$0" --sysctls <"$f" 2>>$t/errors ;;
    esac
done
for f in $t/ip@*; do
    n=\${f#$t/ip@}
    if [ "$n" != - ]; then ip -n "$n" -force -batch "$f" 2>>$t/errors; fi
done
for f in $t/ip6@*; do
    n=\${f#$t/ip6@}
    case $n in
        '*') ;;
        -) ip -6 -force -batch "$f" 2>>$t/errors ;;
        *) ip -n "$n" -6 -force -batch "$f" 2>>$t/errors ;;
    esac
done
${namesFunctions}if [ -f $t/names@- ]; then
    while read -r words; do put_names $words; done <$t/names@-
    reload_resolvers
fi
${resolverFunctions}if [ -f $t/resolver@- ]; then
    sort -u $t/resolver@- >$t/resolvers
    while read -r verb words; do start_resolver $words; done <$t/resolvers 2>>$t/errors
fi
# What was there already is no error.
grep -vE 'File exists|Command failed |already exists' $t/errors >&2
echo "linuxnet: restored $(wc -l <$t/objects) objects, $(wc -l <$t/ruleset) nft statements, $(cat $t/ip@* | wc -l) ip commands"
`;

export const restoreUnit = `# linuxnet-restore ${restoreVersion}
[Unit]
Description=Networks, sandboxes and published ports of pulumi-linuxnet
After=network-pre.target systemd-modules-load.service systemd-sysctl.service nftables.service firewalld.service
# They make the interfaces whose forwarding is switched on.
After=networking.service systemd-networkd.service NetworkManager.service
Wants=network-pre.target
Before=network.target
# A firewall that is reloaded may flush all tables.
ReloadPropagatedFrom=nftables.service firewalld.service

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/sh /var/lib/linuxnet/restore
ExecReload=/bin/sh /var/lib/linuxnet/restore

[Install]
WantedBy=multi-user.target
`;

/** The one above is active from boot on, so that reloads reach it; a firewall that is started later needs one that is not. */
export const firewallUnit = `# linuxnet-restore ${restoreVersion}
[Unit]
Description=Rules of pulumi-linuxnet after a start of another firewall
After=nftables.service firewalld.service
# At boot linuxnet-restore.service does all of it.
Before=linuxnet-restore.service
ConditionPathExists=/run/linuxnet

[Service]
Type=oneshot
ExecStart=/bin/sh /var/lib/linuxnet/restore

[Install]
WantedBy=nftables.service firewalld.service
`;
