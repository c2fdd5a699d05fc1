import { kindTitles } from "../provider/model/kind.js";
import type { HostObject } from "../provider/model/object.js";
import { nameStack } from "../provider/model/reference.js";
import type { World } from "../provider/model/world.js";

export function stackOf(object: HostObject): string {
    return nameStack(object.owner);
}

/** `Endpoint "web-frontend" of shop/production`. */
export function titleOf(object: HostObject): string {
    return `${kindTitles[object.kind]} "${object.owner.name}" of ${stackOf(object)}`;
}

/** The logical name of an object, or the key of one that is gone. */
export function nameOf(key: string, world: World): string {
    return world.objects.get(key)?.owner.name ?? key;
}

/** `3 networks`. */
export function count(number: number, noun: string): string {
    const plural = noun.endsWith("y") ? `${noun.slice(0, -1)}ies` : /(s|x)$/.test(noun) ? `${noun}es` : `${noun}s`;
    return `${number} ${number === 1 ? noun : plural}`;
}

/** In the order in which they are to be read: by stack, then by name. */
export function inOrder<T extends HostObject>(objects: readonly T[]): T[] {
    const text = (object: T) => `${stackOf(object)} ${object.owner.name}`;
    return [...objects].sort((a, b) => text(a).localeCompare(text(b), "en", { numeric: true }));
}
