import * as pulumi from "@pulumi/pulumi";
import * as linuxnet from "pulumi-linuxnet";
import { connectionOf, ipv6 } from "./connection";

const config = new pulumi.Config();
const encryption = (config.get("encryption") ?? "ipsec") as linuxnet.Encryption;
const key = encryption === "ipsec" ? config.requireSecret("key") : undefined;

// Three machines: what the world reaches, what works, what remembers.
const edge = new linuxnet.Host("edge", { connection: connectionOf("edge") });
const app = new linuxnet.Host("app", { connection: connectionOf("app") });
const data = new linuxnet.Host("data", { connection: connectionOf("data") });
const hosts = [edge, app, data];

// Each tier is a segment over all three; between the machines it is encrypted, and closed to the other tiers.
const networks = {
    frontend: segment("frontend", 20),
    backend: segment("backend", 21),
    database: segment("database", 22, { internal: true }),
    monitoring: segment("monitoring", 23),
};

// Services: each in a sandbox of its own, on the machine it runs on, on the segments it has to do with.
const web = { frontend: { gatewayPriority: 1 }, backend: {} }; // what a web server sends out leaves by the frontend
const nginx = service("nginx", app, web);
const nginxBackup = service("nginx-backup", edge, web);
const apis = [
    service("api-1", app, { backend: {}, database: {} }),
    service("api-2", app, { backend: {}, database: {} }),
    service("api-3", data, { backend: {}, database: {} }),
];
const db = service("db", data, { database: {}, monitoring: {} });
const cache = service("cache", app, { database: {}, monitoring: {} });
const prometheus = service("prometheus", edge, { backend: {}, monitoring: {} });
const grafana = service("grafana", edge, { frontend: {}, monitoring: {} });

// Published: what reaches these ports of the edge reaches the service, wherever it runs.
new linuxnet.PortMapping("http", { publishOn: edge, target: nginx.on.frontend, hostPort: 80, targetPort: 80 });
new linuxnet.PortMapping("dashboards", { target: grafana.on.frontend, hostPort: 3000, targetPort: 3000 });

// Policies: who may come in. What a policy targets gets nothing but what a rule allows; both ends may be on any machine.
const webServers = [nginx, nginxBackup];
const webBackends = webServers.map((server) => server.on.backend);
const apiClients = apis.map((api) => api.on.database);

// Everybody reaches the web servers, the web servers reach the APIs, only Prometheus reads their metrics.
new linuxnet.FirewallPolicy("web", {
    target: webServers.map((server) => server.on.frontend),
    ingress: [allow("any", 80)],
});
new linuxnet.FirewallPolicy("web-metrics", {
    target: webBackends,
    ingress: [allow(prometheus.on.backend, 9113)],
});
new linuxnet.FirewallPolicy("api", {
    target: apis.map((api) => api.sandbox),
    ingress: [allow(webBackends, 8080), allow(prometheus.on.backend, 9100)],
});

// Only the APIs reach the data, only Prometheus its exporters. With `egress: []` the data answers and never calls.
new linuxnet.FirewallPolicy("db", {
    target: db.sandbox,
    ingress: [allow(apiClients, 5432), allow(prometheus.on.monitoring, 9187)],
    egress: [],
});
new linuxnet.FirewallPolicy("cache", {
    target: cache.sandbox,
    ingress: [allow(apiClients, 6379), allow(prometheus.on.monitoring, 9121)],
    egress: [],
});

// Grafana asks Prometheus, and everybody may look at the dashboards.
new linuxnet.FirewallPolicy("prometheus", {
    target: prometheus.sandbox,
    ingress: [allow(grafana.on.monitoring, 9090)],
});
new linuxnet.FirewallPolicy("grafana", { target: grafana.sandbox, ingress: [allow("any", 3000)] });

/** Where users find it. */
export const url = pulumi.interpolate`http://${edge.publicAddress}/`;

const services: Service[] = [nginx, nginxBackup, ...apis, db, cache, prometheus, grafana];

/** Services need no addresses: each finds "db", or "db.database" by the segment, on whichever machine. These are for people. */
export const addresses = Object.fromEntries(services.map(({ name, on }) => [name, mapValues(on, (at) => at.address)]));

/** Where each service is started: `ip netns exec <namespace> nginx`, or a systemd unit's NetworkNamespacePath. */
export const namespaces = Object.fromEntries(services.map(({ name, sandbox }) => [name, sandbox.name]));

/** A segment over all machines, on a port of its own: each is encrypted by itself. */
function segment(name: string, number: number, args: Partial<linuxnet.OverlayNetworkArgs> = {}) {
    const envelope = { vni: number, port: 4800 + number, encryption, key };
    const ipv4Subnet = `10.${number}.0.0/16`;
    const subnet = ipv6 ? [ipv4Subnet, `fd00:${number}::/48`] : ipv4Subnet;
    return new linuxnet.OverlayNetwork(name, { hosts, subnet, ...envelope, ...args });
}

/** A sandbox on a host, and its endpoint on each of its segments. */
function service<N extends keyof typeof networks>(
    name: string,
    host: linuxnet.Host,
    attachments: Record<N, Attachment>,
) {
    const sandbox = new linuxnet.Sandbox(name, { host });
    const on = mapValues(attachments, (attachment, network) => sandbox.connect(networks[network].on(host), attachment));
    return { name, sandbox, on };
}

interface Service {
    name: string;
    sandbox: linuxnet.Sandbox;
    on: Record<string, linuxnet.Endpoint>;
}

type Attachment = Omit<linuxnet.EndpointArgs, "sandbox" | "network">;

function allow(from: linuxnet.Many<linuxnet.PolicyPeer>, ...ports: number[]): linuxnet.IngressRuleArgs {
    return { action: "allow", from, protocol: "tcp", ports };
}

function mapValues<K extends string, V, R>(record: Record<K, V>, change: (value: V, key: K) => R): Record<K, R> {
    const changed = Object.entries<V>(record).map(([key, value]) => [key, change(value, key as K)]);
    return Object.fromEntries(changed);
}
