import * as pulumi from "@pulumi/pulumi";
import * as linuxnet from "pulumi-linuxnet";
import { connection, ipv6 } from "./connection";

const host = new linuxnet.Host("host", { connection });

// Networks are closed to each other and to the outside: what is open is opened below.
const networks = {
    frontend: new linuxnet.Network("frontend", { host, ipv6, subnet: "172.20.0.0/24" }),
    backend: new linuxnet.Network("backend", { host, ipv6, subnet: "172.21.0.0/24" }),
    database: new linuxnet.Network("database", { host, ipv6, subnet: "172.22.0.0/24", internal: true }),
    monitoring: new linuxnet.Network("monitoring", { host, ipv6, subnet: "172.23.0.0/24" }),
};

// Services: each in a sandbox of its own, on the networks it has to do with.
const web = { frontend: { gatewayPriority: 1 }, backend: {} }; // what a web server sends out leaves by the frontend
const nginx = service("nginx", web);
const nginxBackup = service("nginx-backup", web);
const apis = ["api-1", "api-2", "api-3"].map((name) => service(name, { backend: {}, database: {} }));
const db = service("db", { database: { ipv4Address: "172.22.0.10" }, monitoring: {} });
const cache = service("cache", { database: { ipv4Address: "172.22.0.11" }, monitoring: {} });
const prometheus = service("prometheus", { backend: {}, monitoring: {} });
const grafana = service("grafana", { frontend: {}, monitoring: {} });
const alertmanager = service("alertmanager", { monitoring: {} });

// Published: what reaches these ports of the host reaches the service.
new linuxnet.PortMapping("http", { target: nginx.on.frontend, hostPort: 80, targetPort: 80 });
new linuxnet.PortMapping("https", { target: nginx.on.frontend, hostPort: 443, targetPort: 443 });
new linuxnet.PortMapping("dashboards", { target: grafana.on.frontend, hostPort: 3000, targetPort: 3000 });

// Policies: who may come in. What a policy targets gets nothing but what a rule allows.
const webServers = [nginx, nginxBackup];
const webBackends = webServers.map((server) => server.on.backend);
const apiClients = apis.map((api) => api.on.database);

// Everybody reaches the web servers, the web servers reach the APIs, only Prometheus reads their metrics.
new linuxnet.FirewallPolicy("web", {
    target: webServers.map((server) => server.on.frontend),
    ingress: [allow("any", 80, 443)],
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

// Grafana asks Prometheus, both talk to the Alertmanager, and everybody may look at the dashboards.
new linuxnet.FirewallPolicy("prometheus", {
    target: prometheus.sandbox,
    ingress: [allow(grafana.on.monitoring, 9090)],
});
new linuxnet.FirewallPolicy("alertmanager", {
    target: alertmanager.sandbox,
    ingress: [allow([prometheus.on.monitoring, grafana.on.monitoring], 9093)],
});
new linuxnet.FirewallPolicy("grafana", { target: grafana.sandbox, ingress: [allow("any", 3000)] });

/** Where users find it. */
export const url = pulumi.interpolate`http://${host.publicAddress}/`;

const services: Service[] = [nginx, nginxBackup, ...apis, db, cache, prometheus, grafana, alertmanager];

/** What the services are told of each other: the address of each on each of its networks. */
export const addresses = Object.fromEntries(services.map(({ name, on }) => [name, mapValues(on, (at) => at.address)]));

/** Where each service is started: `ip netns exec <namespace> nginx`, or a systemd unit's NetworkNamespacePath. */
export const namespaces = Object.fromEntries(services.map(({ name, sandbox }) => [name, sandbox.name]));

/** A sandbox and its endpoint on each of its networks. */
function service<N extends keyof typeof networks>(name: string, attachments: Record<N, Attachment>) {
    const sandbox = new linuxnet.Sandbox(name, { host });
    const on = mapValues(attachments, (attachment, network) => sandbox.connect(networks[network], attachment));
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
