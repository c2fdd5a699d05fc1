/**
 * The intention of the production layout in plain words, written by hand: nothing here is computed from the program's
 * policies or by the provider.
 */
import type { Way } from "./way.js";

/** Where each service listens. */
export const listeningPorts: Readonly<Record<string, readonly number[]>> = {
    nginx: [80, 443, 9113],
    "nginx-backup": [80, 443, 9113],
    "api-1": [8080, 9100],
    "api-2": [8080, 9100],
    "api-3": [8080, 9100],
    db: [5432, 9187],
    cache: [6379, 9121],
    prometheus: [9090],
    grafana: [3000],
    alertmanager: [9093],
};

/** Ports of the host that lead to a service. */
export const publishedPorts: readonly number[] = [80, 443, 3000];

const apis = "api-1 api-2 api-3";

/** Who reaches what, and over which network. Everything else is closed. */
const open: readonly { readonly from: string; readonly to: string; readonly by: string }[] = [
    // The web servers are public on the frontend, and so are the dashboards wherever Grafana is.
    { from: "nginx-backup grafana host", to: "nginx:80 nginx:443", by: "frontend" },
    { from: "nginx grafana host", to: "nginx-backup:80 nginx-backup:443", by: "frontend" },
    { from: "nginx nginx-backup host", to: "grafana:3000", by: "frontend" },
    { from: "prometheus alertmanager host", to: "grafana:3000", by: "monitoring" },
    // Only the web servers reach the APIs, and only the APIs reach the data.
    { from: "nginx nginx-backup", to: "api-1:8080 api-2:8080 api-3:8080", by: "backend" },
    { from: apis, to: "db:5432 cache:6379", by: "database" },
    // Only Prometheus scrapes.
    { from: "prometheus", to: "nginx:9113 nginx-backup:9113", by: "backend" },
    { from: "prometheus", to: "api-1:9100 api-2:9100 api-3:9100", by: "backend" },
    { from: "prometheus", to: "db:9187 cache:9121", by: "monitoring" },
    // Dashboards and alerts.
    { from: "grafana", to: "prometheus:9090", by: "monitoring" },
    { from: "grafana prometheus", to: "alertmanager:9093", by: "monitoring" },
    // What is published is there for everybody, except for db and cache, which never call anybody.
    {
        from: `outside host nginx nginx-backup ${apis} prometheus grafana alertmanager`,
        to: "host:80 host:443 host:3000",
        by: "published",
    },
];

/** Every way that is meant to be open. */
export const expectedWays: readonly Way[] = open.flatMap(({ from, to, by }) =>
    from.split(" ").flatMap((source) => to.split(" ").map((service) => ({ from: source, to: service, by }))),
);
