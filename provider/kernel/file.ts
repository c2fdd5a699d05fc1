import type { ItemType } from "./item.js";
import { command, type Line } from "./line.js";
import { firewallUnit, restoreScript, restoreUnit, restoreVersion } from "./restore.js";
import type { Snapshot } from "./snapshot.js";

/** The script that rebuilds a host's objects without Pulumi: at boot, after a firewall reload, by hand. */
export interface RestoreScriptItem {
    readonly type: "restore-script";
    /** Another version is written over; that of a newer provider stays. */
    readonly version: number;
}

/** The systemd units that run it (systemd.service(5)); on hosts with systemd only. */
export interface RestoreUnitItem {
    readonly type: "restore-unit";
    readonly version: number;
}

export const restoreScriptPath = "/var/lib/linuxnet/restore";
const scripts = { [restoreScriptPath]: restoreScript };

const services = ["linuxnet-restore.service", "linuxnet-firewall.service"] as const;
const unitPath = (service: string) => `/etc/systemd/system/${service}`;
const units = { [unitPath(services[0])]: restoreUnit, [unitPath(services[1])]: firewallUnit };

/** Files that are read whole to see whether they are ours and up to date. */
export const observedFiles = Object.keys({ ...scripts, ...units });

const write = (files: Readonly<Record<string, string>>): Line[] =>
    Object.entries(files).map(([path, content]) => ({ tool: "file", args: [path, content] }));

/** The oldest of them, and 0 where one says something else than its version does; `undefined` when there is none. */
function versionOf(files: Readonly<Record<string, string>>, snapshot: Snapshot): number | undefined {
    const versions = Object.entries(files).map(([path, content]) => {
        const found = snapshot.files.get(path);
        if (found?.trimEnd() === content.trimEnd()) return restoreVersion;
        // The first version had no such line, and fewer files.
        const version = Number(/^# linuxnet-restore (\d+)$/m.exec(found ?? "")?.[1] ?? 1);
        return version === restoreVersion ? 0 : version;
    });
    return Object.keys(files).some((path) => snapshot.files.has(path)) ? Math.min(...versions) : undefined;
}

export const restoreScriptType: ItemType<RestoreScriptItem> = {
    key: () => "restore-script",
    parents: () => [],
    add: () => write(scripts),
    change: () => write(scripts),
    remove: () => [command("rm", "-f", restoreScriptPath)],
    observe(item, snapshot) {
        const version = versionOf(scripts, snapshot);
        return version === undefined ? undefined : { ...item, version };
    },
};

export const restoreUnitType: ItemType<RestoreUnitItem> = {
    key: () => "restore-unit",
    parents: () => [],
    add: () => [
        ...write(units),
        command("systemctl", "--quiet", "enable", ...services),
        // Reloads of a firewall reach active units only. It waits for the lock that this transaction holds.
        command("systemctl", "--no-block", "start", services[0]),
    ],
    // What is enabled may have moved too.
    change: () => [...write(units), command("systemctl", "--quiet", "reenable", ...services)],
    remove: () => [
        command("systemctl", "--quiet", "--now", "disable", ...services),
        command("rm", "-f", ...Object.keys(units)),
        command("systemctl", "daemon-reload"),
    ],
    observe(item, snapshot) {
        const version = versionOf(units, snapshot);
        return version === undefined ? undefined : { ...item, version };
    },
};
