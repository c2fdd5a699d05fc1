import { chmodSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Connection } from "../model/connection.js";
import type { KeySource } from "./credentials.js";
import { expandHome } from "./home-path.js";
import { convertPkcs8 } from "./pkcs8-key.js";

/** What `ssh` takes as files only, in a private folder that is gone when the login is done. */
export interface OpensshFiles {
    readonly key?: string;
    readonly certificate?: string;
    /** A known_hosts file with the keys of `connection.hostKey`. */
    readonly hostKeys?: string;
    /** Not there yet: a known_hosts file to learn what key a host shows. */
    readonly shownKeys: string;
    /** Safe to call twice. */
    remove(): void;
}

const prefix = "linuxnet-ssh-";
const staleMs = 3_600_000;

/** Writes down what a connection gives as text; what it gives as a path stays where it is. */
export function writeOpensshFiles(connection: Connection, source: KeySource | undefined): OpensshFiles {
    removeStale();
    const folder = mkdtempSync(join(tmpdir(), prefix));
    const remove = () => {
        folders.delete(folder);
        if (folders.size === 0) process.off("exit", removeAll);
        rmSync(folder, { recursive: true, force: true });
    };
    if (folders.size === 0) process.once("exit", removeAll);
    folders.add(folder);
    const write = (name: string, text: string) => {
        const path = join(folder, name);
        writeFileSync(path, text, { mode: 0o600 });
        return path;
    };
    try {
        chmodSync(folder, 0o700);
        return {
            ...(source?.text === undefined ? {} : { key: write("key", completeLines(simplify(source.text))) }),
            ...(source?.path === undefined ? {} : { key: expandHome(source.path) }),
            ...(connection.certificate === undefined
                ? {}
                : { certificate: write("certificate", completeLines(connection.certificate)) }),
            ...(connection.certificateFile === undefined
                ? {}
                : { certificate: expandHome(connection.certificateFile) }),
            ...(connection.hostKey === undefined
                ? {}
                : // Any name: the file is for this connection alone, whatever HostName or HostKeyAlias ~/.ssh/config gives it.
                  { hostKeys: write("known_hosts", connection.hostKey.map((key) => `* ${key.trim()}\n`).join("")) }),
            shownKeys: join(folder, "shown_keys"),
            remove,
        };
    } catch (error) {
        remove();
        throw error;
    }
}

/** OpenSSH before 9.6 reads no ed25519 key in PKCS #8. A text that is no key, or wants a passphrase, is for ssh to refuse. */
function simplify(text: string): string {
    try {
        return convertPkcs8(text);
    } catch {
        return text;
    }
}

/** Of the logins that are under way. */
const folders = new Set<string>();

/** A provider that is stopped during a login takes its files along. */
function removeAll(): void {
    for (const folder of folders) rmSync(folder, { recursive: true, force: true });
}

/** OpenSSH refuses a key whose last line has no end. */
function completeLines(text: string): string {
    return `${text.replaceAll("\r\n", "\n").trim()}\n`;
}

/** Takes away what a run left that was killed (SIGKILL) during a login. */
function removeStale(): void {
    for (const name of readdirSync(tmpdir())) {
        if (!name.startsWith(prefix)) continue;
        const path = join(tmpdir(), name);
        const found = statSync(path, { throwIfNoEntry: false });
        if (found?.uid !== process.getuid?.() || found === undefined || Date.now() - found.mtimeMs < staleMs) continue;
        rmSync(path, { recursive: true, force: true });
    }
}
