/** Where a packet starts. Keys are those of the host's manifest. */
export type Origin =
    /** A process in it that binds to no address: the routes choose the endpoint. */
    | { readonly sandbox: string }
    /** A process that binds to this endpoint's address. */
    | { readonly endpoint: string }
    /** Another machine, with this address, of the family of the packet. */
    | { readonly outside: string }
    | "host";

/** The first packet of a connection, or one of a connection that is there. */
export interface Packet {
    readonly from: Origin;
    /** A source address of the sender's own choice. @default what its routes choose */
    readonly source?: string;
    /** IPv4 or IPv6. */
    readonly to: string;
    /** IANA name (`tcp`, `udp`, `sctp`, `icmp`, `icmpv6`, `gre`, `esp`, `ah`) or number. */
    readonly protocol: string | number;
    /** Absent for protocols without ports. */
    readonly port?: number;
    /** By name or number, for protocols icmp and icmpv6. @default "echo-request" */
    readonly icmpType?: string | number;
    /** @default "new" */
    readonly state?: "new" | "established";
}

/** What may decide, in the order in which they are asked. */
export const stages = [
    "route",
    "port guard",
    "loopback guard",
    "established",
    "gateway address",
    "internal",
    "host access",
    "default policy",
    "egress policy",
    "ingress policy",
    "publication",
    "isolation",
    "networks",
    "host",
] as const;

export type Stage = (typeof stages)[number];

/** What becomes of a packet. */
export interface Judgement {
    readonly verdict: "pass" | "drop" | "reject";
    readonly stage: Stage;
    /** Why, as a sentence without its end. */
    readonly reason: string;
    /** Who gets it: a key of an endpoint or a sandbox; `nobody` when the address is free. Absent unless it passes. */
    readonly reaches?: { readonly endpoint: string } | { readonly sandbox: string } | "host" | "outside" | "nobody";
    /** Where it goes after DNAT: as it was sent when nothing is translated. */
    readonly target: { readonly address: string; readonly port?: number };
    /** Whom the receiver sees: as it was sent unless it is masqueraded. Empty when nothing is sent. */
    readonly source: string;
}
