import { existsSync, readdirSync } from "node:fs";

/**
 * Which package brings a command, by package manager. `service` is what a Debian package would start at every boot, several units with blanks between;
 * `isThere` looks for what is no command.
 *
 * @typedef {{ commands: string[], apt: string, dnf: string, apk: string, pacman: string, zypper: string, service?: string, isThere?: () => boolean }} Tool
 */

/** What a throwaway host is made of, and what the provider runs on it. @type {Tool[]} */
export const HOST_TOOLS = [
    same(["ip", "bridge", "tc", "ss"], "iproute2", { dnf: "iproute iproute-tc" }),
    same(["nft"], "nftables"),
    same(["conntrack"], "conntrack-tools", { apt: "conntrack" }),
    // Not Debian's "dnsmasq", whose service would take port 53.
    same(["dnsmasq"], "dnsmasq", { apt: "dnsmasq-base" }),
    same(["unshare", "nsenter", "flock", "setpriv"], "util-linux", { apk: "util-linux util-linux-misc flock setpriv" }),
    same(["mount"], "util-linux", { apt: "mount", apk: "mount" }),
    same(["sysctl"], "procps-ng", { apt: "procps", zypper: "procps" }),
    same(["modprobe"], "kmod"),
    same(["ping"], "iputils", { apt: "iputils-ping" }),
    same(["curl"], "curl"),
    same(["sshd"], "openssh-server", { pacman: "openssh", service: "ssh" }),
];

/** What reaching a host takes. @type {Tool[]} */
export const CLIENT_TOOLS = [
    same(["ssh", "ssh-keygen"], "openssh-clients", { apt: "openssh-client", apk: "openssh", pacman: "openssh" }),
];

/** The real software of the end-to-end tests, sudo and shells for hosts reached as an ordinary user. @type {Tool[]} */
export const TEST_TOOLS = [
    same(["sudo"], "sudo"),
    // Login shells and a second sh that the root shell has to work with.
    same(["busybox"], "busybox"),
    // Forges frames in the tests of the port guard.
    same(["perl"], "perl", { apt: "perl-base" }),
    same(["fish"], "fish"),
    same(["tcsh"], "tcsh"),
    // A realm of its own, for logins by ticket.
    same(["krb5kdc", "kdb5_util"], "krb5-server", { apt: "krb5-kdc", pacman: "krb5", service: "krb5-kdc" }),
    same(["kadmin.local"], "krb5-server", { apt: "krb5-admin-server", pacman: "krb5", service: "krb5-admin-server" }),
    same(["kinit", "klist"], "krb5-workstation", {
        apt: "krb5-user",
        apk: "krb5",
        pacman: "krb5",
        zypper: "krb5-client",
    }),
    same(["nginx"], "nginx", { apt: "nginx-light", service: "nginx" }),
    same(["postgres"], "postgresql-server", {
        apt: "postgresql",
        apk: "postgresql",
        pacman: "postgresql",
        service: "postgresql",
    }),
    same(["psql"], "postgresql", { apt: "postgresql-client", apk: "postgresql-client" }),
    same(["redis-server"], "redis", { apt: "redis-server", service: "redis-server" }),
    // Container networks of others on one host with ours.
    same(["dockerd"], "docker", {
        apt: "docker.io",
        dnf: "moby-engine",
        service: "docker.service docker.socket containerd.service",
    }),
    same(["iptables-nft", "iptables-save"], "iptables", { dnf: "iptables-nft" }),
    same(["ufw"], "ufw", { service: "ufw" }),
    // Resolvers that others use.
    same(["dig", "nslookup"], "bind-utils", { apt: "bind9-dnsutils", apk: "bind-tools", pacman: "bind" }),
    // Another libc, whose resolver is its own.
    same(["musl-gcc"], "musl-gcc", {
        apt: "musl-tools",
        apk: "gcc musl-dev",
        pacman: "musl gcc",
        zypper: "musl-tools",
        isThere: hasMuslCompiler,
    }),
    // Keys of hosts' identities, and segments encrypted with them.
    same(["wg"], "wireguard-tools"),
];

/** What virtual machines take: qemu, and a kernel to boot. @type {Tool[]} */
export const VM_TOOLS = [
    same(["qemu-system-x86_64"], "qemu-system-x86", { apk: "qemu-system-x86_64" }),
    same(["mkfs.ext4"], "e2fsprogs"),
    same(["busybox"], "busybox"),
    same(["a kernel with 9p in /boot"], "kernel-default", {
        apt: "linux-image-amd64",
        dnf: "kernel kernel-modules",
        apk: "linux-lts",
        pacman: "linux",
        isThere: hasGuestKernel,
    }),
];

/** Where musl is the libc of the system, each compiler is one. */
function hasMuslCompiler() {
    return ["/usr/bin/musl-gcc", "/etc/alpine-release"].some(existsSync) && existsSync("/usr/bin/gcc");
}

function hasGuestKernel() {
    const versions = existsSync("/lib/modules") ? readdirSync("/lib/modules") : [];
    return versions.some(
        (version) => existsSync(`/boot/vmlinuz-${version}`) && existsSync(`/lib/modules/${version}/kernel/fs/9p`),
    );
}

/**
 * @param {string[]} commands
 * @param {string} name what most package managers call it
 * @param {Partial<Tool>} [others]
 * @returns {Tool}
 */
function same(commands, name, others = {}) {
    return { commands, apt: name, dnf: name, apk: name, pacman: name, zypper: name, ...others };
}
