import * as pulumi from "@pulumi/pulumi";
import type { Connection } from "../provider/model/connection.js";
import type { Kind } from "../provider/model/kind.js";
import type { Owner } from "../provider/model/reference.js";
import type { Host } from "./host.js";
import { connectionOf, projectRef, type Ref, type Reference, readReference } from "./reference.js";

/**
 * The options of all resources. `provider`, `import` and `id` do not apply to dynamic resources: take over what exists
 * with the argument `adopt`, observe what another stack owns with `get`.
 */
export type ResourceOptions = Omit<pulumi.CustomResourceOptions, "provider" | "import" | "id">;

/** The arguments every resource takes. */
export interface CommonArgs {
    /** Free text kept with the object in the host's manifest. In place. @default {} */
    labels?: pulumi.Input<Record<string, pulumi.Input<string>>>;
    /**
     * Takes over a matching object that is on the host already, of whoever it is, and gives it back untouched on delete;
     * with none there it is made. Taken out again, the object is the stack's own. In place. @default false
     * @throws when the one that is there differs: the message lists the differences
     */
    adopt?: pulumi.Input<boolean>;
}

/** Which object `get` looks for: the output `reference` of its resource, or its name. */
export type Lookup<T> = pulumi.Input<Reference<T>> | { readonly name: pulumi.Input<string> };

/** What `get` needs beside the reference: how the object's machine is reached. */
export interface GetArgs {
    /** The machine the object is on, made by this program or found with `Host.get`. */
    host: pulumi.Input<Host>;
}

/** What the classes know of each other in the program; never part of the state. */
export interface Identity<K extends string> {
    readonly kind: K;
    /** The logical name. */
    readonly name: string;
    /** The machine, as it was given; absent where a resource was not made from a host. */
    readonly host?: Ref<Host>;
    /** The OverlayNetwork that a network is part of. */
    readonly overlay?: pulumi.Resource;
    /** What an endpoint was attached to, where that was given as the object. */
    readonly network?: pulumi.Resource;
}

/** What is permanent about a kind: both texts are written into users' state. */
export interface Definition<K extends Kind> {
    readonly kind: K;
    readonly title: string;
    /** The text of the dynamic provider. A constant: nothing is ever serialised, old state runs today's code. */
    readonly handler: string;
}

/** What a constructor makes of its arguments. */
export interface Projection {
    /** The arguments in their wire form; undefined ones are declared as outputs and not sent. */
    readonly props: pulumi.Inputs;
    readonly connection: unknown;
    readonly host?: Ref<Host> | undefined;
    readonly network?: pulumi.Resource | undefined;
    readonly secrets?: readonly string[];
}

/** Handed to a constructor by `get` in place of arguments. */
export class Existing {
    constructor(
        readonly id: pulumi.Output<string>,
        readonly projection: Projection,
    ) {}
}

/** True for what `get` hands over. */
export const isExisting = (args: unknown) => args instanceof Existing;

/** The names of a resource's outputs, so that the compiler notices one that was not declared to the engine. */
export type Unset<T> = Record<Exclude<OutputName<T>, OutputName<LinuxnetResource<Kind>>>, undefined>;

type OutputName<T> = { [P in keyof T]-?: T[P] extends pulumi.OutputInstance<unknown> ? P : never }[keyof T];

/** What all seven resources have in common: the constant provider text, the owner, the connection as one secret. */
export abstract class LinuxnetResource<K extends Kind> extends pulumi.CustomResource {
    /**
     * The brand. A plain property, so that it is recognised across two installed copies of the package.
     * @internal
     */
    declare readonly __linuxnet: Identity<K>;

    /** The object's name in messages and on the host. */
    declare readonly name: pulumi.Output<string>;
    /** Identity without secrets, made to be exported and used by other stacks. */
    declare readonly reference: pulumi.Output<Reference<LinuxnetResource<K>>>;
    /** How the machine is reached, as one secret. */
    declare readonly connection: pulumi.Output<Connection>;
    /** The project, stack, URN and logical name the object belongs to. */
    declare readonly owner: pulumi.Output<Owner>;
    declare readonly labels: pulumi.Output<Record<string, string> | undefined>;
    declare readonly adopt: pulumi.Output<boolean | undefined>;
    /**
     * What the last refresh found on the host that no argument expresses; empty when all is well. The next update
     * repairs it.
     */
    declare readonly drift: pulumi.Output<string[]>;

    protected constructor(
        definition: Definition<K>,
        name: string,
        args: object,
        project: (at: string) => Projection,
        opts: ResourceOptions = {},
    ) {
        const at = `${definition.title} "${name}"`;
        const existing = args instanceof Existing ? args : undefined;
        if (!existing) refuseReserved(at, definition.kind, args, opts);
        const { props, connection, host, network, secrets = [] } = existing?.projection ?? project(at);
        const type = `pulumi-nodejs:dynamic/linuxnet:${definition.title}`;
        super(
            type,
            name,
            {
                ...{ name: undefined, reference: undefined, labels: undefined, adopt: undefined, drift: undefined },
                ...props,
                __provider: definition.handler,
                owner: {
                    project: pulumi.getProject(),
                    stack: pulumi.getStack(),
                    urn: predictUrn(name, type, opts.parent),
                    name,
                },
                connection: pulumi.secret(connection),
                // The engine forgets it without a call: deleting the Host must not sweep it as a left-over.
                ...(opts.retainOnDelete && definition.kind !== "host" ? { retainOnDelete: true } : {}),
                // The engine asks a dynamic provider for a verdict only, not for what changed.
                ...(opts.replaceOnChanges === undefined ? {} : { replaceOnChanges: opts.replaceOnChanges }),
            },
            {
                ...pulumi.mergeOptions(opts, { additionalSecretOutputs: ["connection", ...secrets] }),
                ...(existing ? { id: existing.id } : {}),
            },
        );
        // Not enumerable: a resource that is exported as a whole shows its outputs only.
        Object.defineProperty(this, "__linuxnet", {
            value: {
                kind: definition.kind,
                name,
                ...(host === undefined ? {} : { host }),
                ...(network === undefined ? {} : { network }),
            },
        });
    }
}

/**
 * What `get` hands to the constructor.
 * @throws Error when the object is looked for by name, which needs the host; through the Output for a wrong reference.
 */
export function findExisting<T>(
    definition: Definition<Kind>,
    name: string,
    lookup: Lookup<T>,
    unset: Record<string, undefined>,
    host: pulumi.Input<Host>,
): Existing {
    const at = `${definition.title}.get("${name}")`;
    const props = "host" in unset ? { ...unset, host: projectRef(`${at}: host`, ["host"], host) } : unset;
    const connection = connectionOf(`${at}: host`, ["host"], host);
    return new Existing(readReference(at, definition.kind, lookup), { props, connection, host });
}

/**
 * A promise, because the Output depends on the parent: on a component it would mean to wait for all the component's
 * children, siblings that wait for this resource among them, for ever.
 */
function predictUrn(name: string, type: string, parent: pulumi.Resource | undefined): Promise<string> {
    const urn = pulumi.createUrn(name, type, parent);
    return new Promise((resolve) => urn.apply(resolve));
}

/** Programs in plain JavaScript have no types to keep them from these. */
function refuseReserved(at: string, kind: Kind, args: unknown, opts: object): void {
    if (typeof args !== "object" || args === null) throw new Error(`${at}: the arguments are missing.`);
    for (const key of ["__provider", "owner", "reference", "drift", ...(kind === "host" ? [] : ["connection"])]) {
        if (key in args) throw new Error(`${at}: ${key} is an output and cannot be given.`);
    }
    const advice = {
        provider: "The provider is part of the package.",
        import: "Take over what exists with the argument `adopt: true`.",
        id: "Observe what another stack owns with `get`.",
    };
    for (const [key, text] of Object.entries(advice)) {
        if (key in opts) throw new Error(`${at}: the option ${key} does not apply to this resource. ${text}`);
    }
}
