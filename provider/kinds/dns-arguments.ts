import { z } from "zod";
import { parseDnsName } from "../model/dns-name.js";
import { dnsModes } from "../model/object.js";
import { address, known, many, shape, text } from "./schema.js";

/** Options of resolv.conf(5), and the largest number of those that have one. */
const options: Readonly<Record<string, number | undefined>> = {
    debug: undefined,
    ndots: 15,
    timeout: 30,
    attempts: 5,
    rotate: undefined,
    "no-aaaa": undefined,
    "no-check-names": undefined,
    inet6: undefined,
    edns0: undefined,
    "single-request": undefined,
    "single-request-reopen": undefined,
    "no-tld-query": undefined,
    "use-vc": undefined,
    "no-reload": undefined,
    "trust-ad": undefined,
};

/** As resolv.conf(5) writes it: `ndots:2`, `rotate`. @throws Error */
function parseOption(given: string): string {
    const [name = "", number, ...rest] = given.split(":");
    const maximum = options[name];
    if (!Object.hasOwn(options, name) || rest.length > 0) {
        const all = Object.entries(options).map(([each, most]) => (most === undefined ? each : `${each}:n`));
        throw new Error(`"${given}" is no option of resolv.conf(5): ${all.join(", ")}`);
    }
    if (maximum === undefined && number === undefined) return given;
    if (maximum === undefined) throw new Error(`"${given}": the option ${name} has no number`);
    if (!/^\d{1,3}$/.test(number ?? "") || Number(number) > maximum)
        throw new Error(`"${given}": the option ${name} has a number up to ${maximum}, as in ${name}:${maximum}`);
    return `${name}:${Number(number)}`;
}

export const dnsName = text(parseDnsName);

/** How names are resolved, of a network or a sandbox. */
export const dns = shape(
    {
        mode: z
            .literal(
                [...dnsModes],
                '"server" (a resolver on the host), "hosts" (files with the names) or "none" is expected',
            )
            .optional(),
        servers: many(address).optional(),
        search: many(dnsName).optional(),
        domain: dnsName.optional(),
        options: many(text(parseOption)).optional(),
    },
    'an object such as { servers: ["192.0.2.53"], search: ["example.com"] } is expected',
);

/** Names beside those of sandboxes; "host-gateway" is the host, as the sandbox reaches it. */
export const extraHosts = z.record(
    dnsName,
    known(
        text((value) => {
            if (value === "host-gateway") return value;
            const parsed = address.safeParse(value);
            if (parsed.success) return parsed.data;
            const [issue] = parsed.error.issues;
            throw new Error(`${issue?.message}, nor "host-gateway"`);
        }),
    ),
    "an object of names and addresses is expected",
);
