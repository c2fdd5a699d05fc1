import * as linuxnet from "pulumi-linuxnet";
import { connection, ipv6 } from "./connection";

const host = new linuxnet.Host("host", { connection });

/** From top to bottom. A tier is called by the tier above it, and by nobody else. */
const tiers = [
    { name: "edge", subnet: "10.40.1.0/24", services: ["gateway", "web", "admin", "auth"] },
    {
        name: "logic",
        subnet: "10.40.2.0/24",
        services: [
            ...["users", "accounts", "catalog", "search", "cart", "orders", "payments", "shipping"],
            ...["pricing", "reviews"],
        ],
    },
    {
        name: "data",
        subnet: "10.40.3.0/24",
        services: ["users-db", "orders-db", "catalog-db", "sessions", "events", "files"],
    },
];

/** Every service listens on this port. */
const port = 8080;

const networks = tiers.map(({ name, subnet }) => new linuxnet.Network(name, { host, subnet, ipv6 }));

const services = tiers.flatMap(({ services }, tier) =>
    services.map((name) => {
        const sandbox = new linuxnet.Sandbox(name, { host });
        return { name, sandbox, endpoint: sandbox.connect(networks[tier]) };
    }),
);

// Talk down only: naming the network above opens the way from it, and what a policy does not allow is dropped. Services
// of one tier do not talk to each other, and above the first tier is the world outside.
tiers.forEach(({ name }, tier) => {
    new linuxnet.FirewallPolicy(`into-${name}`, {
        target: networks[tier],
        ingress: [{ action: "allow", from: networks[tier - 1] ?? "external", protocol: "tcp", ports: [port] }],
    });
});

new linuxnet.PortMapping("gateway", { target: services[0].endpoint, hostPort: port, targetPort: port });

export const addresses = Object.fromEntries(services.map(({ name, endpoint }) => [name, endpoint.address]));
export const namespaces = Object.fromEntries(services.map(({ name, sandbox }) => [name, sandbox.name]));
