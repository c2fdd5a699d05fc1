import type { Origin, Packet } from "../provider/evaluator/packet.js";
import { isIpv6 } from "../provider/model/ipv6.js";
import type { HostObject } from "../provider/model/object.js";
import type { Dice } from "./dice.js";

type Kind = HostObject["kind"];

/** A resource of the layout as an argument. */
export interface At {
    readonly kind: Kind;
    readonly at: string;
}

/** A resource and its arguments, in which others stand as {@link At}. */
export interface Declared {
    readonly kind: Kind;
    readonly name: string;
    readonly args: Readonly<Record<string, unknown>>;
}

/** The addresses around a layout that it does not choose itself. */
export interface Surroundings {
    readonly host: string;
    readonly outside: string;
    readonly host6: string;
    readonly outside6: string;
}

/** Networks with sandboxes on them. */
export interface Ground {
    readonly networks: readonly Declared[];
    readonly sandboxes: readonly Declared[];
    readonly endpoints: readonly Declared[];
    /** The global br_netfilter switches, as others on the machine set them. */
    readonly bridgeNetfilter: boolean;
}

const at =
    (kind: Kind) =>
    (name: string): At => ({ kind, at: name });
const range = (count: number) => Array.from({ length: count }, (_, i) => i);

const subnetOf = (i: number) => `172.2${i}.0`;
const prefix6Of = (i: number) => `fd00:2${i}::`;
export const subnets = range(3).flatMap((i) => [`${subnetOf(i)}.0/24`, `${prefix6Of(i)}/64`]);

/** Ports that somebody listens on in sandboxes, on the host and outside; and ports of the host that are published. */
export const openPorts = [80, 81, 7000, 7001];
const hostPorts = [8080, 8081, 8082, 9000];
/** Two beside each other, for ranges. */
export const publishedPorts = [...hostPorts, 9001];
const portRanges = ["7000-7001", "80-81", "9000-9001"];
const ports = [...openPorts, ...publishedPorts];

export function rollGround(dice: Dice): Ground {
    const networks = range(2 + dice.below(2)).map((i): Declared => {
        const internal = i > 0 && dice.chance(0.4);
        const args = {
            subnet: [`${subnetOf(i)}.0/24`, ...(dice.chance(0.7) ? [`${prefix6Of(i)}/64`] : [])],
            internal,
            isolateEndpoints: dice.chance(0.3),
            masquerade: dice.chance(0.7),
            ...(dice.chance(0.2) ? { hostAccess: false } : {}),
            ...(dice.chance(0.35) ? { defaultPolicy: "deny" } : {}),
            ...(!internal && dice.chance(0.3) ? { directAccess: true } : {}),
        };
        return { kind: "network", name: `n${i}`, args };
    });
    const sandboxes = range(3 + dice.below(2)).map((i): Declared => ({ kind: "sandbox", name: `s${i}`, args: {} }));
    const endpoints = sandboxes.flatMap(({ name }, i) => {
        // Two on the first network, so that there are neighbours.
        const first = i < 2 ? 0 : dice.below(networks.length);
        const others = range(networks.length).filter((k) => k !== first);
        const on = [first, ...(dice.chance(0.4) ? [dice.one(others)] : [])];
        return on.map((k): Declared => {
            const args = {
                sandbox: at("sandbox")(name),
                network: at("network")(`n${k}`),
                ipv4Address: `${subnetOf(k)}.${10 + i}`,
                gatewayPriority: dice.one([0, 0, 5, "never"]),
            };
            return { kind: "endpoint", name: `e${i}${k}`, args };
        });
    });
    return { networks, sandboxes, endpoints, bridgeNetfilter: dice.chance(0.5) };
}

const networkOf = ({ args }: Declared) => (args["network"] as At).at;
const addressOf = ({ args }: Declared) => String(args["ipv4Address"]);
const subnetsOf = ({ args }: Declared) => args["subnet"] as readonly string[];
const gatewayOf = (network: Declared) => String(subnetsOf(network)[0]).replace("0/24", "1");
/** The gateways of all networks that have the family. */
const gatewaysOf = ({ networks }: Ground, is6: boolean) =>
    networks.flatMap(subnetsOf).flatMap((subnet) => (isIpv6(subnet) === is6 ? [subnet.replace(/0?\/\d+$/, "1")] : []));

/** Its address of a family; none on a network without. An endpoint has the number of its IPv4 address. */
function addressesOf(ground: Ground, endpoint: Declared, is6: boolean): readonly string[] {
    if (!is6) return [addressOf(endpoint)];
    const network = ground.networks.find(({ name }) => name === networkOf(endpoint)) as Declared;
    const number = Number(addressOf(endpoint).split(".").at(-1)).toString(16);
    return subnetsOf(network).flatMap((subnet) => (isIpv6(subnet) ? [subnet.replace("/64", number)] : []));
}

/** Published ports and policies on a ground. */
export function rollRules(dice: Dice, ground: Ground, around: Surroundings): Declared[] {
    const { host, outside, host6, outside6 } = around;
    const isInternal = (name: string) => ground.networks.some((each) => each.name === name && each.args["internal"]);
    const publishable = ground.endpoints.filter((endpoint) => !isInternal(networkOf(endpoint)));
    const mappings = hostPorts.slice(0, 1 + dice.below(hostPorts.length)).map((port, i): Declared => {
        const isRange = port === 9000;
        const targetPort = isRange ? dice.one(portRanges) : dice.one([80, 81, 7000, port]);
        const [first, ...others] = dice.some(publishable, 3);
        const chosen = [first ?? dice.one(publishable), ...others];
        const hasIpv6 = chosen.some((each) => addressesOf(ground, each, true).length > 0);
        const targets = chosen.map(({ name }, n) => ({
            endpoint: at("endpoint")(name),
            ...(n > 0 && dice.chance(0.5) ? { port: isRange ? dice.one(portRanges) : dice.one([80, 81]) } : {}),
            ...(n > 0 && dice.chance(0.3) ? { weight: dice.one([0, 2]) } : {}),
        }));
        const args = {
            target: targets,
            hostPort: isRange ? "9000-9001" : port,
            targetPort,
            protocol: dice.one([["tcp"], ["udp"], ["tcp", "udp"]]),
            hostAddress: dice.one([
                ...[undefined, undefined, undefined, "0.0.0.0", host, "127.0.0.1"],
                gatewayOf(dice.one(ground.networks)),
                ...(hasIpv6 ? ["::", host6, ...gatewaysOf(ground, true).slice(0, 1)] : []),
            ]),
        };
        return { kind: "port-mapping", name: `m${i}`, args };
    });

    const endpoints = ground.endpoints.map(({ name }) => at("endpoint")(name));
    const objects = [
        ...endpoints,
        ...endpoints,
        ...ground.sandboxes.map(({ name }) => at("sandbox")(name)),
        ...ground.networks.map(({ name }) => at("network")(name)),
    ];
    const cidrs = [
        ...[false, true].flatMap((is6) => ground.endpoints.flatMap((each) => addressesOf(ground, each, is6))),
        ...[false, true].flatMap((is6) => gatewaysOf(ground, is6)),
        ...ground.networks.flatMap(subnetsOf),
        ...["172.16.0.0/12", "0.0.0.0/0", "fd00::/8", "::/0"],
        ...[host, outside, host6, outside6],
    ];
    const peer = () =>
        dice.chance(0.5)
            ? dice.one(objects)
            : dice.one(["any", "host", "internal", "external", dice.one(cidrs), dice.one(cidrs)]);
    const protocols = [{}, {}, { protocol: "tcp" }, { protocol: "udp" }, { protocol: ["tcp", "udp"] }];
    const portArgs = () => {
        if (dice.chance(0.4))
            return dice.one([
                ...[{}, {}, { protocol: "icmp" }, { protocol: [6, "icmp", "icmpv6"] }],
                ...[{ protocol: "icmpv6" }, { protocol: 17 }],
                ...[{ icmpTypes: ["timestamp-request", 8] }, { icmpTypes: "time-exceeded" }],
                { protocol: "icmpv6", icmpTypes: "echo-request" },
            ]);
        return {
            ports: dice.one([[80], ["80-81"], ["7000-9000"], [80, "81/udp"], [7001, 8080]]),
            ...dice.one(protocols),
        };
    };
    /** What changes neither the verdict of a packet nor what its sender is told. */
    const rare = () => ({
        ...(dice.chance(0.2)
            ? { limit: { rate: "1000000/second", perSource: dice.chance(0.5), connections: 60000 } }
            : {}),
        ...(dice.chance(0.1) ? { log: true } : {}),
    });
    const rules = (side: "from" | "to") =>
        range(1 + dice.below(3)).map(() => {
            const action = dice.one(["allow", "allow", "allow", "drop", "reject"]);
            return { action, [side]: range(1 + dice.below(2)).map(peer), ...portArgs(), ...rare() };
        });
    const policies = range(dice.below(5)).map((i): Declared => {
        const both = dice.below(5);
        const targets = dice.some(objects, 1);
        const args = {
            target: unique([dice.one(objects), ...targets]),
            ...(both === 0 ? {} : { ingress: rules("from") }),
            ...(both > 1 ? {} : { egress: rules("to") }),
            defaultAction: dice.one(["drop", "reject", "allow"]),
            priority: dice.below(3),
        };
        return { kind: "firewall-policy", name: `p${i}`, args };
    });
    return [...mappings, ...policies];
}

function unique(targets: readonly At[]): At[] {
    return targets.filter((one, i) => targets.findIndex(({ kind, at }) => kind === one.kind && at === one.at) === i);
}

/** A packet of somebody to somebody, of either family. @param key how the object of a resource is called */
export function rollPacket(dice: Dice, ground: Ground, around: Surroundings, key: (resource: At) => string): Packet {
    const addressesIn = (is6: boolean) => ground.endpoints.flatMap((each) => addressesOf(ground, each, is6));
    const is6 = dice.chance(0.4) && addressesIn(true).length > 0;
    const [host, outside, loopback] = is6
        ? [around.host6, around.outside6, "::1"]
        : [around.host, around.outside, "127.0.0.1"];
    const endpoint = dice.one(ground.endpoints.filter((each) => addressesOf(ground, each, is6).length > 0));
    const from = dice.one<Origin>([
        { sandbox: key(at("sandbox")(dice.one(ground.sandboxes).name)) },
        { endpoint: key(at("endpoint")(endpoint.name)) },
        { endpoint: key(at("endpoint")(endpoint.name)) },
        "host",
        { outside },
    ]);
    const isFromOutside = from !== "host" && "outside" in from;
    const gateways = gatewaysOf(ground, is6);
    const to = dice.one([
        ...range(3).map(() => dice.one(addressesIn(is6))),
        host,
        host,
        dice.one(gateways),
        ...(from === "host" ? [loopback, loopback] : []),
        // What comes in for ::1 is dropped before any rule (RFC 4291, 2.5.3).
        ...(isFromOutside ? (is6 ? [] : [loopback]) : [outside]),
    ]);
    const isOfHost = [host, loopback, ...gateways].includes(to);
    const protocol = dice.one(["tcp", "tcp", "tcp", "udp", "udp", is6 ? "icmpv6" : "icmp"]);
    const source = rollSource(dice, ground, outside, endpoint, to);
    return {
        from,
        ...(from !== "host" && "endpoint" in from && source !== undefined ? { source } : {}),
        to,
        protocol,
        ...(protocol.startsWith("icmp")
            ? {}
            : { port: dice.one(isOfHost && dice.chance(0.7) ? publishedPorts : ports) }),
    };
}

/** Now and then somebody else's address. */
function rollSource(dice: Dice, ground: Ground, outside: string, sender: Declared, to: string): string | undefined {
    const is6 = isIpv6(to);
    const isOwn = ({ args }: Declared) => (args["sandbox"] as At).at === (sender.args["sandbox"] as At).at;
    const [own, others] = [true, false].map((wanted) =>
        ground.endpoints.filter((each) => isOwn(each) === wanted).flatMap((each) => addressesOf(ground, each, is6)),
    ) as [string[], string[]];
    const source = dice.one([...others, outside]);
    // What stays within a sandbox meets no guard.
    return dice.chance(0.1) && !own.includes(to) && source !== to ? source : undefined;
}
