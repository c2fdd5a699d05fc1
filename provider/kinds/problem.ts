import type { z } from "zod";

/** One sentence for each thing that is wrong with the arguments: path, what is wrong, what was given. */
export function describeIssues(error: z.ZodError, input: unknown, names: readonly string[]): string[] {
    return error.issues.flatMap((issue) => describe(issue, [], input, names));
}

type Issue = z.core.$ZodIssue;

function describe(issue: Issue, parents: readonly PropertyKey[], input: unknown, names: readonly string[]): string[] {
    const path = [...parents, ...issue.path];
    if (issue.code === "invalid_union") {
        // The last alternative is the real schema (see `known`); nearest is the one that failed deepest.
        const alternatives = issue.errors.filter((issues) => issues.length > 0);
        const deepest = [...alternatives].sort(
            (a, b) => depth(b) - depth(a) || alternatives.indexOf(b) - alternatives.indexOf(a),
        )[0];
        if (deepest !== undefined && (alternatives.length <= 2 || depth(deepest) > 0)) {
            return deepest.flatMap((inner) => describe(inner, path, input, names));
        }
    }
    const given = valueAt(input, path);
    if (issue.code === "unrecognized_keys") {
        return issue.keys.map((key) => `${format([...path, key])}: there is no such argument.${suggest(key, names)}`);
    }
    if (given === undefined) return [`${format(path)}: is required (${clean(issue.message)}).`];
    if (path.some((part) => mayBeSecret.has(part))) return [`${format(path)}: ${clean(issue.message)}.`];
    const shown = JSON.stringify(given);
    const message = clean(issue.message);
    return [`${format(path)}: ${message}${message.includes(String(given)) ? "" : ` (got ${shown})`}.`];
}

/** What stands below these may be a credential, so it is not printed. */
const mayBeSecret = new Set<PropertyKey>([
    "connection",
    "password",
    "privateKey",
    "privateKeyPassword",
    "proxy",
    "sudo",
]);

function depth(issues: readonly Issue[]): number {
    return Math.max(...issues.map((issue) => issue.path.length + (issue.code === "invalid_union" ? 1 : 0)));
}

function clean(message: string): string {
    return message.replace(/^Invalid (input|option): /, "").replace(/\.$/, "");
}

function format(path: readonly PropertyKey[]): string {
    return path
        .map((part, i) => (typeof part === "number" ? `[${part}]` : `${i === 0 ? "" : "."}${String(part)}`))
        .join("");
}

function valueAt(input: unknown, path: readonly PropertyKey[]): unknown {
    let value = input;
    for (const part of path) {
        // One value stands for a list of one (see `many`).
        if (part === 0 && !Array.isArray(value)) continue;
        value = (value as Record<PropertyKey, unknown> | undefined | null)?.[part];
    }
    return value;
}

/** Words of neighbouring tools and what they are called here. */
const synonyms: Readonly<Record<string, string>> = {
    privateKeyPath: "privateKeyFile",
    keyFile: "privateKeyFile",
    identityFile: "privateKeyFile",
    passphrase: "privateKeyPassword",
    agentSocket: "agentSocketPath",
    hostname: "host",
    dialErrorLimit: "waitMs",
    perDialTimeout: "dialTimeoutMs",
    ip: "ipv4Address",
    ipv4_address: "ipv4Address",
    address: "ipv4Address",
    ipv6_address: "ipv6Address",
    mac_address: "macAddress",
    ip_range: "ipRange",
    driverOpts: "driver",
    driver_opts: "driver",
    enable_ipv6: "ipv6",
    aux_addresses: "reserved",
    published: "hostPort",
    publish: "hostPort",
    host_ip: "hostAddress",
    hostIp: "hostAddress",
    containerPort: "targetPort",
    internalPort: "targetPort",
    interface_name: "interfaceName",
    gw_priority: "gatewayPriority",
    source: "from",
    destination: "to",
    port: "ports",
    defaultVerdict: "defaultAction",
};

function suggest(key: string, names: readonly string[]): string {
    // A neighbour's word is surer than likeness: privateKeyPath is near to privateKey, and means privateKeyFile.
    const synonym = synonyms[key];
    const meant = synonym !== undefined && names.includes(synonym) ? synonym : (nearest(key, names) ?? synonym);
    return meant === undefined ? "" : ` Did you mean "${meant}"?`;
}

/** The nearest of the known names, when it is near: for a mistyped argument. */
function nearest(name: string, names: readonly string[]): string | undefined {
    const scored = names.map((candidate) => ({
        candidate,
        distance: editDistance(name.toLowerCase(), candidate.toLowerCase()),
    }));
    const best = scored.sort((a, b) => a.distance - b.distance)[0];
    return best !== undefined && best.distance <= Math.max(1, Math.floor(name.length / 3)) ? best.candidate : undefined;
}

/** Levenshtein distance, one row at a time. */
function editDistance(a: string, b: string): number {
    let row = Array.from({ length: b.length + 1 }, (_, i) => i);
    for (let i = 1; i <= a.length; i++) {
        const next = [i];
        for (let j = 1; j <= b.length; j++) {
            const substitute = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
            next.push(Math.min((row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1, substitute));
        }
        row = next;
    }
    return row[b.length] ?? 0;
}
