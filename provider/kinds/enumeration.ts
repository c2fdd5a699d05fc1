const named = 5;

/** `a, b, c, d, e and 3 more`. */
export function enumerate(names: readonly string[]): string {
    const more = names.length > named ? ` and ${names.length - named} more` : "";
    return `${names.slice(0, named).join(", ")}${more}`;
}
