import { createHash, randomBytes } from "node:crypto";
import type { z } from "zod";
import { compare } from "./compare.js";
import { derive } from "./derive.js";
import { tell } from "./engine-log.js";
import type { Operation } from "./host/draft.js";
import type { Host } from "./host/host.js";
import { connection as connectionSchema } from "./kinds/connection.js";
import { objectKinds } from "./kinds/index.js";
import { describeObject, type ObjectKind } from "./kinds/kind.js";
import { letGo, putInPlace } from "./kinds/let-go.js";
import { placeObject } from "./kinds/placement.js";
import { describeIssues } from "./kinds/problem.js";
import { hasUnknown } from "./kinds/unknown.js";
import { layerOf, withoutLayer } from "./model/adoption.js";
import { type Connection, describeConnection } from "./model/connection.js";
import { kernelPrefixes } from "./model/kernel-name.js";
import { type Kind, kindTitles } from "./model/kind.js";
import type { HostObject } from "./model/object.js";
import { formatId, type ObjectId, type Owner, parseId, type ReferenceValue } from "./model/reference.js";
import { Refusal } from "./model/refusal.js";
import type { World } from "./model/world.js";
import { sessionOf, sessionToDelete } from "./sessions.js";
import { noteStaticAddresses, staticAddressesFor } from "./static-addresses.js";

/** Properties of a resource as the engine passes them. */
export type Props = Record<string, unknown>;

export interface CheckResult {
    readonly inputs: Props;
    readonly failures: { property: string; reason: string }[];
}

export interface DiffResult {
    readonly changes: boolean;
    readonly replaces: string[];
    readonly deleteBeforeReplace: boolean;
    readonly stables: string[];
}

export interface ReadResult {
    readonly id: string;
    readonly props?: Props;
}

/** What the engine calls, for one kind. */
export interface Handler {
    check(olds: Props, news: Props): Promise<CheckResult>;
    diff(id: string, olds: Props, news: Props): Promise<DiffResult>;
    create(inputs: Props): Promise<{ id: string; outs: Props }>;
    read(id: string, props: Props): Promise<ReadResult>;
    update(id: string, olds: Props, news: Props): Promise<{ outs: Props }>;
    delete(id: string, props: Props): Promise<void>;
}

/** Inputs that every resource has beside its arguments; written by the SDK and by check. */
const internals = [
    ...(["__provider", "owner", "connection", "objectKey", "retainOnDelete", "replaceOnChanges"] as const),
    ...(["staticAddresses"] as const),
];

/** A change of these touches nothing on the host. */
const ofTheProgramOnly = new Set(["connection", "objectKey"]);

const ownerOf = (props: Props) => props["owner"] as Owner;
const connectionOf = (props: Props) => props["connection"] as Connection;

/** Kernel names come from a hash of the first URN and stay: renames change labels only. */
function keyOf(kind: HostObject["kind"], urn: string): string {
    return kernelPrefixes[kind] + createHash("sha256").update(urn).digest("hex").slice(0, 12);
}

/** Validates arguments; shared by all kinds. Pure and local, with unknown values anywhere. */
export function checkInputs(kind: Kind, schema: z.ZodObject, news: Props): CheckResult {
    const title = `${kindTitles[kind]} "${ownerOf(news)?.name ?? "?"}"`;
    const own = Object.entries(news).filter(
        ([name]) => !(internals as readonly string[]).includes(name) || name in schema.shape,
    );
    const input = Object.fromEntries(own);
    const parsed = schema.safeParse(input);
    const reasons = parsed.success ? [] : describeIssues(parsed.error, input, schema);
    const kept = Object.fromEntries(
        Object.entries(news).filter(([name]) => (internals as readonly string[]).includes(name)),
    );
    let inputs: Props = { ...kept, ...(parsed.success ? withoutUndefined(parsed.data) : input) };
    if (!("connection" in schema.shape) && !hasUnknown(news["connection"])) {
        const checked = connectionSchema.safeParse(news["connection"]);
        if (checked.success) inputs = { ...inputs, connection: withoutUndefined(checked.data) };
        else reasons.push(...describeIssues(checked.error, news["connection"], connectionSchema, ["connection"]));
    }
    // A named property would print its value, secrets too.
    return { inputs, failures: reasons.map((reason) => ({ property: "", reason: `${title}: ${reason}` })) };
}

/** The engine refuses `undefined`, and stores what it is given: dropped at every depth. */
export function withoutUndefined<T>(value: T): T {
    if (Array.isArray(value)) return value.map(withoutUndefined) as T;
    if (typeof value !== "object" || value === null) return value;
    const entries = Object.entries(value).filter(([, entry]) => entry !== undefined);
    return Object.fromEntries(entries.map(([name, entry]) => [name, withoutUndefined(entry)])) as T;
}

/** What `get` reads with is as the program wrote it, without a check before: the connection lacks its defaults. */
export function completeGet(props: Props): Props {
    if (props["schemaVersion"] !== undefined) return props;
    const checked = connectionSchema.safeParse(props["connection"]);
    if (checked.success) return { ...props, connection: withoutUndefined(checked.data) };
    throw new Refusal(describeIssues(checked.error, props["connection"], connectionSchema, ["connection"]).join(" "));
}

/** The same message everywhere: which resource, on which host, what, what to do. No stack trace. */
export function explain(kind: Kind, props: Props, error: unknown): Error {
    const text = error instanceof Error ? error.message : String(error);
    const connection = connectionOf(props) as Connection | undefined;
    const host = connection === undefined ? "" : describeConnection({ ...connection, port: connection.port ?? 22 });
    // Errors of the connection name the host already.
    const message = host !== "" && text.startsWith(`${host}: `) ? text.slice(host.length + 2) : text;
    const who = `${kindTitles[kind]} "${ownerOf(props)?.name ?? "?"}"${host === "" ? "" : ` on ${host}`}`;
    const explained = new Error(`${who}: ${message}`);
    // What @pulumi/pulumi prints of an error of read and delete, `${error}: ${error.stack}`, is the message once.
    explained.toString = () => who;
    explained.stack = message;
    return explained;
}

/** A transaction says whose it is to who waits for it, and tells its owner whom it waits for. */
export function signedBy(kind: Kind, owner: Owner): Pick<Operation, "owner" | "onWait"> {
    return { owner: describeObject({ kind, owner }), onWait: (message) => tell(owner.urn, message) };
}

export function refuseOtherMachine(host: Host, machineId: string): void {
    if (host.facts.machineId === machineId) return;
    throw new Refusal(
        `another machine answers: its machine id is ${host.facts.machineId}, not ${machineId}. ` +
            "Point the connection at the right machine; if this one takes its place, change the Host's triggers.",
    );
}

function outputsOf(
    kind: ObjectKind<HostObject>,
    object: HostObject,
    inputs: Props,
    world: World,
    machineId: string,
): Props {
    const id = formatId({ key: object.key, generation: object.generation, machineId });
    const { owner } = object;
    const outs = kind.outputs(object, world, connectionOf(inputs).host ?? "127.0.0.1");
    // An output may say less than its input did: the first of two families.
    const given = Object.entries(inputs)
        .filter(([name, value]) => Array.isArray(value) && typeof outs[name] === "string")
        .map(([name, value]) => [`${name}Given`, value]);
    const reference: ReferenceValue = { schemaVersion: 1, kind: kind.kind, id, name: object.name, machineId, owner };
    return withoutUndefined({
        name: object.name,
        ...inputs,
        ...Object.fromEntries(given),
        ...outs,
        schemaVersion: 1,
        machineId,
        reference,
        drift: [],
    });
}

/** The machines that inputs refer to, by id, and the input that does; an unknown one is looked at when it is known. */
function machinesOf(inputs: Props): Map<string, string> {
    const found = new Map<string, string>();
    for (const [name, value] of Object.entries(inputs)) {
        const id = (value as { id?: unknown } | null)?.id;
        if (typeof id !== "string" || !id.includes("@")) continue;
        found.set(parseId(id).machineId, name);
    }
    return found;
}

const said = new WeakMap<Host, Set<string>>();

/** Once a run for each host, on the first resource that it is about. */
function warnOnce(host: Host, urn: string, words: string): void {
    const known = said.get(host) ?? new Set();
    said.set(host, known);
    if (known.has(words)) return;
    known.add(words);
    tell(urn, words, "WARNING");
}

function refuseMixedMachines(news: Props): string[] {
    const [first, second] = machinesOf(news).values();
    if (second === undefined) return [];
    return [
        `${first} and ${second} are on different machines. An endpoint joins a sandbox and a network of one host; join hosts with an OverlayNetwork.`,
    ];
}

/** Pulumi's check, diff, create, read, update and delete for a kind whose objects are in a host's manifest. */
export function objectHandler(kindName: HostObject["kind"]): Handler {
    const kind = objectKinds[kindName];

    /** Creates (without an id), updates and repairs: the object that the inputs describe takes its place on the host. */
    async function put(inputs: Props, known?: ObjectId, repair = false): Promise<{ id: string; outs: Props }> {
        const owner = ownerOf(inputs);
        const host = await sessionOf(connectionOf(inputs));
        if (known !== undefined) refuseOtherMachine(host, known.machineId);
        for (const machineId of machinesOf(inputs).keys()) refuseOtherMachine(host, machineId);
        const freshGeneration = randomBytes(3).toString("hex");
        const placement = {
            owner,
            key: known?.key ?? (inputs["objectKey"] as string),
            spareKey: keyOf(kindName, `${owner.urn} ${freshGeneration}`),
            generation: known?.generation,
            freshGeneration,
            staticAddresses: staticAddressesFor(inputs),
        };
        // What a killed create left, or another owner has, may differ from what the manifest says.
        const isThere = host.world().ownedBy(owner.urn) !== undefined || inputs["adopt"] === true;
        const surveyed = kind.survey?.(inputs, host.world(), host.facts) ?? [];
        const kernel = surveyed.length > 0 ? await host.look(surveyed) : undefined;
        let key = placement.key;
        let keys: string | undefined;
        const world = await host.commit({
            ...signedBy(kindName, owner),
            repair: repair || (known === undefined && isThere),
            decide(current, facts) {
                const object = placeObject(kind, inputs, placement, current, facts, kernel, derive);
                key = object.key;
                keys = kind.keys?.(object, inputs, facts, derive);
                return putInPlace(object, owner, current);
            },
            keysOf: (object) => (object.key === key ? keys : undefined),
        });
        const object = world.objects.get(key);
        if (object === undefined) throw new Error("it was removed by another program at once. Try again.");
        for (const words of kind.warnings?.(object, world, host.facts) ?? []) warnOnce(host, owner.urn, words);
        const id = formatId({ key, generation: object.generation, machineId: host.facts.machineId });
        return { id, outs: outputsOf(kind, object, inputs, world, host.facts.machineId) };
    }

    return {
        async check(olds, news) {
            const checked = checkInputs(kindName, kind.schema, news);
            const urn = ownerOf(news)?.urn;
            const isKnown = typeof urn === "string" && !hasUnknown(urn);
            const objectKey = olds["objectKey"] ?? (isKnown ? keyOf(kindName, urn) : undefined);
            const isSound = checked.failures.length === 0;
            const mixed = isSound ? refuseMixedMachines(checked.inputs) : [];
            const located = isSound ? kind.across?.locate(checked.inputs) : undefined;
            const title = `${kindTitles[kindName]} "${ownerOf(news)?.name}"`;
            noteStaticAddresses(news);
            return {
                inputs: withoutUndefined({
                    ...checked.inputs,
                    ...located?.inputs,
                    objectKey,
                    // Of the program, not of the resource: with it in the state, whatever changes elsewhere would show here.
                    staticAddresses: undefined,
                }),
                failures: [
                    ...checked.failures,
                    ...[...mixed, ...(located?.problems ?? [])].map((reason) => ({
                        property: "",
                        reason: `${title}: ${reason}`,
                    })),
                ],
            };
        },

        async diff(id, olds, news) {
            const { changes, replaces: replacing, changed } = compare(olds, news, kind);
            const machine = kind.across?.machineOf(news);
            const moves = machine !== undefined && machine !== parseId(id).machineId;
            const deciding = moves ? changed.filter((name) => kind.across?.decidedBy.includes(name)) : [];
            const replaces = [...replacing, ...deciding];
            return { changes, replaces, deleteBeforeReplace: replaces.length > 0, stables: [] };
        },

        create: (inputs) => put(inputs),

        async read(id, given) {
            const { key, generation, machineId } = parseId(id);
            const props = completeGet(given);
            const host = await sessionOf(connectionOf(props));
            refuseOtherMachine(host, machineId);
            const { world, facts, driftOf } = await host.observe();
            const there = world.objects.get(key);
            if (there === undefined) return { id: "" };
            const object = layerOf(there, generation) ?? there;
            const drift = [...driftOf(key), ...(kind.driftOfFacts?.(object, facts) ?? [])];
            return { id, props: { ...outputsOf(kind, object, props, world, machineId), drift } };
        },

        async update(id, olds, news) {
            const { changed } = compare(olds, news, kind);
            // A new key, port or bastion is a new way to the same object.
            if (changed.every((name) => ofTheProgramOnly.has(name)))
                return { outs: withoutUndefined({ ...olds, ...news }) };
            const { outs } = await put(news, parseId(id), changed.includes("drift"));
            return { outs };
        },

        async delete(id, props) {
            const { key, generation, machineId } = parseId(id);
            const owner = ownerOf(props);
            const host = await sessionToDelete(connectionOf(props), machineId, owner.urn);
            if (host === undefined) return;
            refuseOtherMachine(host, machineId);
            await host.commit({
                ...signedBy(kindName, owner),
                repair: false,
                decide(world) {
                    const object = world.objects.get(key);
                    if (object === undefined) return new Map();
                    const left = withoutLayer(object, generation);
                    // Made anew meanwhile: nothing of this id is there.
                    if (left === object) return new Map();
                    return letGo(new Map([[key, left]]), owner, world);
                },
            });
        },
    };
}
