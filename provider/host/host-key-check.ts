import type { Connection } from "../model/connection.js";
import {
    findHostLines,
    isPlainKey,
    judgeKey,
    keyType,
    orderHostKeyAlgorithms,
    renderFingerprint,
    renderHostName,
} from "./host-key.js";
import { explainChangedKey, explainOtherKey, explainRevokedKey, explainUnknownKey } from "./host-key-refusal.js";
import { addKnownHost, nameKnownHostsFile, readKnownHosts, systemFiles } from "./known-hosts-file.js";
import type { ConnectionError } from "./shell.js";

/** What to ask a server for, and what to say to the key it shows. */
export interface HostKeyCheck {
    readonly algorithms: readonly string[];
    /** The reason to refuse the key, or nothing when it is the host's. @param key base64 */
    judge(key: string): ConnectionError | undefined;
}

/**
 * Reads what is known about a host: `connection.hostKey`, else its known_hosts file and then the machine's.
 * @param machineFiles others, for tests
 * @throws ConnectionError
 */
export function prepareHostKeyCheck(connection: Connection, machineFiles = systemFiles): HostKeyCheck {
    return connection.hostKey === undefined
        ? checkByKnownHosts(connection, machineFiles)
        : checkByHostKey(connection, connection.hostKey);
}

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
            return explainOtherKey(connection, { key });
        },
    };
}

function checkByKnownHosts(connection: Connection, machineFiles: readonly string[]): HostKeyCheck {
    const file = nameKnownHostsFile(connection);
    const name = renderHostName(connection.host ?? "", connection.port ?? 22);
    const known = readKnownHosts(connection, machineFiles);
    const lines = findHostLines(known.lines, name);
    // Off port 22 OpenSSH also takes a key that is known under the bare name.
    const bareLines = name.startsWith("[") ? findHostLines(known.lines, renderHostName(connection.host ?? "", 22)) : [];
    const all = [...lines, ...bareLines];
    const isRevoked = (key: string) => all.some((line) => line.isRevoked && line.key === key);
    const types = all.filter((line) => isPlainKey(line) && !isRevoked(line.key)).map((line) => line.type);
    const authority = all.find((line) => line.isAuthority && !isRevoked(line.key));
    return {
        algorithms: orderHostKeyAlgorithms(types),
        judge(key) {
            const verdict = judgeKey(lines, key);
            const shown = { name, key };
            switch (verdict.kind) {
                case "known":
                    return undefined;
                case "revoked":
                    return explainRevokedKey(connection, shown, verdict.line);
                case "changed":
                    return explainChangedKey(connection, shown, verdict.line, authority);
                case "unknown": {
                    const bare = judgeKey(bareLines, key);
                    if (bare.kind === "known") return undefined;
                    if (bare.kind === "revoked") return explainRevokedKey(connection, shown, bare.line);
                    if (connection.hostKeyPolicy === "accept-new")
                        return addKnownHost(connection, `${name} ${keyType(key)} ${key}`);
                    return explainUnknownKey(connection, shown, { file, isNotIn: known.files.join(" or "), authority });
                }
            }
        },
    };
}
