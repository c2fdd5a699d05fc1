import { expect } from "vitest";
import { labMachine } from "../../demo/machine.js";
import { byName, type Knocker, listDoors, observeWays } from "../../demo/matrix.js";
import type { Runtime } from "../../demo/runtime.js";
import { startServers } from "../../demo/servers.js";
import type { ConfigValue, Stack } from "../../demo/stack.js";
import type { Way } from "../../demo/way.js";
import { type Lab, snapshotHost } from "../../lab/index.js";
import { configureHosts, inBothFamilies, inWords, upTwice, withIpv6, withStack } from "./example-stack.js";

// What examples/multi-tier-overlay is meant to be is written by hand: nothing is computed from the program's policies or by
// the provider.

/** Where each service runs. */
const machineOf: Readonly<Record<string, "edge" | "app" | "data">> = {
    nginx: "app",
    "nginx-backup": "edge",
    "api-1": "app",
    "api-2": "app",
    "api-3": "data",
    db: "data",
    cache: "app",
    prometheus: "edge",
    grafana: "edge",
};

/** Where each service listens. */
const listeningPorts: Readonly<Record<string, readonly number[]>> = {
    nginx: [80, 9113],
    "nginx-backup": [80, 9113],
    "api-1": [8080, 9100],
    "api-2": [8080, 9100],
    "api-3": [8080, 9100],
    db: [5432, 9187],
    cache: [6379, 9121],
    prometheus: [9090],
    grafana: [3000],
};

const apis = "api-1 api-2 api-3";
const hosts = "edge app data";

/** Who reaches what, and over which segment. Everything else is closed. */
const open: readonly { readonly from: string; readonly to: string; readonly by: string }[] = [
    // The web servers are public on the frontend, and so are the dashboards wherever Grafana is.
    { from: `nginx-backup grafana ${hosts}`, to: "nginx:80", by: "frontend" },
    { from: `nginx grafana ${hosts}`, to: "nginx-backup:80", by: "frontend" },
    { from: `nginx nginx-backup ${hosts}`, to: "grafana:3000", by: "frontend" },
    { from: `prometheus ${hosts}`, to: "grafana:3000", by: "monitoring" },
    // Only the web servers reach the APIs, and only the APIs reach the data, on whichever machine they are.
    { from: "nginx nginx-backup", to: "api-1:8080 api-2:8080 api-3:8080", by: "backend" },
    { from: apis, to: "db:5432 cache:6379", by: "database" },
    // Only Prometheus scrapes.
    { from: "prometheus", to: "nginx:9113 nginx-backup:9113", by: "backend" },
    { from: "prometheus", to: "api-1:9100 api-2:9100 api-3:9100", by: "backend" },
    { from: "prometheus", to: "db:9187 cache:9121", by: "monitoring" },
    { from: "grafana", to: "prometheus:9090", by: "monitoring" },
    // What is published is there for everybody, except for db and cache, which never call anybody.
    {
        from: `outside ${hosts} nginx nginx-backup ${apis} prometheus grafana`,
        to: "edge:80 edge:3000",
        by: "published",
    },
];

/** Every way that is meant to be open. */
const expectedWays: readonly Way[] = open.flatMap(({ from, to, by }) =>
    from.split(" ").flatMap((source) => to.split(" ").map((service) => ({ from: source, to: service, by }))),
);

/** Those between services, which find each other by name, on whichever machines they are. */
const expectedByName = expectedWays
    .filter(({ from, by }) => machineOf[from] !== undefined && by !== "published")
    .map((way) => ({ ...way, by: `${way.by} by name` }));

interface Outputs {
    readonly addresses: Readonly<Record<string, Readonly<Record<string, string>>>>;
    readonly namespaces: Readonly<Record<string, string>>;
}

/** What the example is brought to, one after the other. */
export interface Phase {
    /** Stack configuration: how the hosts' traffic is encrypted, and whether there is IPv6 too. */
    readonly config: Readonly<Record<string, ConfigValue>>;
    /** Once everything is as expected. */
    readonly look?: (stack: Stack) => Promise<void>;
}

/** How machines are asked that are not as fast as this one. */
export interface Pace {
    readonly runtime?: Runtime;
    readonly knockTimeoutMs?: number;
}

/**
 * Brings the example up on a lab's hosts: all sandboxes, the hosts and a machine outside try everything, services by name too
 * (over both families where the configuration says `ipv6`), a page is fetched through a port of a host that does not run the web server, and
 * destroy leaves the hosts as they were.
 */
export async function expectTiers(lab: Lab<3>, phases: readonly Phase[], pace: Pace = {}): Promise<void> {
    const [edge, app, data] = lab.hosts;
    // The one outside has routes to the sandboxes, as an attacker on the underlay would.
    await lab.client().exec(["ip", "route", "add", "10.20.0.0/14", "via", edge.address]);
    await lab.client().exec(["ip", "route", "add", "fd00::/8", "via", edge.ipv6Address]);
    const before = await Promise.all(lab.hosts.map(snapshotHost));
    await withStack("multi-tier-overlay", configureHosts({ edge, app, data }), async (stack) => {
        for (const { config, look } of phases) {
            await stack.configure(config);
            const isDualStack = config["linuxnet-multi-tier-overlay:ipv6"] === "true";
            await expectLayout(lab, await upTwice<Outputs>(stack), { ...pace, isDualStack });
            await look?.(stack);
        }
    });
    expect(await Promise.all(lab.hosts.map(snapshotHost))).toEqual(before);
}

async function expectLayout(
    lab: Lab<3>,
    { addresses, namespaces }: Outputs,
    { runtime, knockTimeoutMs, isDualStack }: Pace & { readonly isDualStack: boolean },
) {
    const [edge, app, data] = lab.hosts;
    const client = lab.client();
    const machines = {
        edge: labMachine(edge, runtime),
        app: labMachine(app, runtime),
        data: labMachine(data, runtime),
    };
    const published = [80, 3000].map((port) => {
        return { to: `edge:${port}`, by: "published", address: edge.address, port };
    });
    const doors = [...listDoors(listeningPorts, addresses), ...published];
    const starting = Object.entries(machines).map(([name, machine]) => {
        const own = Object.entries(listeningPorts).filter(([service]) => machineOf[service] === name);
        return startServers(machine, namespaces, Object.fromEntries(own));
    });
    const servers = await Promise.all(starting);
    const knockers: Knocker[] = [
        ...Object.entries(machineOf).map(([name, on]) => {
            return { name, machine: machines[on], namespace: namespaces[name], doors };
        }),
        ...Object.entries(machines).map(([name, machine]) => ({ name, machine, doors })),
        { name: "outside", machine: labMachine(client), doors },
    ];
    const [asking, expected] = isDualStack
        ? [await withIpv6(knockers), inBothFamilies(expectedWays)]
        : [knockers, expectedWays];
    expect(inWords(await observeWays(asking, knockTimeoutMs))).toEqual(inWords(expected));
    for (const family of isDualStack ? ([4, 6] as const) : ([4] as const)) {
        const byNames = Object.entries(machineOf).map(([name, on]): Knocker => {
            const near = listDoors(listeningPorts, addresses).filter(({ by }) => addresses[name]?.[by] !== undefined);
            return { name, machine: machines[on], namespace: namespaces[name], doors: byName(near, family) };
        });
        expect(inWords(await observeWays(byNames, knockTimeoutMs))).toEqual(inWords(expectedByName));
    }
    const page = await client.exec(["curl", "-sS", "--max-time", "30", `http://${edge.address}/`]);
    expect(page.stdout).toMatch(/^This is nginx on port 80/);
    for (const each of servers) await each[Symbol.asyncDispose]();
}
