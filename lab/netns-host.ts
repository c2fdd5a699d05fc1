import { randomBytes } from "node:crypto";
import { connect } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { hostNumbers, planMachine } from "./address-plan.js";
import { execInside, type LabCommand, type LabExecOptions, type LabExecResult, type LabSandbox } from "./exec.js";
import { generateKeyPair, type KeyPair } from "./key-pair.js";
import { type Namespace, startNamespace } from "./namespace.js";
import { machineScript } from "./netns-script.js";
import { type LabProcess, spawnInside } from "./spawn.js";
import type { Underlay } from "./underlay.js";

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
    };

/** A machine and what holds it open. */
export type StartedMachine<T extends LabMachine> = { readonly machine: T; readonly namespace: Namespace };

/** Who logs in to a lab's hosts. */
export type Login = { readonly user: "root" | "deploy"; readonly key: KeyPair };

/** Starts a machine without sshd that stands for a user's computer outside the hosts. */
export async function startNetnsClient(underlay: Underlay): Promise<StartedMachine<LabMachine>> {
    return startMachine(underlay, "client", hostNumbers.client, randomMachineId());
}

/** Starts a host and waits until its sshd answers. */
export async function startNetnsHost(
    underlay: Underlay,
    index: number,
    login: Login,
): Promise<StartedMachine<LabHost>> {
    const hostKey = generateKeyPair();
    const machineId = randomMachineId();
    const started = await startMachine(underlay, `host-${index + 1}`, hostNumbers.firstHost + index, machineId, {
        LAB_HOST_KEY: hostKey.private,
        LAB_AUTHORIZED_KEY: login.key.public,
        LAB_USER: login.user,
    });
    const { machine, namespace } = started;
    const connection: LabConnection = {
        host: machine.address,
        port: 22,
        user: login.user,
        privateKey: login.key.private,
        hostKey: hostKey.public,
        ...(login.user === "root" ? {} : { sudo: true }),
    };
    try {
        await waitForSshd(connection.host, connection.port);
    } catch (error) {
        await namespace.stop();
        throw new Error(
            `${machine.name}: sshd does not answer: ${(error as Error).message}\n${namespace.stderrTail()}`,
        );
    }
    return { namespace, machine: { ...machine, connection, machineId, [Symbol.asyncDispose]: namespace.stop } };
}

async function startMachine(
    underlay: Underlay,
    name: string,
    number: number,
    machineId: string,
    environment: Readonly<Record<string, string>> = {},
): Promise<StartedMachine<LabMachine>> {
    const addresses = planMachine(underlay.plan, number);
    const router = planMachine(underlay.plan, hostNumbers.router);
    const namespace = await startNamespace(name, machineScript, {
        LAB_SWITCH: `/proc/${underlay.switch.init.pid}/ns/net`,
        LAB_PORT: name,
        LAB_MTU: String(underlay.mtuBytes),
        LAB_NAME: name,
        LAB_MACHINE_ID: machineId,
        LAB_ADDRESS: addresses.address,
        LAB_IPV6_ADDRESS: addresses.ipv6Address,
        LAB_ROUTER: router.address,
        LAB_ROUTER_IPV6: router.ipv6Address,
        LAB_HOST_KEY: "",
        ...environment,
    });
    const target = { name, pid: () => namespace.init.pid };
    return {
        namespace,
        machine: {
            name,
            ...addresses,
            exec: (command, options) => execInside(target, command, options),
            spawn: (command, options) => spawnInside(target, command, options),
        },
    };
}

function randomMachineId(): string {
    return randomBytes(16).toString("hex");
}

async function waitForSshd(host: string, port: number): Promise<void> {
    const deadline = Date.now() + 10_000;
    for (;;) {
        try {
            return await readBanner(host, port);
        } catch (error) {
            if (Date.now() > deadline) throw error;
            await sleep(10);
        }
    }
}

function readBanner(host: string, port: number): Promise<void> {
    return new Promise((resolve, reject) => {
        const socket = connect({ host, port, timeout: 2_000 });
        socket.once("data", () => {
            socket.destroy();
            resolve();
        });
        socket.once("error", reject);
        socket.once("timeout", () => socket.destroy(new Error("timed out")));
        socket.once("close", () => reject(new Error("the connection was closed")));
    });
}
