import { createHost } from "../lab/index.js";
import * as provider from "../provider/index.js";
import type { Props } from "../provider/lifecycle.js";
import type { Connection } from "../provider/model/connection.js";
import { closeSessions, sessionOf } from "../provider/sessions.js";

/** One row of the table: an operation on one kind, as the engine would call it, one after the other. */
export interface OperationRow {
    readonly kind: string;
    readonly verb: string;
    readonly roundTrips: number;
    readonly medianMs: number;
}

interface Made {
    readonly id: string;
    readonly outs: Props;
}

const handlers = { ...provider };
type KindName = keyof typeof handlers;

const median = (values: readonly number[]) =>
    [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;

/** Create, update, read and delete of each kind on one host over ssh: round trips and milliseconds, median of `count`. */
export async function measureOperations(count: number): Promise<OperationRow[]> {
    await using lab = await createHost();
    const rows: OperationRow[] = [];
    const checkedOf = async (kind: KindName, name: string, args: Props): Promise<Props> => {
        const owner = { project: "bench", stack: "bench", urn: `urn:${kind}:${name}`, name };
        const { inputs, failures } = await handlers[kind].check({}, { connection: lab.connection, ...args, owner });
        if (failures.length > 0) throw new Error(failures.map(({ reason }) => reason).join("\n"));
        return inputs;
    };
    const machine = await provider.host.create(await checkedOf("host", "host", {}));
    const session = await sessionOf(machine.outs["connection"] as Connection);

    async function measure<T>(kind: string, verb: string, work: (index: number) => Promise<T>): Promise<T[]> {
        const times: number[] = [];
        const results: T[] = [];
        const tripsBefore = session.roundTrips();
        for (let index = 0; index < count; index++) {
            const start = performance.now();
            results.push(await work(index));
            times.push(performance.now() - start);
        }
        rows.push({ kind, verb, roundTrips: (session.roundTrips() - tripsBefore) / count, medianMs: median(times) });
        return results;
    }

    /** Creates, updates (labels and what `change` says) and reads `count` objects of a kind; deletes come later, in reverse. */
    const deletions: (() => Promise<unknown>)[] = [];
    async function life(kind: KindName, argsOf: (index: number) => Props, change: Props): Promise<Made[]> {
        const inputs = await Promise.all(
            Array.from({ length: count }, (_, i) => checkedOf(kind, `${kind}-${i}`, argsOf(i))),
        );
        const made = await measure(kind, "create", (i) => handlers[kind].create(inputs[i] ?? {}));
        const updated = await measure(kind, "update", async (i) => {
            const news = await checkedOf(kind, `${kind}-${i}`, { ...argsOf(i), ...change });
            const { id, outs } = made[i] as Made;
            return { id, ...(await handlers[kind].update(id, outs, news)) };
        });
        await measure(kind, "read", (i) => handlers[kind].read((updated[i] as Made).id, (updated[i] as Made).outs));
        deletions.unshift(() =>
            measure(kind, "delete", (i) => handlers[kind].delete((updated[i] as Made).id, (updated[i] as Made).outs)),
        );
        return updated;
    }

    const host = { kind: "host", id: machine.id };
    const ref = (kind: string, made: Made | undefined) => ({ kind, id: made?.id });
    const networks = await life("network", (i) => ({ host, subnet: `172.20.${i}.0/24` }), { mtu: 1400 });
    const sandboxes = await life("sandbox", () => ({ host }), {
        sysctls: { "net.ipv4.ip_unprivileged_port_start": "80" },
    });
    const endpoints = await life(
        "endpoint",
        (i) => ({ sandbox: ref("sandbox", sandboxes[i]), network: ref("network", networks[i]) }),
        { gatewayPriority: 5 },
    );
    await life("portMapping", (i) => ({ target: ref("endpoint", endpoints[i]), hostPort: 9000 + i, targetPort: 80 }), {
        targetPort: 81,
    });
    const allow = (port: number) => ({ ingress: [{ action: "allow", from: ["any"], ports: [port] }] });
    await life("firewallPolicy", (i) => ({ target: ref("endpoint", endpoints[i]), ...allow(80) }), allow(81));
    const peer = (i: number) => [{ underlayAddress: "198.18.255.254", ipRange: `172.20.${i}.128/25` }];
    await life("overlayTunnel", (i) => ({ network: ref("network", networks[i]), vni: 100 + i, peers: peer(i) }), {
        mtu: 1300,
    });
    for (const remove of deletions) await remove();
    await closeSessions();
    return rows;
}
