import colors from "picocolors";

/** What happened to a resource, as the engine says. */
export interface Change {
    readonly kind: string;
    readonly name: string;
    /** "creating", "created", "deleting", "deleted", ... */
    readonly what: string;
}

/** Reads a line such as ` +  pulumi-nodejs:dynamic/linuxnet:Network frontend created (0.21s)`. */
export function parseChange(line: string): Change | undefined {
    const [, kind, name, what] = /linuxnet:(\w+) (\S+) (\w+) \(/.exec(line) ?? [];
    if (kind === undefined || name === undefined || what === undefined) return undefined;
    return { kind, name, what };
}

/** All that was made, a line for each kind. */
export function renderCreated(changes: readonly Change[]): string {
    const created = changes.filter(({ what }) => what === "created");
    const kinds = [...new Set(created.map(({ kind }) => kind))];
    const width = Math.max(...kinds.map((kind) => kind.length));
    return kinds
        .map((kind) => {
            const names = created.filter((change) => change.kind === kind).map(({ name }) => name);
            return `${colors.green("+")} ${kind.padEnd(width)}  ${wrap(names.sort(), width + 4)}`;
        })
        .join("\n");
}

const lineWidth = 110;

function wrap(names: readonly string[], indent: number): string {
    const lines = [""];
    for (const name of names) {
        const last = lines.at(-1) ?? "";
        if (last !== "" && last.length + name.length > lineWidth - indent) lines.push(name);
        else lines[lines.length - 1] = last === "" ? name : `${last} ${name}`;
    }
    return lines.join(`\n${" ".repeat(indent)}`);
}
