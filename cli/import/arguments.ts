import { defaultHostname, hostnameOf } from "../../provider/kinds/names.js";
import { defaultGateway } from "../../provider/kinds/network-half.js";
import { addressesOf, automaticRange, halvesOf, sameNumber, subnetsOf } from "../../provider/model/half.js";
import { macOf } from "../../provider/model/mac.js";
import {
    type Binding,
    encryptionOf,
    type HostObject,
    type NetworkObject,
    type Peer,
    type PolicyRule,
    type PortMappingObject,
    targetsOf,
} from "../../provider/model/object.js";
import { formatPortRange } from "../../provider/model/port-range.js";
import type { World } from "../../provider/model/world.js";
import type { Code } from "./code.js";

type Arguments = Readonly<Record<string, Code | undefined>>;

/** What an object's arguments are printed with. */
export interface Printing {
    readonly world: World;
    /** The variable of an object; `undefined`: it is not in the program. */
    variableOf(key: string): Code | undefined;
    /** Notes what cannot be expressed, above the resource. */
    note(text: string): void;
}

const unless = <T>(isDefault: boolean, value: T): T | undefined => (isDefault ? undefined : value);
const optional = <T extends readonly unknown[] | object>(value: T): T | undefined =>
    unless((Array.isArray(value) ? value : Object.keys(value)).length === 0, value);
const one = (values: readonly Code[]): Code => (values.length === 1 ? (values[0] ?? []) : values);

function printRange(range: { readonly first: number; readonly last: number }): string | number {
    return formatPortRange(range);
}

function printPeer(peer: Peer, printing: Printing): Code | undefined {
    if ("cidr" in peer) return peer.cidr.replace(/\/32$/, "");
    if ("keyword" in peer) return peer.keyword;
    if ("remote" in peer) {
        printing.note(`A rule spoke of an object of another host, by its addresses ${peer.addresses.join(", ")}.`);
        return peer.addresses.filter((address) => !address.includes("-"));
    }
    const variable = printing.variableOf(peer.object);
    if (variable === undefined) printing.note(`A rule spoke of ${peer.object}, which is not on the host any more.`);
    return variable;
}

function printRules(
    rules: readonly PolicyRule[] | undefined,
    side: "from" | "to",
    printing: Printing,
): Code | undefined {
    return rules?.map((rule): Code => {
        const isAny = rule.peers.length === 1 && JSON.stringify(rule.peers[0]) === '{"keyword":"any"}';
        const peers = rule.peers.flatMap((peer) => printPeer(peer, printing) ?? []) as Code[];
        const ports = rule.ports.map(({ range, protocol }): Code => {
            return protocol === undefined ? printRange(range) : `${printRange(range)}/${protocol}`;
        });
        return {
            action: rule.action,
            [side]: unless(isAny, one(peers)),
            protocol: unless(rule.protocols.length === 0, one(rule.protocols)),
            ports: unless(ports.length === 0, one(ports)),
            icmpTypes: unless(rule.icmpTypes === undefined, one(rule.icmpTypes ?? [])),
            rejectWith: rule.rejectWith,
            limit: rule.limit as Code | undefined,
            log: rule.log,
            description: rule.description,
        };
    });
}

function printTargets(mapping: PortMappingObject, { variableOf }: Printing): Code {
    return one(
        targetsOf(mapping).flatMap(({ endpoint, port, weight }): Code[] => {
            const variable = variableOf(endpoint);
            if (variable === undefined) return [];
            return port === undefined && weight === undefined ? [variable] : [{ endpoint: variable, port, weight }];
        }),
    );
}

/** Bindings of one range go with hostPort, of several with ports. */
function printBindings({ bindings, hostPortGiven }: PortMappingObject): Arguments {
    const ranges = new Map<string, Binding[]>();
    for (const binding of bindings) {
        const key = JSON.stringify([binding.hostPort, binding.targetPort]);
        ranges.set(key, [...(ranges.get(key) ?? []), binding]);
    }
    // Not each protocol on each address: one by one.
    const isWhole = (same: readonly Binding[]) =>
        same.length ===
        new Set(same.map(({ protocol }) => protocol)).size * new Set(same.map(({ hostAddress }) => hostAddress)).size;
    const isMixed = (same: readonly Binding[]) => same.some(({ hostAddress }) => hostAddress !== same[0]?.hostAddress);
    const hasAny = (same: readonly Binding[]) => same.some(({ hostAddress }) => hostAddress === undefined);
    const groups = [...ranges.values()].flatMap((same) =>
        isWhole(same) && !(isMixed(same) && hasAny(same)) ? [same] : same.map((binding) => [binding]),
    );
    const entries = groups.map((same) => {
        const [{ hostPort, targetPort }] = same as [Binding];
        const protocols = [...new Set(same.map(({ protocol }) => protocol))];
        const addresses = [...new Set(same.flatMap(({ hostAddress }) => hostAddress ?? []))];
        return {
            hostPort: printRange(hostPort),
            targetPort: printRange(targetPort),
            protocol: unless(protocols.join() === "tcp", one(protocols)),
            hostAddress: unless(addresses.length === 0, one(addresses)),
        };
    });
    const [first, ...more] = entries;
    if (first === undefined) return {};
    if (more.length > 0) return { ports: entries };
    const { hostPort, targetPort } = first;
    return {
        ...first,
        hostPort: hostPortGiven ?? hostPort,
        targetPort: unless(targetPort === hostPort, targetPort),
    };
}

function printDns({ dns, bridge }: NetworkObject): Code | undefined {
    if (dns === undefined) return undefined;
    const { mode, ...settings } = dns;
    const isDefault = mode === (bridge?.isManaged === false ? "hosts" : "server");
    const isPlain = isDefault && Object.keys(settings).length === 0;
    return unless(isPlain, { mode: unless(isDefault, mode), ...settings });
}

/** The arguments that describe an object, without those at their defaults. */
export function argumentsOf(object: HostObject, resourceName: string, host: Code, printing: Printing): Arguments {
    const variable = (key: string) => printing.variableOf(key);
    const name = unless(object.name === resourceName, object.name);
    switch (object.kind) {
        case "network": {
            const { bridge } = object;
            const halves = halvesOf(object);
            const ranges = halves.flatMap(({ ipRange }) => ipRange ?? []);
            const [first] = halves;
            const isDefault = halves.every(
                (half) =>
                    half.gateway ===
                    (first === undefined || half === first
                        ? defaultGateway(half)
                        : sameNumber(first.gateway, first.subnet, automaticRange(half))),
            );
            return {
                ...{ host, name, ipv4: unless(object.subnet !== undefined, false) },
                subnet: one(subnetsOf(object)),
                gateway: unless(isDefault, one(halves.map(({ gateway }) => gateway))),
                ipRange: ranges.length === 0 ? undefined : one(ranges),
                reserved: optional(object.reserved),
                internal: unless(!object.internal, true),
                isolateEndpoints: unless(!object.isolateEndpoints, true),
                hostAccess: object.hostAccess,
                defaultPolicy: object.defaultPolicy,
                directAccess: object.directAccess,
                masquerade: unless(object.masquerade, false),
                mtu: object.mtuBytes,
                existing: unless(bridge?.isManaged !== false, true),
                interfaceName: bridge?.interfaceName,
                attachable: unless(!object.attachable, true),
                dns: printDns(object),
                extraHosts: optional(object.extraHosts ?? {}),
            };
        }
        case "sandbox":
            return {
                ...{ host, sysctls: optional(object.sysctls) },
                ...(object.joined === undefined ? { name: object.name } : { namespace: object.name }),
                hostname: unless(hostnameOf(object) === defaultHostname(resourceName), hostnameOf(object)),
                dns: object.dns as Code | undefined,
                extraHosts: optional(object.extraHosts ?? {}),
            };
        case "endpoint": {
            const [firstAddress] = addressesOf(object, printing.world.get("network", object.network));
            return {
                ...{ sandbox: variable(object.sandbox), network: variable(object.network) },
                ...{ ipv4Address: object.ipv4Address, ipv6Address: object.ipv6Address },
                macAddress: unless(object.macAddress === macOf(firstAddress ?? ""), object.macAddress),
                aliases: optional(object.aliases ?? []),
                interfaceName: object.interfaceName,
                gatewayPriority: unless(object.gatewayPriority === 0, object.gatewayPriority),
            };
        }
        case "port-mapping":
            return {
                target: printTargets(object, printing),
                ...printBindings(object),
                existingFlows: object.existingFlows,
            };
        case "firewall-policy":
            return {
                target: one(object.targets.flatMap((target) => variable(target) ?? [])),
                ingress: printRules(object.ingress, "from", printing),
                egress: printRules(object.egress, "to", printing),
                defaultAction: unless(object.defaultAction === "drop", object.defaultAction),
                priority: unless(object.priority === 0, object.priority),
            };
        case "overlay-tunnel":
            if (object.ipsec !== undefined)
                printing.note(
                    "Its key is not on the host: write it here, and beside each peer the identity of its Host.",
                );
            return {
                ...{ network: variable(object.network), vni: object.vni, local: object.local, mtu: object.mtuBytes },
                port: unless(object.port === 4789, object.port),
                encryption: unless(encryptionOf(object) === "none", encryptionOf(object)),
                peers: object.peers.map(({ underlayAddress, ipRange, ipv6Range, wireguard }) => ({
                    underlayAddress,
                    ipRange: one([ipRange, ipv6Range].filter((range) => range !== undefined)),
                    ...(wireguard === undefined
                        ? {}
                        : {
                              identity: { wireguardPublicKey: wireguard.publicKey },
                              keepAliveMs: wireguard.keepAliveMs,
                          }),
                })),
                remoteEndpoints: object.remoteEndpoints?.map((each) => ({ ...each })),
            };
    }
}
