import { accessSync, constants, realpathSync, statSync } from "node:fs";
import { basename, delimiter, join } from "node:path";
import { fileURLToPath } from "node:url";

/** The root of the repository. */
export const ROOT = fileURLToPath(new URL("..", import.meta.url)).replace(/\/$/, "");

/** What earlier runs found out, see `stamp.mjs`. */
export const STAMP = join(ROOT, "node_modules", ".linuxnet-setup.json");

// Debian leaves the sbin folders out of an ordinary user's PATH, though ip, nft and sshd live there.
const SYSTEM_FOLDERS = ["/usr/local/sbin", "/usr/sbin", "/sbin"];

/**
 * The folders of PATH, and the system's sbin folders behind them.
 *
 * @param {string} [path] @default process.env.PATH
 * @returns {string[]}
 */
export function searchFolders(path = process.env["PATH"] ?? "") {
    return [...new Set([...path.split(delimiter).filter(Boolean), ...SYSTEM_FOLDERS])];
}

/**
 * Finds a command, but not a busybox applet: busybox's `ip` and `unshare` lack what the hosts need.
 *
 * @param {string} command
 * @param {string[]} folders
 * @returns {string | undefined} its full path
 */
export function findCommand(command, folders) {
    return folders.map((folder) => join(folder, command)).find((file) => isExecutable(file) && !isApplet(file));
}

/**
 * @param {string} file
 * @returns {boolean}
 */
export function isExecutable(file) {
    try {
        accessSync(file, constants.X_OK);
        return statSync(file).isFile();
    } catch {
        return false;
    }
}

/** @param {string} file */
function isApplet(file) {
    return basename(realpathSync(file)) === "busybox" && basename(file) !== "busybox";
}
