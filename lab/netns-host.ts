import { hostNumbers, planMachine } from "./address-plan.js";
import { type ExecTarget, execInside, killGroup } from "./exec.js";
import { generateKeyPair } from "./key-pair.js";
import {
    connectionTo,
    type LabHost,
    type LabMachine,
    type Login,
    randomMachineId,
    type StartedMachine,
} from "./machine.js";
import { enterNamespace, type Namespace, startNamespace } from "./namespace.js";
import { machineScript } from "./netns-script.js";
import { spawnInside } from "./spawn.js";
import { waitForSshd } from "./sshd-answer.js";
import type { Underlay } from "./underlay.js";

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
    const { machine, running: namespace } = started;
    const connection = connectionTo(machine.address, login, hostKey);
    try {
        await waitForSshd(machine.address, 10_000);
    } catch (error) {
        await namespace.stop();
        throw new Error(
            `${machine.name}: sshd does not answer: ${(error as Error).message}\n${namespace.stderrTail()}`,
        );
    }
    const reboot = () => Promise.reject(new Error(`${machine.name}: reboot() needs a kernel of its own: driver "vm".`));
    return {
        running: namespace,
        machine: { ...machine, connection, machineId, reboot, [Symbol.asyncDispose]: namespace.stop },
    };
}

async function startMachine(
    underlay: Underlay,
    name: string,
    number: number,
    machineId: string,
    environment: Readonly<Record<string, string>> = {},
): Promise<{ readonly machine: LabMachine; readonly running: Namespace }> {
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
    return { running: namespace, machine: { ...machineOf(name, namespace), ...addresses } };
}

/** What runs commands inside namespaces. */
export function machineOf(name: string, namespace: Namespace): Pick<LabMachine, "name" | "exec" | "spawn"> {
    const target: ExecTarget = {
        name,
        enter: (argv) => ({ argv: enterNamespace(namespace.init.pid, argv), kill: killGroup }),
    };
    return {
        name,
        exec: (command, options) => execInside(target, command, options),
        spawn: (command, options) => spawnInside(target, command, options),
    };
}
