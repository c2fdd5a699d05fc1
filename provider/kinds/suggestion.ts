import type { z } from "zod";

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
    ipamConfigs: "subnet",
    ipam: "subnet",
    ipam_config: "subnet",
    auxAddress: "reserved",
    enableIpv6: "ipv6",
    extra_hosts: "extraHosts",
    addHost: "extraHosts",
    dnsSearch: "dns",
    dns_search: "dns",
    dnsOpts: "dns",
    dns_opt: "dns",
    nameservers: "servers",
    domainname: "hostname",
    networkAliases: "aliases",
    priority: "gatewayPriority",
    external: "hostPort",
    ip_address: "ipv4Address",
    identity: "privateKeyFile",
    key: "privateKey",
    to: "from",
    from: "to",
};

/** " Did you mean ...?", or nothing when nothing is near. */
export function suggest(key: string, names: readonly string[]): string {
    // A neighbour's word is surer than likeness: privateKeyPath is near to privateKey, and means privateKeyFile.
    const synonym = synonyms[key];
    const meant = synonym !== undefined && names.includes(synonym) ? synonym : nearest(key, names);
    if (meant !== undefined) return ` Did you mean "${meant}"?`;
    return names.includes("connection") && connectionWords.has(key) ? ` Did you mean "connection.${key}"?` : "";
}

/** What users of other providers write beside the host instead of inside its connection. */
const connectionWords = new Set([
    "host",
    "port",
    "user",
    "password",
    "privateKey",
    "privateKeyFile",
    "sudo",
    "hostKey",
]);

interface Definition {
    readonly type: string;
    readonly options?: readonly z.core.$ZodType[];
    readonly shape?: Readonly<Record<string, z.core.$ZodType>>;
    readonly element?: z.core.$ZodType;
    readonly innerType?: z.core.$ZodType;
    readonly in?: z.core.$ZodType;
    readonly out?: z.core.$ZodType;
}

/** The arguments there are at a path of a schema, through unions, lists, defaults and transformations. */
export function namesAt(schema: z.core.$ZodType, path: readonly PropertyKey[]): string[] {
    const { options, shape, element, innerType, ...pipe } = schema._zod.def as unknown as Definition;
    const [part, ...rest] = path;
    if (shape !== undefined) {
        if (part === undefined) return Object.keys(shape);
        const inner = shape[String(part)];
        return inner === undefined ? [] : namesAt(inner, rest);
    }
    if (element !== undefined) return typeof part === "number" ? namesAt(element, rest) : [];
    const inside = [...(options ?? []), innerType, pipe.in, pipe.out].filter((inner) => inner !== undefined);
    return inside.flatMap((inner) => namesAt(inner, path));
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

/** Letters to change, put in, take out or swap with their neighbour (Damerau-Levenshtein), one row at a time. */
function editDistance(a: string, b: string): number {
    let before: number[] = [];
    let row = Array.from({ length: b.length + 1 }, (_, i) => i);
    for (let i = 1; i <= a.length; i++) {
        const next = [i];
        for (let j = 1; j <= b.length; j++) {
            const substitute = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
            const isSwapped = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1];
            const swap = isSwapped ? (before[j - 2] ?? 0) + 1 : substitute;
            next.push(Math.min((row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1, substitute, swap));
        }
        [before, row] = [row, next];
    }
    return row[b.length] ?? 0;
}
