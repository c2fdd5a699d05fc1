import { maxHosts } from "./address-plan.js";
import { onExit } from "./exit.js";
import { generateKeyPair } from "./key-pair.js";
import type { LabHost, LabMachine, StartedMachine } from "./machine.js";
import { machineOf, startNetnsClient, startNetnsHost } from "./netns-host.js";
import { type LabProbeOptions, type LabProbeResult, probePort } from "./probe.js";
import { type LabRecord, openRecord, reapDeadLabs } from "./record.js";
import { checkRequirements } from "./requirements.js";
import { type LabProgram, type LabStack, type LabStackOptions, startStack } from "./stack.js";
import { startUnderlay, type Underlay } from "./underlay.js";
import { startVmHost } from "./vm-host.js";
import { gatherVmParts, type VmParts, vmTools } from "./vm-parts.js";

/** What {@link createLab} makes. */
export type LabOptions<Count extends number = number> = {
    /** How many hosts, 1-243. @default 1 */
    readonly hosts?: Count | undefined;
    /**
     * "netns": namespaces of this machine's kernel, up in a fraction of a second. "vm": a kernel of its own under qemu,
     * with systemd, up in ten seconds, that can be rebooted. Root is needed for both.
     * @default the environment variable LINUXNET_LAB_DRIVER, else "netns"
     */
    readonly driver?: "netns" | "vm" | undefined;
    /** Bytes; the MTU of the network between the hosts, 1280-65535. @default 1500 */
    readonly underlayMtu?: number | undefined;
    /**
     * Whether one logs in as the user `deploy`, who may use sudo without a password, instead of as root; this machine
     * must have sudo.
     * @default false
     */
    readonly sudoUser?: boolean | undefined;
    /**
     * What the kernels of hosts with driver "vm" are started with beside the lab's own: `["ipv6.disable=1"]`.
     * @default none
     */
    readonly kernelArguments?: readonly string[] | undefined;
    /** Is told what takes its time: the starts and restarts of virtual machines. @default nothing is shown */
    readonly onProgress?: ((text: string) => void) | undefined;
};

/** As many hosts as were asked for: a tuple when the number is known, so that `const [first, second] = lab.hosts` fits. */
export type LabHosts<Count extends number, Hosts extends readonly LabHost[] = readonly []> = number extends Count
    ? readonly LabHost[]
    : Hosts["length"] extends Count
      ? Hosts
      : LabHosts<Count, readonly [...Hosts, LabHost]>;

/** Throwaway hosts on one network, and a client outside them. */
export type Lab<Count extends number = number> = AsyncDisposable & {
    /** `host-1`, `host-2`, ... */
    readonly hosts: LabHosts<Count>;
    /** The machine outside: on the same network as the hosts, without sshd. */
    client(): LabMachine;
    /** The switch between the machines: a bridge whose ports have the machines' names. For captures and counters. */
    switch(): Pick<LabMachine, "name" | "exec" | "spawn">;
    /**
     * Brings a Pulumi program up with a backend of its own. The stack is destroyed before the hosts go, also when it is
     * not disposed of by itself.
     * @throws when there is no Pulumi CLI, and when the program fails; what it had made is destroyed then.
     */
    up<T>(program: LabProgram<T>, options?: LabStackOptions): Promise<LabStack<T>>;
    /**
     * Asks whether `from` reaches a port of a machine or an address.
     * @example expect(await lab.probe(lab.client(), host, 8080)).toBe("open");
     */
    probe(
        from: LabMachine,
        to: string | { readonly address: string },
        port: number,
        options?: LabProbeOptions,
    ): Promise<LabProbeResult>;
};

/**
 * Makes throwaway hosts; disposing the lab takes everything away again.
 *
 * Also takes away what labs of processes that were killed have left.
 * @example
 * await using lab = await createLab({ hosts: 2 });
 * const [first, second] = lab.hosts;
 * @throws when not root, when a tool is missing, or when a value is out of range.
 */
export async function createLab<const Count extends number = 1>(options: LabOptions<Count> = {}): Promise<Lab<Count>> {
    const { hostCount, mtuBytes, sudoUser, driver } = checkOptions(options);
    checkRequirements({ ...(sudoUser ? { sudo: "sudo" } : {}), ...(driver === "vm" ? vmTools : {}) });
    reapDeadLabs();
    const record = openRecord();
    const forget = onExit(record.clear);
    const close = () => {
        record.clear();
        forget();
    };
    try {
        const parts = driver === "vm" ? await gatherVmParts(record, options) : undefined;
        const underlay = await startUnderlay(mtuBytes);
        record.addProcess(underlay.switch.init);
        const { client, hosts } = await startMachines(underlay, record, hostCount, sudoUser, parts);
        const lab = assembleLab(record, underlay, client, hosts, async () => {
            await Promise.all([client, ...hosts].map(({ running }) => running.stop()));
            await underlay.stop();
            close();
        });
        return lab as Lab<number> as Lab<Count>;
    } catch (error) {
        close();
        throw error;
    }
}

/** Makes one throwaway host; disposing it disposes its lab, which is at hand as `lab`. */
export async function createHost(options: Omit<LabOptions, "hosts"> = {}): Promise<LabHost & { readonly lab: Lab<1> }> {
    const lab = await createLab({ ...options, hosts: 1 });
    return { ...lab.hosts[0], lab, [Symbol.asyncDispose]: () => lab[Symbol.asyncDispose]() };
}

function assembleLab(
    record: LabRecord,
    underlay: Underlay,
    client: StartedMachine<LabMachine>,
    hosts: readonly StartedMachine<LabHost>[],
    stop: () => Promise<void>,
): Lab {
    const stacks: (() => Promise<void>)[] = [];
    const dispose = async () => {
        const errors: unknown[] = [];
        // The last one first: it may use what an earlier one has made.
        for (const close of stacks.reverse()) {
            try {
                await close();
            } catch (error) {
                errors.push(error);
            }
        }
        await stop();
        if (errors.length > 0) throw errors.length === 1 ? errors[0] : new AggregateError(errors);
    };
    let disposal: Promise<void> | undefined;
    return {
        hosts: hosts.map(({ machine }) => machine),
        client: () => client.machine,
        switch: () => machineOf("switch", underlay.switch),
        up: (program, options) => {
            const starting = startStack(record, program, options);
            // Kept from the start: a lab that goes while a stack is coming up must wait for it.
            stacks.push(async () => {
                const stack = await starting.catch(() => undefined);
                await stack?.[Symbol.asyncDispose]();
            });
            return starting;
        },
        probe: (from, to, port, options) => probePort(from, typeof to === "string" ? to : to.address, port, options),
        [Symbol.asyncDispose]: () => {
            disposal ??= dispose();
            return disposal;
        },
    };
}

/** Starts all at once; when one cannot be started, none is left. */
async function startMachines(
    underlay: Underlay,
    record: LabRecord,
    hostCount: number,
    sudoUser: boolean,
    vmParts: VmParts | undefined,
) {
    const login = { user: sudoUser ? "deploy" : "root", key: generateKeyPair() } as const;
    const started: StartedMachine<LabMachine>[] = [];
    const keep = async <T extends LabMachine>(starting: Promise<StartedMachine<T>>) => {
        const machine = await starting;
        record.addProcess(machine.running.init);
        started.push(machine);
        return machine;
    };
    const startHost = (index: number) =>
        vmParts === undefined ? startNetnsHost(underlay, index, login) : startVmHost(underlay, index, login, vmParts);
    const client = keep(startNetnsClient(underlay));
    const hosts = Array.from({ length: hostCount }, (_, index) => keep(startHost(index)));
    try {
        return { client: await client, hosts: await Promise.all(hosts) };
    } catch (error) {
        await Promise.allSettled([client, ...hosts]);
        await Promise.all(started.map(({ running }) => running.stop()));
        await underlay.stop();
        throw error;
    }
}

function checkOptions(options: LabOptions) {
    const { hosts = 1, driver = defaultDriver(), underlayMtu = 1500, sudoUser = false } = options;
    if (driver !== "netns" && driver !== "vm") {
        throw new TypeError(`driver: expected "netns" or "vm", got ${JSON.stringify(driver)}.`);
    }
    if (driver === "netns" && options.kernelArguments?.length) {
        throw new TypeError(
            'kernelArguments: hosts of driver "netns" have the kernel of this machine; set driver: "vm".',
        );
    }
    checkRange("hosts", hosts, 1, maxHosts);
    // Less than 1280 would turn IPv6 off on the interface (RFC 8200).
    checkRange("underlayMtu", underlayMtu, 1280, 65_535);
    return { hostCount: hosts, mtuBytes: underlayMtu, sudoUser, driver };
}

/** Set from outside, so that tests of both drivers need not be written twice; checked as the option is. */
function defaultDriver(): LabOptions["driver"] {
    return (process.env["LINUXNET_LAB_DRIVER"] || "netns") as LabOptions["driver"];
}

function checkRange(name: string, value: number, least: number, most: number): void {
    if (Number.isInteger(value) && value >= least && value <= most) return;
    throw new RangeError(`${name}: expected a whole number from ${least} to ${most}, got ${value}.`);
}
