import { createHost, type LabHost } from "../lab/index.js";
import { Endpoint, FirewallPolicy, Host, Network, PortMapping, Sandbox } from "../sdk/index.js";
import { DoNothing } from "./do-nothing.js";

/** Seconds of each engine run of one program. */
export interface EngineRow {
    readonly program: string;
    readonly resources: number;
    readonly up: number;
    readonly emptyUp: number;
    readonly refresh: number;
    readonly destroy: number;
}

const tiers = ["frontend", "backend", "database", "monitoring"] as const;

/** The production layout's shape: 1 host, 4 networks, 10 sandboxes, 18 endpoints, 3 ports, 4 policies. */
function declareLayout(host: LabHost): void {
    const machine = new Host("edge", { connection: host.connection });
    const networks = tiers.map(
        (tier, i) =>
            new Network(tier, { host: machine, subnet: `172.${20 + i}.0.0/24`, internal: tier === "database" }),
    );
    const sandboxes = Array.from({ length: 10 }, (_, i) => new Sandbox(`app-${i}`, { host: machine }));
    const endpoints = sandboxes.flatMap((sandbox, i) => {
        const joined = i < 8 ? [networks[i % 4], networks[(i + 1) % 4]] : [networks[i % 4]];
        return joined.map((network, j) => new Endpoint(`app-${i}-${j}`, { sandbox, network: network as Network }));
    });
    const published = endpoints[0] as Endpoint;
    for (const port of [80, 443, 3000])
        new PortMapping(`port-${port}`, { target: published, hostPort: port, targetPort: port });
    for (const [i, target] of endpoints.slice(4, 8).entries()) {
        new FirewallPolicy(`policy-${i}`, { target, ingress: [{ action: "allow", from: "any", ports: 5432 }] });
    }
}

/** As many resources, with the same kind of dependencies, that do nothing. */
function declareNothing(): void {
    const machine = new DoNothing("edge", { connection: "x".repeat(400) });
    const made = Array.from(
        { length: 14 },
        (_, i) => new DoNothing(`a-${i}`, { host: machine.id, text: "x".repeat(200) }),
    );
    const joined = Array.from(
        { length: 18 },
        (_, i) => new DoNothing(`b-${i}`, { of: made[i % 14]?.id, text: "x".repeat(200) }),
    );
    for (let i = 0; i < 7; i++) new DoNothing(`c-${i}`, { of: joined[i]?.id, text: "x".repeat(200) });
}

async function seconds(work: () => Promise<unknown>): Promise<number> {
    const start = performance.now();
    await work();
    return (performance.now() - start) / 1000;
}

/** `up`, empty `up`, `refresh` and `destroy` through the real engine: ours beside what the engine costs by itself. */
export async function measureEngine(): Promise<EngineRow[]> {
    await using host = await createHost();
    const rows: EngineRow[] = [];
    const programs: [string, () => Promise<void>][] = [
        ["do-nothing resources", async () => declareNothing()],
        ["production layout", async () => declareLayout(host)],
    ];
    for (const [program, declare] of programs) {
        // The first run of a workspace also makes it; the update after a preview is what is measured.
        const stack = await host.lab.up(async () => {});
        const up = await seconds(() => stack.update(declare));
        const emptyUp = await seconds(() => stack.update(declare));
        const refresh = await seconds(() => stack.refresh());
        const destroy = await seconds(() => stack.destroy());
        rows.push({ program, resources: 40, up, emptyUp, refresh, destroy });
        await stack[Symbol.asyncDispose]();
    }
    return rows;
}
