import { z } from "zod";
import type { Item } from "../kernel/item.js";
import type { Binding, PortMappingObject } from "../model/object.js";
import { formatPortRange, type PortRange, parsePortRange } from "../model/port-range.js";
import { type ObjectId, parseId, type RefValue } from "../model/reference.js";
import { Refusal } from "../model/refusal.js";
import { type BuildContext, defined, describeObject, type ObjectKind, ownName } from "./kind.js";
import { adopt, ipv4, labels, later, many, ports, ref, shape } from "./schema.js";
import { unknown } from "./unknown.js";

const target = z.union([
    ref("endpoint"),
    shape({ endpoint: ref("endpoint"), port: ports.optional(), weight: later("Every target counts the same.", 1) }),
]);
const maximumPorts = 1024;

const schema = shape({
    target: many(target).refine(
        (targets) => targets.length === 1,
        "one Endpoint is expected; several targets are not supported yet",
    ),
    targetPort: ports.optional(),
    hostPort: ports.optional(),
    protocol: many(z.literal(["tcp", "udp"], '"tcp" or "udp" is expected ("sctp" is not supported yet)')).default([
        "tcp",
    ]),
    ports: later("Write one PortMapping for each, with hostPort and targetPort.", []),
    hostAddress: many(ipv4).optional(),
    existingFlows: z.literal(["drain", "cut"], '"drain" or "cut" is expected').optional(),
    drainTimeoutMs: later("Leave it out.", 0),
    sourceAddress: later('Clients keep their address: "keep".', "keep"),
    publishOn: later("A mapping is on the host of its target."),
    adopt,
    labels,
}).refine(flowsAsUsual, {
    path: ["existingFlows"],
    message:
        'is not supported yet. Leave it out: tcp connections go on until they end ("drain"), udp flows are cut ("cut")',
});

/** tcp connections go on until they end, udp flows are cut. */
function flowsAsUsual({ existingFlows, protocol }: { existingFlows?: unknown; protocol?: unknown }): boolean {
    if (existingFlows !== "drain" && existingFlows !== "cut") return true;
    const usual = existingFlows === "drain" ? "tcp" : "udp";
    return !Array.isArray(protocol) || protocol.every((each) => each === usual || each === unknown);
}

interface MappingInputs {
    readonly target: (RefValue | { endpoint: RefValue; port?: number | string })[];
    readonly targetPort?: number | string;
    readonly hostPort?: number | string;
    readonly protocol: ("tcp" | "udp")[];
    readonly hostAddress?: string[];
    readonly labels: Record<string, string>;
}

type Context = BuildContext<PortMappingObject>;

const size = (range: PortRange) => range.last - range.first + 1;
const meet = (a: PortRange, b: PortRange) => a.first <= b.last && b.first <= a.last;

/** Every published range of the host by others, with its owner. */
function othersBindings(context: Context): { binding: Binding; owner: PortMappingObject }[] {
    const others = context.world.all("port-mapping").filter((other) => other.key !== context.key);
    return others.flatMap((owner) => owner.bindings.map((binding) => ({ binding, owner })));
}

/** An address of its own wins over "any"; both together on one port are still one holder too many. */
function sharesAddress(a: Pick<Binding, "protocol" | "hostAddress">, b: Binding): boolean {
    const sameAddress = a.hostAddress === undefined || b.hostAddress === undefined || a.hostAddress === b.hostAddress;
    return a.protocol === b.protocol && sameAddress;
}

const portsOf = (range: PortRange) => Array.from({ length: size(range) }, (_, i) => range.first + i);

/** The first free port from 20000 to 32767, below what Linux hands out to clients (ip_local_port_range). */
function choosePort(length: number, context: Context, fits: (range: PortRange) => boolean): PortRange {
    const previous = context.previous?.bindings[0]?.hostPort;
    if (previous !== undefined && size(previous) === length && fits(previous)) return previous;
    for (let first = 20000; first + length - 1 <= 32767; first++) {
        const range = { first, last: first + length - 1 };
        if (fits(range)) return range;
    }
    throw new Refusal("no free host port is left from 20000 to 32767. Give hostPort.");
}

function bindingsOf(inputs: MappingInputs, targetPort: PortRange, context: Context): Binding[] {
    const addresses: (string | undefined)[] = inputs.hostAddress ?? [undefined];
    const places = addresses.flatMap((hostAddress) =>
        inputs.protocol.map((protocol) => defined({ protocol, hostAddress }) as Pick<Binding, "protocol">),
    );
    const at = (hostPort: PortRange): Binding[] => places.map((place) => ({ ...place, hostPort, targetPort }));
    const rivals = othersBindings(context).filter(({ binding }) => places.some((own) => sharesAddress(own, binding)));
    // Neither published nor, as far as was seen, listened on.
    const taken = new Set(rivals.flatMap(({ binding }) => portsOf(binding.hostPort)));
    for (const port of context.facts.busyPorts ?? []) taken.add(port);
    const isFree = (range: PortRange) => portsOf(range).every((port) => !taken.has(port));
    if (inputs.hostPort === undefined) return at(choosePort(size(targetPort), context, isFree));
    const wanted = parsePortRange(inputs.hostPort);
    if (size(wanted) !== size(targetPort)) {
        if (size(targetPort) > 1) {
            throw new Refusal(
                `hostPort ${inputs.hostPort} and targetPort ${formatPortRange(targetPort)} differ in length. Make them equal.`,
            );
        }
        const previous = context.previous?.bindings[0]?.hostPort;
        const stays = previous !== undefined && size(previous) === 1 && meet(previous, wanted);
        if (stays && isFree(previous)) return at(previous);
        // A range for one target port: its first free one, as Docker does.
        for (let port = wanted.first; port <= wanted.last; port++) {
            const range = { first: port, last: port };
            if (isFree(range)) return at(range);
        }
    }
    const holder = rivals.find(({ binding }) => meet(binding.hostPort, wanted));
    if (holder !== undefined) {
        const { binding, owner } = holder;
        throw new Refusal(
            `host port ${formatPortRange(binding.hostPort)}/${binding.protocol} is already published by ${describeObject(owner)}. ` +
                "Choose another hostPort, or leave it out.",
        );
    }
    return at(wanted);
}

function endpointIdOf(target: MappingInputs["target"][number]): ObjectId {
    return parseId(("endpoint" in target ? target.endpoint : target).id);
}

/** Publishes ports of the host to an endpoint: one map element a port, never a rule. */
export const portMapping: ObjectKind<PortMappingObject> = {
    kind: "port-mapping",
    schema,
    replaces: [],
    refers: ["target"],
    chosen: ["hostPort"],

    build(raw, context) {
        const inputs = raw as unknown as MappingInputs;
        const [first] = inputs.target;
        if (first === undefined) throw new Refusal("target is empty. Name an Endpoint.");
        const { key, machineId } = endpointIdOf(first);
        if (machineId !== context.facts.machineId)
            throw new Refusal("target is on another host, which is not supported yet.");
        const endpoint = context.world.get("endpoint", key);
        if (endpoint === undefined) throw new Refusal("target is not on the host any more. Run `pulumi up --refresh`.");
        const network = context.world.get("network", endpoint.network);
        if (network?.internal) {
            throw new Refusal(
                `target is on network "${network.name}", which is internal: nothing from outside reaches it. ` +
                    "Publish an endpoint on another network, or take internal off.",
            );
        }
        const targetPort = ("endpoint" in first ? first.port : undefined) ?? inputs.targetPort ?? inputs.hostPort;
        if (targetPort === undefined)
            throw new Refusal("targetPort is missing. Give the port that the sandbox listens on.");
        const range = parsePortRange(targetPort);
        if (size(range) > maximumPorts)
            throw new Refusal(`targetPort ${targetPort} has more than ${maximumPorts} ports. Split it.`);
        return {
            schemaVersion: 1,
            kind: "port-mapping",
            key: context.key,
            generation: context.generation,
            owner: context.owner,
            name: ownName(context),
            labels: inputs.labels,
            endpoint: key,
            bindings: bindingsOf(inputs, range, context),
            ...(typeof inputs.hostPort === "string" ? { hostPortGiven: inputs.hostPort } : {}),
        };
    },

    twins(raw, { world }) {
        const { target, hostPort, protocol } = raw as unknown as MappingInputs;
        const wanted = hostPort === undefined ? undefined : parsePortRange(hostPort);
        const isMeant = ({ bindings }: PortMappingObject) =>
            bindings.some(
                (binding) =>
                    protocol.includes(binding.protocol) && (wanted === undefined || meet(wanted, binding.hostPort)),
            );
        return target.flatMap((each) => world.mappingsOf(endpointIdOf(each).key).filter(isMeant));
    },

    items(object, world) {
        const address = world.get("endpoint", object.endpoint)?.ipv4Address;
        if (address === undefined) return [];
        return object.bindings.flatMap(({ protocol, hostAddress, hostPort, targetPort }) => {
            const items: Item[] = [];
            for (let i = 0; i < size(hostPort); i++) {
                const port = hostPort.first + i;
                const value = [address, targetPort.first + i];
                items.push(
                    hostAddress === undefined
                        ? { type: "element", family: "inet", set: "published_any", key: [protocol, port], value }
                        : {
                              type: "element",
                              family: "inet",
                              set: "published",
                              key: [hostAddress, protocol, port],
                              value,
                          },
                );
                // A udp client keeps its old flow for as long as it sends.
                const filter = ["-p", "udp", "--orig-port-dst", String(port)];
                const leadsTo = value.join(":");
                if (protocol === "udp") items.push({ type: "flows", filter, leadsTo, cutOnAdd: true });
            }
            return items;
        });
    },

    affects: () => [],
    dependents: () => [],

    outputs(object, world, hostAddress) {
        const targetAddress = world.get("endpoint", object.endpoint)?.ipv4Address ?? "";
        return {
            hostPort: object.bindings[0]?.hostPort.first,
            hostPortGiven: object.hostPortGiven,
            bindings: object.bindings.flatMap((binding) =>
                Array.from({ length: size(binding.hostPort) }, (_, i) => {
                    const hostPort = binding.hostPort.first + i;
                    return {
                        protocol: binding.protocol,
                        hostAddress: binding.hostAddress ?? "0.0.0.0",
                        hostPort,
                        targetAddress,
                        targetPort: binding.targetPort.first + i,
                        url: `${binding.protocol}://${binding.hostAddress ?? hostAddress}:${hostPort}`,
                    };
                }),
            ),
        };
    },
};
