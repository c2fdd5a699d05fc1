import type { World } from "../../../provider/model/world.js";
import { empty, endpoint, network, put, ref, sandbox } from "./build.js";

/** Two networks, three sandboxes, a policy, a mapping and a tunnel: one of everything, small enough to be read. */
export function smallWorld(): World {
    let world = network(empty, "front", "172.20.0.0/24");
    world = network(world, "back", "172.21.0.0/24", {
        internal: true,
        ipRange: "172.21.0.0/28",
        isolateEndpoints: true,
    });
    for (const name of ["web", "api", "db"]) world = sandbox(world, name);
    world = put(world, "sandbox", "db", {
        host: ref("host", "edge"),
        name: "db",
        sysctls: { "net.core.somaxconn": 1024 },
    });
    world = endpoint(world, "web", "front");
    world = endpoint(world, "api", "front");
    world = endpoint(world, "api", "back");
    world = endpoint(world, "db", "back", { ipv4Address: "172.21.0.10" });
    world = put(world, "port-mapping", "http", {
        target: ref("endpoint", "web-front"),
        hostPort: 8080,
        targetPort: 80,
        protocol: ["tcp", "udp"],
    });
    world = put(world, "firewall-policy", "db-access", {
        target: ref("endpoint", "db-back"),
        ingress: [{ action: "allow", from: [ref("endpoint", "api-back")], ports: [5432], description: "only the API" }],
        egress: [],
    });
    return put(world, "overlay-tunnel", "back-tunnel", {
        network: ref("network", "back"),
        vni: 42,
        peers: [{ underlayAddress: "192.0.2.20", ipRange: "172.21.0.16/31" }],
    });
}

/** The production layout: who is on which network. The first one named gives the default route. */
const members = {
    nginx: ["frontend", "backend"],
    "nginx-backup": ["frontend", "backend"],
    "api-1": ["backend", "database"],
    "api-2": ["backend", "database"],
    "api-3": ["backend", "database"],
    db: ["database", "monitoring"],
    cache: ["database", "monitoring"],
    prometheus: ["monitoring", "backend"],
    grafana: ["monitoring", "frontend"],
    alertmanager: ["monitoring"],
} as const;

const apis = ["api-1", "api-2", "api-3"].map((name) => ref("endpoint", `${name}-database`));
const scrape = (ports: number[]) => ({ action: "allow", from: [ref("endpoint", "prometheus-monitoring")], ports });

/** Four networks, ten sandboxes, published ports and policies: the layout that the README shows. */
export function productionWorld(): World {
    let world = network(empty, "frontend", "172.20.0.0/24");
    world = network(world, "backend", "172.21.0.0/24");
    world = network(world, "database", "172.22.0.0/24", { internal: true });
    world = network(world, "monitoring", "172.23.0.0/24");
    for (const [name, networks] of Object.entries(members)) {
        world = sandbox(world, name);
        for (const each of networks) world = endpoint(world, name, each);
    }
    for (const hostPort of [80, 443]) {
        world = put(world, "port-mapping", `port-${hostPort}`, { target: ref("endpoint", "nginx-frontend"), hostPort });
    }
    world = put(world, "port-mapping", "port-3000", { target: ref("endpoint", "grafana-frontend"), hostPort: 3000 });
    for (const [name, port] of [
        ["db", 5432],
        ["cache", 6379],
    ] as const) {
        world = put(world, "firewall-policy", `${name}-access`, {
            target: ref("endpoint", `${name}-database`),
            ingress: [{ action: "allow", from: apis, ports: [port] }],
        });
        world = put(world, "firewall-policy", `${name}-scrape`, {
            target: ref("endpoint", `${name}-monitoring`),
            ingress: [scrape([9100])],
        });
    }
    return world;
}
