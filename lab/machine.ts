import { randomBytes } from "node:crypto";
import type { LabCommand, LabExecOptions, LabExecResult, LabSandbox } from "./exec.js";
import type { KeyPair } from "./key-pair.js";
import type { Namespace } from "./namespace.js";
import type { LabProcess } from "./spawn.js";

/** A machine on a lab's underlay in which commands can be run: a host, or the client. */
export type LabMachine = {
    /** Its name in the lab and its host name: `host-1`, `host-2`, ..., `client`. */
    readonly name: string;
    /** Its IPv4 address on the underlay (interface `eth0`). */
    readonly address: string;
    /** Its IPv6 address on the underlay. */
    readonly ipv6Address: string;
    /**
     * Runs a command inside and waits for it.
     * @throws {LabExecError} on an exit code other than 0 (unless `check: false`) and on a timeout.
     */
    exec(command: LabCommand, options?: LabExecOptions): Promise<LabExecResult>;
    /** Starts a long-running command inside, a server for instance; disposing it kills it. */
    spawn(command: LabCommand, options?: { readonly sandbox?: LabSandbox | undefined }): Promise<LabProcess>;
};

/** How to log in to a host: exactly what a Host resource takes as `connection`. */
export type LabConnection = {
    readonly host: string;
    readonly port: number;
    readonly user: string;
    /** Only there when the user is not root. */
    readonly sudo?: true;
    /** In OpenSSH form. */
    readonly privateKey: string;
    /** `ssh-ed25519 AAAA...` */
    readonly hostKey: string;
};

/** A throwaway Linux host: own interfaces, routes, firewall, processes, /etc, /var, /run, machine id and sshd. */
export type LabHost = LabMachine &
    AsyncDisposable & {
        readonly connection: LabConnection;
        /** What is in its /etc/machine-id. */
        readonly machineId: string;
        /**
         * Restarts the machine and resolves when its sshd answers again; driver "vm" only.
         * @throws when the driver is "netns", and when the machine does not come back.
         */
        reboot(options?: LabRebootOptions): Promise<void>;
    };

/** How {@link LabHost.reboot} goes about it. */
export type LabRebootOptions = {
    /** As after a power cut: nothing is stopped, nothing is written back to disk. @default false */
    readonly powerCut?: boolean | undefined;
};

/** What holds a machine open: its first process, or its virtual machine. */
export type Running = Pick<Namespace, "init" | "stop">;

/** A machine and what holds it open. */
export type StartedMachine<T extends LabMachine> = { readonly machine: T; readonly running: Running };

/** Who logs in to a lab's hosts. */
export type Login = { readonly user: "root" | "deploy"; readonly key: KeyPair };

/** How to log in to the host with this address. */
export function connectionTo(address: string, login: Login, hostKey: KeyPair): LabConnection {
    return {
        host: address,
        port: 22,
        user: login.user,
        privateKey: login.key.private,
        hostKey: hostKey.public,
        ...(login.user === "root" ? {} : { sudo: true }),
    };
}

export function randomMachineId(): string {
    return randomBytes(16).toString("hex");
}
