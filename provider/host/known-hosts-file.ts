import { appendFileSync, closeSync, existsSync, fstatSync, mkdirSync, openSync, readFileSync, readSync } from "node:fs";
import { dirname } from "node:path";
import type { Connection } from "../model/connection.js";
import { expandHome } from "./home-path.js";
import { type KnownHostLine, parseKnownHosts } from "./host-key.js";
import { refuse } from "./host-key-refusal.js";
import type { ConnectionError } from "./shell.js";

const userFiles = ["~/.ssh/known_hosts", "~/.ssh/known_hosts2"] as const;

/** What the machine knows, for all its users. */
export const systemFiles: readonly string[] = ["/etc/ssh/ssh_known_hosts", "/etc/ssh/ssh_known_hosts2"];

/** The file of a connection as it is written in messages; new keys go there. */
export function nameKnownHostsFile(connection: Connection): string {
    return connection.knownHosts ?? userFiles[0];
}

/** Reads the user's files, then the machine's. @throws ConnectionError when the user's one is there and cannot be read */
export function readKnownHosts(
    connection: Connection,
    machineFiles: readonly string[],
): { readonly lines: KnownHostLine[]; readonly files: string[] } {
    const lines: KnownHostLine[] = [];
    const first = nameKnownHostsFile(connection);
    const files = [first];
    for (const file of [first, ...(connection.knownHosts === undefined ? userFiles.slice(1) : []), ...machineFiles]) {
        let text: string;
        try {
            text = readFileSync(expandHome(file), "utf8");
        } catch (error) {
            const { code } = error as NodeJS.ErrnoException;
            // The others are passed over without a word, as OpenSSH does.
            if (file !== first || code === "ENOENT") continue;
            throw refuse(
                connection,
                `${file} cannot be read (${code}). Correct connection.knownHosts, or set connection.hostKey.`,
            );
        }
        if (file !== first) files.push(file);
        lines.push(...parseKnownHosts(text, file));
    }
    return { lines, files };
}

/** Writes a line at the end of the user's file as `ssh` does, or says why it cannot. */
export function addKnownHost(connection: Connection, line: string): ConnectionError | undefined {
    const path = expandHome(nameKnownHostsFile(connection));
    try {
        prepareKnownHostsFile(path);
        // Another connection of this run may have added it meanwhile.
        if (existsSync(path) && readFileSync(path, "utf8").split("\n").includes(line)) return undefined;
        appendFileSync(path, `${line}\n`, { mode: 0o644 });
        return undefined;
    } catch (error) {
        return explainUnwritable(connection, (error as NodeJS.ErrnoException).code);
    }
}

export function explainUnwritable(connection: Connection, why = "ssh could not write it"): ConnectionError {
    return refuse(
        connection,
        `the new host key could not be added to ${nameKnownHostsFile(connection)} (${why}). Make the file writable, or set connection.hostKey.`,
    );
}

/**
 * Lets a line be added to a file: its folder is there, and its last line is complete. OpenSSH 9.2 does neither: it goes on without
 * writing, or writes behind the last line's text.
 */
export function prepareKnownHostsFile(path: string): void {
    if (!existsSync(path)) {
        // Not recursive, which never ends below /proc (Node 20).
        if (!existsSync(dirname(path))) mkdirSync(dirname(path), { mode: 0o700 });
        return;
    }
    const file = openSync(path, "r");
    const { size } = fstatSync(file);
    const last = Buffer.alloc(1, "\n");
    if (size > 0) readSync(file, last, 0, 1, size - 1);
    closeSync(file);
    if (last.toString() !== "\n") appendFileSync(path, "\n");
}
