import * as pulumi from "@pulumi/pulumi";
import { overlayRanges } from "../../../provider/index.js";

/** One resource as it was sent to the engine. */
export interface Registered {
    readonly type: string;
    readonly name: string;
    /** A secret is what `secret` makes of its value. */
    readonly inputs: Record<string, unknown>;
    readonly id: string | undefined;
}

/** Pulumi's own test engine: answers each registration with its inputs and the outputs given for the type. */
export async function startEngine(options: { preview?: boolean } = {}): Promise<Registered[]> {
    const registered: Registered[] = [];
    await pulumi.runtime.setMocks(
        {
            call: () => ({}),
            newResource: async ({ type, name, inputs, id }) => {
                // The engine's first call; the ranges are its answer.
                if (type.endsWith(":OverlayRanges")) {
                    const checked = await overlayRanges.check({}, inputs);
                    if (checked.failures[0] !== undefined) throw new Error(checked.failures[0].reason);
                    return { id: "ranges", state: checked.inputs };
                }
                registered.push({ type, name, inputs, id });
                const host = type.endsWith(":Host")
                    ? { underlayAddress: `192.0.2.${registered.length}`, ...inputs }
                    : inputs;
                return { id: options.preview ? undefined : id || `${name}.1@machine`, state: host };
            },
        },
        "shop",
        "prod",
        options.preview ?? false,
    );
    return registered;
}

/** The inputs of the resource with this logical name. */
export async function inputsOf(registered: readonly Registered[], resource: pulumi.Resource, name: string) {
    await settledOf(resource.urn);
    const found = registered.find((one) => one.name === name);
    if (!found) throw new Error(`${name} was not registered`);
    return found.inputs;
}

export function settledOf<T>(output: pulumi.Output<T>): Promise<T> {
    return new Promise((resolve, reject) => {
        // `promise` is what Pulumi's own tests use; it rejects when the projection throws, `apply` would not tell.
        const { promise, isKnown, isSecret } = output as unknown as Settling<T>;
        promise().then(resolve, reject);
        for (const also of [isKnown, isSecret]) also.catch(() => undefined);
    });
}

interface Settling<T> {
    promise(): Promise<T>;
    readonly isKnown: Promise<boolean>;
    readonly isSecret: Promise<boolean>;
}

/** A secret as it goes over the wire. */
export function secret(value: unknown) {
    return { [pulumi.runtime.specialSigKey]: pulumi.runtime.specialSecretSig, value };
}

/** Waits until everything a program made is registered. */
export async function settle(): Promise<void> {
    const { waitForRPCs } = pulumi.runtime as unknown as { waitForRPCs(): Promise<void> };
    await waitForRPCs();
}
