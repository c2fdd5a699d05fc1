/** A piece of TypeScript that is printed as it is: a variable. */
export interface Variable {
    readonly variable: string;
}

export type Code =
    | string
    | number
    | boolean
    | Variable
    | readonly Code[]
    | { readonly [name: string]: Code | undefined };

const width = 120;

/** A value as a TypeScript expression; what is too long for one line is broken. */
export function renderCode(value: Code, indent = ""): string {
    const flat = render(value, undefined);
    return indent.length + flat.length <= width - 20 ? flat : render(value, indent);
}

function isVariable(value: Code): value is Variable {
    return typeof value === "object" && "variable" in value;
}

function render(value: Code, indent: string | undefined): string {
    if (typeof value !== "object") return JSON.stringify(value);
    if (isVariable(value)) return value.variable;
    const more = indent === undefined ? undefined : `${indent}    `;
    const inside = (each: Code) => (more === undefined ? render(each, undefined) : renderCode(each, more));
    const isList = Array.isArray(value);
    const parts = isList
        ? (value as readonly Code[]).map(inside)
        : Object.entries(value).flatMap(([name, entry]) =>
              entry === undefined ? [] : [renderProperty(name, entry, inside)],
          );
    const [open, close] = isList ? ["[", "]"] : ["{", "}"];
    if (parts.length === 0) return open + close;
    if (more === undefined) return isList ? `[${parts.join(", ")}]` : `{ ${parts.join(", ")} }`;
    return `${open}\n${parts.map((part) => `${more}${part},\n`).join("")}${indent}${close}`;
}

function renderProperty(name: string, value: Code, inside: (value: Code) => string): string {
    const key = /^[A-Za-z_$][\w$]*$/.test(name) ? name : JSON.stringify(name);
    const text = inside(value);
    return isVariable(value) && key === text ? key : `${key}: ${text}`;
}

const words = new Set(
    "await break case catch class const continue debugger default delete do else enum export extends false finally for function if implements import in instanceof interface let new null package private protected public return static super switch this throw true try typeof undefined var void while with yield linuxnet arguments eval".split(
        " ",
    ),
);

/** Identifiers made from names: valid, and each used once. */
export function createIdentifiers(): (name: string, suffix: string) => string {
    const used = new Set(words);
    return (name, suffix) => {
        const camel = name
            .split(/[^A-Za-z0-9]+/)
            .filter((part) => part !== "")
            .map((part, i) => (i === 0 ? part.charAt(0).toLowerCase() : part.charAt(0).toUpperCase()) + part.slice(1))
            .join("");
        const start = camel === "" ? suffix.toLowerCase() : /^\d/.test(camel) ? `_${camel}` : camel;
        const candidates = [start, start + suffix];
        for (let i = 2; ; i++) {
            const free = candidates.find((each) => !used.has(each));
            if (free === undefined) {
                candidates.push(`${start}${suffix}${i}`);
                continue;
            }
            used.add(free);
            return free;
        }
    };
}
