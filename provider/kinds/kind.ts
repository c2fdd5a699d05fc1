import type { z } from "zod";
import type { Item } from "../kernel/item.js";
import type { Snapshot } from "../kernel/snapshot.js";
import type { Derive } from "../model/derive.js";
import type { Kind } from "../model/kind.js";
import type { HostObject } from "../model/object.js";
import { nameStack, type Owner } from "../model/reference.js";
import type { HostFacts, World } from "../model/world.js";

/** What an object is made from besides its inputs. */
export interface BuildContext<T extends HostObject> {
    readonly world: World;
    readonly facts: HostFacts;
    readonly key: string;
    readonly generation: string;
    readonly owner: Owner;
    /** The object as it is now: what was chosen for it (addresses, ports, tables) stays. */
    readonly previous: T | undefined;
    /** The object of another owner that this one is adopted from; it keeps its name. */
    readonly adoptedFrom: T | undefined;
    /** What the kernel shows of what `survey` asked for. */
    readonly kernel: Snapshot | undefined;
    readonly derive: Derive;
    /** Addresses that the program gives to endpoints of the same network; what it leaves open takes none of them. */
    readonly staticAddresses: ReadonlySet<string>;
}

/** A kind whose inputs may name objects of other hosts. */
export interface Across {
    /** The machine that inputs put the object on; `undefined` while that is not known. Another one replaces it. */
    machineOf(inputs: Record<string, unknown>): string | undefined;
    /** The inputs that decide about the machine. */
    readonly decidedBy: readonly string[];
    /** The inputs as they are kept: of objects of other hosts with addresses, of this host's without. And what cannot be. */
    locate(inputs: Record<string, unknown>): { inputs: Record<string, unknown>; problems: string[] };
}

/** What a kind of resource means: its arguments, its object, what of it is in the kernel. All of it pure. */
export interface ObjectKind<T extends HostObject> {
    readonly kind: T["kind"];
    /** Validates the inputs and writes them in canonical form; messages for the user. */
    readonly schema: z.ZodObject;
    /** Inputs whose change makes a new object; among them the references that an object cannot outlive. */
    readonly replaces: readonly string[];
    /** What the absence of an input means that was there later than some objects; absent: nothing in particular. */
    readonly absent?: Readonly<Record<string, unknown>>;
    /** What the inputs say of other hosts, once machines are known; absent: nothing of theirs can be named. */
    readonly across?: Across;
    /** Inputs that are chosen when the program leaves them out, and outputs: taking one out of the program changes nothing. */
    readonly chosen: readonly string[];
    /** @throws Refusal when the inputs do not fit what is on the host. */
    build(inputs: Record<string, unknown>, context: BuildContext<T>): T;
    /** What of others the inputs speak of, to be looked at before `build`; absent: nothing. */
    survey?(inputs: Record<string, unknown>, world: World, facts: HostFacts): readonly Item[];
    /** Keys of an object that `build` made of the inputs, which its host keeps for root alone; absent: it has none. */
    keys?(object: T, inputs: Record<string, unknown>, facts: HostFacts, derive: Derive): string | undefined;
    /** Objects of others that these inputs describe: what `adopt` may take over. */
    twins(inputs: Record<string, unknown>, context: BuildContext<T>): readonly T[];
    /** Everything this object has in the kernel, given all objects of the host. */
    items(object: T, world: World): Item[];
    /** Keys of objects whose items depend on this one. */
    affects(object: T, world: World): Iterable<string>;
    /** Objects that must go before this one. */
    dependents(object: T, world: World): readonly HostObject[];
    /** What works and may surprise later, in words for the user; absent: nothing. */
    warnings?(object: T, world: World, facts: HostFacts): readonly string[];
    /** What was chosen by facts of the host that are others by now, as drift; absent: nothing. */
    driftOfFacts?(object: T, facts: HostFacts): readonly string[];
    /** Outputs that are no inputs; `hostAddress` is how users reach the host. */
    outputs(object: T, world: World, hostAddress: string): Record<string, unknown>;
}

/** `endpoint "x" of stack shop/dev`, as in messages about conflicts. */
export function describeObject({ kind, owner }: { readonly kind: Kind; readonly owner: Owner }): string {
    return `${kind.replace("-", " ")} "${owner.name}" of stack ${nameStack(owner)}`;
}

/** The name of an object that is called as its resource: an adopted one keeps the name it has. */
export function ownName(context: BuildContext<HostObject>): string {
    return context.adoptedFrom?.name ?? context.owner.name;
}

/** Optional properties that are absent rather than `undefined` (exactOptionalPropertyTypes). */
export function defined<T extends object>(value: T): { [K in keyof T]: Exclude<T[K], undefined> } {
    return Object.fromEntries(Object.entries(value).filter(([, entry]) => entry !== undefined)) as never;
}

/** An object of arguments; `undefined` when nothing is in it. */
export function given<T extends object>(value: T | undefined): T | undefined {
    return value === undefined || Object.keys(value).length === 0 ? undefined : value;
}
