import { z } from "zod";
import type { Kind } from "../model/kind.js";
import { parseId, type RefValue } from "../model/reference.js";
import { addressOrRange, known, ref, refWith, shape } from "./schema.js";
import { unknown } from "./unknown.js";

/** A reference that may be to an object of another host: with what is known of it there. */
export interface FarRef extends RefValue {
    /** Addresses and ranges; only of an object of another host. */
    readonly addresses?: readonly string[];
    /** A network stands for its whole segment; only of this host. */
    readonly segment?: true;
}

const addresses = z.array(known(addressOrRange));

/** As `ref`; the SDK adds addresses always, `locate` leaves those of other hosts. */
export function farRef(...kinds: Kind[]) {
    const more = { addresses: addresses.optional(), segment: z.literal(true).optional() };
    return refWith<FarRef>(more, ...kinds);
}

/** All networks of an OverlayNetwork, from which `locate` chooses. */
export const segmentRef = shape({ kind: z.literal("overlay-network"), networks: z.array(known(ref("network"))) });

/** The machine that a reference is about; `undefined` while that is not known. */
export function machineOf(reference: unknown): string | undefined {
    const id = (reference as Partial<RefValue> | undefined)?.id;
    return id === undefined || id === unknown ? undefined : parseId(id).machineId;
}

/** A reference as the inputs keep it, or why it cannot be. */
export type Located = { readonly value: unknown } | { readonly problem: string };

const carriesNone: Partial<Record<Kind, string>> = {
    sandbox: "is a Sandbox of another host, and addresses are its endpoints'. Name its Endpoint.",
    host: "is another Host, which has addresses of many kinds. Name its address, or its Network.",
};

/** What a host other than its own keeps of a reference are addresses; of its own objects it knows more than them. */
export function locate(reference: unknown, machine: string | undefined): Located {
    if (typeof reference !== "object" || reference === null || machine === undefined) return { value: reference };
    if ("networks" in reference) return locateSegment(reference as z.infer<typeof segmentRef>, machine);
    const { addresses: given, ...plain } = reference as FarRef;
    const its = machineOf(reference);
    if (its === undefined) return { value: reference };
    if (its === machine) return { value: plain };
    if (given !== undefined) return { value: reference };
    const title = plain.kind === "network" ? "Network" : "Endpoint";
    const problem =
        carriesNone[plain.kind] ??
        `is a reference to ${title === "Endpoint" ? "an" : "a"} ${title} of another host, and carries no addresses. ` +
            `Name what ${title}.get(name, reference, { host }) finds.`;
    return { problem };
}

function locateSegment(segment: z.infer<typeof segmentRef>, machine: string): Located {
    const networks = segment.networks as unknown as readonly RefValue[];
    const own = networks.find((network) => machineOf(network) === machine);
    if (own !== undefined) return { value: { ...own, segment: true } };
    if (networks.some((network) => machineOf(network) === undefined)) return { value: segment };
    return { problem: "can never match: the OverlayNetwork has no network on the host of the target." };
}
