import { outerPidScript } from "./namespace.js";

/** Makes the files in /etc and /var those of a machine of its own. */
export const identityScript = `rm -rf /var/lib/linuxnet /etc/netns
rm -f /etc/machine-id /etc/ssh/ssh_host_*
mkdir -p /var/lib/linuxnet
printf '%s\\n' "$LAB_MACHINE_ID" >/etc/machine-id
printf '%s\\n' "$LAB_NAME" >/etc/hostname
printf '127.0.0.1 localhost\\n::1 localhost\\n%s %s\\n%s %s\\n' \\
    "$LAB_ADDRESS" "$LAB_NAME" "$LAB_IPV6_ADDRESS" "$LAB_NAME" >/etc/hosts`;

/** Lets the lab's key log in, and configures sshd for it. */
export const loginScript = `# An empty home (the real ~/.bashrc may take a quarter of a second), and no locked password: sshd without PAM
# refuses accounts whose password starts with "!".
sed -i 's|^\\(root:[^:]*:[^:]*:[^:]*:[^:]*\\):[^:]*:|\\1:/run/lab/home:|' /etc/passwd
if [ -e /etc/shadow ]; then sed -i 's/^root:[^:]*:/root:*:/' /etc/shadow; fi
if [ "$LAB_USER" != root ]; then
    mkdir -m 700 "/run/lab/$LAB_USER"
    chown 64100:64100 "/run/lab/$LAB_USER"
    printf '%s:x:64100:64100::/run/lab/%s:/bin/sh\\n' "$LAB_USER" "$LAB_USER" >>/etc/passwd
    printf '%s:x:64100:\\n' "$LAB_USER" >>/etc/group
    printf '%s:*:19000:0:99999:7:::\\n' "$LAB_USER" >>/etc/shadow
    mkdir -p /etc/sudoers.d
    printf '%s ALL=(ALL) NOPASSWD: ALL\\n' "$LAB_USER" >"/etc/sudoers.d/$LAB_USER"
    chmod 440 "/etc/sudoers.d/$LAB_USER"
fi
mkdir -p /etc/ssh/authorized_keys
printf '%s' "$LAB_HOST_KEY" >/etc/ssh/ssh_host_ed25519_key
chmod 600 /etc/ssh/ssh_host_ed25519_key
printf '%s\\n' "$LAB_AUTHORIZED_KEY" >"/etc/ssh/authorized_keys/$LAB_USER"
cat >/etc/ssh/sshd_config <<'END'
HostKey /etc/ssh/ssh_host_ed25519_key
AuthorizedKeysFile /etc/ssh/authorized_keys/%u
AuthenticationMethods publickey
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
UseDNS no
PidFile none
LogLevel ERROR
END`;

/**
 * Turns new namespaces into a machine: pid 1 of each host. All data comes by environment (LAB_*).
 *
 * The machine's own root file system is shown, but with private copies (overlays that live in memory) of /etc and /var
 * and new /run, /tmp, /proc and /sys.
 */
export const machineScript = `${outerPidScript}
# The other ends are named by paths below the outer /proc, so this comes before the mounts.
ip link add eth0 mtu "$LAB_MTU" type veth peer name "$LAB_PORT" mtu "$LAB_MTU" netns "$LAB_SWITCH"
nsenter --net="$LAB_SWITCH" ip link set "$LAB_PORT" master underlay up
ip link set lo up
# The link-local address is usable at once instead of a second later.
if [ -e /proc/sys/net/ipv6/conf/eth0/accept_dad ]; then echo 0 >/proc/sys/net/ipv6/conf/eth0/accept_dad; fi
ip link set eth0 up
ip address add "$LAB_ADDRESS/24" broadcast + dev eth0
ip route add default via "$LAB_ROUTER"
if [ -e /proc/net/if_inet6 ]; then
    ip address add "$LAB_IPV6_ADDRESS/64" dev eth0 nodad || :
    ip -6 route add default via "$LAB_ROUTER_IPV6" || :
fi

# The machine's own named namespaces would be kept alive by the copies of their mounts.
umount -R -l /run/netns 2>/dev/null || :
mount -t tmpfs -o mode=755 tmpfs /run
# All of the lab's own things are below /run/lab.
mkdir -p /run/netns /run/lock /run/sshd /run/lab
mkdir -m 700 /run/lab/home
for folder in etc var; do
    mkdir -p "/run/lab/overlay/$folder/upper" "/run/lab/overlay/$folder/work"
    mount -t overlay -o "lowerdir=/$folder,upperdir=/run/lab/overlay/$folder/upper,workdir=/run/lab/overlay/$folder/work" overlay "/$folder"
done
mount -t tmpfs -o mode=1777 tmpfs /tmp
mount -t proc -o nosuid,nodev,noexec proc /proc
# A sysfs shows the interfaces of the namespace it was mounted in.
mount -t sysfs -o nosuid,nodev,noexec sysfs /sys

${identityScript}
printf '%s' "$LAB_NAME" >/proc/sys/kernel/hostname
if [ -n "$LAB_HOST_KEY" ]; then
${loginScript}
    unset LAB_HOST_KEY LAB_AUTHORIZED_KEY
    "$(command -v sshd)" -D -e -f /etc/ssh/sshd_config </dev/null >/dev/null &
fi
# This shell stays as pid 1 and buries orphans, even when a test kills sshd.
sleep infinity </dev/null >/dev/null &
echo ready
exec </dev/null >/dev/null
wait
`;
