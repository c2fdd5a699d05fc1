import { z } from "zod";
import { halfOf } from "../model/half.js";
import { everyAddress, type Family, familiesOf, isEvery, withBrackets } from "../model/host-address.js";
import {
    type Binding,
    type NetworkObject,
    type PortMappingObject,
    type PortProtocol,
    type PortTarget,
    targetsOf,
} from "../model/object.js";
import { formatPortRange, type PortRange, parsePortRange } from "../model/port-range.js";
import { familyOf } from "../model/range.js";
import { parseId } from "../model/reference.js";
import { Refusal } from "../model/refusal.js";
import { warnOfClients } from "./client-ports.js";
import { warnOfFirewalls } from "./cooperation.js";
import { type FarRef, farRef, locate } from "./elsewhere.js";
import { type BuildContext, defined, type ObjectKind, ownName } from "./kind.js";
import { endpointOf, keyIn, mappingAcross, refuseInternal, refuseWithoutSegment, segmentOf } from "./port-across.js";
import { chooseBindings, meet, type PortEntry, sizeOf } from "./port-bindings.js";
import { type LiveTarget, liveTargets, portAt, portItems, targetsIn } from "./port-items.js";
import { findRepeated, type PublishedPortInputs, protocol, publishedPorts } from "./published-ports.js";
import { adopt, hostAddress, labels, later, many, ports, ref, shape } from "./schema.js";
import { unknown } from "./unknown.js";

const weight = z
    .int("a whole number from 0 to 100 is expected")
    .min(0, "a whole number from 0 to 100 is expected")
    .max(100, "a whole number from 0 to 100 is expected");
const target = z.union([
    farRef("endpoint"),
    shape({ endpoint: farRef("endpoint"), port: ports.optional(), weight: weight.optional() }),
]);
const maximumPorts = 1024;
const maximumTargets = 64;

const inPorts = (what: string) => `is given beside ports. Write ${what} into ports`;

const schema = shape({
    target: many(target)
        .refine((targets) => targets.length > 0, "is empty. Name an Endpoint")
        .refine((targets) => targets.length <= maximumTargets, `has more than ${maximumTargets} targets`)
        .refine(someTakesConnections, "has only targets of weight 0, so nobody would take connections"),
    targetPort: ports.optional(),
    hostPort: ports.optional(),
    protocol: many(protocol).optional(),
    ports: publishedPorts.optional(),
    hostAddress: many(hostAddress).optional(),
    existingFlows: z.literal(["drain", "cut"], '"drain" or "cut" is expected').optional(),
    drainTimeoutMs: later("A change never waits: connections that drain go on until they end.", 0),
    sourceAddress: z.literal(["keep", "masquerade"], '"keep" or "masquerade" is expected').optional(),
    publishOn: ref("host").optional(),
    adopt,
    labels,
})
    .superRefine(refuseBesidePorts)
    // The default is written out, unless ports says it.
    .overwrite(({ ports: list, ...value }) =>
        list === undefined || list.length === 0
            ? { ...value, protocol: value.protocol ?? ["tcp"] }
            : { ...value, ports: list },
    );

function someTakesConnections(targets: readonly unknown[]): boolean {
    return targets.length === 0 || targets.some((each) => (each as { weight?: unknown }).weight !== 0);
}

function refuseBesidePorts(value: Record<string, unknown>, context: z.RefinementCtx): void {
    const list = value["ports"];
    if (!Array.isArray(list) || list.length === 0) return;
    const refuse = (path: (string | number)[], message: string) =>
        context.addIssue({ code: "custom", path, message, input: value });
    for (const name of ["targetPort", "hostPort", "protocol"]) {
        if (value[name] !== undefined) refuse([name], inPorts("it"));
    }
    for (const [i, each] of (Array.isArray(value["target"]) ? value["target"] : []).entries()) {
        if (each?.port !== undefined) refuse(["target", i, "port"], inPorts("the ports of all targets"));
    }
    const repeated = findRepeated(list.filter((each) => each !== unknown));
    if (repeated !== undefined)
        refuse(["ports", repeated[1]], `asks for a port of the host that ports[${repeated[0]}] has`);
}

type TargetInputs = FarRef | { endpoint: FarRef; port?: number | string; weight?: number };

interface MappingInputs {
    readonly target: TargetInputs[];
    readonly targetPort?: number | string;
    readonly hostPort?: number | string;
    readonly protocol?: PortProtocol[];
    readonly ports?: PublishedPortInputs[];
    readonly hostAddress?: string[];
    readonly existingFlows?: "drain" | "cut";
    readonly sourceAddress?: "keep" | "masquerade";
    readonly labels: Record<string, string>;
}

type Context = BuildContext<PortMappingObject>;

/** @throws Refusal when it cannot be published */
function findTarget(
    target: TargetInputs,
    at: string,
    isKept: boolean,
    context: Context,
): Pick<PortTarget, "endpoint" | "addresses"> {
    const { world, facts } = context;
    const located = locate(endpointOf(target), facts.machineId);
    if ("problem" in located) throw new Refusal(`${at} ${located.problem}`);
    const { id, addresses } = located.value as FarRef;
    if (addresses !== undefined) {
        refuseWithoutSegment(addresses, at, isKept, context);
        return { endpoint: id, addresses };
    }
    const { key } = parseId(id);
    const endpoint = world.get("endpoint", key);
    if (endpoint === undefined) throw new Refusal(`${at} is not on the host any more. Run \`pulumi up --refresh\`.`);
    refuseInternal(world.get("network", endpoint.network), at);
    return { endpoint: key };
}

function parseTargetPort(value: number | string): PortRange {
    const range = parsePortRange(value);
    if (sizeOf(range) <= maximumPorts) return range;
    throw new Refusal(`targetPort ${value} has more than ${maximumPorts} ports. Split it.`);
}

/** The port of one target; `undefined`: `ports` says it. */
function targetPortOf(target: TargetInputs, inputs: MappingInputs): PortRange | undefined {
    if (inputs.ports !== undefined) return undefined;
    const own = "endpoint" in target ? target.port : undefined;
    const value = own ?? inputs.targetPort ?? inputs.hostPort;
    if (value !== undefined) return parseTargetPort(value);
    throw new Refusal("targetPort is missing. Give the port that the sandbox listens on.");
}

function entriesOf(inputs: MappingInputs, targetPort: PortRange | undefined): PortEntry[] {
    const { hostPort, protocol: protocols = ["tcp"] } = inputs;
    const one: PublishedPortInputs = {
        targetPort: 0,
        protocol: protocols,
        ...(hostPort === undefined ? {} : { hostPort }),
    };
    return (inputs.ports ?? [one]).map((entry) => ({
        targetPort: targetPort ?? parseTargetPort(entry.targetPort),
        ...(entry.hostPort === undefined ? {} : { hostPort: parsePortRange(entry.hostPort) }),
        protocols: [...new Set(entry.protocol)],
        addresses: [...new Set<string | undefined>(entry.hostAddress ?? inputs.hostAddress ?? [undefined])],
    }));
}

/** Absent for one target: its port is that of the bindings. @throws Refusal */
function buildTargets(
    inputs: MappingInputs,
    context: Context,
): { first: PortRange | undefined; targets: PortTarget[] } {
    const all = inputs.target.map((target, i) => {
        const at = inputs.target.length === 1 ? "target" : `target[${i}]`;
        return {
            at,
            found: findTarget(target, at, inputs.sourceAddress === "keep", context),
            range: targetPortOf(target, inputs),
            target,
        };
    });
    const first = all[0]?.range;
    const targets = all.map(({ at, found, range, target }, i): PortTarget => {
        if (range !== undefined && first !== undefined && sizeOf(range) !== sizeOf(first)) {
            throw new Refusal(
                `${at} has port ${formatPortRange(range)} and target[0] ${formatPortRange(first)}: they differ in length. Make them equal.`,
            );
        }
        const same = all.findIndex(
            (other) => other.found.endpoint === found.endpoint && other.range?.first === range?.first,
        );
        if (same < i) throw new Refusal(`${at} is the same as target[${same}]. Give one of them a weight instead.`);
        const port = range?.first === first?.first ? undefined : range?.first;
        const given = "endpoint" in target ? target.weight : undefined;
        return defined({ ...found, port, weight: given === 1 ? undefined : given }) as PortTarget;
    });
    return { first, targets };
}

/** Each port of a binding to each target of a family. */
function waysIn(binding: Binding, family: Family, targets: readonly LiveTarget[], usedAddress: string) {
    const { protocol, hostAddress } = binding;
    const shown = hostAddress === undefined || isEvery(hostAddress) ? usedAddress : hostAddress;
    return Array.from({ length: sizeOf(binding.hostPort) }, (_, n) => n).flatMap((n) =>
        targetsIn(family, targets).map((target) => {
            const hostPort = binding.hostPort.first + n;
            return {
                protocol,
                hostAddress: hostAddress ?? everyAddress[family],
                hostPort,
                targetAddress: target.address,
                targetPort: portAt(target, binding, n),
                url: `${protocol}://${withBrackets(shown)}:${hostPort}`,
            };
        }),
    );
}

/** @throws Refusal when it is to be published in a family that no target has */
function refuseWithoutFamily(bindings: readonly Binding[], targets: readonly PortTarget[], { world }: Context): void {
    const networks = targets.map(({ endpoint, addresses }) =>
        addresses === undefined
            ? world.get("network", world.get("endpoint", endpoint)?.network ?? "")
            : segmentOf(addresses, world),
    );
    for (const { hostAddress } of bindings) {
        if (hostAddress === undefined) continue;
        const family = familyOf(hostAddress);
        const isFar = targets.some(({ addresses = [] }) => addresses.some((each) => familyOf(each) === family));
        const hasFamily = (network: NetworkObject | undefined) => network && halfOf(network, family) !== undefined;
        if (isFar || networks.some(hasFamily)) continue;
        const remedy = family === 6 ? "Set ipv6: true on the network" : "Give an IPv6 address of the host";
        throw new Refusal(
            `hostAddress ${hostAddress} is IPv${family}, which network "${networks[0]?.name}" of the target has not. ${remedy}, or leave the address out.`,
        );
    }
}

/** Publishes ports of the host to endpoints. */
export const portMapping: ObjectKind<PortMappingObject> = {
    kind: "port-mapping",
    schema,
    replaces: [],
    chosen: ["hostPort"],
    across: mappingAcross,

    build(raw, context) {
        const inputs = raw as unknown as MappingInputs;
        const { first, targets } = buildTargets(inputs, context);
        const [{ endpoint, addresses } = { endpoint: "" }] = targets;
        const bindings = chooseBindings(entriesOf(inputs, first), context);
        refuseWithoutFamily(bindings, targets, context);
        return {
            schemaVersion: 1,
            kind: "port-mapping",
            key: context.key,
            generation: context.generation,
            owner: context.owner,
            name: ownName(context),
            labels: inputs.labels,
            endpoint,
            // One of this host needs no more than its key, as it was written before there were others.
            ...(targets.length === 1 && addresses === undefined ? {} : { targets }),
            bindings,
            ...(inputs.existingFlows === undefined ? {} : { existingFlows: inputs.existingFlows }),
            ...(inputs.sourceAddress === "keep" && targets.some((each) => each.addresses !== undefined)
                ? { keepsSource: true }
                : {}),
            ...(typeof inputs.hostPort === "string" ? { hostPortGiven: inputs.hostPort } : {}),
        };
    },

    twins(raw, { world, facts: { machineId } }) {
        const inputs = raw as unknown as MappingInputs;
        // What it leads to is compared later.
        const wanted = entriesOf(inputs, { first: 1, last: 1 });
        const isMeant = ({ bindings }: PortMappingObject) =>
            bindings.some((binding) =>
                wanted.some(
                    ({ protocols, hostPort }) =>
                        protocols.includes(binding.protocol) &&
                        (hostPort === undefined || meet(hostPort, binding.hostPort)),
                ),
            );
        const onTargets = inputs.target.flatMap((each) => world.mappingsOf(keyIn(endpointOf(each).id, machineId)));
        return [...new Set(onTargets)].filter(isMeant);
    },

    items: portItems,

    warnings: (object, world, facts) => [
        ...warnOfClients(object.bindings, facts.clientPorts),
        ...warnOfFirewalls(object, world, facts),
    ],

    // Mappings to one target on another host share what says that it sees the client.
    *affects(object, world) {
        if (object.keepsSource)
            for (const { endpoint, addresses } of targetsOf(object))
                if (addresses !== undefined) for (const { key } of world.mappingsOf(endpoint)) yield key;
    },
    dependents: () => [],

    outputs(object, world, usedAddress) {
        const known = liveTargets(object, world);
        const gone = () => targetsOf(object).map((target) => ({ ...target, addresses: { 4: "" } }));
        const targets = known.length > 0 ? known : gone();
        return {
            hostPort: object.bindings[0]?.hostPort.first,
            hostPortGiven: object.hostPortGiven,
            bindings: object.bindings.flatMap((binding) =>
                familiesOf(binding.hostAddress).flatMap((family) => waysIn(binding, family, targets, usedAddress)),
            ),
        };
    },
};
