import type { LabConnection } from "../lab/index.js";
import * as provider from "../provider/index.js";
import type { Props } from "../provider/lifecycle.js";
import { startRun } from "../provider/sessions.js";
import { range } from "./measure.js";

const { host, network, sandbox, endpoint, portMapping, firewallPolicy, overlayTunnel } = provider;
const handlers = { host, network, sandbox, endpoint, portMapping, firewallPolicy, overlayTunnel };

export type KindName = keyof typeof handlers;

/** What the engine keeps of a resource. */
export interface Made {
    readonly id: string;
    readonly outs: Props;
}

/** The provider's handlers, called as the engine calls them, for one stack on one host. */
export interface Calls {
    readonly host: Made;
    create(kind: KindName, name: string, args: Props): Promise<Made>;
    update(kind: KindName, name: string, args: Props, made: Made): Promise<Made>;
    delete(kind: KindName, made: Made): Promise<void>;
    /** Reads all as one run of the engine. */
    observe(kind: KindName, all: readonly Made[]): Promise<void>;
}

export async function openCalls(connection: LabConnection, stack = "bench"): Promise<Calls> {
    async function check(kind: KindName, name: string, args: Props): Promise<Props> {
        const owner = { project: "bench", stack, urn: `urn:${stack}:${kind}:${name}`, name };
        const { inputs, failures } = await handlers[kind].check({}, { connection, ...args, owner });
        if (failures.length > 0) throw new Error(failures.map(({ reason }) => reason).join("\n"));
        return inputs;
    }
    const machine = await handlers.host.create(await check("host", "host", {}));
    return {
        host: machine,
        create: async (kind, name, args) => handlers[kind].create(await check(kind, name, args)),
        async update(kind, name, args, { id, outs }) {
            const news = await check(kind, name, args);
            await handlers[kind].diff(id, outs, news);
            return { id, ...(await handlers[kind].update(id, outs, news)) };
        },
        delete: (kind, { id, outs }) => handlers[kind].delete(id, outs),
        async observe(kind, all) {
            await startRun();
            await Promise.all(all.map(({ id, outs }) => handlers[kind].read(id, outs)));
        },
    };
}

export function refTo(kind: string, made: Made | undefined) {
    return { kind, id: made?.id };
}

/** `count` endpoints, each with a sandbox of its own, on one network; each call is made as soon as it can be. */
export interface Joined {
    readonly network: Made;
    readonly sandboxes: readonly Made[];
    readonly endpoints: readonly Made[];
}

export async function join(calls: Calls, count: number, subnet = "10.9.0.0/16"): Promise<Joined> {
    const host = refTo("host", calls.host);
    const network = await calls.create("network", "net", { host, subnet });
    const pairs = await Promise.all(
        range(count).map(async (i) => {
            const sandbox = await calls.create("sandbox", `app-${i}`, { host });
            const args = { sandbox: refTo("sandbox", sandbox), network: refTo("network", network) };
            return { sandbox, endpoint: await calls.create("endpoint", `app-${i}-net`, args) };
        }),
    );
    return {
        network,
        sandboxes: pairs.map(({ sandbox }) => sandbox),
        endpoints: pairs.map(({ endpoint }) => endpoint),
    };
}

export async function part(calls: Calls, { network, sandboxes, endpoints }: Joined): Promise<void> {
    await Promise.all(
        endpoints.map(async (endpoint, i) => {
            await calls.delete("endpoint", endpoint);
            await calls.delete("sandbox", sandboxes[i] as Made);
        }),
    );
    await calls.delete("network", network);
}
