import { z } from "zod";
import type { Item } from "../kernel/item.js";
import { sysctlPath } from "../kernel/sysctl.js";
import { addressOf, twinOf } from "../model/half.js";
import { parseNamespaceName } from "../model/kernel-name.js";
import type { DnsSettings, ExtraHosts, ForeignNamespace, SandboxObject } from "../model/object.js";
import type { RefValue } from "../model/reference.js";
import { Refusal } from "../model/refusal.js";
import { waysOut } from "./default-route.js";
import { dns, dnsName, extraHosts } from "./dns-arguments.js";
import { dockerResolverItems } from "./docker-resolver.js";
import { defaultRoute } from "./endpoint-half.js";
import { type BuildContext, defined, describeObject, given, type ObjectKind } from "./kind.js";
import { listersOf, nameFiles } from "./name-files.js";
import { defaultHostname, hostnameOf } from "./names.js";
import { targetsOfPoliciesAbout } from "./policy-rules.js";
import { resolverItems } from "./resolver.js";
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
    hostname: dnsName.optional(),
    namespace: text(parseNamespacePath).optional(),
    networkMode: later('Every sandbox is "private".', "private"),
    dns: dns.optional(),
    extraHosts: extraHosts.optional(),
    sysctls: z.record(sysctlKey, known(sysctlValue)).default({}),
    forwarding: later("A sandbox that routes for others comes with policies for it.", false),
    adopt,
    labels,
});

/** A name of `ip netns`, or its path; stored as the path, which is the output. */
function parseNamespacePath(text: string): string {
    return `/run/netns/${parseNamespaceName(text.replace(/^(\/var)?\/run\/netns\//, ""))}`;
}

/** The name that the inputs give. */
function nameOf(inputs: Record<string, unknown>): string | undefined {
    const path = inputs["namespace"] as string | undefined;
    return path?.slice("/run/netns/".length) ?? (inputs["name"] as string | undefined);
}

/** What the namespace of others shows that it is to be joined; `undefined`: it is to be made. @throws Refusal */
function findNamespace(
    inputs: Record<string, unknown>,
    name: string,
    { kernel, previous }: BuildContext<SandboxObject>,
): ForeignNamespace | undefined {
    const shown = kernel?.namespaces.get(name);
    if (previous !== undefined && previous.joined === undefined) return undefined;
    if (previous === undefined && shown === undefined) {
        if (inputs["namespace"] === undefined) return undefined;
        throw new Refusal(
            `there is no network namespace "${name}" on the host to join. Make it first (ip netns add ${name}), or leave namespace out.`,
        );
    }
    // What was switched before the first time stays known.
    const oldSysctls = { ...Object.fromEntries(shown?.sysctls ?? []), ...previous?.joined?.oldSysctls };
    const hasDefaultRoute = shown?.routes?.some(({ dst, table }) => dst === "default" && (table ?? "main") === "main");
    return { hasDefaultRoute: previous?.joined?.hasDefaultRoute ?? hasDefaultRoute ?? false, oldSysctls };
}

/** The hostname that the program leaves open: an adopted sandbox keeps its own. */
function hostnameWithout({ adoptedFrom, owner }: BuildContext<SandboxObject>): string {
    return adoptedFrom === undefined ? defaultHostname(owner.name) : hostnameOf(adoptedFrom);
}

/** Each address with each other one. */
function pairsOf(set: string, addresses: readonly string[]): Item[] {
    return addresses.flatMap((from) =>
        addresses.flatMap((to): Item[] =>
            from === to ? [] : [{ type: "element", family: "inet", set, key: [from, to] }],
        ),
    );
}

/** A network namespace with its routes and switches. */
export const sandbox: ObjectKind<SandboxObject> = {
    kind: "sandbox",
    schema,
    replaces: ["host", "name", "namespace"],
    chosen: ["name", "namespace", "hostname"],

    build(inputs, context) {
        const name = nameOf(inputs) ?? context.previous?.name ?? defaultName(context.owner.name, context.key);
        if (inputs["name"] !== undefined && inputs["name"] !== name)
            throw new Refusal(`name "${inputs["name"]}" is not that of namespace "${name}". Leave name out.`);
        const holder = context.world.all("sandbox").find((other) => other.name === name && other.key !== context.key);
        if (holder !== undefined) {
            throw new Refusal(
                `the namespace name "${name}" is already used by ${describeObject(holder)}. Choose another name.`,
            );
        }
        return defined({
            schemaVersion: 1,
            kind: "sandbox",
            key: context.key,
            generation: context.generation,
            owner: context.owner,
            host: (inputs["host"] as RefValue).id,
            name,
            labels: inputs["labels"] as Record<string, string>,
            sysctls: inputs["sysctls"] as Record<string, string>,
            joined: findNamespace(inputs, name, context),
            hostname: inputs["hostname"] ?? hostnameWithout(context),
            dns: given(inputs["dns"] as DnsSettings | undefined),
            extraHosts: given(inputs["extraHosts"] as ExtraHosts | undefined),
        }) as SandboxObject;
    },

    twins(inputs, { world, owner }) {
        const name = nameOf(inputs);
        const isMeant = (other: SandboxObject) =>
            name === undefined ? other.owner.name === owner.name : other.name === name;
        return world.all("sandbox").filter(isMeant);
    },

    survey(inputs) {
        const name = nameOf(inputs);
        if (name === undefined || (inputs["namespace"] === undefined && inputs["adopt"] !== true)) return [];
        return [{ type: "kept", what: "namespace", netns: name }, ...sysctlItems(name, inputs["sysctls"] as Sysctls)];
    },

    items(object, world) {
        const { name, joined } = object;
        const items: Item[] = [
            joined === undefined ? { type: "netns", name } : { type: "kept", what: "namespace", netns: name },
            ...sysctlItems(name, object.sysctls, joined?.oldSysctls),
            ...nameFiles(object, world),
        ];
        const own = world.endpointsOf(object.key);
        items.push(...resolverItems(object, world), ...dockerResolverItems(object, world));
        for (const family of [4, 6] as const) {
            const addresses = own.flatMap((each) => addressOf(each, world.get("network", each.network), family) ?? []);
            items.push(...pairsOf(twinOf("same_sandbox", family), addresses));
            const endpoint = joined?.hasDefaultRoute ? undefined : waysOut(object, world, family)[0];
            const network = world.get("network", endpoint?.network ?? "");
            if (endpoint === undefined || network === undefined) continue;
            const isShared = joined !== undefined && family === 4;
            const routes = defaultRoute(endpoint, object, network, family, "main");
            items.push(...routes.map((route): Item => (isShared ? { ...route, isShared } : route)));
        }
        return items;
    },

    *affects(object, world) {
        for (const endpoint of world.endpointsOf(object.key)) {
            yield endpoint.key;
            yield* listersOf(world.get("network", endpoint.network), world);
        }
        yield* targetsOfPoliciesAbout(object.key, world);
    },

    dependents: (object, world) => world.endpointsOf(object.key),

    outputs: (object) => ({
        name: object.name,
        hostname: hostnameOf(object),
        namespace: `/run/netns/${object.name}`,
        exec: `ip netns exec ${object.name}`,
        podmanArgs: `--network ns:/run/netns/${object.name}`,
    }),
};

type Sysctls = Readonly<Record<string, string>>;

function sysctlItems(netns: string, sysctls: Sysctls, old?: Sysctls): Item[] {
    return Object.entries(sysctls).map(([written, value]) => {
        const key = sysctlPath(written);
        return { type: "sysctl", netns, key, value, ...(old?.[key] === undefined ? {} : { old: old[key] }) };
    });
}

/** `<resource name>-<6 hex>`; the digits are the key's, which is a hash. */
function defaultName(resourceName: string, key: string): string {
    const start = resourceName.replace(/[^A-Za-z0-9_.-]/g, "-").replace(/^[.-]+/, "");
    return `${start.slice(0, 50) || "sandbox"}-${key.slice(2, 8)}`;
}
