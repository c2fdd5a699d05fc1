/** What only an observed item has: differences that none of its properties expresses, in words. */
export interface Flaws {
    /** Absent: none. */
    readonly flaws?: readonly string[];
}

export function withFlaws<T extends Flaws>(item: T, flaws: readonly string[]): T {
    return flaws.length === 0 ? item : { ...item, flaws };
}
