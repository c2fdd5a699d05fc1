import { randomBytes } from "node:crypto";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { identifyProcess, isRunning, killProcess, type ProcessIdentity } from "./process-identity.js";

/** Where each running lab has a file of its own. */
export const recordFolder = "/run/linuxnet-lab";

const temporaryPrefix = "linuxnet-lab-";

type RecordText = {
    readonly owner: ProcessIdentity;
    readonly processes: readonly ProcessIdentity[];
    readonly folders: readonly string[];
};

/** What a lab holds on this machine, written down so that another process can take it away. */
export type LabRecord = {
    addProcess(process: ProcessIdentity): void;
    /** Makes a temporary folder and writes it down. */
    makeFolder(): string;
    removeFolder(folder: string): void;
    /** Takes away at once, without waiting, whatever is left; safe to call again. */
    clear(): void;
};

/** Opens the record of a new lab of this process. */
export function openRecord(): LabRecord {
    const owner = identifyProcess(process.pid);
    if (owner === undefined) throw new Error("The lab needs /proc: this process does not find itself there.");
    const processes: ProcessIdentity[] = [];
    const folders = new Set<string>();
    mkdirSync(recordFolder, { recursive: true, mode: 0o700 });
    const path = join(recordFolder, `${process.pid}-${randomBytes(4).toString("hex")}.json`);
    const write = () => {
        const text: RecordText = { owner, processes, folders: [...folders] };
        // Renamed into place: a reader must never see half a file. The reaper skips the other name.
        writeFileSync(`${path}.new`, `${JSON.stringify(text)}\n`, { mode: 0o600 });
        renameSync(`${path}.new`, path);
    };
    write();
    return {
        addProcess: (started) => {
            processes.push(started);
            write();
        },
        makeFolder: () => {
            const folder = mkdtempSync(join(tmpdir(), temporaryPrefix));
            folders.add(folder);
            write();
            return folder;
        },
        removeFolder: (folder) => {
            removeFolder(folder);
            folders.delete(folder);
            write();
        },
        clear: () => clear(path, { owner, processes, folders: [...folders] }),
    };
}

/**
 * Takes away what labs of dead processes have left.
 *
 * The kernel has usually killed their hosts already (see `startNamespace`); files and folders are what stays.
 */
export function reapDeadLabs(): void {
    for (const name of listRecords()) {
        const path = join(recordFolder, name);
        const record = readRecord(path);
        if (record === undefined || isRunning(record.owner)) continue;
        try {
            clear(path, record);
        } catch {
            // Another process reaps the same folder right now. What is still there the next lab finds again.
        }
    }
}

function clear(path: string, { processes, folders }: RecordText): void {
    for (const started of processes) killProcess(started);
    for (const folder of folders) removeFolder(folder);
    rmSync(path, { force: true });
    rmSync(`${path}.new`, { force: true });
}

function removeFolder(folder: string): void {
    if (basename(folder).startsWith(temporaryPrefix)) rmSync(folder, { recursive: true, force: true });
}

function listRecords(): string[] {
    try {
        return readdirSync(recordFolder).filter((name) => name.endsWith(".json"));
    } catch {
        return [];
    }
}

function readRecord(path: string): RecordText | undefined {
    try {
        return JSON.parse(readFileSync(path, "utf8")) as RecordText;
    } catch {
        // Another process has just reaped it.
        return undefined;
    }
}
