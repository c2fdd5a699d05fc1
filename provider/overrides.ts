import { z } from "zod";
import { connectionArguments } from "./kinds/connection.js";
import { describeIssues } from "./kinds/problem.js";
import { shape } from "./kinds/schema.js";
import type { Connection } from "./model/connection.js";
import { Refusal } from "./model/refusal.js";

const text = z.string().min(1, "must not be empty");
/** `pulumi config set` stores texts, with --path booleans too. */
const flag = z
    .literal([true, false, "true", "false", "1", "0"], "true or false is expected")
    .transform((value) => value === true || value === "true" || value === "1");

const fields = {
    user: text.optional(),
    privateKey: text.optional(),
    privateKeyPassword: text.optional(),
    password: text.optional(),
    sudoPassword: text.optional(),
    deleteUnreachable: flag.optional(),
};
const names = Object.keys(fields) as (keyof typeof fields)[];
/** A program may keep its hosts' whole connections in the same table. */
const ofTheProgram = Object.fromEntries(connectionArguments.map((name) => [name, z.unknown().optional()]));
const login = shape({ ...ofTheProgram, ...fields }).transform(
    (entry) => Object.fromEntries(names.map((name) => [name, (entry as Record<string, unknown>)[name]])) as Login,
);
const everywhere = shape(fields);
const settings = shape({ ...fields, hosts: z.record(z.string(), login).optional() });

/** What stack configuration says about one login; it goes before what the state holds. */
type Login = z.output<typeof everywhere>;

/** Stack configuration of this run, secrets decrypted: for all hosts, and by name or address for some. */
export type Overrides = z.output<typeof settings>;

/**
 * Reads `linuxnet:user` and the others, and `linuxnet:hosts`, a table of the same by the Host's logical name or
 * `connection.host`. `LINUXNET_DELETE_UNREACHABLE` in the environment is one more `linuxnet:deleteUnreachable`.
 * @throws Refusal that names the setting
 */
export function parseOverrides(
    get: (key: string) => string | undefined,
    environment: Readonly<Record<string, string | undefined>>,
): Overrides {
    const given = Object.fromEntries(names.map((name) => [name, get(`linuxnet:${name}`)]));
    const input = {
        ...given,
        deleteUnreachable: environment["LINUXNET_DELETE_UNREACHABLE"] ?? given["deleteUnreachable"],
        hosts: parseTable(get("linuxnet:hosts")),
    };
    const parsed = settings.safeParse(input);
    if (parsed.success) return parsed.data;
    const reasons = describeIssues(parsed.error, input, settings).map((reason) => `linuxnet:${reason}`);
    throw new Refusal(`stack configuration: ${reasons.join(" ")}`);
}

function parseTable(json: string | undefined): unknown {
    if (json === undefined) return undefined;
    try {
        return JSON.parse(json);
    } catch {
        // The parser's own words would quote the text, keys and all.
        throw new Refusal(
            "stack configuration: linuxnet:hosts is not a table. Write it with `pulumi config set --secret --path linuxnet:hosts.<name>.privateKey`.",
        );
    }
}

function loginOf({ name, host }: Connection, { hosts = {}, ...forAll }: Overrides): Login {
    return { ...forAll, ...(hosts[host ?? ""] ?? {}), ...(hosts[name ?? ""] ?? {}) };
}

/** The connection as it is dialled. */
export function override(connection: Connection, overrides: Overrides): Connection {
    const { sudoPassword, deleteUnreachable: _, ...login } = loginOf(connection, overrides);
    const given = Object.fromEntries(Object.entries(login).filter(([, value]) => value !== undefined));
    const sudo = sudoPassword === undefined || connection.sudo === false ? {} : { sudo: { password: sudoPassword } };
    return { ...connection, ...given, ...sudo };
}

/** Whether what was on a machine that does not answer may be forgotten. */
export function mayForget(connection: Connection, overrides: Overrides): boolean {
    return loginOf(connection, overrides).deleteUnreachable ?? connection.deleteUnreachable ?? false;
}
