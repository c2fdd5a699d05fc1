/** From here on it is cheaper to copy all once than to carry on what changed. */
const manyChanges = 200;

/**
 * A map of which each change gives a new one. Those that follow each other share `all` and carry what differs: with a copy of
 * all for each change, 10,000 changes one after the other would take the square of it.
 */
export class LayeredMap<V> implements ReadonlyMap<string, V> {
    readonly size: number;
    readonly #all: ReadonlyMap<string, V>;
    /** `undefined`: taken out. */
    readonly #changed: ReadonlyMap<string, V | undefined>;

    constructor(all: ReadonlyMap<string, V>, changed: ReadonlyMap<string, V | undefined> = new Map()) {
        this.#all = all;
        this.#changed = changed;
        let size = all.size;
        for (const [key, value] of changed) size += Number(value !== undefined) - Number(all.has(key));
        this.size = size;
    }

    /** Puts (`undefined`: takes out) values. */
    with(changes: ReadonlyMap<string, V | undefined>): LayeredMap<V> {
        const next = new LayeredMap(this.#all, new Map([...this.#changed, ...changes]));
        return next.#changed.size > manyChanges ? new LayeredMap(new Map(next)) : next;
    }

    get(key: string): V | undefined {
        return this.#changed.has(key) ? this.#changed.get(key) : this.#all.get(key);
    }

    has(key: string): boolean {
        return this.get(key) !== undefined;
    }

    *entries(): MapIterator<[string, V]> {
        for (const key of this.#all.keys()) {
            const value = this.get(key);
            if (value !== undefined) yield [key, value];
        }
        for (const [key, value] of this.#changed) if (value !== undefined && !this.#all.has(key)) yield [key, value];
    }

    *keys(): MapIterator<string> {
        for (const [key] of this.entries()) yield key;
    }

    *values(): MapIterator<V> {
        for (const [, value] of this.entries()) yield value;
    }

    [Symbol.iterator](): MapIterator<[string, V]> {
        return this.entries();
    }

    forEach(visit: (value: V, key: string, map: ReadonlyMap<string, V>) => void): void {
        for (const [key, value] of this.entries()) visit(value, key, this);
    }
}
