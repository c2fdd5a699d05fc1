import * as pulumi from "@pulumi/pulumi";
import type { Connection } from "../provider/model/connection.js";
import type { Kind } from "../provider/model/kind.js";
import type { ReferenceValue, RefValue } from "../provider/model/reference.js";
import type { Identity } from "./resource.js";

/** The output `reference` of a resource of type T: what other stacks are given instead of the object. */
export type Reference<T> = T extends { readonly __linuxnet: Identity<infer K> }
    ? ReferenceValue & { readonly kind: K }
    : never;

/** A resource object, also one still to come, or the `reference` another stack exports. */
export type Ref<T> = pulumi.Input<T | Reference<T>>;

/** One or several. */
export type Many<T> = pulumi.Input<pulumi.Input<T> | pulumi.Input<T>[]>;

/** What can stand behind a Ref; an OverlayNetwork is a component and resolves to its networks. */
export type RefKind = Kind | "overlay-network";

const titles: Readonly<Record<RefKind, string>> = {
    host: "Host",
    network: "Network",
    sandbox: "Sandbox",
    endpoint: "Endpoint",
    "port-mapping": "PortMapping",
    "firewall-policy": "FirewallPolicy",
    "overlay-tunnel": "OverlayTunnel",
    "overlay-network": "OverlayNetwork",
};

/** One of our resources, as far as the brand tells; also from another installed copy of the package. */
export type Branded<K extends RefKind = RefKind> = pulumi.CustomResource & {
    readonly __linuxnet: Identity<K>;
    readonly connection: pulumi.Output<Connection>;
};

/** @returns true for a resource object of the kind; false for Outputs, references and all else. */
export function isBranded<K extends RefKind>(value: unknown, ...kinds: readonly K[]): value is Branded<K> {
    const kind = (value as Partial<Branded> | null | undefined)?.__linuxnet?.kind;
    return kind !== undefined && (kinds as readonly string[]).includes(kind);
}

/**
 * Applies `project` now to a plain value, later to one still to come. Plain values stay plain, so that in a preview
 * only the leaves are unknown and mistakes are reported on the user's own line.
 */
export function follow(value: unknown, project: (value: unknown) => unknown): unknown {
    if (!pulumi.Output.isInstance(value) && !(value instanceof Promise)) return project(value);
    return settle(value).apply((known) => settle(project(known)));
}

/** As `follow`, for a value that may have Outputs anywhere inside: `project` gets it without. */
export function followDeep(value: unknown, project: (value: unknown) => unknown): unknown {
    return isPending(value) ? settle(value).apply((known) => settle(project(known))) : project(value);
}

function isPending(value: unknown): boolean {
    if (pulumi.Output.isInstance(value) || value instanceof Promise) return true;
    if (typeof value !== "object" || value === null || pulumi.Resource.isInstance(value)) return false;
    return Object.values(value).some(isPending);
}

/** `pulumi.output` for values the compiler knows nothing about; resources inside stay the objects they are. */
function settle(value: unknown): pulumi.Output<unknown> {
    return pulumi.output(value) as unknown as pulumi.Output<unknown>;
}

/** Projects one or several; an element that becomes an array (an OverlayNetwork) is flattened. */
export function projectMany(at: string, value: unknown, project: (value: unknown, at: string) => unknown): unknown {
    return follow(value, (known) => {
        if (!Array.isArray(known)) return project(known, at);
        return known.flatMap((element, index) => project(element, `${at}[${index}]`));
    });
}

/**
 * The wire form `{ kind, id }` of a Ref. It depends on the resource, which gives the engine its order.
 * @throws Error for anything else than a resource of the expected kinds or its reference, also through the Output.
 */
export function projectRef(at: string, expected: readonly Kind[], ref: unknown): unknown {
    return follow(ref, (value) => {
        const { kind, id } = identify(at, expected, value);
        return { kind, id };
    });
}

/**
 * The connection of the resource behind a Ref.
 * @throws Error for a plain reference, which carries none.
 */
export function connectionOf(at: string, expected: readonly Kind[], ref: unknown): unknown {
    return follow(ref, (value) => {
        const { kind } = identify(at, expected, value);
        if (isBranded(value, kind)) return value.connection;
        const title = titles[kind];
        const found =
            kind === "host" ? "Host.get(name, reference, { connection })" : `${title}.get(name, reference, { host })`;
        throw new Error(
            `${at}: a reference to a ${title} does not say how its machine is reached. Use ${found} first.`,
        );
    });
}

/**
 * The connection of the first of several that is a resource object; `resolve` finds the Ref inside an element.
 * @throws Error when none is.
 */
export function connectionOfFirst(
    at: string,
    expected: readonly Kind[],
    value: unknown,
    resolve: (element: unknown) => unknown,
): unknown {
    const choose = (list: unknown) => {
        const elements = [list].flat().map(resolve);
        return connectionOf(at, expected, elements.find((element) => isBranded(element, ...expected)) ?? elements[0]);
    };
    return follow(value, (known) => {
        const now = [known].flat().find((element) => isBranded(resolve(element), ...expected));
        return now === undefined ? followDeep(known, choose) : choose(now);
    });
}

/**
 * The id of the reference given to `get`.
 * @throws Error when it is none, or one of another kind; for one still to come through the Output.
 */
export function readReference(at: string, kind: Kind, lookup: unknown): pulumi.Output<string> {
    const id = follow(lookup, (value) => {
        if (typeof value === "object" && value !== null && "name" in value && !("id" in value)) {
            throw new Error(`${at}: looking up by name comes later. Pass its reference.`);
        }
        return identify(at, [kind], value).id;
    });
    return pulumi.output(id as pulumi.Input<string>);
}

interface Identified {
    readonly kind: Kind;
    readonly id: pulumi.Input<string>;
}

function identify(at: string, expected: readonly Kind[], value: unknown): Identified {
    const object = (typeof value === "object" && value !== null ? value : {}) as Record<string, unknown>;
    if (isBranded(value, ...expected)) return { kind: value.__linuxnet.kind, id: value.id };
    const wanted = expected.map((kind) => titles[kind]).join(" or ");
    const brand = (object as Partial<Branded>).__linuxnet?.kind;
    if (brand !== undefined) throw new Error(`${at}: got ${article(titles[brand])}, expected ${article(wanted)}.`);
    if (!pulumi.Resource.isInstance(value) && !("urn" in object) && isReferenceLike(object)) {
        const { kind, id, schemaVersion } = object;
        if (schemaVersion !== undefined && schemaVersion !== 1) {
            throw new Error(`${at}: the reference was made by a newer pulumi-linuxnet. Update the package.`);
        }
        if (!expected.includes(kind)) {
            throw new Error(`${at}: got a reference to ${article(titles[kind])}, expected ${article(wanted)}.`);
        }
        return { kind, id };
    }
    throw new Error(`${at}: ${describe(value, object)}, expected ${article(wanted)} or its output "reference".`);
}

function isReferenceLike(object: object): object is RefValue & { schemaVersion?: unknown } {
    const { kind, id } = object as Partial<RefValue>;
    return typeof id === "string" && typeof kind === "string" && Object.hasOwn(titles, kind);
}

function describe(value: unknown, object: Record<string, unknown>): string {
    if (value === undefined || value === null) return "got nothing";
    if (Array.isArray(value)) return "got several";
    if (pulumi.Resource.isInstance(value)) return "got a resource of another package";
    if (typeof object["urn"] === "string") {
        const name = object["urn"].split("::").at(-1);
        return `got what is left of a resource that went through a stack output: export ${name}.reference there`;
    }
    if (typeof value !== "string") return `got ${typeof value === "object" ? "an object" : `a ${typeof value}`}`;
    return `got the text "${value}" (of a resource that went through a stack output only its id is left: export frontend.reference there)`;
}

function article(title: string): string {
    return `${/^[AEIOU]/.test(title) ? "an" : "a"} ${title}`;
}
