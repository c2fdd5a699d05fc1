import { z } from "zod";
import type { Item } from "../kernel/item.js";
import { sysctlPath } from "../kernel/sysctl.js";
import { parseNamespaceName } from "../model/kernel-name.js";
import type { EndpointObject, SandboxObject } from "../model/object.js";
import type { RefValue } from "../model/reference.js";
import { Refusal } from "../model/refusal.js";
import type { World } from "../model/world.js";
import { endpointAddressKey } from "./endpoint.js";
import { describeObject, type ObjectKind } from "./kind.js";
import { targetsOfPoliciesAbout } from "./policy-rules.js";
import { adopt, known, labels, later, ref, shape, text } from "./schema.js";

const perNamespace = /^net[./](ipv4|ipv6|core|netfilter|unix|sctp|mptcp|mpls|bridge)[./][A-Za-z0-9_./-]+$/;

const sysctlKey = z.string().refine(
    (key) =>
        perNamespace.test(key) &&
        !sysctlPath(key)
            .split("/")
            .some((part) => ["", ".", ".."].includes(part)),
    "only keys below net.* are per namespace, such as net.ipv4.ip_unprivileged_port_start",
);

/** As the kernel shows it: one blank between numbers. */
const sysctlValue = z
    .union([z.string(), z.number()], "a text or a number is expected")
    .transform((value) => String(value).trim().replace(/\s+/g, " "));

const schema = shape({
    host: ref("host"),
    name: text(parseNamespaceName).optional(),
    hostname: later("Names come with the DNS server; use the endpoints' addresses."),
    namespace: later("Let the Sandbox make its own namespace."),
    networkMode: later('Every sandbox is "private".', "private"),
    dns: later("Use the endpoints' addresses."),
    extraHosts: later("Use the endpoints' addresses.", {}),
    sysctls: z.record(sysctlKey, known(sysctlValue)).default({}),
    forwarding: later("A sandbox that routes for others comes with policies for it.", false),
    adopt,
    labels,
});

/** The endpoint that gives a sandbox its default route: highest priority, ties by the network's name; internal never. */
function defaultRouteOf(object: SandboxObject, world: World): EndpointObject | undefined {
    const networkName = (endpoint: EndpointObject) => world.get("network", endpoint.network)?.name ?? "";
    const candidates = world.endpointsOf(object.key).filter((endpoint) => {
        const internal = world.get("network", endpoint.network)?.internal ?? true;
        return !internal && endpoint.gatewayPriority !== "never";
    });
    const priority = (endpoint: EndpointObject) => Number(endpoint.gatewayPriority);
    return candidates.sort(
        (a, b) => priority(b) - priority(a) || networkName(a).localeCompare(networkName(b)) || (a.key < b.key ? -1 : 1),
    )[0];
}

/** A network namespace with its routes and switches. */
export const sandbox: ObjectKind<SandboxObject> = {
    kind: "sandbox",
    schema,
    replaces: ["host", "name"],
    refers: [],

    build(inputs, context) {
        const name =
            (inputs["name"] as string | undefined) ??
            context.previous?.name ??
            defaultName(context.owner.name, context.key);
        const holder = context.world.all("sandbox").find((other) => other.name === name && other.key !== context.key);
        if (holder !== undefined) {
            throw new Refusal(
                `the namespace name "${name}" is already used by ${describeObject(holder)}. Choose another name.`,
            );
        }
        return {
            schemaVersion: 1,
            kind: "sandbox",
            key: context.key,
            generation: context.generation,
            owner: context.owner,
            host: (inputs["host"] as RefValue).id,
            name,
            labels: inputs["labels"] as Record<string, string>,
            sysctls: inputs["sysctls"] as Record<string, string>,
        };
    },

    twins(inputs, { world, owner }) {
        const name = inputs["name"];
        const isMeant = (other: SandboxObject) =>
            name === undefined ? other.owner.name === owner.name : other.name === name;
        return world.all("sandbox").filter(isMeant);
    },

    items(object, world) {
        const items: Item[] = [{ type: "netns", name: object.name }];
        for (const [key, value] of Object.entries(object.sysctls)) {
            items.push({ type: "sysctl", netns: object.name, key: sysctlPath(key), value });
        }
        const endpoint = defaultRouteOf(object, world);
        const network = world.get("network", endpoint?.network ?? "");
        if (endpoint !== undefined && network !== undefined) {
            const { interfaceName: dev } = endpoint;
            const link = endpointAddressKey(endpoint, object, network);
            const via = network.gateway;
            items.push({ type: "route", netns: object.name, dev, link, table: "main", to: "default", via });
        }
        return items;
    },

    *affects(object, world) {
        for (const endpoint of world.endpointsOf(object.key)) yield endpoint.key;
        yield* targetsOfPoliciesAbout(object.key, world);
    },

    dependents: (object, world) => world.endpointsOf(object.key),

    outputs: (object) => ({
        name: object.name,
        namespace: `/run/netns/${object.name}`,
        exec: `ip netns exec ${object.name}`,
        podmanArgs: `--network ns:/run/netns/${object.name}`,
    }),
};

/** `<resource name>-<6 hex>`; the digits are the key's, which is a hash. */
function defaultName(resourceName: string, key: string): string {
    const start = resourceName.replace(/[^A-Za-z0-9_.-]/g, "-").replace(/^[.-]+/, "");
    return `${start.slice(0, 50) || "sandbox"}-${key.slice(2, 8)}`;
}
