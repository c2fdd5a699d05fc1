import type { World } from "../../../provider/model/world.js";
import { type Args, empty, endpoint, host, network, put, ref, sandbox } from "./build.js";

/** What the programs in examples/ declare on a host, resource by resource; of several hosts the first. */
export const exampleWorlds: Readonly<Record<string, () => World>> = {
    quickstart() {
        let world = put(empty, "network", "network", { host });
        world = endpoint(sandbox(world, "web"), "web", "network");
        return put(world, "port-mapping", "http", { target: on("web", "network"), hostPort: 8080, targetPort: 80 });
    },
    "two-hosts"() {
        let world = network(empty, "shared", "10.90.0.0/16", { ipRange: "10.90.0.0/24" });
        world = put(world, "overlay-tunnel", "shared", {
            network: ref("network", "shared"),
            vni: 90,
            peers: [{ underlayAddress: "192.0.2.20", ipRange: "10.90.1.0/24" }],
        });
        world = endpoint(sandbox(world, "web"), "web", "shared");
        return put(world, "port-mapping", "http", { target: on("web", "shared"), hostPort: 8080, targetPort: 80 });
    },
    "multi-tier-overlay": multiTierOverlay,
    production,
    microservices,
};

const on = (sandboxName: string, networkName: string) => ref("endpoint", `${sandboxName}-${networkName}`);
const allow = (from: unknown, ...ports: number[]) => ({ action: "allow", from, protocol: "tcp", ports });

/** Who is on which network. */
const services: Readonly<Record<string, Readonly<Record<string, Args>>>> = {
    nginx: { frontend: { gatewayPriority: 1 }, backend: {} },
    "nginx-backup": { frontend: { gatewayPriority: 1 }, backend: {} },
    "api-1": { backend: {}, database: {} },
    "api-2": { backend: {}, database: {} },
    "api-3": { backend: {}, database: {} },
    db: { database: { ipv4Address: "172.22.0.10" }, monitoring: {} },
    cache: { database: { ipv4Address: "172.22.0.11" }, monitoring: {} },
    prometheus: { backend: {}, monitoring: {} },
    grafana: { frontend: {}, monitoring: {} },
    alertmanager: { monitoring: {} },
};

function production(): World {
    let world = network(empty, "frontend", "172.20.0.0/24");
    world = network(world, "backend", "172.21.0.0/24");
    world = network(world, "database", "172.22.0.0/24", { internal: true });
    world = network(world, "monitoring", "172.23.0.0/24");
    for (const [name, attachments] of Object.entries(services)) {
        world = sandbox(world, name);
        for (const [each, args] of Object.entries(attachments)) world = endpoint(world, name, each, args);
    }
    const ports = { http: ["nginx", 80], https: ["nginx", 443], dashboards: ["grafana", 3000] } as const;
    for (const [name, [target, port]] of Object.entries(ports)) {
        world = put(world, "port-mapping", name, {
            target: on(target, "frontend"),
            hostPort: port,
            targetPort: port,
        });
    }
    const webBackends = ["nginx", "nginx-backup"].map((name) => on(name, "backend"));
    const apis = ["api-1", "api-2", "api-3"];
    const apiClients = apis.map((name) => on(name, "database"));
    const prometheus = (by: string) => on("prometheus", by);
    const policies: Readonly<Record<string, Args>> = {
        web: {
            target: ["nginx", "nginx-backup"].map((name) => on(name, "frontend")),
            ingress: [allow("any", 80, 443)],
        },
        "web-metrics": { target: webBackends, ingress: [allow(prometheus("backend"), 9113)] },
        api: {
            target: apis.map((name) => ref("sandbox", name)),
            ingress: [allow(webBackends, 8080), allow(prometheus("backend"), 9100)],
        },
        db: {
            target: ref("sandbox", "db"),
            ingress: [allow(apiClients, 5432), allow(prometheus("monitoring"), 9187)],
            egress: [],
        },
        cache: {
            target: ref("sandbox", "cache"),
            ingress: [allow(apiClients, 6379), allow(prometheus("monitoring"), 9121)],
            egress: [],
        },
        prometheus: { target: ref("sandbox", "prometheus"), ingress: [allow(on("grafana", "monitoring"), 9090)] },
        alertmanager: {
            target: ref("sandbox", "alertmanager"),
            ingress: [allow([prometheus("monitoring"), on("grafana", "monitoring")], 9093)],
        },
        grafana: { target: ref("sandbox", "grafana"), ingress: [allow("any", 3000)] },
    };
    for (const [name, args] of Object.entries(policies)) world = put(world, "firewall-policy", name, args);
    return world;
}

/** Of the three hosts the edge; unencrypted. */
function multiTierOverlay(): World {
    let world = empty;
    const segments = { frontend: 20, backend: 21, database: 22, monitoring: 23 };
    for (const [name, number] of Object.entries(segments)) {
        const internal = name === "database";
        world = network(world, name, `10.${number}.0.0/16`, { ipRange: `10.${number}.0.0/24`, internal });
        world = put(world, "overlay-tunnel", name, {
            ...{ network: ref("network", name), vni: number, port: 4800 + number },
            peers: [1, 2].map((i) => ({ underlayAddress: `192.0.2.${20 + i}`, ipRange: `10.${number}.${i}.0/24` })),
        });
    }
    const here = {
        "nginx-backup": { frontend: { gatewayPriority: 1 }, backend: {} },
        prometheus: { backend: {}, monitoring: {} },
        grafana: { frontend: {}, monitoring: {} },
    };
    for (const [name, attachments] of Object.entries(here)) {
        world = sandbox(world, name);
        for (const [each, args] of Object.entries(attachments)) world = endpoint(world, name, each, args);
    }
    const nginx = { ...ref("endpoint", "nginx-frontend", "m2"), addresses: ["10.20.1.0"] };
    world = put(world, "port-mapping", "http", { target: nginx, hostPort: 80, targetPort: 80 });
    world = put(world, "port-mapping", "dashboards", {
        ...{ target: on("grafana", "frontend"), hostPort: 3000, targetPort: 3000 },
    });
    const policies: Readonly<Record<string, Args>> = {
        web: { target: on("nginx-backup", "frontend"), ingress: [allow("any", 80)] },
        "web-metrics": { target: on("nginx-backup", "backend"), ingress: [allow(on("prometheus", "backend"), 9113)] },
        prometheus: { target: ref("sandbox", "prometheus"), ingress: [allow(on("grafana", "monitoring"), 9090)] },
        grafana: { target: ref("sandbox", "grafana"), ingress: [allow("any", 3000)] },
    };
    for (const [name, args] of Object.entries(policies)) world = put(world, "firewall-policy", name, args);
    return world;
}

function microservices(): World {
    const tiers = {
        edge: ["10.40.1.0/24", "gateway web admin auth"],
        logic: ["10.40.2.0/24", "users accounts catalog search cart orders payments shipping pricing reviews"],
        data: ["10.40.3.0/24", "users-db orders-db catalog-db sessions events files"],
    } as const;
    let world = empty;
    for (const [name, [subnet]] of Object.entries(tiers)) world = network(world, name, subnet);
    for (const [tier, [, names]] of Object.entries(tiers)) {
        for (const name of names.split(" ")) world = endpoint(sandbox(world, name), name, tier);
    }
    for (const [tier, above] of [
        ["edge", "external"],
        ["logic", ref("network", "edge")],
        ["data", ref("network", "logic")],
    ] as const) {
        world = put(world, "firewall-policy", `into-${tier}`, {
            target: ref("network", tier),
            ingress: [allow(above, 8080)],
        });
    }
    return put(world, "port-mapping", "gateway", { target: on("gateway", "edge"), hostPort: 8080, targetPort: 8080 });
}
