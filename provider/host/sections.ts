/** Scripts answer in sections: a line `@@ <name>` and what follows it. */
export function parseSections(stdout: string): Map<string, string> {
    const sections = new Map<string, string>();
    for (const part of `\n${stdout}`.split("\n@@ ").slice(1)) {
        const newline = part.indexOf("\n");
        const [name, body] = newline < 0 ? [part, ""] : [part.slice(0, newline), part.slice(newline + 1)];
        const before = sections.get(name.trim());
        sections.set(name.trim(), before === undefined || before === "" ? body : `${before}\n${body}`);
    }
    return sections;
}

/** JSON values, one a line, as `ip -json` prints them in a batch. */
export function parseJsonLines<T>(body: string | undefined): T[] {
    return (body ?? "")
        .split("\n")
        .filter((line) => line.trim() !== "")
        .map((line) => JSON.parse(line) as T);
}
