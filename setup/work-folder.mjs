import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { stopIfInterrupted } from "./child.mjs";

// Between making the folder and naming its owner a run may be slow, but not this slow.
const NAMELESS_MS = 5000;

/**
 * Makes a folder that only this process works in: waits while another living one has it, clears it after a killed one.
 *
 * @param {string} folder
 * @param {() => void} onWait called when another process has it
 * @returns {Promise<string>} the folder, for the caller to remove
 */
export async function takeWorkFolder(folder, onWait) {
    mkdirSync(dirname(folder), { recursive: true });
    const ownerFile = join(folder, "owner");
    let namelessSince = 0;
    while (!tryToMake(folder)) {
        stopIfInterrupted();
        const owner = readOwner(ownerFile);
        if (owner) namelessSince = 0;
        else namelessSince ||= Date.now();
        const abandoned = owner ? owner !== nameProcess(owner.split(" ")[0]) : Date.now() - namelessSince > NAMELESS_MS;
        if (abandoned) {
            rmSync(folder, { recursive: true, force: true });
            continue;
        }
        onWait();
        await sleep(500);
    }
    writeFileSync(ownerFile, nameProcess(process.pid) ?? "");
    return folder;
}

/** @param {string} folder */
function tryToMake(folder) {
    try {
        mkdirSync(folder);
        return true;
    } catch (error) {
        if (/** @type {NodeJS.ErrnoException} */ (error).code === "EEXIST") return false;
        throw error;
    }
}

/** @param {string} file */
function readOwner(file) {
    try {
        return readFileSync(file, "utf8");
    } catch {
        return "";
    }
}

/**
 * A process id together with its start time, since ids are used again.
 *
 * @param {number | string | undefined} pid
 * @returns {string | undefined} undefined when there is no such process
 * @see proc_pid_stat(5)
 */
function nameProcess(pid) {
    try {
        const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
        return `${pid} ${stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19]}`;
    } catch {
        return undefined;
    }
}
