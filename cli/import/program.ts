import { type Kind, kindTitles } from "../../provider/model/kind.js";
import { type HostObject, hostTarget, targetsOf } from "../../provider/model/object.js";
import { World } from "../../provider/model/world.js";
import { inOrder, stackOf } from "../name.js";
import { argumentsOf } from "./arguments.js";
import { type Code, createIdentifiers, renderCode } from "./code.js";
import type { Foreign } from "./foreign.js";

/** Which objects are wanted; what they need is added. */
export interface Selection {
    /** `production` or `shop/production`. */
    readonly stack?: string | undefined;
    /** Resource names. */
    readonly names: readonly string[];
}

const kindsInOrder = ["network", "sandbox", "endpoint", "port-mapping", "firewall-policy", "overlay-tunnel"] as const;

/** Objects that an object's arguments speak of. */
function needsOf(object: HostObject): readonly string[] {
    switch (object.kind) {
        case "endpoint":
            return [object.sandbox, object.network];
        case "port-mapping":
            return targetsOf(object).map(({ endpoint }) => endpoint);
        case "overlay-tunnel":
            return [object.network];
        case "firewall-policy": {
            const rules = [...(object.ingress ?? []), ...(object.egress ?? [])];
            const peers = rules.flatMap((rule) =>
                rule.peers.flatMap((peer) => ("object" in peer ? [peer.object] : [])),
            );
            return [...object.targets, ...peers];
        }
        default:
            return [];
    }
}

/** @throws Error when nothing is selected although there is something */
export function select(world: World, { stack, names }: Selection): World {
    const isWanted = (object: HostObject) =>
        (stack === undefined || stack === object.owner.stack || stack === stackOf(object)) &&
        (names.length === 0 || names.includes(object.owner.name));
    const wanted = new Set([...world.objects.values()].filter(isWanted).map(({ key }) => key));
    for (const key of wanted) {
        const object = world.objects.get(key);
        for (const need of object === undefined ? [] : needsOf(object)) if (world.objects.has(need)) wanted.add(need);
    }
    if (wanted.size === 0 && world.objects.size > 0 && (stack !== undefined || names.length > 0)) {
        const stacks = [...new Set([...world.objects.values()].map(stackOf))].sort().join(", ");
        throw new Error(`The host carries nothing of that. Its objects are of the stacks ${stacks}.`);
    }
    return new World(new Map([...world.objects].filter(([key]) => wanted.has(key))), world.base);
}

/** A resource with its variable; a name is used once for each kind, as the engine asks. */
function createNames(): (kind: Kind, name: string, stack: string) => string {
    const used = new Set<string>();
    return (kind, name, stack) => {
        const candidates = [name, `${name}-${stack}`];
        for (let i = 2; ; i++) {
            const free = candidates.find((each) => !used.has(`${kind} ${each}`));
            if (free === undefined) {
                candidates.push(`${name}-${stack}-${i}`);
                continue;
            }
            used.add(`${kind} ${free}`);
            return free;
        }
    };
}

/** The program that adopts all of it. `connection` as it is written in the arguments of the Host. */
export function renderProgram(title: string, connection: Code, world: World, foreign: Foreign): string {
    const identify = createIdentifiers();
    const nameResource = createNames();
    const host = { variable: identify("host", "Host") };
    const variables = new Map<string, Code>([[hostTarget, host]]);
    const referred = new Set([...world.objects.values()].flatMap(needsOf));
    const blocks: string[] = [
        `// What ${title} carries, as \`linuxnet import\` read it. \`pulumi up\` adopts it and changes nothing; \`pulumi destroy\`\n` +
            "// gives it back. Without adopt: true it is this stack's own.",
        'import * as linuxnet from "pulumi-linuxnet";',
        `const ${host.variable} = new linuxnet.Host("host", ${renderCode({ connection })});`,
    ];

    function declare(
        kind: Kind,
        variable: string,
        name: string,
        args: Readonly<Record<string, Code | undefined>>,
    ): string {
        const keyword = variable === "" ? "" : `const ${variable} = `;
        return `${keyword}new linuxnet.${kindTitles[kind]}(${JSON.stringify(name)}, ${renderCode(args)});`;
    }

    for (const kind of kindsInOrder) {
        const lines: string[] = [];
        for (const object of inOrder(world.all(kind) as readonly HostObject[])) {
            const notes: string[] = [];
            const resourceName = nameResource(kind, object.owner.name, object.owner.stack);
            const variable = referred.has(object.key) ? identify(object.owner.name, kindTitles[kind]) : "";
            const args = argumentsOf(object, resourceName, host, {
                world,
                variableOf: (key) => variables.get(key),
                note: (text) => notes.push(`// ${text}`),
            });
            const labels = Object.keys(object.labels).length > 0 ? object.labels : undefined;
            if (variable !== "") variables.set(object.key, { variable });
            lines.push(...notes, declare(kind, variable, resourceName, { ...args, labels, adopt: true }));
        }
        if (lines.length > 0) blocks.push(lines.join("\n"));
    }
    const joined = new Set(foreign.endpoints.flatMap(({ namespace, bridge }) => [`n ${namespace}`, `b ${bridge}`]));
    const bridges = foreign.bridges.map(({ comment, args, name }) => {
        const variable = joined.has(`b ${name}`) ? identify(name, "Network") : "";
        variables.set(`b ${name}`, { variable });
        const text = declare("network", variable, nameResource("network", name, "bridge"), { host, ...args });
        return comment === undefined ? text : `// ${comment}\n// ${text.replaceAll("\n", "\n// ")}`;
    });
    const namespaces = foreign.namespaces.map((name) => {
        const variable = joined.has(`n ${name}`) ? identify(name, "Sandbox") : "";
        variables.set(`n ${name}`, { variable });
        return declare("sandbox", variable, nameResource("sandbox", name, "namespace"), { host, namespace: name });
    });
    const endpoints = foreign.endpoints.map(({ namespace, bridge, interfaceName, ipv4Address }) => {
        const [sandbox, network] = [variables.get(`n ${namespace}`), variables.get(`b ${bridge}`)];
        const args = { sandbox, network, interfaceName, ipv4Address, adopt: true };
        return declare("endpoint", "", nameResource("endpoint", `${namespace}-${bridge}`, interfaceName), args);
    });
    const made = [...bridges, ...namespaces, ...endpoints];
    if (made.length > 0) blocks.push(`// Made by others.\n${made.join("\n")}`);
    return `${blocks.join("\n\n")}\n`;
}
