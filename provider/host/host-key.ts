import { createHash, createHmac } from "node:crypto";

/** One usable line of a known_hosts file. */
export interface KnownHostLine {
    readonly file: string;
    /** From 1. */
    readonly lineNumber: number;
    /** Comma separated patterns, or one hashed name. */
    readonly names: string;
    readonly isRevoked: boolean;
    /** The key signs host keys and is none itself. */
    readonly isAuthority: boolean;
    readonly type: string;
    /** Base64 of the key. */
    readonly key: string;
}

/** What is known about the key a host showed. `line` is the known_hosts line that decided. */
export type Verdict =
    | { readonly kind: "known" | "unknown" }
    | { readonly kind: "changed" | "revoked"; readonly line: KnownHostLine };

/**
 * Reads known_hosts. Lines OpenSSH would not use are dropped as it does (comments, SSH 1, other markers, a type that is not
 * the key's).
 * @see sshd(8), SSH_KNOWN_HOSTS FILE FORMAT
 */
export function parseKnownHosts(text: string, file = "known_hosts"): KnownHostLine[] {
    const lines: KnownHostLine[] = [];
    for (const [index, raw] of text.split("\n").entries()) {
        // Only these: trim() would also take away a byte order mark or a no-break space, which are part of a name.
        const line = raw.replace(/^[ \t]+|[ \t\r]+$/g, "");
        const words = line.split(/[ \t]+/);
        if (line === "" || line.startsWith("#")) continue;
        const marker = words[0]?.startsWith("@") ? words.shift() : undefined;
        const [names, type, key] = words;
        if (names === undefined || type === undefined || key === undefined) continue;
        const [isRevoked, isAuthority] = [marker === "@revoked", marker === "@cert-authority"];
        if ((marker !== undefined && !isRevoked && !isAuthority) || !isWholeKey(key, type)) continue;
        lines.push({ file, lineNumber: index + 1, names, isRevoked, isAuthority, type, key });
    }
    return lines;
}

/** The name a host has in known_hosts: `name`, or `[name]:port` off port 22. */
export function renderHostName(host: string, port: number): string {
    return port === 22 ? host.toLowerCase() : `[${host.toLowerCase()}]:${port}`;
}

/** The lines that speak of a host. `name` is what `renderHostName` gives. */
export function findHostLines(lines: readonly KnownHostLine[], name: string): KnownHostLine[] {
    return lines.filter((line) =>
        line.names.startsWith("|") ? matchesHash(line.names, name) : matches(line.names, name),
    );
}

/** Judges a plain key by the lines of its host, in the order OpenSSH does: revoked, equal, any other; authorities say nothing of it. */
export function judgeKey(lines: readonly KnownHostLine[], key: string): Verdict {
    const revoked = lines.find((line) => line.isRevoked && line.key === key);
    if (revoked !== undefined) return { kind: "revoked", line: revoked };
    const valid = lines.filter(isPlainKey);
    const [first] = valid;
    if (first === undefined) return { kind: "unknown" };
    return valid.some((line) => line.key === key) ? { kind: "known" } : { kind: "changed", line: first };
}

/** A key a host may show as it is. */
export function isPlainKey(line: KnownHostLine): boolean {
    return !line.isRevoked && !line.isAuthority;
}

/** `SHA256:...` as `ssh-keygen -lf` prints it. @param key base64 */
export function renderFingerprint(key: string): string {
    const digest = createHash("sha256").update(Buffer.from(key, "base64")).digest("base64");
    return `SHA256:${digest.replace(/=+$/, "")}`;
}

/** The type a key names in its own first field (RFC 4253, 6.6), or undefined when it is no key. @param key base64 */
export function keyType(key: string): string | undefined {
    if (!/^[A-Za-z0-9+/]+={0,2}$/.test(key)) return undefined;
    const blob = Buffer.from(key, "base64");
    if (blob.length < 8) return undefined;
    const length = blob.readUInt32BE(0);
    return length > 0 && length <= blob.length - 4 ? blob.toString("latin1", 4, 4 + length) : undefined;
}

/** A plain key is a list of strings, the first its type. Of certificates only the type is looked at. */
function isWholeKey(key: string, type: string): boolean {
    if (keyType(key) !== type) return false;
    if (type.includes("-cert-")) return true;
    const blob = Buffer.from(key, "base64");
    let at = 0;
    while (at + 4 <= blob.length) at += 4 + blob.readUInt32BE(at);
    return at === blob.length;
}

/**
 * Signature algorithms to offer, those of the known keys first: the server shows one key only, and it should be one we know.
 * @param types of the known keys
 */
export function orderHostKeyAlgorithms(types: readonly string[]): string[] {
    const isKnown = (algorithm: string) => types.includes(algorithm.startsWith("rsa-sha2-") ? "ssh-rsa" : algorithm);
    return [...hostKeyAlgorithms.filter(isKnown), ...hostKeyAlgorithms.filter((algorithm) => !isKnown(algorithm))];
}

const hostKeyAlgorithms = [
    "ssh-ed25519",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "rsa-sha2-512",
    "rsa-sha2-256",
];

function matchesHash(hashed: string, name: string): boolean {
    const [, version, salt, digest] = hashed.split("|");
    if (version !== "1" || salt === undefined || digest === undefined) return false;
    return createHmac("sha1", Buffer.from(salt, "base64")).update(name).digest("base64") === digest;
}

/** A negated pattern that matches excludes the host, wherever it stands. */
function matches(names: string, name: string): boolean {
    let isFound = false;
    for (const pattern of names.toLowerCase().split(",")) {
        const isNegated = pattern.startsWith("!");
        if (!matchesPattern(isNegated ? pattern.slice(1) : pattern, name)) continue;
        if (isNegated) return false;
        isFound = true;
    }
    return isFound;
}

function matchesPattern(pattern: string, name: string): boolean {
    const source = pattern
        .replaceAll(/[\\^$.|+()[\]{}]/g, "\\$&")
        .replaceAll("*", ".*")
        .replaceAll("?", ".");
    return new RegExp(`^${source}$`, "s").test(name);
}
