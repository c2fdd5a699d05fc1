import type { Kind } from "./kind.js";

/** Who made an object: kept in the manifest, in references and in messages about conflicts. */
export interface Owner {
    readonly project: string;
    readonly stack: string;
    /** Pulumi's URN; the kernel names are a hash of the first one, later changes are labels only. */
    readonly urn: string;
    /** The resource's logical name. */
    readonly name: string;
}

/** `shop/dev`, as `pulumi stack select` takes it: a stack's name alone is not its own, every project has a "dev". */
export function nameStack({ project, stack }: Pick<Owner, "project" | "stack">): string {
    return `${project}/${stack}`;
}

/** Whether an object is of this stack. */
export function isOfStack(owner: Owner, { project, stack }: Pick<Owner, "project" | "stack">): boolean {
    return owner.project === project && owner.stack === stack;
}

/**
 * What is stored of a reference to another resource: identity only. This wire form is permanent, it is written into
 * users' state.
 */
export interface RefValue {
    readonly kind: Kind;
    readonly id: string;
}

/** The output `reference` of each resource, made to be exported and used through a StackReference. No secrets. */
export interface ReferenceValue extends RefValue {
    readonly schemaVersion: 1;
    readonly name: string;
    readonly machineId: string;
    readonly owner: Owner;
}

/** An id taken apart: `<key>.<generation>@<machine id>`. */
export interface ObjectId {
    /** Kernel name of the object and name of its file in the manifest; "host" for a Host. */
    readonly key: string;
    /** Changes with each creation, so that a replaced object has another id. */
    readonly generation: string;
    readonly machineId: string;
}

export function formatId(id: ObjectId): string {
    return `${id.key}.${id.generation}@${id.machineId}`;
}

/** @throws Error when the text is no id of this provider. */
export function parseId(text: string): ObjectId {
    const match = /^([a-z0-9]+)\.([a-z0-9]+)@([A-Za-z0-9-]+)$/.exec(text);
    const [, key, generation, machineId] = match ?? [];
    if (key === undefined || generation === undefined || machineId === undefined) {
        throw new Error(
            `"${text}" is not an id of pulumi-linuxnet. Pass the resource object or its output "reference".`,
        );
    }
    return { key, generation, machineId };
}
