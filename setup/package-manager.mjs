import { findCommand } from "./paths.mjs";

/** @typedef {"apt" | "dnf" | "apk" | "pacman" | "zypper"} ManagerName */
/**
 * `install` goes before the names of packages; `refresh` comes first where an old or empty index makes it fail.
 *
 * @typedef {{ name: ManagerName, refresh?: string, install: string }} PackageManager
 */

/** The first one found is the machine's own. @type {(PackageManager & { command: string })[]} */
const MANAGERS = [
    {
        name: "apt",
        command: "apt-get",
        refresh: "apt-get update",
        install: "apt-get install -y --no-install-recommends",
    },
    { name: "dnf", command: "dnf", install: "dnf install -y --setopt=install_weak_deps=False" },
    { name: "apk", command: "apk", install: "apk add" },
    { name: "pacman", command: "pacman", install: "pacman -Sy --needed --noconfirm" },
    { name: "zypper", command: "zypper", install: "zypper --non-interactive install --no-recommends" },
];

// Debian starts a service as it is installed, and again at every boot; these are wanted as programs only.
// The mark tells a file of ours, left by a killed run, from one of the machine's.
const APT_SCRIPT = `
policy=/usr/sbin/policy-rc.d mark='written while pulumi-linuxnet installs packages'
if [ ! -e $policy ] || grep -q "$mark" $policy; then
    trap 'rm -f $policy' EXIT
    trap 'exit 130' HUP INT TERM
    printf '#!/bin/sh\\n# %s\\nexit 101\\n' "$mark" > $policy && chmod 755 $policy || exit
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update -q
apt-get install -y -q --no-install-recommends -o DPkg::Lock::Timeout=120 $1 || exit
for service in $2; do
    # It needs no running systemd; the lab's virtual machines boot from these files.
    if command -v systemctl >/dev/null; then systemctl disable --quiet $service
    else update-rc.d "\${service%.service}" disable; fi
done
exit 0
`;

/**
 * @param {string[]} folders
 * @returns {PackageManager | undefined}
 */
export function findPackageManager(folders) {
    return MANAGERS.find(({ command }) => findCommand(command, folders));
}

/**
 * The arguments of `sh` that install packages without asking and without starting what they bring.
 *
 * @param {PackageManager} manager
 * @param {string[]} packages
 * @param {string[]} services those that only now come to the machine
 * @returns {string[]}
 */
export function renderInstall(manager, packages, services) {
    if (manager.name === "apt") return ["-c", APT_SCRIPT, "sh", packages.join(" "), services.join(" ")];
    return ["-c", `${manager.install} ${packages.join(" ")}`];
}
