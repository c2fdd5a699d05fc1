import type { Origin, Packet } from "../provider/evaluator/packet.js";
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
export const subnets = range(3).map((i) => `${subnetOf(i)}.0/24`);

/** Ports that somebody listens on in sandboxes, on the host and outside; and ports of the host that are published. */
export const openPorts = [80, 81, 7000, 7001];
const hostPorts = [8080, 8081, 8082, 9000];
/** Two beside each other, for ranges. */
export const publishedPorts = [...hostPorts, 9001];
const portRanges = ["7000-7001", "80-81", "9000-9001"];
const ports = [...openPorts, ...publishedPorts];

export function rollGround(dice: Dice): Ground {
    const networks = range(2 + dice.below(2)).map((i): Declared => {
        const internal = i > 0 && dice.chance(0.3);
        const args = {
            subnet: subnets[i],
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
const gatewayOf = ({ args }: Declared) => String(args["subnet"]).replace("0/24", "1");

/** Published ports and policies on a ground. */
export function rollRules(dice: Dice, ground: Ground, { host, outside }: Surroundings): Declared[] {
    const isInternal = (name: string) => ground.networks.some((each) => each.name === name && each.args["internal"]);
    const publishable = ground.endpoints.filter((endpoint) => !isInternal(networkOf(endpoint)));
    const mappings = hostPorts.slice(0, 1 + dice.below(hostPorts.length)).map((port, i): Declared => {
        const isRange = port === 9000;
        const targetPort = isRange ? dice.one(portRanges) : dice.one([80, 81, 7000, port]);
        const [first, ...others] = dice.some(publishable, 3);
        const targets = [first ?? dice.one(publishable), ...others].map(({ name }, n) => ({
            endpoint: at("endpoint")(name),
            ...(n > 0 && dice.chance(0.5) ? { port: isRange ? dice.one(portRanges) : dice.one([80, 81]) } : {}),
            ...(n > 0 && dice.chance(0.3) ? { weight: dice.one([0, 2]) } : {}),
        }));
        const args = {
            target: targets,
            hostPort: isRange ? "9000-9001" : port,
            targetPort,
            protocol: dice.one([["tcp"], ["udp"], ["tcp", "udp"]]),
            hostAddress: dice.one([undefined, undefined, host, "127.0.0.1", gatewayOf(dice.one(ground.networks))]),
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
        ...ground.endpoints.map(addressOf),
        ...ground.networks.map(({ args }) => String(args["subnet"])),
        "172.16.0.0/12",
        "0.0.0.0/0",
        host,
        outside,
        ...ground.networks.map(gatewayOf),
    ];
    const peer = () =>
        dice.chance(0.5)
            ? dice.one(objects)
            : dice.one(["any", "host", "internal", "external", dice.one(cidrs), dice.one(cidrs)]);
    const protocols = [{}, {}, { protocol: "tcp" }, { protocol: "udp" }, { protocol: ["tcp", "udp"] }];
    const portArgs = () => {
        if (dice.chance(0.4))
            return dice.one([
                {},
                {},
                { protocol: "icmp" },
                { protocol: [6, "icmp"] },
                { protocol: 17 },
                { icmpTypes: ["timestamp-request", 8] },
                { icmpTypes: "time-exceeded" },
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

/** A packet of somebody to somebody. @param key how the object of a resource is called */
export function rollPacket(
    dice: Dice,
    ground: Ground,
    { host, outside }: Surroundings,
    key: (resource: At) => string,
): Packet {
    const endpoint = dice.one(ground.endpoints);
    const from = dice.one<Origin>([
        { sandbox: key(at("sandbox")(dice.one(ground.sandboxes).name)) },
        { endpoint: key(at("endpoint")(endpoint.name)) },
        { endpoint: key(at("endpoint")(endpoint.name)) },
        "host",
        { outside },
    ]);
    const to = dice.one([
        dice.one(ground.endpoints.map(addressOf)),
        dice.one(ground.endpoints.map(addressOf)),
        dice.one(ground.endpoints.map(addressOf)),
        host,
        host,
        dice.one(ground.networks.map(gatewayOf)),
        ...(from === "host" ? ["127.0.0.1", "127.0.0.1"] : []),
        ...(from !== "host" && "outside" in from ? ["127.0.0.1"] : [outside]),
    ]);
    const isOfHost = to === host || to === "127.0.0.1" || to.endsWith(".1");
    const protocol = dice.one(["tcp", "tcp", "tcp", "udp", "udp", "icmp"]);
    const source = rollSource(dice, ground, { host, outside }, endpoint, to);
    return {
        from,
        ...(from !== "host" && "endpoint" in from && source !== undefined ? { source } : {}),
        to,
        protocol,
        ...(protocol === "icmp" ? {} : { port: dice.one(isOfHost && dice.chance(0.7) ? publishedPorts : ports) }),
    };
}

/** Now and then somebody else's address. */
function rollSource(dice: Dice, ground: Ground, { outside }: Surroundings, sender: Declared, to: string) {
    const isOwn = ({ args }: Declared) => (args["sandbox"] as At).at === (sender.args["sandbox"] as At).at;
    const others = ground.endpoints.filter((each) => !isOwn(each)).map(addressOf);
    const source = dice.one([...others, outside]);
    // What stays within a sandbox meets no guard.
    const isWithin = ground.endpoints.some((each) => isOwn(each) && addressOf(each) === to);
    return dice.chance(0.1) && !isWithin && source !== to ? source : undefined;
}
