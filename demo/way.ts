/** Somebody reaches a service over a network: `api-1` -> `db:5432` by `database`. */
export interface Way {
    /** A sandbox, `host` or `outside`. */
    readonly from: string;
    /** `<sandbox>:<port>`, or `host:<port>` for a published port. */
    readonly to: string;
    /** The network whose address was asked, or `published`. */
    readonly by: string;
}

/** A way in words: `api-1 -> db:5432 by database`. */
export function describeWay({ from, to, by }: Way): string {
    return `${from} -> ${to} by ${by}`;
}

/** The ways that are in one list only. */
export function compareWays(expected: readonly Way[], observed: readonly Way[]): { missing: Way[]; unexpected: Way[] } {
    return { missing: without(expected, observed), unexpected: without(observed, expected) };
}

/** The ways that are not among the others. */
export function without(ways: readonly Way[], others: readonly Way[]): Way[] {
    const known = new Set(others.map(describeWay));
    return ways.filter((way) => !known.has(describeWay(way)));
}
