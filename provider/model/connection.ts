/**
 * How a host is reached, in the canonical form `check` stores: every default written out, files and agent sockets
 * still as paths (they are resolved when connecting, so state never holds the key a path points to).
 */
export interface Connection {
    /** Name or address; not needed by the transport "local". */
    readonly host?: string;
    /** Always there, except for the transport "openssh": what is not given is up to ~/.ssh/config. @default 22 */
    readonly port?: number;
    /** As `port`. @default "root" */
    readonly user?: string;
    /** Private key in OpenSSH or PEM form. */
    readonly privateKey?: string;
    readonly privateKeyFile?: string;
    /** Passphrase of the private key. */
    readonly privateKeyPassword?: string;
    /** Certificate of the private key in OpenSSH form; only with the transport "openssh". */
    readonly certificate?: string;
    readonly certificateFile?: string;
    readonly password?: string;
    /** Unix socket of an agent; `$SSH_AUTH_SOCK` when no other credential is given. */
    readonly agentSocketPath?: string;
    /** Accepted host keys (`ssh-ed25519 AAAA...`) or fingerprints (`SHA256:...`); replaces known_hosts. */
    readonly hostKey?: readonly string[];
    /** As `port`. @default "~/.ssh/known_hosts" */
    readonly knownHosts?: string;
    /** "accept-new" writes the key of a host never seen before into known_hosts. */
    readonly hostKeyPolicy: "strict" | "accept-new";
    /** Bastions to go through, the first hop first. */
    readonly proxy?: readonly Hop[];
    /** "openssh" is the system's `ssh`; "local" is the machine the program runs on. */
    readonly transport: "ssh2" | "openssh" | "local";
    readonly sudo: boolean | { readonly password: string };
    /** How long a machine that does not answer yet is waited for; 0 tries once. Resolved when connecting: see `lifecycle`. */
    readonly waitMs?: number;
    readonly dialTimeoutMs: number;
    readonly keepAliveMs: number;
    readonly lockTimeoutMs: number;
    readonly operationTimeoutMs: number;
    /** How long a change that may lock out whoever manages the host waits for a new connection. @default 15000 */
    readonly confirmTimeoutMs?: number;
    /** The Host's logical name, by which stack configuration speaks of it; travels with the connection to what is on it. */
    readonly name?: string;
    /** The Host's argument, which travels likewise. */
    readonly deleteUnreachable?: boolean;
    /** Likewise. */
    readonly cooperate?: boolean;
    /** Likewise. */
    readonly addressPools?: readonly AddressPool[];
}

/** A range of addresses that is handed out in subnets, and the prefix length of each in bits. */
export interface AddressPool {
    readonly base: string;
    readonly size: number;
}

/** A login on the way. */
export type Hop = Omit<
    Connection,
    | "proxy"
    | "transport"
    | "sudo"
    | "waitMs"
    | "lockTimeoutMs"
    | "operationTimeoutMs"
    | "confirmTimeoutMs"
    | "name"
    | "deleteUnreachable"
    | "cooperate"
    | "addressPools"
>;

/** The way to the machine alone, without what the Host tells those on it. */
export function withoutHostsWords({
    name: _,
    deleteUnreachable: __,
    cooperate: ___,
    addressPools: ____,
    ...way
}: Connection): Connection {
    return way;
}

/** The connection without credentials, for messages: `deploy@203.0.113.10:22`. */
export function describeConnection(connection: Connection): string {
    if (connection.transport === "local") return "this machine";
    const { host = "?", port = 22, user } = connection;
    return `${user === undefined ? "" : `${user}@`}${host}${port === 22 ? "" : `:${port}`}`;
}
