type Values = Readonly<Record<string, unknown>>;

/** Whether two plain values say the same; a property that is `undefined` is as good as absent. */
export function isEqual(a: unknown, b: unknown): boolean {
    if (a === b) return true;
    if (typeof a !== "object" || typeof b !== "object" || a === null || b === null) return false;
    if (Array.isArray(a) !== Array.isArray(b)) return false;
    const [one, other] = [a as Values, b as Values];
    for (const name of Object.keys(one)) if (!isEqual(one[name], other[name])) return false;
    for (const name of Object.keys(other)) if (other[name] !== undefined && one[name] === undefined) return false;
    return true;
}
