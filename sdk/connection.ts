import type * as pulumi from "@pulumi/pulumi";
import type { Many } from "./reference.js";

/**
 * How a machine is reached. The names are those of `@pulumi/command`. Files, agent sockets, known_hosts and environment
 * defaults are resolved when connecting: state holds what is written here, never the resolved value. A change runs
 * nothing on the host. Stack configuration overrides it at run time: `linuxnet:privateKey`, `linuxnet:privateKeyPassword`,
 * `linuxnet:password`, `linuxnet:sudoPassword`, `linuxnet:user`, and for each host, by its logical name, `linuxnet:hosts`.
 */
export interface ConnectionArgs {
    /** Name or address of the machine. Required, except for the transport "local". */
    host?: pulumi.Input<string>;
    /** Port of its SSH server. @default 22; with the transport "openssh" what ~/.ssh/config says */
    port?: pulumi.Input<number>;
    /** The account to log in with: root, or one that may use `sudo`. @default "root"; as `port` with "openssh" */
    user?: pulumi.Input<string>;
    /** Private key, the text itself, in OpenSSH's form, PEM or PKCS #8. A secret. */
    privateKey?: pulumi.Input<string>;
    /** Path of the private key on the machine Pulumi runs on; `~` is the home directory. */
    privateKeyFile?: pulumi.Input<string>;
    /** Passphrase of an encrypted private key. A secret. Not with the transport "openssh": use an agent there. */
    privateKeyPassword?: pulumi.Input<string>;
    /** OpenSSH certificate of the private key, the text itself. Only with the transport "openssh". */
    certificate?: pulumi.Input<string>;
    /** Path of the OpenSSH certificate of the private key. Only with the transport "openssh". */
    certificateFile?: pulumi.Input<string>;
    /** Password of the account. A secret. Not with the transport "openssh". */
    password?: pulumi.Input<string>;
    /**
     * Unix socket of an SSH agent.
     * @default `$SSH_AUTH_SOCK`, when no key and no password is given; with "openssh" as `ssh` does
     */
    agentSocketPath?: pulumi.Input<string>;
    /**
     * The host's keys (`ssh-ed25519 AAAA...`) or their fingerprints (`SHA256:...`), in place of `knownHosts`. The transport
     * "openssh" takes keys only.
     */
    hostKey?: Many<string>;
    /**
     * Path of the known_hosts file; the machine's own, /etc/ssh/ssh_known_hosts, is read after it.
     * @default "~/.ssh/known_hosts", and known_hosts2 beside it; as `port` with "openssh"
     */
    knownHosts?: pulumi.Input<string>;
    /**
     * "strict" refuses a host whose key is not known. "accept-new" writes the key of a host never seen before into
     * `knownHosts`, and refuses one that changed. @default "strict"
     */
    hostKeyPolicy?: pulumi.Input<HostKeyPolicy>;
    /**
     * Bastions to go through, the first hop first, each reached from the one before; the host's name is looked up on the last.
     * They need no program, only permission to forward (AllowTcpForwarding). For "openssh" write ProxyJump into
     * `~/.ssh/config`.
     */
    proxy?: Many<ProxyArgs>;
    /**
     * "ssh2" is part of the package. "openssh" runs the system's `ssh`, with `~/.ssh/config`, ProxyJump, certificates, FIDO
     * keys and Kerberos as the user has them; it never asks for anything. "local" is the machine Pulumi runs on.
     * @default "ssh2"
     */
    transport?: pulumi.Input<Transport>;
    /** Becomes root with `sudo`: without a password, or with this one (a secret). @default false */
    sudo?: pulumi.Input<boolean | SudoArgs>;
    /**
     * How long a machine that does not answer yet is waited for, in ms, and then one that answers but does not know the user or
     * the key yet. @default 60000 on create of the Host, else 0
     */
    waitMs?: pulumi.Input<number>;
    /** How long one attempt to connect may take, in ms. @default 15000 */
    dialTimeoutMs?: pulumi.Input<number>;
    /** How often a silent machine is asked for a sign of life, in ms; it is given up after three. @default 10000 */
    keepAliveMs?: pulumi.Input<number>;
    /** How long another run that holds the host's lock is waited for, in ms. @default 60000 */
    lockTimeoutMs?: pulumi.Input<number>;
    /** How long one operation on the host may take, in ms. @default 120000 */
    operationTimeoutMs?: pulumi.Input<number>;
    /**
     * How long a change of the host's own firewall waits to be confirmed by a new connection before the host takes it back, in
     * ms, rounded up to seconds. @default 15000
     */
    confirmTimeoutMs?: pulumi.Input<number>;
}

/** One hop on the way, with keys and a host key check of its own; what concerns the target only is left out. */
export type ProxyArgs = Omit<
    ConnectionArgs,
    "proxy" | "transport" | "sudo" | "waitMs" | "lockTimeoutMs" | "operationTimeoutMs" | "confirmTimeoutMs"
>;

export interface SudoArgs {
    /** The account's own password. A secret. */
    password: pulumi.Input<string>;
}

export type HostKeyPolicy = "strict" | "accept-new";
export type Transport = "ssh2" | "openssh" | "local";

/** The connection in the form `@pulumi/command`'s `remote.Command` takes. */
export interface CommandConnection {
    readonly host: string;
    readonly port?: number;
    readonly user?: string;
    readonly password?: string;
    readonly privateKey?: string;
    readonly privateKeyPassword?: string;
    readonly agentSocketPath?: string;
    readonly hostKey?: string;
    readonly proxy?: Omit<CommandConnection, "proxy">;
}
