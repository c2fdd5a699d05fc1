import { type Connection, describeConnection } from "../model/connection.js";
import { keyType, renderFingerprint } from "./host-key.js";
import { ConnectionError } from "./shell.js";

/** The key that a host shows. */
export interface ShownKey {
    /** Of the host, as known_hosts has it. */
    readonly name: string;
    /** Base64. */
    readonly key: string;
}

/** A line of a known_hosts file, as far as it is known which. */
export interface DecidingLine {
    readonly file: string;
    readonly lineNumber?: number;
    /** Base64 of its key. */
    readonly key?: string;
}

/** @param authority a line whose authority may have signed the key, which ssh2 cannot tell */
export function explainUnknownKey(
    connection: Connection,
    { name, key }: ShownKey,
    { file, isNotIn, authority }: { file: string; isNotIn: string; authority?: DecidingLine | undefined },
): ConnectionError {
    return refuse(
        connection,
        `the host key is unknown: ${describeKey(key)} is not in ${isNotIn}.${hintAt(authority)} Check the fingerprint on the host's ` +
            `console (${fingerprintCommand(key)}), then set connection.hostKey: "${renderKey(key)}", or add the line ` +
            `"${name} ${renderKey(key)}" to ${file}.`,
    );
}

/** @param line has another key for the host */
export function explainChangedKey(
    connection: Connection,
    { name, key }: ShownKey,
    line: DecidingLine,
    authority?: DecidingLine,
): ConnectionError {
    const other = line.key === undefined ? "another one" : describeKey(line.key);
    return refuse(
        connection,
        `the host key has changed. The host shows ${describeKey(key)}, but ${describeLine(line)} has ${other}.${hintAt(authority)} ` +
            `Somebody may be listening in. If the host was made anew, check the fingerprint on its console (${fingerprintCommand(key)}), ` +
            `run \`ssh-keygen -R '${name}' -f ${line.file}\` and add the line "${name} ${renderKey(key)}", or set connection.hostKey: ` +
            `"${renderKey(key)}".`,
    );
}

/** What is to be pasted is the new key, never the one that was revoked: only the host has it. */
export function explainRevokedKey(
    connection: Connection,
    { name, key }: ShownKey,
    line: DecidingLine,
): ConnectionError {
    return refuse(
        connection,
        `the host key ${describeKey(key)} is marked @revoked in ${describeLine(line)}. Do not use this host until it has a new key; ` +
            `then add the line that its console prints: echo "${name} $(cut -d ' ' -f 1,2 ${publicKeyFile(key)})".`,
    );
}

/** The key is none of `connection.hostKey`. */
export function explainOtherKey(connection: Connection, { key }: Pick<ShownKey, "key">): ConnectionError {
    const hint = connection.hostKey?.some((text) => text.trim().startsWith("SHA256:"))
        ? ` A fingerprint must be that of the ${keyType(key)} key.`
        : "";
    return refuse(
        connection,
        `the host key is not the one in connection.hostKey. The host shows ${describeKey(key)}.${hint} Somebody may be ` +
            `listening in. If the host was made anew, check the fingerprint on its console (${fingerprintCommand(key)}) and set ` +
            `connection.hostKey: "${renderKey(key)}".`,
    );
}

/** A refusal that another login does not heal. */
export function refuse(connection: Connection, what: string): ConnectionError {
    return new ConnectionError(`${describeConnection(connection)}: ${what}`, { mayHeal: false });
}

function hintAt(authority: DecidingLine | undefined): string {
    if (authority === undefined) return "";
    const { lineNumber, file } = authority;
    return ` Line ${lineNumber} of ${file} trusts an authority that signs host keys, which only the transport "openssh" understands.`;
}

function describeLine({ file, lineNumber }: DecidingLine): string {
    return lineNumber === undefined ? file : `line ${lineNumber} of ${file}`;
}

function renderKey(key: string): string {
    return `${keyType(key) ?? "?"} ${key}`;
}

function describeKey(key: string): string {
    return `${keyType(key) ?? "?"} ${renderFingerprint(key)}`;
}

function fingerprintCommand(key: string): string {
    return `ssh-keygen -lf ${publicKeyFile(key)}`;
}

/** Where sshd has it by default. */
function publicKeyFile(key: string): string {
    const [, algorithm = "ed25519"] = /^(?:ssh-|ecdsa-)?(rsa|dss|ed25519|sha2)/.exec(keyType(key) ?? "") ?? [];
    return `/etc/ssh/ssh_host_${algorithm === "sha2" ? "ecdsa" : algorithm}_key.pub`;
}
