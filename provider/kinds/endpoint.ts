import { z } from "zod";
import type { Item } from "../kernel/item.js";
import { linkAlias } from "../kernel/link.js";
import { addressKey } from "../kernel/route.js";
import { contains, lowestFree, parseIpv4, parseIpv4Cidr, parseIpv4Range, withPrefix } from "../model/address.js";
import { makerOf } from "../model/adoption.js";
import { isIpv6 } from "../model/ipv6.js";
import { interfaceNameOf, parseInterfaceName } from "../model/kernel-name.js";
import { macOfIpv4, parseMac } from "../model/mac.js";
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
import {
    chooseIpv6Address,
    ipv6AddressOf,
    ipv6GuardItems,
    ipv6LinkItems,
    ipv6Routing,
    ipv6SourcesOf,
} from "./dual-stack.js";
import { findVeth, foreignVethItems } from "./foreign-veth.js";
import { type BuildContext, defined, describeObject, given, type ObjectKind, ownName } from "./kind.js";
import { effectiveMtu } from "./network.js";
import { endpointPolicyItems, refuseUnguarded, targetsOfPoliciesAbout } from "./policy-rules.js";
import { adopt, ipv4, ipv6, labels, later, many, ref, shape, text } from "./schema.js";
import { homeRoutes, rangesAcross, segmentRoutes } from "./tunnel-forwarding.js";

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

function chooseAddress(inputs: EndpointInputs, network: NetworkObject, context: Context): string {
    const subnet = parseIpv4Cidr(network.subnet);
    const others = context.world.endpointsOf(network.key).filter((other) => other.key !== context.key);
    const wanted = inputs.ipv4Address;
    if (wanted !== undefined) {
        const value = parseIpv4(wanted);
        const instead = "Choose another ipv4Address, or leave it out.";
        if (!contains(subnet, { first: value, last: value })) {
            throw new Refusal(
                `address ${wanted} is outside subnet ${network.subnet} of network "${network.name}". ${instead}`,
            );
        }
        if (value === subnet.first || value === subnet.last) {
            throw new Refusal(
                `address ${wanted} is the first or last of ${network.subnet}, which no endpoint can have. ${instead}`,
            );
        }
        if (wanted === network.gateway)
            throw new Refusal(`address ${wanted} is the gateway of network "${network.name}". ${instead}`);
        const holder = others.find((other) => other.ipv4Address === wanted);
        if (holder !== undefined)
            throw new Refusal(`address ${wanted} is already used by ${describeObject(holder)}. ${instead}`);
        return wanted;
    }
    const { previous } = context;
    if (previous?.network === network.key) {
        const value = parseIpv4(previous.ipv4Address);
        if (contains(subnet, { first: value, last: value })) return previous.ipv4Address;
    }
    if (network.bridge?.isManaged === false && network.ipRange === undefined) {
        throw new Refusal(
            `network "${network.name}" is on bridge ${network.bridge.interfaceName} of others, who have addresses of it too. ` +
                "Give ipv4Address, or give the network an ipRange that is yours.",
        );
    }
    const { staticAddresses } = context;
    const held = others.map((other) => other.ipv4Address);
    const taken = new Set([network.gateway, ...network.reserved, ...held, ...staticAddresses]);
    const range = network.ipRange === undefined ? subnet : parseIpv4Range(network.ipRange);
    const away = context.world
        .tunnelsOf(network.key)
        .flatMap((tunnel) => rangesAcross(tunnel, network))
        .flatMap(({ family, first, last }) => (family === 4 ? { first: Number(first), last: Number(last) } : []));
    const free = lowestFree(subnet, range, taken, away);
    if (free === undefined) {
        throw new Refusal(
            `network "${network.name}" has no free address left in ${network.ipRange ?? network.subnet}: ` +
                `${listHolders(others)}${listPlanned(held, staticAddresses)} Use a larger subnet or ipRange, or remove endpoints.`,
        );
    }
    return free;
}

const namedHolders = 5;

/** Who has the addresses, the first few by name. */
function listHolders(others: readonly EndpointObject[]): string {
    const names = others.slice(0, namedHolders).map((other) => describeObject(other));
    const more = others.length > namedHolders ? ` and ${others.length - namedHolders} more` : "";
    return `${others.length} are in use${names.length === 0 ? "" : `, by ${names.join(", ")}${more}`}.`;
}

/** What the program gives to endpoints that are not there yet. */
function listPlanned(held: readonly string[], staticAddresses: ReadonlySet<string>): string {
    const planned = [...staticAddresses].filter((address) => !isIpv6(address) && !held.includes(address));
    return planned.length === 0 ? "" : ` The program gives ${planned.join(", ")} to others.`;
}

function chooseMac(inputs: EndpointInputs, ipv4Address: string, network: NetworkObject, context: Context): string {
    const mac = inputs.macAddress ?? macOfIpv4(ipv4Address);
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

/** The key of the endpoint's address, which its routes hang on. */
export function endpointAddressKey(object: EndpointObject, sandbox: SandboxObject, network: NetworkObject): string {
    return addressKey(
        sandbox.name,
        object.interfaceName,
        withPrefix(object.ipv4Address, parseIpv4Cidr(network.subnet)),
    );
}

/** Replies leave by the endpoint they came in by, whatever the default route is: one table each, chosen by source. */
function routing(object: EndpointObject, sandbox: SandboxObject, network: NetworkObject): Item[] {
    if (network.internal) return [];
    const at = {
        netns: sandbox.name,
        dev: object.interfaceName,
        link: endpointAddressKey(object, sandbox, network),
        table: String(object.routingTable),
    };
    return [
        { type: "route", ...at, to: network.subnet, source: object.ipv4Address },
        { type: "route", ...at, to: "default", via: network.gateway },
        { type: "rule", netns: at.netns, priority: object.routingTable, from: object.ipv4Address, table: at.table },
        ...ipv6Routing(object, sandbox, network),
    ];
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
        const ipv4Address = found?.ipv4Address ?? chooseAddress(inputs, network, context);
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
            ipv4Address,
            ipv6Address: chooseIpv6Address(inputs.ipv6Address, ipv4Address, network, context),
            macAddress:
                found?.macAddress ??
                (foreignVeth && previous?.macAddress) ??
                chooseMac(inputs, ipv4Address, network, context),
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
        const address = {
            netns: sandbox.name,
            dev: object.interfaceName,
            address: withPrefix(object.ipv4Address, parseIpv4Cidr(network.subnet)),
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
            { type: "address", link: `link ${object.key}`, ...address },
            ...ipv6LinkItems(object, sandbox, network),
        ];
        return [
            guard("endpoints", port),
            guard("macs", port, object.macAddress),
            guard("sources", port, object.ipv4Address),
            ...ipv6GuardItems(object, network, port),
            ...endpointPolicyItems(object, network, world),
            ...(object.foreignVeth === undefined
                ? ownLinks()
                : foreignVethItems(object.foreignVeth, interfaceOf(network), address)),
            ...routing(object, sandbox, network),
            ...segmentRoutes(
                object,
                {
                    netns: sandbox.name,
                    dev: object.interfaceName,
                    link: endpointAddressKey(object, sandbox, network),
                    ...(sandbox.joined === undefined ? {} : { isShared: true }),
                },
                network,
                world,
            ),
            ...homeRoutes(object, network, world),
            // The next holder of the address must not inherit connections: those it opened, and those that led to it.
            ...[object.ipv4Address, ...ipv6SourcesOf(object, network)].flatMap((own): Item[] => [
                { type: "flows", filter: ["-s", own], cut: "when removed" },
                { type: "flows", filter: ["-r", own], cut: "when removed" },
            ]),
        ];
    },

    *affects(object, world) {
        yield object.sandbox;
        // An address is here, whatever a tunnel's remoteEndpoints say.
        for (const tunnel of world.tunnelsOf(object.network)) if (tunnel.remoteEndpoints) yield tunnel.key;
        for (const mapping of world.mappingsOf(object.key)) yield mapping.key;
        yield* targetsOfPoliciesAbout(object.key, world);
        yield* targetsOfPoliciesAbout(object.sandbox, world);
    },

    dependents: (object, world) => world.mappingsOf(object.key),

    outputs: (object, world) => ({
        address: object.ipv4Address,
        addresses: [object.ipv4Address, ipv6AddressOf(object, world.get("network", object.network)) ?? []].flat(),
        ipv4Address: object.ipv4Address,
        ipv6Address: ipv6AddressOf(object, world.get("network", object.network)),
        macAddress: object.macAddress,
        interfaceName: object.interfaceName,
        hostInterface: hostInterfaceOf(object),
    }),
};
