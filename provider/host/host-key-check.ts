import { appendFileSync, chmodSync, existsSync, mkdirSync, readFileSync } from "node:fs";
import { dirname } from "node:path";
import { type Connection, describeConnection } from "../model/connection.js";
import { expandHome } from "./home-path.js";
import {
    findHostLines,
    isPlainKey,
    judgeKey,
    keyType,
    orderHostKeyAlgorithms,
    parseKnownHosts,
    renderFingerprint,
    renderHostName,
} from "./host-key.js";
import { ConnectionError } from "./shell.js";

/** What to ask a server for, and what to say to the key it shows. */
export interface HostKeyCheck {
    readonly algorithms: readonly string[];
    /** The reason to refuse the key, or nothing when it is the host's. @param key base64 */
    judge(key: string): ConnectionError | undefined;
}

/**
 * Reads what is known about a host: `connection.hostKey`, else its known_hosts file and then the machine's.
 * @param systemFile another one, for tests
 * @throws ConnectionError
 */
export function prepareHostKeyCheck(connection: Connection, systemFile = "/etc/ssh/ssh_known_hosts"): HostKeyCheck {
    return connection.hostKey === undefined
        ? checkByKnownHosts(connection, systemFile)
        : checkByHostKey(connection, connection.hostKey);
}

const defaultKnownHosts = "~/.ssh/known_hosts";

function checkByHostKey(connection: Connection, accepted: readonly string[]): HostKeyCheck {
    const keys = accepted.flatMap((text) =>
        text
            .trim()
            .split(/[ \t]+/)
            .filter((word) => keyType(word) !== undefined),
    );
    const fingerprints = accepted.map((text) => text.trim()).filter((text) => text.startsWith("SHA256:"));
    return {
        algorithms: orderHostKeyAlgorithms(keys.map((key) => keyType(key) ?? "")),
        judge(key) {
            if (keys.includes(key) || fingerprints.some((text) => text.replace(/=+$/, "") === renderFingerprint(key)))
                return undefined;
            const hint = fingerprints.length === 0 ? "" : ` A fingerprint must be that of the ${keyType(key)} key.`;
            return refuse(
                connection,
                `the host key is not the one in connection.hostKey. The host shows ${describeKey(key)}.${hint} Somebody may be ` +
                    `listening in. If the host was made anew, check the fingerprint on its console (ssh-keygen -lf ` +
                    `/etc/ssh/ssh_host_ed25519_key.pub) and set connection.hostKey: "${renderKey(key)}".`,
            );
        },
    };
}

function checkByKnownHosts(connection: Connection, systemFile: string): HostKeyCheck {
    const shown = connection.knownHosts ?? defaultKnownHosts;
    const path = expandHome(shown);
    const name = renderHostName(connection.host ?? "", connection.port ?? 22);
    const system = readSystemFile(systemFile);
    const all = [
        ...parseKnownHosts(readKnownHosts(connection, path), shown),
        ...parseKnownHosts(system ?? "", systemFile),
    ];
    const lines = findHostLines(all, name);
    // Off port 22 OpenSSH also takes a key that is known under the bare name.
    const bareLines = name.startsWith("[") ? findHostLines(all, renderHostName(connection.host ?? "", 22)) : [];
    const types = [...lines, ...bareLines].filter(isPlainKey).map((line) => line.type);
    return {
        algorithms: orderHostKeyAlgorithms(types),
        judge(key) {
            const verdict = judgeKey(lines, key);
            switch (verdict.kind) {
                case "known":
                    return undefined;
                case "revoked":
                    return refuse(
                        connection,
                        `the host key ${describeKey(key)} is marked @revoked in line ${verdict.line.lineNumber} of ${verdict.line.file}. ` +
                            "Do not use this host until it has a new key.",
                    );
                case "changed":
                    return refuse(
                        connection,
                        `the host key has changed. The host shows ${describeKey(key)}, but line ${verdict.line.lineNumber} of ` +
                            `${verdict.line.file} has ${describeKey(verdict.line.key)}. Somebody may be listening in. If the host was made anew, ` +
                            `check the fingerprint on its console, run \`ssh-keygen -R '${name}' -f ${verdict.line.file}\` and add the line ` +
                            `"${name} ${renderKey(key)}", or set connection.hostKey: "${renderKey(key)}".`,
                    );
                case "unknown": {
                    const bare = judgeKey(bareLines, key).kind;
                    if (bare === "known") return undefined;
                    if (bare !== "revoked" && connection.hostKeyPolicy === "accept-new")
                        return addKnownHost(connection, path, `${name} ${renderKey(key)}`);
                    const authority = [...lines, ...bareLines].find((line) => line.isAuthority);
                    const hint =
                        authority === undefined
                            ? ""
                            : ` Line ${authority.lineNumber} of ${authority.file} trusts an authority that signs host keys, which only ` +
                              'the transport "openssh" understands.';
                    return refuse(
                        connection,
                        `the host key is unknown: ${describeKey(key)} is not in ${shown}${system === undefined ? "" : ` or ${systemFile}`}.${hint} Check the fingerprint on the host's ` +
                            `console (ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub), then set connection.hostKey: ` +
                            `"${renderKey(key)}", or add the line "${name} ${renderKey(key)}" to ${shown}.`,
                    );
                }
            }
        },
    };
}

function readKnownHosts(connection: Connection, path: string): string {
    try {
        return readFileSync(path, "utf8");
    } catch (error) {
        const code = (error as NodeJS.ErrnoException).code;
        if (code === "ENOENT") return "";
        throw refuse(
            connection,
            `${connection.knownHosts ?? defaultKnownHosts} cannot be read (${code}). Correct connection.knownHosts, or set connection.hostKey.`,
        );
    }
}

/** As OpenSSH, without a word when it is not there or not for us to read. */
function readSystemFile(path: string): string | undefined {
    try {
        return readFileSync(path, "utf8");
    } catch {
        return undefined;
    }
}

function addKnownHost(connection: Connection, path: string, line: string): ConnectionError | undefined {
    try {
        // Read again: another connection of this run may have added it meanwhile.
        const text = existsSync(path) ? readFileSync(path, "utf8") : undefined;
        if (text?.split("\n").includes(line)) return undefined;
        mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
        appendFileSync(path, `${text === undefined || text === "" || text.endsWith("\n") ? "" : "\n"}${line}\n`, {
            mode: 0o600,
        });
        if (text === undefined) chmodSync(path, 0o600);
        return undefined;
    } catch (error) {
        const code = (error as NodeJS.ErrnoException).code;
        return refuse(
            connection,
            `the new host key could not be added to ${connection.knownHosts ?? defaultKnownHosts} (${code}). Make the file writable, or set connection.hostKey.`,
        );
    }
}

function renderKey(key: string): string {
    return `${keyType(key) ?? "?"} ${key}`;
}

function describeKey(key: string): string {
    return `${keyType(key) ?? "?"} ${renderFingerprint(key)}`;
}

function refuse(connection: Connection, what: string): ConnectionError {
    return new ConnectionError(`${describeConnection(connection)}: ${what}`, { mayHeal: false });
}
