import { z } from "zod";
import { parseIpv4, parseIpv4Cidr, parseIpv4Range } from "../model/address.js";
import { type Kind, kindTitles } from "../model/kind.js";
import { formatPortRange, parsePortRange } from "../model/port-range.js";
import { parseId, type RefValue } from "../model/reference.js";
import { unknown } from "./unknown.js";

/** Lets an unknown value of a preview through and validates all others; the type is that of the known value. */
export function known<S extends z.ZodType>(schema: S): S {
    return z.union([z.literal(unknown), schema]) as unknown as S;
}

/** An object without further keys; each of its values may be unknown. */
export function shape<S extends Record<string, z.ZodType>>(properties: S, message?: string) {
    const entries = Object.entries(properties).map(([name, schema]) => [name, known(schema)]);
    return z.strictObject(Object.fromEntries(entries) as S, message);
}

/** A text that a parser of `model/` accepts, in the parser's canonical form. */
export function text(parse: (value: string) => string): z.ZodType<string> {
    return z.string("a text is expected").transform((value, context) => {
        try {
            return parse(value);
        } catch (error) {
            context.issues.push({ code: "custom", message: (error as Error).message, input: value });
            return z.NEVER;
        }
    });
}

/** One or several of a kind, always stored as a list. */
export function many<S extends z.ZodType>(schema: S): z.ZodType<z.output<S>[]> {
    const list = z.array(known(schema));
    return z.preprocess((value) => (Array.isArray(value) || value === undefined ? value : [value]), list) as never;
}

/** A list of at most one: the second is an address family that comes later. */
export function one<S extends z.ZodType>(schema: S): z.ZodType<z.output<S>> {
    const unwrap = (value: unknown, context: z.core.$RefinementCtx) => {
        if (!Array.isArray(value)) return value;
        if (value.length === 1) return value[0];
        context.issues.push({
            code: "custom",
            message: "one value is expected; a second one, for IPv6, is not supported yet",
            input: value,
        });
        return z.NEVER;
    };
    return z.preprocess(unwrap, known(schema)) as never;
}

/** An argument of the contract that this version refuses unless it has its default. */
export function later(instead: string, defaultValue?: unknown): z.ZodType {
    const refuse = z.unknown().superRefine((value, context) => {
        if (value === undefined || JSON.stringify(value) === JSON.stringify(defaultValue)) return;
        context.addIssue({ code: "custom", message: `is not supported yet. ${instead}` });
    });
    return refuse.optional();
}

const noIpv6 = (value: string) => {
    if (value.includes(":")) throw new Error(`"${value}" is IPv6, which is not supported yet; give an IPv4 one`);
    return value;
};

export const ipv4 = text((value) => {
    parseIpv4(noIpv6(value));
    return value;
});
export const cidr = text((value) => parseIpv4Cidr(noIpv6(value)).text);
/** An address becomes the network of itself alone. */
export const addressOrCidr = text((value) => {
    const network = noIpv6(value).includes("/") ? value : `${value}/32`;
    return parseIpv4Cidr(network).text;
});
export const addressRange = text((value) => {
    parseIpv4Range(noIpv6(value));
    return value.replace(/\s/g, "");
});

/** A port or a range, as number or "a-b". */
export const ports: z.ZodType<number | string> = z
    .union([z.number(), z.string()], "a port number or a range such as 8000-8010 is expected")
    .transform((value, context) => {
        try {
            return formatPortRange(parsePortRange(value));
        } catch (error) {
            context.issues.push({ code: "custom", message: (error as Error).message, input: value });
            return z.NEVER;
        }
    });

/** Without a default: what was made before the argument was there has none. */
export const adopt = z.boolean().optional();

export const labels = z.record(z.string(), known(z.string())).default({});

/** `an Endpoint, Sandbox or Network`. */
function listKinds(kinds: readonly Kind[]): string {
    const titles = kinds.map((kind) => kindTitles[kind]);
    const article = /^[AEIO]/.test(titles[0] ?? "") ? "an" : "a";
    const last = titles.pop();
    return `${article} ${titles.length === 0 ? last : `${titles.join(", ")} or ${last}`}`;
}

/** A reference to an object of one of the kinds, in wire form. */
export function ref(...kinds: Kind[]): z.ZodType<RefValue> {
    const message = `${listKinds(kinds)} is expected`;
    const id = text((value) => {
        parseId(value);
        return value;
    });
    // With --continue-on-error the engine asks about dependents of what failed, without an id, and then skips them.
    return shape({ kind: z.literal(kinds, message), id: id.optional() }, message) as never;
}

export const mtu = z.int().min(576, "must be at least 576 bytes").max(65535, "must be at most 65535 bytes");
