import { identityScript, loginScript } from "./netns-script.js";

/** systemd's units that cost seconds under emulation and that no test of a network needs. */
const maskedUnits = [
    ...["dbus.service", "dbus.socket", "systemd-logind.service", "systemd-user-sessions.service", "getty.target"],
    ...["systemd-update-utmp.service", "systemd-update-utmp-runlevel.service", "systemd-binfmt.service"],
    ...["systemd-firstboot.service", "systemd-machine-id-commit.service", "systemd-random-seed.service"],
    ...["systemd-sysusers.service", "systemd-repart.service", "systemd-pcrphase.service"],
    ...["systemd-pcrphase-sysinit.service", "systemd-journal-flush.service", "systemd-remount-fs.service"],
    ...["systemd-ask-password-wall.path", "systemd-ask-password-console.path", "systemd-hwdb-update.service"],
    ...["systemd-tmpfiles-clean.timer", "ldconfig.service", "systemd-journal-catalog-update.service"],
    ...["systemd-initctl.socket", "systemd-journald-audit.socket", "systemd-pstore.service", "cryptsetup.target"],
    ...["integritysetup.target", "veritysetup.target", "proc-sys-fs-binfmt_misc.automount", "dev-hugepages.mount"],
    ...["dev-mqueue.mount", "sys-fs-fuse-connections.mount", "sys-kernel-config.mount", "sys-kernel-debug.mount"],
    ...["sys-kernel-tracing.mount", "kmod-static-nodes.service", "modprobe@.service"],
    // Its coldplug loads a driver for each device of the emulated board; udevd itself sees all that comes later.
    "systemd-udev-trigger.service",
];

/**
 * The first program of a virtual machine: shows the root file system of the machine that runs the lab, with every change
 * kept on the host's own disk, and hands over to systemd. Data comes as the file /lab/environment.
 */
export const guestInitScript = `#!/bin/busybox sh
/bin/busybox mkdir -p /bin /sbin /proc /sys /dev /lower /disk /root-fs
/bin/busybox --install -s /bin
fail() { echo "lab: $1" >/dev/console; poweroff -f; }
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
while read -r module; do insmod "/modules/$module" || fail "the module $module cannot be loaded"; done </modules/order
mount -t 9p -o ro,trans=virtio,version=9p2000.L,msize=262144,cache=loose root /lower || fail "the root file system is not there"
mount -t ext4 /dev/vda /disk || fail "the disk is not there"
mkdir -p /disk/upper /disk/work
mount -t overlay -o lowerdir=/lower,upperdir=/disk/upper,workdir=/disk/work overlay /root-fs || fail "no overlay"
for folder in proc sys dev; do mount --move /$folder /root-fs/$folder; done
mount -t tmpfs -o mode=755 tmpfs /root-fs/run
mount -t tmpfs -o mode=1777 tmpfs /root-fs/tmp
mkdir -p /root-fs/run/lock /root-fs/run/sshd /root-fs/run/lab/commands
mkdir -m 700 /root-fs/run/lab/home
cp /lab/* /root-fs/run/lab/
if [ ! -e /disk/made ]; then
    chroot /root-fs /bin/sh /run/lab/first-boot || fail "the first start went wrong"
    touch /disk/made
fi
. /lab/environment
if [ "$LAB_USER" != root ]; then
    mkdir -p -m 700 "/root-fs/run/lab/$LAB_USER"
    chown 64100:64100 "/root-fs/run/lab/$LAB_USER"
fi
units=/root-fs/run/systemd/system
mkdir -p $units/multi-user.target.wants /root-fs/run/systemd/journald.conf.d /root-fs/run/systemd/system.conf.d
for unit in ${maskedUnits.join(" ")}; do ln -s /dev/null $units/$unit; done
for unit in lab-network lab-sshd; do
    mv /root-fs/run/lab/$unit.service $units/
    ln -s ../$unit.service $units/multi-user.target.wants/
done
printf '[Journal]\\nStorage=volatile\\nForwardToConsole=no\\n' >/root-fs/run/systemd/journald.conf.d/lab.conf
printf '[Manager]\\nDefaultTimeoutStopSec=10s\\nStatusUnitFormat=name\\n' >/root-fs/run/systemd/system.conf.d/lab.conf
exec switch_root /root-fs /lib/systemd/systemd
`;

/** Once per host: what makes it a machine of its own, and none of the services of the machine that runs the lab. */
export const firstBootScript = `set -eu
umask 022
. /run/lab/environment
rm -rf /etc/systemd/system /etc/systemd/network /etc/rc?.d /etc/network/interfaces /etc/cron.* /etc/modules-load.d
mkdir -p /etc/systemd/system
# systemd believes to be in a container where it sees one of these.
rm -f /.dockerenv /.containerenv
: >/etc/fstab
: >/etc/modules
${identityScript}
${loginScript}
# Every command of a test is a session of one connection.
echo 'MaxSessions 100' >>/etc/ssh/sshd_config
printf '%s\\n' "$LAB_CONTROL_KEY" >>/etc/ssh/authorized_keys/root
`;

/** Sets the address, at the time and in the place of ifupdown(8) and its like. */
export const networkScript = `. /run/lab/environment
ip link set lo up
if [ -e /proc/sys/net/ipv6 ]; then echo 0 >/proc/sys/net/ipv6/conf/eth0/accept_dad; fi
ip link set eth0 mtu "$LAB_MTU" up
ip address add "$LAB_ADDRESS/24" broadcast + dev eth0
ip route add default via "$LAB_ROUTER"
if [ -e /proc/sys/net/ipv6 ]; then
    ip address add "$LAB_IPV6_ADDRESS/64" dev eth0 nodad
    ip -6 route add default via "$LAB_ROUTER_IPV6"
fi
`;

export const networkUnit = `[Unit]
Description=Address of the lab
DefaultDependencies=no
Wants=network-pre.target network.target
After=network-pre.target
Before=network.target shutdown.target
Conflicts=shutdown.target

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/sh -eu /run/lab/network
`;

export const sshdUnit = `[Unit]
Description=OpenSSH server of the lab
After=network.target

[Service]
ExecStart=/bin/sh -c 'exec "$$(command -v sshd)" -D -e -f /etc/ssh/sshd_config'
KillMode=process
Restart=always
`;
