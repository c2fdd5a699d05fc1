import type { LabHost } from "../../lab/index.js";
import type { Handler, Props } from "../../provider/lifecycle.js";
import type { HostIdentity } from "../../provider/model/identity.js";
import type { Kind } from "../../provider/model/kind.js";
import { closeSessions } from "../../provider/sessions.js";
import { type Provider, providerHere } from "./provider-process.js";
import { inside, type Place } from "./traffic.js";

/** Outputs that the tests look at, by kind. */
interface Outputs {
    readonly host: {
        readonly machineId: string;
        readonly underlayAddress: string;
        readonly identity: HostIdentity;
    };
    readonly network: {
        readonly gateway: string;
        readonly subnets: readonly string[];
        readonly gateways: readonly string[];
        readonly interfaceName: string;
        readonly mtu: number;
    };
    readonly sandbox: { readonly name: string; readonly namespace: string };
    readonly endpoint: {
        readonly address: string;
        readonly ipv6Address?: string;
        readonly macAddress: string;
        readonly interfaceName: string;
        readonly hostInterface: string;
    };
    readonly "port-mapping": { readonly hostPort: number };
    readonly "firewall-policy": object;
    readonly "overlay-tunnel": { readonly interfaceName: string; readonly mtu: number };
}

/** A resource of a stack, as the engine keeps it in its state; disposing deletes it, if it is there. */
export interface Resource<K extends Kind = Kind> extends AsyncDisposable {
    readonly kind: K;
    readonly name: string;
    readonly id: string;
    readonly outs: Outputs[K];
    /** Runs the program with other arguments: those given are laid over the old ones, `undefined` takes one out. */
    update(changes: Props): Promise<"same" | "update" | "replace">;
    /** Reads it. What drifted, in words; "gone" when it is not there any more. */
    refresh(): Promise<readonly string[] | "gone">;
    delete(): Promise<void>;
    /** Drops it from the state, as `pulumi state delete` and the option retainOnDelete do. */
    forget(): void;
}

type Declare<K extends Kind> = (name: string, args?: Props) => Promise<Resource<K>>;

/** A sandbox with one endpoint; disposing deletes both. */
export interface Joined extends AsyncDisposable {
    readonly sandbox: Resource<"sandbox">;
    readonly endpoint: Resource<"endpoint">;
    readonly address: string;
    readonly place: Place;
}

/** One stack that makes resources on one host by calling the provider's handlers as the engine does. */
export interface Stack extends AsyncDisposable {
    readonly host: Resource<"host">;
    readonly network: Declare<"network">;
    readonly sandbox: Declare<"sandbox">;
    readonly endpoint: Declare<"endpoint">;
    readonly portMapping: Declare<"port-mapping">;
    readonly firewallPolicy: Declare<"firewall-policy">;
    readonly overlayTunnel: Declare<"overlay-tunnel">;
    /** A sandbox of this name with an endpoint `<name>-<network>`. */
    join(name: string, network: Resource<"network">, endpointArgs?: Props): Promise<Joined>;
    /** Deletes all that is left, the youngest first. Disposing does the same. */
    destroyAll(): Promise<void>;
}

export interface StackOptions {
    /** @default "test" */
    readonly project?: string;
    /** @default "dev" */
    readonly name?: string;
    /** Laid over the lab host's; a difference makes a session (and a shell) of its own. */
    readonly connection?: Props;
    /** Arguments of the Host besides its connection. */
    readonly host?: Props;
    /** One in a process of its own. @default the one in this process */
    readonly provider?: Provider;
}

/** What state holds: JSON, without `undefined`. */
function stored<T>(value: T): T {
    return JSON.parse(JSON.stringify(value));
}

/** The SDK's projection: resources become references. */
function toReferences(value: unknown): unknown {
    if (Array.isArray(value)) return value.map(toReferences);
    if (typeof value !== "object" || value === null) return value;
    if ("refresh" in value && "kind" in value) return { kind: value.kind, id: (value as Resource).id };
    const entries = Object.entries(value).filter(([, entry]) => entry !== undefined);
    return Object.fromEntries(entries.map(([name, entry]) => [name, toReferences(entry)]));
}

async function check(handler: Handler, olds: Props, news: Props): Promise<Props> {
    const { inputs, failures } = await handler.check(olds, news);
    if (failures.length > 0) throw new Error(failures.map(({ reason }) => reason).join("\n"));
    return stored(inputs);
}

/** Opens a stack with its Host resource. */
export async function openStack(machine: LabHost, options: StackOptions = {}): Promise<Stack> {
    const { name: stackName = "dev", project = "test", provider = providerHere } = options;
    const connection = { ...machine.connection, ...options.connection };
    const resources: Resource[] = [];

    async function declare<K extends Kind>(kind: K, name: string, args: Props = {}): Promise<Resource<K>> {
        const handler = provider.handlers[kind];
        const type = `pulumi-nodejs:dynamic/linuxnet:${kind}`;
        const urn = `urn:pulumi:${stackName}::${project}::${type}::${name}`;
        const owner = { project, stack: stackName, urn, name };
        const host = kind === "network" || kind === "sandbox" ? { host: resources[0] } : {};
        let program: Props = { ...host, ...args };
        // What a Host tells those on it travels with its connection.
        const told = () => (resources[0] as { outs: Props } | undefined)?.outs["connection"] as Props | undefined;
        const carried = () =>
            Object.fromEntries(
                ["cooperate", "addressPools"].flatMap((name) => {
                    const value = kind === "host" ? undefined : told()?.[name];
                    return value === undefined ? [] : [[name, value]];
                }),
            );
        const news = () => ({
            ...(toReferences(program) as Props),
            owner,
            connection: { ...connection, ...carried() },
        });

        let inputs = await check(handler, {}, news());
        let { id, outs } = stored(await handler.create(inputs));

        /** Check and diff of the same program find nothing to do. */
        async function expectSecondPreviewEmpty(): Promise<void> {
            const difference = await handler.diff(id, outs, await check(handler, inputs, news()));
            if (difference.changes) throw new Error(`${kind} ${name}: a second preview is not empty`);
        }

        const resource: Resource<K> = {
            kind,
            name,
            get id() {
                return id;
            },
            get outs() {
                return outs as unknown as Outputs[K];
            },
            async update(changes) {
                program = { ...program, ...changes };
                let checked = await check(handler, inputs, news());
                const { changes: changed, replaces } = await handler.diff(id, outs, checked);
                if (!changed) return "same";
                if (replaces.length > 0) {
                    checked = await check(handler, {}, news());
                    await handler.delete(id, outs);
                    ({ id, outs } = stored(await handler.create(checked)));
                } else {
                    outs = stored((await handler.update(id, outs, checked)).outs);
                }
                inputs = checked;
                await expectSecondPreviewEmpty();
                return replaces.length > 0 ? "replace" : "update";
            },
            async refresh() {
                await provider.startRun();
                const read = await handler.read(id, outs);
                if (read.id === "") return "gone";
                outs = stored(read.props ?? {});
                return outs["drift"] as string[];
            },
            async delete() {
                await handler.delete(id, outs);
                resources.splice(resources.indexOf(resource as Resource), 1);
            },
            forget() {
                resources.splice(resources.indexOf(resource as Resource), 1);
            },
            async [Symbol.asyncDispose]() {
                if (resources.includes(resource as Resource)) await resource.delete();
            },
        };
        resources.push(resource as Resource);
        await expectSecondPreviewEmpty();
        return resource;
    }

    async function destroyAll(): Promise<void> {
        const failures: unknown[] = [];
        // On errors it goes on, so that one failed test leaves little for the next.
        for (const resource of [...resources].reverse()) {
            await resource.delete().catch((error) => failures.push(error));
        }
        if (failures.length > 0) throw failures.length === 1 ? failures[0] : new AggregateError(failures);
    }

    const host = await declare("host", "edge", { connection, ...options.host });
    return {
        host,
        network: (name, args) => declare("network", name, args),
        sandbox: (name, args) => declare("sandbox", name, args),
        endpoint: (name, args) => declare("endpoint", name, args),
        portMapping: (name, args) => declare("port-mapping", name, args),
        firewallPolicy: (name, args) => declare("firewall-policy", name, args),
        overlayTunnel: (name, args) => declare("overlay-tunnel", name, args),
        async join(name, network, args) {
            const sandbox = await declare("sandbox", name);
            const endpoint = await declare("endpoint", `${name}-${network.name}`, { sandbox, network, ...args });
            return {
                sandbox,
                endpoint,
                address: endpoint.outs.address,
                place: inside(machine, sandbox),
                async [Symbol.asyncDispose]() {
                    await endpoint[Symbol.asyncDispose]();
                    await sandbox[Symbol.asyncDispose]();
                },
            };
        },
        destroyAll,
        [Symbol.asyncDispose]: destroyAll,
    };
}

/** Makes what the host carries known anew: for facts that are read when connecting. */
export const reconnect = closeSessions;
