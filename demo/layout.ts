import { expectedWays, listeningPorts, publishedPorts } from "./expected.js";
import { type Knocker, listDoors } from "./matrix.js";
import type { Place } from "./place.js";
import type { MatrixShape } from "./table.js";
import type { Way } from "./way.js";

/** What the production program exports. */
export interface LayoutOutputs {
    readonly url: string;
    /** Sandbox -> network -> address. */
    readonly addresses: Readonly<Record<string, Readonly<Record<string, string>>>>;
    /** Sandbox -> name of its network namespace. */
    readonly namespaces: Readonly<Record<string, string>>;
}

/** The matrix of the production layout: from every sandbox, the host and outside to every service and published port. */
export const layoutShape: MatrixShape = {
    sources: [...Object.keys(listeningPorts), "host", "outside"],
    services: [
        ...Object.entries(listeningPorts).flatMap(([name, ports]) => ports.map((port) => `${name}:${port}`)),
        ...publishedPorts.map((port) => `host:${port}`),
    ],
};

/** What of it should be open. */
export const layoutWays: readonly Way[] = expectedWays;

/** The same by name: from every sandbox to every service, by the addresses of one family that its name has there. */
export function listNameKnockers(place: Pick<Place, "host">, outputs: LayoutOutputs, family: 4 | 6): Knocker[] {
    const doors = Object.entries(listeningPorts).flatMap(([service, ports]) =>
        ports.map((port) => ({ to: `${service}:${port}`, by: "name", address: service, port, family })),
    );
    return Object.keys(listeningPorts).map((name) => {
        return { name, machine: place.host, namespace: outputs.namespaces[name], doors };
    });
}

/** What of that should be open: what is open between two sandboxes by any network. */
export const nameWays: readonly Way[] = Object.keys(listeningPorts).flatMap((from) => {
    const reached = new Set(
        expectedWays.filter((way) => way.from === from && way.by !== "published").map(({ to }) => to),
    );
    return [...reached].map((to) => ({ from, to, by: "name" }));
});

/** Who tries which doors; the servers have to be there. */
export function listKnockers(place: Pick<Place, "host" | "outside" | "address">, outputs: LayoutOutputs): Knocker[] {
    const { host, outside, address } = place;
    const published = publishedPorts.map((port) => ({ to: `host:${port}`, by: "published", address, port }));
    const doors = [...listDoors(listeningPorts, outputs.addresses), ...published];
    const sandboxes = Object.keys(listeningPorts).map(
        (name): Knocker => ({ name, machine: host, namespace: outputs.namespaces[name], doors }),
    );
    return [
        ...sandboxes,
        { name: "host", machine: host, doors },
        { name: "outside", machine: outside, doors: outside.hasRoutes ? doors : published },
    ];
}
