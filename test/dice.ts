/** A source of the same choices for the same seed (mulberry32). */
export interface Dice {
    below(limit: number): number;
    chance(probability: number): boolean;
    one<T>(values: readonly T[]): T;
    some<T>(values: readonly T[], atMost: number): T[];
}

export function rollDice(seed: number): Dice {
    let state = seed >>> 0;
    const next = () => {
        state = (state + 0x6d2b79f5) >>> 0;
        let mixed = Math.imul(state ^ (state >>> 15), state | 1);
        mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
        return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
    };
    const below = (limit: number) => Math.floor(next() * limit);
    const shuffle = <T>(values: readonly T[]) => {
        const keyed = values.map((value) => [next(), value] as const);
        return keyed.sort(([a], [b]) => a - b).map(([, value]) => value);
    };
    return {
        below,
        chance: (probability) => next() < probability,
        one: (values) => values[below(values.length)] as (typeof values)[number],
        some: (values, atMost) => shuffle(values).slice(0, below(atMost + 1)),
    };
}
