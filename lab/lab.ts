import { maxHosts } from "./address-plan.js";
import {
    generateKeyPair,
    type LabHost,
    type LabMachine,
    type StartedMachine,
    startNetnsClient,
    startNetnsHost,
} from "./netns-host.js";
import { checkRequirements } from "./requirements.js";
import { startUnderlay, type Underlay } from "./underlay.js";

/** What {@link createLab} makes. */
export type LabOptions = {
    /** How many hosts, 1-243. @default 1 */
    readonly hosts?: number | undefined;
    /**
     * "netns": namespaces of this machine's kernel, up in a fraction of a second, root needed.
     * "vm" (a kernel of its own) comes later.
     * @default "netns"
     */
    readonly driver?: "netns" | "vm" | undefined;
    /** Bytes; the MTU of the network between the hosts, 1280-65535. @default 1500 */
    readonly underlayMtu?: number | undefined;
};

/** Throwaway hosts on one network, and a client outside them. */
export type Lab = AsyncDisposable & {
    /** `host-1`, `host-2`, ... */
    readonly hosts: readonly LabHost[];
    /** The machine outside: on the same network as the hosts, without sshd. */
    client(): LabMachine;
};

/**
 * Makes throwaway hosts; disposing the lab takes everything away again.
 *
 * @throws when not root, when a tool is missing, or when a value is out of range.
 */
export async function createLab(options: LabOptions = {}): Promise<Lab> {
    const { hostCount, mtuBytes } = checkOptions(options);
    checkRequirements();
    const underlay = await startUnderlay(mtuBytes);
    const { client, hosts } = await startMachines(underlay, hostCount);
    let disposal: Promise<void> | undefined;
    const dispose = async () => {
        await Promise.all([client, ...hosts].map(({ namespace }) => namespace.stop()));
        await underlay.stop();
    };
    return {
        hosts: hosts.map(({ machine }) => machine),
        client: () => client.machine,
        [Symbol.asyncDispose]: () => {
            disposal ??= dispose();
            return disposal;
        },
    };
}

/** Makes one throwaway host; disposing it disposes its lab, which is at hand as `lab`. */
export async function createHost(options: Omit<LabOptions, "hosts"> = {}): Promise<LabHost & { readonly lab: Lab }> {
    const lab = await createLab({ ...options, hosts: 1 });
    const [host] = lab.hosts;
    if (host === undefined) throw new Error("A lab of one host has none.");
    return { ...host, lab, [Symbol.asyncDispose]: () => lab[Symbol.asyncDispose]() };
}

/** Starts all at once; when one cannot be started, none is left. */
async function startMachines(underlay: Underlay, hostCount: number) {
    const login = generateKeyPair();
    const started: StartedMachine<LabMachine>[] = [];
    const keep = async <T extends LabMachine>(starting: Promise<StartedMachine<T>>) => {
        const machine = await starting;
        started.push(machine);
        return machine;
    };
    const client = keep(startNetnsClient(underlay));
    const hosts = Array.from({ length: hostCount }, (_, index) => keep(startNetnsHost(underlay, index, login)));
    try {
        return { client: await client, hosts: await Promise.all(hosts) };
    } catch (error) {
        await Promise.allSettled([client, ...hosts]);
        await Promise.all(started.map(({ namespace }) => namespace.stop()));
        await underlay.stop();
        throw error;
    }
}

function checkOptions({ hosts = 1, driver = "netns", underlayMtu = 1500 }: LabOptions) {
    if (driver === "vm") throw new Error('driver "vm" comes later; this version of the lab has "netns".');
    if (driver !== "netns") throw new TypeError(`driver: expected "netns", got ${JSON.stringify(driver)}.`);
    checkRange("hosts", hosts, 1, maxHosts);
    // Less than 1280 would turn IPv6 off on the interface (RFC 8200).
    checkRange("underlayMtu", underlayMtu, 1280, 65_535);
    return { hostCount: hosts, mtuBytes: underlayMtu };
}

function checkRange(name: string, value: number, least: number, most: number): void {
    if (Number.isInteger(value) && value >= least && value <= most) return;
    throw new RangeError(`${name}: expected a whole number from ${least} to ${most}, got ${value}.`);
}
