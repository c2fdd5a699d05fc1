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
