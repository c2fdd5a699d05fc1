import { z } from "zod";
import type { Item } from "../kernel/item.js";
import { linkAlias } from "../kernel/link.js";
import { makerOf } from "../model/adoption.js";
import type { Connection } from "../model/connection.js";
import { firstHalf, halvesOf, subnetsOf, twinOf, withPrefixOf } from "../model/half.js";
import { linkLocalOf } from "../model/ipv6.js";
import { parseInterfaceName } from "../model/kernel-name.js";
import { macOf } from "../model/mac.js";
import { type DnsSettings, type ExtraHosts, interfaceOf, type NetworkObject } from "../model/object.js";
import type { RefValue } from "../model/reference.js";
import { Refusal } from "../model/refusal.js";
import type { HostFacts, World } from "../model/world.js";
import { warnOfFirewalls } from "./cooperation.js";
import { dns, extraHosts } from "./dns-arguments.js";
import { findBridge, foreignBridgeItems, surveyBridge, sysctlsOf } from "./foreign-bridge.js";
import { defined, given, type ObjectKind, ownName } from "./kind.js";
import { chooseDns, dnsServerOf } from "./names.js";
import { chooseHalves, isWanted, wantedHalf } from "./network-half.js";
import { targetsOfPoliciesAbout } from "./policy-rules.js";
import { refuseWithoutServer } from "./resolver.js";
import {
    address,
    addressRange,
    adopt,
    cidr,
    labels,
    later,
    listGiven,
    many,
    mtu,
    perFamily,
    ref,
    shape,
    text,
} from "./schema.js";
import { ownSubnets } from "./tunnel-replies.js";

const driver = z.literal(
    "bridge",
    'only "bridge" is supported yet. Docker\'s "overlay" is an OverlayNetwork here, "none" a Sandbox without endpoints, "host" comes as Sandbox.networkMode',
);

const schema = shape({
    host: ref("host"),
    name: z.string().min(1, "must not be empty").max(63, "must have at most 63 characters").optional(),
    driver: driver.default("bridge"),
    subnet: perFamily(cidr).optional(),
    allowOverlap: z.boolean().optional(),
    gateway: perFamily(address).optional(),
    ipRange: perFamily(addressRange).optional(),
    reserved: many(address).default([]),
    ipv4: z.boolean().optional(),
    ipv6: z.boolean().optional(),
    internal: z.boolean().default(false),
    hostAccess: z.boolean().optional(),
    isolateEndpoints: z.boolean().default(false),
    defaultPolicy: z.literal(["network", "deny"], '"network" or "deny" is expected').optional(),
    masquerade: z.boolean().default(true),
    directAccess: z.boolean().optional(),
    mtu: mtu.optional(),
    parent: later('It belongs to the drivers "macvlan" and "ipvlan".'),
    mode: later('It belongs to the drivers "macvlan" and "ipvlan".'),
    vlan: later('It belongs to the drivers "macvlan" and "ipvlan".'),
    existing: z.boolean().optional(),
    interfaceName: text(parseInterfaceName).optional(),
    dns: dns.optional(),
    routes: later("Leave it out.", []),
    extraHosts: extraHosts.optional(),
    defaultHostAddress: later("Give each PortMapping its hostAddress."),
    attachable: z.boolean().default(false),
    adopt,
    labels,
})
    .refine(({ interfaceName, existing, adopt }) => interfaceName === undefined || existing || adopt, {
        path: ["interfaceName"],
        message: "names a bridge of others; it belongs to existing: true or adopt: true",
    })
    .refine(({ interfaceName, existing }) => existing !== true || interfaceName !== undefined, {
        path: ["existing"],
        message: "needs interfaceName, the bridge to use",
    })
    .refine(({ subnet, gateway, ipRange, reserved }) => subnet !== undefined || !(gateway || ipRange || reserved[0]), {
        path: ["subnet"],
        message: "is needed with gateway, ipRange and reserved, which are part of it",
    })
    .refine(({ subnet, existing, adopt }) => subnet !== undefined || !(existing || adopt), {
        path: ["subnet"],
        message: "is needed with existing and adopt: that of the network that is there",
    })
    .refine(({ ipv4, ipv6 }) => ipv4 !== false || ipv6 !== false, {
        path: ["ipv6"],
        message: "is false, as ipv4 is; a network has one of them at least",
    })
    .refine(({ ipv4, ipv6, subnet }) => ipv4 === false || ipv6 !== false || !Array.isArray(subnet), {
        path: ["ipv6"],
        message: "is false, and subnet has one for IPv6; leave one of them out",
    })
    .refine(
        ({ ipv4, subnet }) => (ipv4 ?? true) !== true || [subnet].flat().length !== 1 || !listGiven(subnet, 6).length,
        {
            path: ["subnet"],
            message:
                "is IPv6 alone: give a list of one for IPv4 and one for IPv6, or set ipv4: false for a network without IPv4",
        },
    )
    .superRefine(refuseIpv4)
    .refine(({ existing, ipv6, subnet }) => existing !== true || ipv6 !== true || listGiven(subnet, 6).length > 0, {
        path: ["ipv6"],
        message: "needs a subnet of IPv6 in subnet: that of the bridge that is there",
    })
    .refine(
        ({ existing, internal, isolateEndpoints, hostAccess, defaultPolicy, directAccess }) =>
            existing !== true ||
            !(
                [internal, isolateEndpoints, directAccess].includes(true) ||
                hostAccess === false ||
                defaultPolicy === "deny"
            ),
        {
            path: ["existing"],
            message:
                "leaves the bridge's traffic to others: internal, isolateEndpoints, hostAccess, defaultPolicy and directAccess do not apply",
        },
    )
    .refine(({ existing, dns }) => existing !== true || (dns as DnsSettings | undefined)?.mode !== "server", {
        path: ["dns", "mode"],
        message:
            'is "server", which answers at the gateway of a bridge of our own; with existing give "hosts" or "none"',
    })
    .refine(({ internal, directAccess }) => internal !== true || directAccess !== true, {
        path: ["directAccess"],
        message: "lets the outside in, which internal keeps out. Take one of them off",
    });

/** With `ipv4: false` nothing of IPv4 is said. */
function refuseIpv4(value: Record<string, unknown>, context: z.RefinementCtx): void {
    if (value["ipv4"] !== false) return;
    for (const name of ["subnet", "gateway", "ipRange", "reserved"]) {
        const [given] = listGiven(value[name], 4);
        if (given === undefined) continue;
        const message = "is IPv4, which ipv4: false takes off; give IPv6, or leave ipv4 out";
        context.addIssue({ code: "custom", path: [name], message, input: given });
    }
}

interface NetworkInputs {
    readonly host: RefValue;
    readonly name?: string;
    readonly reserved: string[];
    readonly internal: boolean;
    readonly isolateEndpoints: boolean;
    readonly hostAccess?: boolean;
    readonly defaultPolicy?: "network" | "deny";
    readonly directAccess?: boolean;
    readonly masquerade: boolean;
    readonly mtu?: number;
    readonly attachable: boolean;
    readonly interfaceName?: string;
    readonly labels: Record<string, string>;
}

/** What the inputs say of the families that the network is to have, IPv4's first. */
const wantedHalves = (raw: Record<string, unknown>) =>
    ([4, 6] as const).filter((family) => isWanted(raw, family)).map((family) => wantedHalf(raw, family));

/** The largest packet that leaves over the default route unfragmented. */
function uplinkMtu(facts: HostFacts): number {
    return facts.routes.find((route) => route.destination.text === "0.0.0.0/0")?.mtuBytes ?? 1500;
}

/** The MTU of a network is that of its narrowest way: its own, or a tunnel's. */
export function effectiveMtu(network: NetworkObject, world: World): number {
    return Math.min(network.mtuBytes, ...world.tunnelsOf(network.key).map((tunnel) => tunnel.mtuBytes));
}

/** The bridge's MAC address follows from the gateway's. */
const macOfBridge = (network: NetworkObject) => macOf(firstHalf(network).gateway);

const linkLocalOfBridge = (network: NetworkObject) =>
    network.bridge?.linkLocal?.address.replace(/\/.*/, "") ?? linkLocalOf(macOfBridge(network));

/** The sets of the base ruleset that know a network by its interface and addresses. */
function memberships(network: NetworkObject): Item[] {
    const name = interfaceOf(network);
    const element = (set: string, ...key: string[]): Item => ({ type: "element", family: "inet", set, key });
    return [
        element("networks", name),
        element("same_network", name, name),
        ...(network.internal ? [element("internal", name)] : []),
        ...(network.isolateEndpoints ? [element("isolated", name, name)] : []),
        ...(network.hostAccess === false ? [element("no_host_access", name)] : []),
        ...(network.defaultPolicy === "deny" ? [element("denied", name)] : []),
        ...halvesOf(network).flatMap(({ family, subnet, gateway }) => {
            const ofFamily = (set: string, ...key: string[]) => element(twinOf(set, family), ...key);
            return [
                ofFamily("subnets", name, subnet),
                ofFamily("gateways", name, gateway),
                ...(family === 6 ? [ofFamily("gateways", name, linkLocalOfBridge(network))] : []),
                ofFamily("gateway_addresses", gateway),
                ...(network.defaultPolicy === "deny" ? [ofFamily("denied_subnets", subnet)] : []),
                ...(network.masquerade && !network.internal ? [ofFamily("masqueraded", subnet)] : []),
            ];
        }),
    ];
}

/** Addresses and switches of a network's own bridge. */
function bridgeAddresses(network: NetworkObject): Item[] {
    const { key: dev } = network;
    const link = `link ${dev}`;
    const halves = halvesOf(network);
    const addresses = halves.flatMap((half) => {
        const gateway = withPrefixOf(half, half.gateway);
        // The kernel asks for neighbours from a link-local address when it forwards.
        return half.family === 6 ? [`${linkLocalOf(macOfBridge(network))}/64`, gateway] : [gateway];
    });
    return [
        ...addresses.map((address): Item => ({ type: "address", dev, link, address })),
        ...Object.entries(sysctlsOf(dev, halves)).map(([key, value]): Item => ({ type: "sysctl", key, value, link })),
    ];
}

/** A layer 2 segment: a bridge that is the gateway of its subnet. */
export const network: ObjectKind<NetworkObject> = {
    kind: "network",
    schema,
    replaces: ["host", "subnet", "ipv4", "driver", "existing", "interfaceName"],
    absent: { ipv4: true },
    chosen: ["name", "subnet", "gateway", "interfaceName", "mtu"],

    build(raw, context) {
        const { previous } = context;
        const inputs = raw as unknown as NetworkInputs;
        const found = previous === undefined ? findBridge(raw, wantedHalves(raw), context) : undefined;
        const bridge = found?.bridge ?? previous?.bridge;
        if (
            previous !== undefined &&
            inputs.interfaceName !== undefined &&
            inputs.interfaceName !== interfaceOf(previous)
        )
            throw new Refusal(
                `its bridge is ${interfaceOf(previous)}, not ${inputs.interfaceName}. Correct interfaceName.`,
            );
        const ofOthers = found?.mtuBytes ?? (previous?.bridge === undefined ? undefined : previous.mtuBytes);
        const mtuBytes = inputs.mtu ?? ofOthers ?? uplinkMtu(context.facts);
        const halves = chooseHalves(raw, { bridge, gateways: found?.gateways ?? {}, mtuBytes }, context);
        const dns = chooseDns(raw["dns"] as DnsSettings | undefined, bridge, context);
        if (dns?.mode === "server" && previous?.dns?.mode !== "server") refuseWithoutServer(context.facts);
        return defined({
            schemaVersion: 1,
            kind: "network",
            key: context.key,
            generation: context.generation,
            owner: context.owner,
            host: inputs.host.id,
            name: inputs.name ?? ownName(context),
            labels: inputs.labels,
            ...halves,
            reserved: inputs.reserved,
            internal: inputs.internal,
            isolateEndpoints: inputs.isolateEndpoints,
            masquerade: inputs.masquerade,
            attachable: inputs.attachable,
            hostAccess: inputs.hostAccess === false ? false : undefined,
            defaultPolicy: inputs.defaultPolicy === "deny" ? "deny" : undefined,
            directAccess: inputs.directAccess === true ? true : undefined,
            cooperate: (raw["connection"] as Connection | undefined)?.cooperate === true ? true : undefined,
            mtuBytes,
            isMtuGiven: inputs.mtu === undefined ? undefined : true,
            bridge,
            dns,
            extraHosts: given(raw["extraHosts"] as ExtraHosts | undefined),
        }) as NetworkObject;
    },

    twins(inputs, { world }) {
        const { subnet } = wantedHalf(inputs, isWanted(inputs, 4) ? 4 : 6);
        return world.all("network").filter((other) => firstHalf(other).subnet === subnet);
    },

    survey: (inputs, _world, facts) => surveyBridge(inputs, wantedHalves(inputs), facts),

    items(object, world) {
        if (object.bridge !== undefined) {
            const items = foreignBridgeItems(object, object.bridge);
            return object.bridge.isManaged ? [...items, ...memberships(object), ...ownSubnets(object, world)] : items;
        }
        return [
            {
                type: "bridge",
                name: object.key,
                mac: macOfBridge(object),
                mtuBytes: effectiveMtu(object, world),
                alias: linkAlias(`linuxnet network ${object.name} (${makerOf(object).stack})`),
            },
            ...memberships(object),
            ...ownSubnets(object, world),
            ...bridgeAddresses(object),
        ];
    },

    *affects(object, world) {
        if (object.bridge?.isManaged || object.ipv6 !== undefined) yield "base";
        for (const endpoint of world.endpointsOf(object.key)) {
            yield endpoint.key;
            yield endpoint.sandbox;
            // They have IPv6 with it.
            if (object.ipv6 !== undefined) for (const mapping of world.mappingsOf(endpoint.key)) yield mapping.key;
        }
        for (const tunnel of world.tunnelsOf(object.key)) yield tunnel.key;
        yield* targetsOfPoliciesAbout(object.key, world);
    },

    dependents: (object, world) => [...world.endpointsOf(object.key), ...world.tunnelsOf(object.key)],
    warnings: warnOfFirewalls,

    driftOfFacts({ bridge, isMtuGiven, mtuBytes }, facts) {
        const wanted = uplinkMtu(facts);
        const follows = bridge === undefined && isMtuGiven !== true;
        return follows && mtuBytes !== wanted ? [`mtu is ${mtuBytes}, and that of the uplink is ${wanted}`] : [];
    },

    outputs: (object) => ({
        name: object.name,
        subnet: firstHalf(object).subnet,
        internal: object.internal,
        gateway: firstHalf(object).gateway,
        subnets: subnetsOf(object),
        ranges: halvesOf(object).map(({ subnet, ipRange }) => ipRange ?? subnet),
        gateways: halvesOf(object).map(({ gateway }) => gateway),
        interfaceName: interfaceOf(object),
        mtu: object.mtuBytes,
        dnsServer: dnsServerOf(object),
    }),
};
