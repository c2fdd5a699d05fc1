import { accessSync, constants } from "node:fs";
import { join } from "node:path";

/** Where programs are looked for, on this machine and inside a host: a login's own PATH would leak into every test. */
export const systemPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

const packageOfTool = {
    ip: "iproute2",
    mount: "mount",
    nsenter: "util-linux",
    sed: "sed",
    setpriv: "util-linux",
    sleep: "coreutils",
    sshd: "openssh-server",
    unshare: "util-linux",
} as const;

/**
 * Checks that this machine can make throwaway hosts.
 * @param furtherTools tool -> Debian package
 * @throws when not root, not on Linux, or when a tool is missing; the message names the tool and its Debian package.
 */
export function checkRequirements(furtherTools: Readonly<Record<string, string>> = {}): void {
    if (process.platform !== "linux") throw new Error(`The lab needs Linux; this is ${process.platform}.`);
    if (process.geteuid?.() !== 0) {
        throw new Error("The lab needs root: it makes network namespaces. Run the program as root (sudo -E).");
    }
    const missing = Object.entries({ ...packageOfTool, ...furtherTools }).filter(([tool]) => !hasTool(tool));
    if (missing.length === 0) return;
    const names = missing.map(([tool, debianPackage]) => `${tool} (Debian package ${debianPackage})`).join(", ");
    throw new Error(
        `The lab needs tools this machine does not have: ${names}. Looked in ${systemPath}. ${describeInstall(missing.map(([, debianPackage]) => debianPackage))}`,
    );
}

/** The line to type on Debian and its like. */
export function describeInstall(packages: readonly string[]): string {
    return `To install: apt-get install --no-install-recommends ${[...new Set(packages)].join(" ")}`;
}

/** Whether a program of this name is in the system's folders. */
function hasTool(tool: string): boolean {
    return placesOf(tool).length > 0;
}

/** The path of a program that is there. */
export function findTool(tool: string): string {
    return placesOf(tool)[0] ?? tool;
}

function placesOf(tool: string): string[] {
    return systemPath
        .split(":")
        .map((folder) => join(folder, tool))
        .filter((path) => {
            try {
                accessSync(path, constants.X_OK);
                return true;
            } catch {
                return false;
            }
        });
}
