import type { Snapshot } from "../kernel/snapshot.js";
import { layerOf } from "../model/adoption.js";
import type { Derive } from "../model/derive.js";
import type { HostObject } from "../model/object.js";
import { isOfStack, type Owner } from "../model/reference.js";
import { Refusal } from "../model/refusal.js";
import type { HostFacts, World } from "../model/world.js";
import { describeObject, type ObjectKind } from "./kind.js";

/** Whose object is to be put on a host, and under which name. */
export interface Placement {
    readonly owner: Owner;
    /** Kernel name by the resource's URN, and another one for when a renamed or adopted object has that. */
    readonly key: string;
    readonly spareKey: string;
    /** Of the resource's id; absent when it is created. */
    readonly generation: string | undefined;
    readonly freshGeneration: string;
    readonly staticAddresses?: ReadonlySet<string>;
}

type Inputs = Record<string, unknown>;
type AnyKind = ObjectKind<HostObject>;

/** What is no part of the thing itself: adopting may change it. */
const ofTheOwner = new Set([
    "owner",
    "generation",
    "key",
    "host",
    "cooperate",
    "labels",
    "hostname",
    "adoptedFrom",
    "retained",
    "hostPortGiven",
    "isMtuGiven",
]);

/** What `adopt` would change, in words: it takes over what matches, and nothing else. */
function differences(there: HostObject, wanted: HostObject): string[] {
    const [a, b] = [there, wanted] as unknown as Inputs[];
    const names = new Set([...Object.keys(there), ...Object.keys(wanted)].filter((name) => !ofTheOwner.has(name)));
    return [...names].flatMap((name) => {
        const [old, now] = [a?.[name], b?.[name]].map((value) => JSON.stringify(value) ?? "absent");
        if (old === now) return [];
        return [`${name.replace(/Bytes$/, "")} is ${old} there and ${now} here`];
    });
}

/**
 * The object that the inputs describe, in place of the one that the resource has, or of one that it adopts. Pure.
 * @throws Refusal
 */
export function placeObject(
    kind: AnyKind,
    inputs: Inputs,
    at: Placement,
    world: World,
    facts: HostFacts,
    kernel: Snapshot | undefined,
    derive: Derive,
): HostObject {
    const isAdopting = inputs["adopt"] === true;
    const { owner, generation = at.freshGeneration, staticAddresses = new Set<string>() } = at;
    const context = { world, facts, kernel, derive, owner, generation, staticAddresses };

    function build(key: string, previous: HostObject | undefined, below: HostObject | undefined): HostObject {
        const object = kind.build(inputs, { ...context, key, previous, adoptedFrom: below });
        return {
            ...object,
            ...(below === undefined ? {} : { adoptedFrom: below }),
            ...(inputs["retainOnDelete"] === true ? { retained: true } : {}),
        } as HostObject;
    }

    /** Without `adopt` it is the resource's own from now on. */
    const rebuild = (own: HostObject) => build(own.key, own, isAdopting ? own.adoptedFrom : undefined);

    if (at.generation !== undefined) {
        const there = world.objects.get(at.key);
        if (there === undefined) return build(at.key, undefined, undefined);
        if (there.generation !== at.generation && layerOf(there, at.generation) !== undefined) {
            throw new Refusal(`${describeObject(there)} has adopted it. Change it there, or remove it here or there.`);
        }
        return rebuild(there);
    }

    const own = world.ownedBy(at.owner.urn);
    if (own?.kind === kind.kind) return rebuild(own);
    const key = world.objects.has(at.key) ? at.spareKey : at.key;
    const twins = () => kind.twins(inputs, { ...context, key, previous: undefined, adoptedFrom: undefined });
    if (!isAdopting) {
        try {
            return build(key, undefined, undefined);
        } catch (error) {
            // What the stack itself has cannot be adopted, but for what it left behind.
            const isAnothers = ({ owner, retained }: HostObject) => retained === true || !isOfStack(owner, at.owner);
            if (!(error instanceof Refusal && twins().some(isAnothers))) throw error;
            throw new Refusal(`${error.message} To take over what is there set adopt: true.`);
        }
    }
    const found = twins().map((twin) => {
        const object = build(twin.key, twin, twin);
        return { twin, object, differences: differences(twin, object) };
    });
    const equal = found.filter((each) => each.differences.length === 0);
    const named = equal.filter(({ twin }) => twin.owner.name === at.owner.name);
    const [choice, ...more] = named.length > 0 ? named : equal;
    if (more.length > 0) {
        const names = equal.map(({ twin }) => describeObject(twin)).join(", ");
        throw new Refusal(`several objects match: ${names}. Name the one to adopt.`);
    }
    if (choice !== undefined) return choice.object;
    const [first] = found;
    if (first === undefined) return build(key, undefined, undefined);
    throw new Refusal(
        `it cannot adopt ${describeObject(first.twin)}: ${first.differences.join("; ")}. Write it as it is there; it can be changed afterwards.`,
    );
}
