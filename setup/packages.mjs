/**
 * Which package brings a command, by package manager. `service` is what a Debian package would start at every boot.
 *
 * @typedef {{ commands: string[], apt: string, dnf: string, apk: string, pacman: string, zypper: string, service?: string }} Tool
 */

/** What a throwaway host is made of, and what the provider runs on it. @type {Tool[]} */
export const HOST_TOOLS = [
    same(["ip", "bridge", "tc", "ss"], "iproute2", { dnf: "iproute iproute-tc" }),
    same(["nft"], "nftables"),
    same(["conntrack"], "conntrack-tools", { apt: "conntrack" }),
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
    same(["nginx"], "nginx", { apt: "nginx-light", service: "nginx" }),
    same(["postgres"], "postgresql-server", {
        apt: "postgresql",
        apk: "postgresql",
        pacman: "postgresql",
        service: "postgresql",
    }),
    same(["psql"], "postgresql", { apt: "postgresql-client", apk: "postgresql-client" }),
    same(["redis-server"], "redis", { apt: "redis-server", service: "redis-server" }),
];

/**
 * @param {string[]} commands
 * @param {string} name what most package managers call it
 * @param {Partial<Tool>} [others]
 * @returns {Tool}
 */
function same(commands, name, others = {}) {
    return { commands, apt: name, dnf: name, apk: name, pacman: name, zypper: name, ...others };
}
