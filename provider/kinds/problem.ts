import type { z } from "zod";
import { namesAt, suggest } from "./suggestion.js";
import { unknown } from "./unknown.js";

type Issue = z.core.$ZodIssue;
type Path = readonly PropertyKey[];

/**
 * One sentence for each thing that is wrong with the arguments: path, what is wrong, what was given.
 *
 * @param parents path of the input, when it is a part of the arguments
 */
export function describeIssues(error: z.ZodError, input: unknown, schema: z.ZodType, parents: Path = []): string[] {
    const describeOne = (issue: Issue, above: Path): string[] => {
        const path = asGiven(input, [...above, ...issue.path]);
        if (issue.code === "invalid_union") {
            const alternatives = alternativesOf(issue);
            const nearest = alternatives.length === 1 ? alternatives[0] : deepest(alternatives);
            if (nearest !== undefined) return nearest.flatMap((inner) => describeOne(inner, path));
        }
        const at = format([...parents, ...path]);
        if (issue.code === "unrecognized_keys") {
            const names = namesAt(schema, path);
            return issue.keys.map(
                (key) => `${format([...parents, ...path, key])}: there is no such argument.${suggest(key, names)}`,
            );
        }
        const message = wordsOf(issue);
        const given = valueAt(input, path);
        if (given === undefined) {
            return [`${at}: ${message.startsWith("is required") ? message : `is required (${message})`}.`];
        }
        const isSaid = message.includes(JSON.stringify(String(given)));
        return [`${at}: ${message}${isSaid ? "" : show(given, [...parents, ...path])}.`];
    };
    return error.issues.flatMap((issue) => describeOne(issue, []));
}

/** What each alternative of a union says, without that of an unknown value (see `known`), which nobody writes. */
function alternativesOf(issue: Extract<Issue, { code: "invalid_union" }>): Issue[][] {
    const isOfUnknown = ([first]: readonly Issue[]) =>
        first?.code === "invalid_value" && first.path.length === 0 && first.values.includes(unknown);
    return issue.errors.filter((issues) => issues.length > 0 && !isOfUnknown(issues));
}

/** The alternative that was meant: it fits farther than the others; `undefined` when none fits at all. */
function deepest(alternatives: readonly Issue[][]): Issue[] | undefined {
    const depth = (issues: readonly Issue[]) => Math.max(...issues.map((issue) => issue.path.length));
    const inside = alternatives.filter((issues) => depth(issues) > 0);
    return inside.sort((a, b) => a.length - b.length || alternatives.indexOf(b) - alternatives.indexOf(a))[0];
}

const typeWords: Readonly<Record<string, string>> = {
    string: "a text is expected",
    number: "a number is expected",
    int: "a whole number is expected",
    boolean: "true or false is expected",
    array: "a list is expected",
    record: "an object of names and values is expected",
    object: "an object is expected",
};

/** Our own words, or plain ones for those of zod. */
function wordsOf(issue: Issue): string {
    const isOfZod = /^Invalid input: expected/.test(issue.message);
    const words = issue.code === "invalid_type" && isOfZod ? typeWords[issue.expected] : undefined;
    // Of a record, the words about a name are one level down.
    const about = issue.code === "invalid_key" ? (issue.issues[0]?.message ?? issue.message) : issue.message;
    return words ?? about.replace(/^Invalid (input|option): /, "").replace(/\.$/, "");
}

/** Nothing of these is printed. */
const secrets = new Set<PropertyKey>([
    "password",
    "privateKey",
    "privateKeyPassword",
    "certificate",
    "proxy",
    "sudo",
    "key",
    // Of stack configuration.
    "sudoPassword",
    "hosts",
]);

/** The value as it was given, unless it may be, or hold, a credential: `ssh://root:password@host` too. */
function show(given: unknown, path: Path): string {
    const isOfConnection = path[0] === "connection";
    if (path.some((part) => secrets.has(part)) || (isOfConnection && typeof given === "object")) return "";
    const text = JSON.stringify(given);
    if (isOfConnection && (path.length === 1 || /@|\\n|PRIVATE/.test(text))) return "";
    return ` (got ${text.length > 100 ? `${text.slice(0, 100)}...` : text})`;
}

function format(path: readonly PropertyKey[]): string {
    return path
        .map((part, i) => (typeof part === "number" ? `[${part}]` : `${i === 0 ? "" : "."}${String(part)}`))
        .join("");
}

/** Of a text that stands for an object (a peer's address for the peer) there is nothing below. */
function asGiven(input: unknown, path: Path): Path {
    const end = path.findIndex((part, i) => part !== 0 && typeof valueAt(input, path.slice(0, i)) === "string");
    return end < 0 ? path : path.slice(0, end);
}

function valueAt(input: unknown, path: readonly PropertyKey[]): unknown {
    let value = input;
    for (const part of path) {
        // One value stands for a list of one (see `many`).
        if (part === 0 && !Array.isArray(value)) continue;
        value = (value as Record<PropertyKey, unknown> | undefined | null)?.[part];
    }
    return value;
}
