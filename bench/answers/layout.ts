/** Containers on one side, sandboxes on the other. */
export interface Box {
    readonly name: string;
    readonly on: readonly Attachment[];
    readonly dns?: {
        readonly servers?: readonly (keyof Servers)[];
        readonly search?: readonly string[];
        readonly options?: readonly string[];
    };
    readonly extraHosts?: Readonly<Record<string, string>>;
}

export interface Attachment {
    readonly network: NetworkName;
    readonly ipv4: string;
    readonly ipv6?: string;
    readonly aliases?: readonly string[];
}

export const networks = {
    front: { subnets: ["172.30.1.0/24", "fd00:30:1::/64"], internal: false },
    data: { subnets: ["172.30.2.0/24"], internal: true },
} as const;

export type NetworkName = keyof typeof networks;

const onFront = (number: number, aliases: readonly string[] = []): Attachment => ({
    network: "front",
    ipv4: `172.30.1.${number}`,
    ipv6: `fd00:30:1::${number}`,
    aliases,
});

const onData = (number: number, aliases: readonly string[] = []): Attachment => ({
    network: "data",
    ipv4: `172.30.2.${number}`,
    aliases,
});

/**
 * The servers that a layout may name: "upstream" answers for the outside, on "refusing" nobody listens (the kernel says
 * so), and nobody has the address "missing".
 */
export type Servers = Readonly<Record<"upstream" | "refusing" | "missing", string>>;

export const boxes = [
    { name: "web", on: [onFront(10)], extraHosts: { registry: "192.0.2.80", gateway: "host-gateway" } },
    { name: "api", on: [onFront(11, ["backend", "v1.backend", "pool"]), onData(11, ["reader"])] },
    { name: "cache", on: [onFront(12, ["pool"])] },
    { name: "db", on: [onData(20)] },
    { name: "cut", on: [onFront(14)], dns: { servers: ["refusing"] } },
    { name: "second", on: [onFront(15)], dns: { servers: ["refusing", "upstream"] } },
    { name: "silent", on: [onFront(16)], dns: { servers: ["missing", "upstream"] } },
    { name: "tuned", on: [onFront(13)], dns: { search: ["corp.example"], options: ["ndots:2"] } },
] as const satisfies readonly Box[];

export type BoxName = (typeof boxes)[number]["name"];

/** One side of the comparison. */
export interface Side extends AsyncDisposable {
    /** Runs a script of sh(1) in a box, with the machine's programs and the box's own resolv.conf and hosts. */
    run(box: BoxName, script: string): Promise<string>;
    /** Takes a box away. */
    remove(box: BoxName): Promise<void>;
}
