import type { ItemType } from "./item.js";
import { command, type Line } from "./line.js";
import { restoreScript, restoreUnit } from "./restore.js";

/** The script that rebuilds a host's objects without Pulumi: at boot, after a firewall reload, by hand. */
export interface RestoreScriptItem {
    readonly type: "restore-script";
}

/** The systemd unit that runs it (systemd.service(5)); on hosts with systemd only. */
export interface RestoreUnitItem {
    readonly type: "restore-unit";
}

export const restoreScriptPath = "/var/lib/linuxnet/restore";
export const restoreUnitPath = "/etc/systemd/system/linuxnet-restore.service";

const file = (path: string, content: string): Line => ({ tool: "file", args: [path, content] });

export const restoreScriptType: ItemType<RestoreScriptItem> = {
    key: () => "restore-script",
    parents: () => [],
    add: () => [file(restoreScriptPath, restoreScript)],
    remove: () => [command("rm", "-f", restoreScriptPath)],
    observe: (item, snapshot) => (snapshot.paths.has(restoreScriptPath) ? item : undefined),
};

export const restoreUnitType: ItemType<RestoreUnitItem> = {
    key: () => "restore-unit",
    parents: () => [],
    add: () => [
        file(restoreUnitPath, restoreUnit),
        command("systemctl", "--quiet", "enable", "linuxnet-restore.service"),
        // A firewall's restart reaches active units only. It waits for the lock that this transaction holds.
        command("systemctl", "--no-block", "start", "linuxnet-restore.service"),
    ],
    remove: () => [
        command("systemctl", "--quiet", "--now", "disable", "linuxnet-restore.service"),
        command("rm", "-f", restoreUnitPath),
        command("systemctl", "daemon-reload"),
    ],
    observe: (item, snapshot) => (snapshot.paths.has(restoreUnitPath) ? item : undefined),
};
