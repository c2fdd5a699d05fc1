import type { HostObject } from "./object.js";
import type { Owner } from "./reference.js";

/** The owner that interfaces name: who made the object. Adopting it changes nothing in the kernel. */
export function makerOf(object: HostObject): Owner {
    return object.adoptedFrom === undefined ? object.owner : makerOf(object.adoptedFrom);
}

/** The object as the holder of one generation sees it: itself, or what it was adopted from. */
export function layerOf(object: HostObject, generation: string): HostObject | undefined {
    if (object.generation === generation || object.adoptedFrom === undefined) {
        return object.generation === generation ? object : undefined;
    }
    return layerOf(object.adoptedFrom, generation);
}

/**
 * What is left when the holder of one generation lets go: what it was adopted from, or nothing (`undefined`). Who was
 * adopted from only gives up the claim to have it back. The object itself when the generation is unknown.
 */
export function withoutLayer(object: HostObject, generation: string): HostObject | undefined {
    if (object.generation === generation) return object.adoptedFrom;
    if (object.adoptedFrom === undefined || layerOf(object, generation) === undefined) return object;
    const { adoptedFrom, ...top } = object;
    const below = withoutLayer(adoptedFrom, generation);
    return (below === undefined ? top : { ...top, adoptedFrom: below }) as HostObject;
}
