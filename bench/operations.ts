import { createHost } from "../lab/index.js";
import type { Props } from "../provider/lifecycle.js";
import { closeSessions } from "../provider/sessions.js";
import { type Cost, costOf, range, typicalCost } from "./measure.js";
import { type Calls, type KindName, type Made, openCalls, refTo } from "./provider-calls.js";

export type Verb = "create" | "update" | "observe" | "delete";

/** One operation on `count` objects of a kind at once; for one object the typical one of several in a row. */
export interface OperationCost {
    readonly kind: KindName;
    readonly verb: Verb;
    readonly count: number;
    readonly cost: Cost;
}

/** One after the other, for what one warm operation costs. */
const repeats = 15;

/** Create, update, observe and delete of each kind on one host over ssh, for each count of objects. */
export async function measureOperations(counts: readonly number[]): Promise<OperationCost[]> {
    const rows: OperationCost[] = [];
    for (const count of counts) {
        await using lab = await createHost();
        rows.push(...(await measureKinds(await openCalls(lab.connection), count)));
        await closeSessions();
    }
    return rows;
}

async function measureKinds(calls: Calls, count: number): Promise<OperationCost[]> {
    const rows: OperationCost[] = [];
    const made = count === 1 ? repeats : count;
    const deletions: (() => Promise<unknown>)[] = [];

    /** All at once, or for one object one after the other. */
    async function measure<T>(kind: KindName, verb: Verb, work: (index: number) => Promise<T>): Promise<T[]> {
        const results: T[] = [];
        const costs: Cost[] = [];
        const keep = async (index: number) => {
            results[index] = await work(index);
        };
        if (count > 1) costs.push(await costOf(() => Promise.all(range(made).map(keep))));
        else for (const index of range(made)) costs.push(await costOf(() => keep(index)));
        rows.push({ kind, verb, count, cost: typicalCost(costs) });
        return results;
    }

    /** The life of a kind's objects but for their end, which comes in reverse order. */
    async function live(kind: KindName, argsOf: (index: number) => Props, change: Props): Promise<Made[]> {
        const name = (index: number) => `${kind}-${index}`;
        const first = await measure(kind, "create", (i) => calls.create(kind, name(i), argsOf(i)));
        const all = await measure(kind, "update", (i) =>
            calls.update(kind, name(i), { ...argsOf(i), ...change }, first[i] as Made),
        );
        if (count === 1) await measure(kind, "observe", (i) => calls.observe(kind, [all[i] as Made]));
        else rows.push({ kind, verb: "observe", count, cost: await costOf(() => calls.observe(kind, all)) });
        deletions.unshift(() => measure(kind, "delete", (i) => calls.delete(kind, all[i] as Made)));
        return all;
    }

    const host = refTo("host", calls.host);
    const shared = await calls.create("network", "shared", { host, subnet: "10.200.0.0/16" });
    const subnet = (i: number) => `10.${Math.floor(i / 256)}.${i % 256}`;
    const networks = await live("network", (i) => ({ host, subnet: `${subnet(i)}.0/24` }), { mtu: 1400 });
    const sandboxes = await live("sandbox", () => ({ host }), { labels: { tier: "web" } });
    const endpoints = await live(
        "endpoint",
        (i) => ({ sandbox: refTo("sandbox", sandboxes[i]), network: refTo("network", shared) }),
        { gatewayPriority: 5 },
    );
    const target = (i: number) => refTo("endpoint", endpoints[i]);
    await live("portMapping", (i) => ({ target: target(i), hostPort: 9000 + i, targetPort: 80 }), { targetPort: 81 });
    const allow = (port: number) => ({ ingress: [{ action: "allow", from: ["any"], ports: [port] }] });
    await live("firewallPolicy", (i) => ({ target: target(i), ...allow(80) }), allow(81));
    const peers = (i: number) => [{ underlayAddress: "198.18.255.254", ipRange: `${subnet(i)}.128/25` }];
    await live("overlayTunnel", (i) => ({ network: refTo("network", networks[i]), vni: 100 + i, peers: peers(i) }), {
        mtu: 1300,
    });
    for (const remove of deletions) await remove();
    await calls.delete("network", shared);
    return rows;
}
