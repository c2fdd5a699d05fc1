import { z } from "zod";
import type { Item } from "../kernel/item.js";
import { linkAlias } from "../kernel/link.js";
import {
    contains,
    formatIpv4,
    overlaps,
    parseIpv4,
    parseIpv4Cidr,
    parseIpv4Range,
    withPrefix,
} from "../model/address.js";
import { makerOf } from "../model/adoption.js";
import type { Connection } from "../model/connection.js";
import { ofMaker } from "../model/foreign.js";
import { parseInterfaceName } from "../model/kernel-name.js";
import { macOfIpv4 } from "../model/mac.js";
import { type DnsSettings, type ExtraHosts, interfaceOf, type NetworkObject } from "../model/object.js";
import type { RefValue } from "../model/reference.js";
import { Refusal } from "../model/refusal.js";
import type { HostFacts, World } from "../model/world.js";
import { chooseSubnet, poolsOf } from "./address-pools.js";
import { dns, extraHosts } from "./dns-arguments.js";
import { bridgeItems, chooseIpv6Half, ipv6Memberships, subnetsOf } from "./dual-stack.js";
import { adviseOnOverlap, findBridge, foreignBridgeItems, surveyBridge } from "./foreign-bridge.js";
import { type BuildContext, defined, describeObject, given, type ObjectKind, ownName } from "./kind.js";
import { chooseDns, dnsServerOf } from "./names.js";
import { targetsOfPoliciesAbout } from "./policy-rules.js";
import {
    address,
    addressRange,
    adopt,
    cidr,
    ipv4,
    labels,
    later,
    many,
    mtu,
    ofFamily,
    type PerFamily,
    perFamily,
    ref,
    shape,
    text,
} from "./schema.js";
import { ownAddresses } from "./tunnel-replies.js";

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
    reserved: many(ipv4).default([]),
    ipv4: later("Every network has IPv4.", true),
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
    .refine(({ ipv6, subnet }) => ipv6 !== false || !Array.isArray(subnet), {
        path: ["ipv6"],
        message: "is false, and subnet has one for IPv6; leave one of them out",
    })
    .refine(({ existing, ipv6, subnet }) => existing !== true || !(ipv6 === true || Array.isArray(subnet)), {
        path: ["existing"],
        message: "leaves IPv6 to others; give the IPv4 subnet alone",
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

interface NetworkInputs {
    readonly host: RefValue;
    readonly name?: string;
    readonly subnet: string;
    readonly allowOverlap?: boolean;
    readonly gateway?: string;
    readonly ipRange?: string;
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

type PerFamilyInputs = { readonly subnet?: PerFamily; readonly gateway?: PerFamily; readonly ipRange?: PerFamily };

/** The inputs with those of IPv4 alone. */
function ofIpv4(raw: Record<string, unknown>): Omit<NetworkInputs, "subnet"> & { readonly subnet?: string } {
    const { subnet, gateway, ipRange } = raw as PerFamilyInputs;
    return {
        ...raw,
        subnet: ofFamily(subnet, 4),
        gateway: ofFamily(gateway, 4),
        ipRange: ofFamily(ipRange, 4),
    } as unknown as NetworkInputs;
}

/** What the inputs say of IPv6. */
function ofIpv6(raw: Record<string, unknown>, facts: HostFacts) {
    const { subnet, gateway, ipRange } = raw as PerFamilyInputs;
    return {
        ipv6: raw["ipv6"] as boolean | undefined,
        subnet: ofFamily(subnet, 6),
        gateway: ofFamily(gateway, 6),
        ipRange: ofFamily(ipRange, 6),
        pools: poolsOf(raw, 6, { base: facts.ipv6?.localPrefix ?? "", size: 64 }),
    };
}

/** The largest packet that leaves over the default route unfragmented. */
function uplinkMtu(facts: HostFacts): number {
    return facts.routes.find((route) => route.destination.text === "0.0.0.0/0")?.mtuBytes ?? 1500;
}

/** @param own the bridge of others that it is on */
function refuseOverlap(inputs: NetworkInputs, context: BuildContext<NetworkObject>, own: string | undefined): void {
    const subnet = parseIpv4Cidr(inputs.subnet);
    const choose = "Choose another subnet.";
    for (const other of context.world.all("network")) {
        const isPart = other.key !== context.key && overlaps(subnet, parseIpv4Cidr(other.subnet));
        if (isPart)
            throw new Refusal(
                `subnet ${inputs.subnet} overlaps ${other.subnet} of ${describeObject(other)}. ${choose}`,
            );
    }
    if (inputs.allowOverlap) return;
    for (const { range, address, interfaceName, isBridge } of context.facts.addresses) {
        if (!overlaps(subnet, range) || interfaceName === own) continue;
        const isSame = isBridge === true && range.first === subnet.first && range.last === subnet.last;
        throw new Refusal(
            `subnet ${inputs.subnet} overlaps ${address} of the host's interface ${interfaceName}${ofMaker(interfaceName)}. ` +
                adviseOnOverlap(interfaceName, isSame),
        );
    }
    for (const { destination, interfaceName } of context.facts.routes) {
        if (destination.text === "0.0.0.0/0" || !overlaps(subnet, destination)) continue;
        if (interfaceName === own) continue;
        throw new Refusal(
            `subnet ${inputs.subnet} overlaps the host's route to ${destination.text} over ${interfaceName}${ofMaker(interfaceName)}. ${choose}`,
        );
    }
}

/** The first address of the range, or of the subnet behind its own. */
export function defaultGateway(inputs: { readonly subnet: string; readonly ipRange?: string }): string {
    const subnet = parseIpv4Cidr(inputs.subnet);
    const first = inputs.ipRange === undefined ? subnet.first : parseIpv4Range(inputs.ipRange).first;
    return formatIpv4(first === subnet.first && subnet.prefixLength < 31 ? first + 1 : first);
}

function refuseOutside(inputs: NetworkInputs, gateway: string): void {
    const subnet = parseIpv4Cidr(inputs.subnet);
    if (subnet.prefixLength > 30)
        throw new Refusal(`subnet ${inputs.subnet} has no room for endpoints. Use /30 or larger.`);
    const inside = (address: string) => contains(subnet, { first: parseIpv4(address), last: parseIpv4(address) });
    if (inputs.ipRange !== undefined && !contains(subnet, parseIpv4Range(inputs.ipRange))) {
        throw new Refusal(`ipRange ${inputs.ipRange} is outside subnet ${inputs.subnet}. Choose one inside.`);
    }
    if (!inside(gateway))
        throw new Refusal(`gateway ${gateway} is outside subnet ${inputs.subnet}. Choose one inside.`);
    if ([subnet.first, subnet.last].includes(parseIpv4(gateway))) {
        throw new Refusal(
            `gateway ${gateway} is the first or last of ${inputs.subnet}, which no interface can have. Choose another.`,
        );
    }
    const strange = inputs.reserved.find((address) => !inside(address));
    if (strange !== undefined)
        throw new Refusal(`reserved address ${strange} is outside subnet ${inputs.subnet}. Leave it out.`);
}

/** Ranges that no host can have an address in (RFC 1122, RFC 1112). */
function refuseSpecial(subnet: string): void {
    const range = parseIpv4Cidr(subnet);
    const reason = overlaps(range, parseIpv4Cidr("0.0.0.0/8"))
        ? '0.0.0.0/8 means "this network"'
        : overlaps(range, parseIpv4Cidr("224.0.0.0/3"))
          ? "224.0.0.0 and above are multicast and reserved"
          : undefined;
    if (reason !== undefined) throw new Refusal(`subnet ${subnet} is not for hosts: ${reason}. Choose another subnet.`);
}

/** The MTU of a network is that of its narrowest way: its own, or a tunnel's. */
export function effectiveMtu(network: NetworkObject, world: World): number {
    return Math.min(network.mtuBytes, ...world.tunnelsOf(network.key).map((tunnel) => tunnel.mtuBytes));
}

/** The sets of the base ruleset that know a network by its interface. */
function memberships(network: NetworkObject): Item[] {
    const name = interfaceOf(network);
    const element = (set: string, ...key: string[]): Item => ({ type: "element", family: "inet", set, key });
    return [
        element("networks", name),
        element("same_network", name, name),
        element("subnets", name, network.subnet),
        element("gateways", name, network.gateway),
        element("gateway_addresses", network.gateway),
        ...(network.internal ? [element("internal", name)] : []),
        ...(network.isolateEndpoints ? [element("isolated", name, name)] : []),
        ...(network.hostAccess === false ? [element("no_host_access", name)] : []),
        ...(network.defaultPolicy === "deny"
            ? [element("denied", name), element("denied_subnets", network.subnet)]
            : []),
        ...(network.masquerade && !network.internal ? [element("masqueraded", network.subnet)] : []),
        ...ipv6Memberships(network, name, macOfIpv4(network.gateway)),
    ];
}

/** A layer 2 segment: a bridge that is the gateway of its subnet. */
export const network: ObjectKind<NetworkObject> = {
    kind: "network",
    schema,
    replaces: ["host", "subnet", "driver", "existing", "interfaceName"],
    chosen: ["name", "subnet", "gateway", "interfaceName", "mtu"],

    build(raw, context) {
        const { previous } = context;
        const ipv4 = ofIpv4(raw);
        const inputs = { ...ipv4, subnet: ipv4.subnet ?? previous?.subnet ?? chooseSubnet(raw, context) };
        const found = previous === undefined ? findBridge({ ...inputs }, context) : undefined;
        const bridge = found?.bridge ?? previous?.bridge;
        if (
            previous !== undefined &&
            inputs.interfaceName !== undefined &&
            inputs.interfaceName !== interfaceOf(previous)
        )
            throw new Refusal(
                `its bridge is ${interfaceOf(previous)}, not ${inputs.interfaceName}. Correct interfaceName.`,
            );
        // It has another subnet when it is replaced by one that is created before it is deleted.
        const kept = previous?.subnet === inputs.subnet ? previous?.gateway : undefined;
        const gateway = inputs.gateway ?? found?.gateway ?? kept ?? defaultGateway(inputs);
        refuseSpecial(inputs.subnet);
        refuseOutside(inputs, gateway);
        refuseOverlap(inputs, context, bridge?.interfaceName);
        const holder = context.world.endpointsOf(context.key).find((endpoint) => endpoint.ipv4Address === gateway);
        if (holder !== undefined)
            throw new Refusal(`gateway ${gateway} is used by ${describeObject(holder)}. Choose another.`);
        const ofOthers = found?.mtuBytes ?? (previous?.bridge === undefined ? undefined : previous.mtuBytes);
        const mtuBytes = inputs.mtu ?? ofOthers ?? uplinkMtu(context.facts);
        const ipv6 = chooseIpv6Half(
            ofIpv6(raw, context.facts),
            { subnet: inputs.subnet, gateway, mtuBytes, bridge },
            context,
        );
        return defined({
            schemaVersion: 1,
            kind: "network",
            key: context.key,
            generation: context.generation,
            owner: context.owner,
            host: inputs.host.id,
            name: inputs.name ?? ownName(context),
            labels: inputs.labels,
            subnet: inputs.subnet,
            gateway,
            ipRange: inputs.ipRange,
            reserved: inputs.reserved,
            ipv6,
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
            dns: chooseDns(raw["dns"] as DnsSettings | undefined, bridge, context),
            extraHosts: given(raw["extraHosts"] as ExtraHosts | undefined),
        }) as NetworkObject;
    },

    twins: (inputs, { world }) => world.all("network").filter(({ subnet }) => subnet === ofIpv4(inputs).subnet),

    survey: (inputs, _world, facts) => surveyBridge({ ...ofIpv4(inputs) }, facts),

    items(object, world) {
        const gatewayAddress = withPrefix(object.gateway, parseIpv4Cidr(object.subnet));
        if (object.bridge !== undefined) {
            const items = foreignBridgeItems(object.bridge, gatewayAddress);
            return object.bridge.isManaged ? [...items, ...memberships(object), ...ownAddresses(object, world)] : items;
        }
        const link = `link ${object.key}`;
        const sysctl = (key: string, value: string): Item => ({
            type: "sysctl",
            key: `net/ipv4/conf/${object.key}/${key}`,
            value,
            link,
        });
        const mac = macOfIpv4(object.gateway);
        return [
            {
                type: "bridge",
                name: object.key,
                mac,
                mtuBytes: effectiveMtu(object, world),
                alias: linkAlias(`linuxnet network ${object.name} (${makerOf(object).stack})`),
            },
            {
                type: "address",
                dev: object.key,
                link,
                address: gatewayAddress,
            },
            ...memberships(object),
            ...ownAddresses(object, world),
            ...bridgeItems(object, mac),
            sysctl("forwarding", "1"),
            // For 127.0.0.1:<published port>; the ruleset's guard_loopback is there before.
            sysctl("route_localnet", "1"),
            // Neighbours on one bridge talk directly; redirects would name addresses the port guard drops.
            sysctl("send_redirects", "0"),
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

    driftOfFacts({ bridge, isMtuGiven, mtuBytes }, facts) {
        const wanted = uplinkMtu(facts);
        const follows = bridge === undefined && isMtuGiven !== true;
        return follows && mtuBytes !== wanted ? [`mtu is ${mtuBytes}, and that of the uplink is ${wanted}`] : [];
    },

    outputs: (object) => ({
        name: object.name,
        subnet: object.subnet,
        internal: object.internal,
        gateway: object.gateway,
        subnets: subnetsOf(object),
        ranges: [object.ipRange ?? object.subnet, ...(object.ipv6 === undefined ? [] : [object.ipv6.subnet])],
        gateways: [object.gateway, ...(object.ipv6 === undefined ? [] : [object.ipv6.gateway])],
        interfaceName: interfaceOf(object),
        mtu: object.mtuBytes,
        dnsServer: dnsServerOf(object),
    }),
};
