import { z } from "zod";
import type { Item } from "../kernel/item.js";
import { linkAlias } from "../kernel/link.js";
import { makerOf } from "../model/adoption.js";
import { addressesOf, addressOf, firstHalf, withPrefixOf } from "../model/half.js";
import { interfaceNameOf, parseInterfaceName } from "../model/kernel-name.js";
import { macOf, parseMac } from "../model/mac.js";
import {
    type EndpointObject,
    hostInterfaceOf,
    interfaceOf,
    type NetworkObject,
    type SandboxObject,
} from "../model/object.js";
import { isOfStack, parseId, type RefValue } from "../model/reference.js";
import { Refusal } from "../model/refusal.js";
import { dnsName } from "./dns-arguments.js";
import { chooseAddresses, guardItems, linkItems, replyRouting, routeLink, sourcesOf } from "./endpoint-half.js";
import { findVeth, foreignVethItems } from "./foreign-veth.js";
import { type BuildContext, defined, describeObject, given, type ObjectKind, ownName } from "./kind.js";
import { listersOf } from "./name-files.js";
import { effectiveMtu } from "./network.js";
import { endpointPolicyItems, refuseUnguarded, targetsOfPoliciesAbout } from "./policy-rules.js";
import { namesItems } from "./resolver.js";
import { adopt, ipv4, ipv6, labels, later, many, ref, shape, text } from "./schema.js";
import { homeRoutes, segmentRoutes } from "./tunnel-forwarding.js";

const schema = shape({
    sandbox: ref("sandbox"),
    network: ref("network"),
    ipv4Address: ipv4.optional(),
    ipv6Address: ipv6.optional(),
    macAddress: text(parseMac).optional(),
    aliases: many(dnsName).optional(),
    interfaceName: text(parseInterfaceName).optional(),
    gatewayPriority: z.union([z.int(), z.literal("never")], 'a whole number or "never" is expected').default(0),
    routes: later("Leave it out.", []),
    allowedAddresses: later("An endpoint sends from its own address only.", []),
    adopt,
    labels,
});

interface EndpointInputs {
    readonly sandbox: RefValue;
    readonly network: RefValue;
    readonly ipv4Address?: string;
    readonly ipv6Address?: string;
    readonly macAddress?: string;
    readonly aliases?: readonly string[];
    readonly interfaceName?: string;
    readonly gatewayPriority: number | "never";
    readonly labels: Record<string, string>;
}

type Context = BuildContext<EndpointObject>;

function findParents(inputs: EndpointInputs, context: Context): { sandbox: SandboxObject; network: NetworkObject } {
    const { world, facts } = context;
    const sandboxId = parseId(inputs.sandbox.id);
    const networkId = parseId(inputs.network.id);
    const sandbox = world.get("sandbox", sandboxId.key);
    if (sandbox === undefined) throw new Refusal("its sandbox is not on the host any more. Run `pulumi up --refresh`.");
    const network = networkId.machineId === facts.machineId ? world.get("network", networkId.key) : undefined;
    if (network === undefined) throw new Refusal("its network is not on the host any more. Run `pulumi up --refresh`.");
    const isOfThisStack = isOfStack(network.owner, context.owner);
    // Who is in stays: only newcomers are asked.
    const isIn = context.previous?.network === network.key;
    if (!isOfThisStack && !network.attachable && !isIn) {
        throw new Refusal(`${describeObject(network)} is not attachable. Set attachable: true on it.`);
    }
    const twin = world
        .endpointsOf(sandbox.key)
        .find((other) => other.network === network.key && other.key !== context.key);
    if (twin !== undefined) {
        throw new Refusal(
            `sandbox "${sandbox.name}" is on network "${network.name}" already, by ${describeObject(twin)}.`,
        );
    }
    const [policy] = network.bridge?.isManaged === false ? world.policiesOn(sandbox.key) : [];
    if (policy !== undefined) refuseUnguarded(network, describeObject(policy));
    return { sandbox, network };
}

/** @param address its first one, which the MAC address follows from */
function chooseMac(inputs: EndpointInputs, address: string, network: NetworkObject, context: Context): string {
    const mac = inputs.macAddress ?? macOf(address);
    const others = context.world.endpointsOf(network.key).filter((other) => other.key !== context.key);
    const holder = others.find((other) => other.macAddress === mac);
    if (holder === undefined) return mac;
    throw new Refusal(
        `macAddress ${mac} is already used by ${describeObject(holder)}. Choose another, or leave it out.`,
    );
}

function chooseInterfaceName(
    inputs: EndpointInputs,
    sandbox: SandboxObject,
    network: NetworkObject,
    context: Context,
): string {
    const others = context.world.endpointsOf(sandbox.key).filter((other) => other.key !== context.key);
    const taken = new Map(others.map((other) => [other.interfaceName, other]));
    if (inputs.interfaceName !== undefined) {
        const holder = taken.get(inputs.interfaceName);
        if (holder === undefined) return inputs.interfaceName;
        throw new Refusal(
            `interfaceName ${inputs.interfaceName} is already used by ${describeObject(holder)}. Choose another.`,
        );
    }
    if (context.previous?.network === network.key) return context.previous.interfaceName;
    const hash = context.key.slice(2);
    const name = interfaceNameOf(network.name, hash);
    return taken.has(name) ? `${name.slice(0, 10)}-${hash.slice(0, 4)}` : name;
}

/** What is of others is never changed. @throws Refusal */
function refuseChange(inputs: EndpointInputs, there: EndpointObject): void {
    for (const name of ["ipv4Address", "macAddress", "interfaceName"] as const) {
        if (inputs[name] === undefined || inputs[name] === there[name]) continue;
        throw new Refusal(
            `${name} is ${there[name]}, that of an interface of others, which is never changed. Leave it out.`,
        );
    }
}

function chooseRoutingTable(sandbox: SandboxObject, context: Context): number {
    if (context.previous?.sandbox === sandbox.key) return context.previous.routingTable;
    const taken = new Set(context.world.endpointsOf(sandbox.key).map((other) => other.routingTable));
    let table = 1000;
    while (taken.has(table)) table++;
    return table;
}

/** The attachment of one sandbox to one network: a veth pair. */
export const endpoint: ObjectKind<EndpointObject> = {
    kind: "endpoint",
    schema,
    replaces: ["sandbox", "network"],
    chosen: ["ipv4Address", "ipv6Address", "macAddress", "interfaceName"],

    build(raw, context) {
        const inputs = raw as unknown as EndpointInputs;
        const { sandbox, network } = findParents(inputs, context);
        const { previous } = context;
        const found = previous === undefined ? findVeth(inputs, sandbox, network, context) : undefined;
        if (previous?.foreignVeth !== undefined) refuseChange(inputs, previous);
        const wanted = found === undefined ? inputs : { ...inputs, ipv4Address: found.ipv4Address };
        const addresses = chooseAddresses(wanted, network, context);
        const [first = ""] = addressesOf(addresses, network);
        const foreignVeth = found?.foreignVeth ?? previous?.foreignVeth;
        return defined({
            schemaVersion: 1,
            kind: "endpoint",
            key: context.key,
            generation: context.generation,
            owner: context.owner,
            name: ownName(context),
            labels: inputs.labels,
            sandbox: sandbox.key,
            network: network.key,
            ...addresses,
            macAddress:
                found?.macAddress ??
                (foreignVeth && previous?.macAddress) ??
                chooseMac(inputs, first, network, context),
            aliases: given(inputs.aliases),
            interfaceName: found?.interfaceName ?? chooseInterfaceName(inputs, sandbox, network, context),
            gatewayPriority: inputs.gatewayPriority,
            routingTable: chooseRoutingTable(sandbox, context),
            foreignVeth,
        }) as EndpointObject;
    },

    twins(raw, { world }) {
        const inputs = raw as unknown as EndpointInputs;
        const sandbox = parseId(inputs.sandbox.id).key;
        const network = parseId(inputs.network.id).key;
        return world.endpointsOf(sandbox).filter((other) => other.network === network);
    },

    survey(inputs, world) {
        const sandbox = inputs["adopt"] === true ? (inputs["sandbox"] as RefValue).id : undefined;
        const name = sandbox === undefined ? undefined : world.get("sandbox", parseId(sandbox).key)?.name;
        return name === undefined ? [] : [{ type: "kept", what: "namespace", netns: name }];
    },

    items(object, world) {
        const sandbox = world.get("sandbox", object.sandbox);
        const network = world.get("network", object.network);
        if (sandbox === undefined || network === undefined) return [];
        const guard = (set: string, ...key: string[]): Item => ({ type: "element", family: "bridge", set, key });
        const port = hostInterfaceOf(object);
        const [first = ""] = addressesOf(object, network);
        const address = {
            netns: sandbox.name,
            dev: object.interfaceName,
            address: withPrefixOf(firstHalf(network), first),
        };
        const ownLinks = (): Item[] => [
            {
                type: "veth",
                name: object.key,
                bridge: interfaceOf(network),
                netns: sandbox.name,
                peerName: object.interfaceName,
                peerMac: object.macAddress,
                mtuBytes: effectiveMtu(network, world),
                alias: linkAlias(`linuxnet endpoint ${object.name} (${makerOf(object).stack})`),
            },
            ...linkItems(object, sandbox, network),
            {
                type: "announcement",
                netns: sandbox.name,
                dev: object.interfaceName,
                link: `link ${object.key}`,
                mac: object.macAddress,
                addresses: sourcesOf(object, network),
            },
        ];
        return [
            guard("endpoints", port),
            guard("macs", port, object.macAddress),
            ...guardItems(object, network, port),
            ...endpointPolicyItems(object, network, world),
            ...namesItems(object, sandbox, network),
            ...(object.foreignVeth === undefined
                ? ownLinks()
                : foreignVethItems(object.foreignVeth, interfaceOf(network), address)),
            ...replyRouting(object, sandbox, network),
            ...segmentRoutes(
                object,
                {
                    netns: sandbox.name,
                    dev: object.interfaceName,
                    link: routeLink(object, sandbox, network, 4),
                    ...(sandbox.joined === undefined ? {} : { isShared: true }),
                },
                network,
                world,
            ),
            ...homeRoutes(object, network, world),
            // The next holder of the address must not inherit connections: those it opened, and those that led to it.
            ...sourcesOf(object, network).flatMap((own): Item[] => [
                { type: "flows", filter: ["-s", own], cut: "when removed" },
                { type: "flows", filter: ["-r", own], cut: "when removed" },
            ]),
        ];
    },

    *affects(object, world) {
        yield object.sandbox;
        yield* listersOf(world.get("network", object.network), world);
        // An address is here, whatever a tunnel's remoteEndpoints say.
        for (const tunnel of world.tunnelsOf(object.network)) if (tunnel.remoteEndpoints) yield tunnel.key;
        for (const mapping of world.mappingsOf(object.key)) yield mapping.key;
        yield* targetsOfPoliciesAbout(object.key, world);
        yield* targetsOfPoliciesAbout(object.sandbox, world);
    },

    dependents: (object, world) => world.mappingsOf(object.key),

    outputs(object, world) {
        const network = world.get("network", object.network);
        const addresses = addressesOf(object, network);
        return {
            address: addresses[0],
            addresses,
            ipv4Address: addressOf(object, network, 4),
            ipv6Address: addressOf(object, network, 6),
            macAddress: object.macAddress,
            interfaceName: object.interfaceName,
            hostInterface: hostInterfaceOf(object),
        };
    },
};
