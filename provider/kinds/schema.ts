import { z } from "zod";
import { formatIpv4, parseIpv4, parseIpv4Cidr } from "../model/address.js";
import { formatIpv6, isIpv6, parseIpv6, parseIpv6Cidr } from "../model/ipv6.js";
import { type Kind, kindTitles } from "../model/kind.js";
import { formatPortRange, parsePortRange } from "../model/port-range.js";
import { parseRange } from "../model/range.js";
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

/** One text, or two, one of each family; two are stored with IPv4's first. */
export type PerFamily = string | readonly [string, string];

const twoFamilies = "one value for IPv4 is expected, or one for IPv4 and one for IPv6";

/** One of either family, or one of each. */
export function perFamily(schema: z.ZodType<string>): z.ZodType<PerFamily> {
    const parse = (given: unknown, context: z.core.$RefinementCtx) => {
        const refuse = (message: string) => {
            context.issues.push({ code: "custom", message, input: given });
            return z.NEVER;
        };
        const list: unknown[] = Array.isArray(given) ? given : [given];
        const results = list.map((each) => known(schema).safeParse(each));
        results.forEach(({ error }, i) => {
            for (const { path, ...issue } of error?.issues ?? [])
                context.issues.push({ ...issue, path: list === given ? [i, ...path] : path } as z.core.$ZodRawIssue);
        });
        const values = results.flatMap(({ data }) => data ?? []);
        if (values.length < results.length) return z.NEVER;
        const [first, second] = values.includes(unknown) ? values : values.sort((a, b) => familyOf(a) - familyOf(b));
        if (first === undefined || values.length > 2) return refuse(twoFamilies);
        if (first === unknown || second === unknown) return second === undefined ? first : [first, second];
        if (second === undefined) return first;
        return familyOf(first) < familyOf(second) ? [first, second] : refuse(twoFamilies);
    };
    return z.unknown().transform(parse) as never;
}

const familyOf = (value: string) => (isIpv6(value) ? 6 : 4);

/** What is given for one of the families. */
export function ofFamily(values: PerFamily | undefined, family: 4 | 6): string | undefined {
    return (typeof values === "string" ? [values] : (values ?? [])).find((each) => familyOf(each) === family);
}

/** The values of a family that are known, of one or several. */
export function listGiven(values: unknown, family: 4 | 6): string[] {
    const isKnown = (value: unknown): value is string => typeof value === "string" && value !== unknown;
    return [values].flat().filter((value): value is string => isKnown(value) && familyOf(value) === family);
}

/** A list of at most one. */
export function one<S extends z.ZodType>(schema: S): z.ZodType<z.output<S>> {
    const unwrap = (value: unknown, context: z.core.$RefinementCtx) => {
        if (!Array.isArray(value)) return value;
        if (value.length === 1) return value[0];
        context.issues.push({ code: "custom", message: "one value is expected", input: value });
        return z.NEVER;
    };
    return z.preprocess(unwrap, known(schema)) as never;
}

/** An argument of the contract that this version refuses unless it has one of these values. */
export function later(instead: string, ...supported: readonly unknown[]): z.ZodType {
    const refuse = z.unknown().superRefine((value, context) => {
        if (value === undefined || supported.some((each) => JSON.stringify(value) === JSON.stringify(each))) return;
        context.addIssue({ code: "custom", message: `is not supported yet. ${instead}` });
    });
    return refuse.optional();
}

export const ipv4 = text((value) => {
    parseIpv4(value);
    return value;
});
export const ipv6 = text((value) => formatIpv6(parseIpv6(value)));
/** An address of either family. */
export const address = text((value) => {
    if (isIpv6(value)) return formatIpv6(parseIpv6(value));
    parseIpv4(value);
    return value;
});
/** An address of the host to publish on. */
export const hostAddress = text((value) => {
    if (!isIpv6(value)) {
        parseIpv4(value);
        return value;
    }
    const parsed = parseIpv6(value);
    if (parsed >> 118n === 0x3fan)
        throw new Error(`"${value}" is link-local, where packets are never forwarded; give another address`);
    if (parsed === 1n)
        throw new Error(
            '"::1" cannot be published, the kernel takes no answers for it from a bridge; give "127.0.0.1"',
        );
    return formatIpv6(parsed);
});
/** A network of either family. */
export const cidr = text((value) => (isIpv6(value) ? parseIpv6Cidr(value) : parseIpv4Cidr(value)).text);
/** An address of either family becomes the network of itself alone. */
export const addressOrCidr = text((value) => {
    if (isIpv6(value)) return parseIpv6Cidr(value.includes("/") ? value : `${value}/128`).text;
    return parseIpv4Cidr(value.includes("/") ? value : `${value}/32`).text;
});
/** CIDR, or first and last address; of either family. */
export const addressRange = text((value) => {
    const { family, first, last } = parseRange(value);
    if (family === 4) return value.replace(/\s/g, "");
    return value.includes("/") ? parseIpv6Cidr(value).text : `${formatIpv6(first)}-${formatIpv6(last)}`;
});

/** An address, a network or a range, as `Network` takes them: `10.0.0.1`, `10.0.0.0/24`, `10.0.0.1-10.0.0.9`. */
export const addressOrRange = text((value) => {
    const [first = "", last] = value.split("-");
    const parse = (part: string) => (isIpv6(part) ? formatIpv6(parseIpv6(part)) : formatIpv4(parseIpv4(part)));
    if (last !== undefined) return `${parse(first.trim())}-${parse(last.trim())}`;
    return value.includes("/") ? (isIpv6(value) ? parseIpv6Cidr(value) : parseIpv4Cidr(value)).text : parse(value);
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
    return refWith({}, ...kinds);
}

/** A reference with further properties. */
export function refWith<T extends RefValue>(properties: Record<string, z.ZodType>, ...kinds: Kind[]): z.ZodType<T> {
    const message = `${listKinds(kinds)} is expected`;
    const id = text((value) => {
        parseId(value);
        return value;
    });
    // With --continue-on-error the engine asks about dependents of what failed, without an id, and then skips them.
    return shape({ kind: z.literal(kinds, message), id: id.optional(), ...properties }, message) as never;
}

export const mtu = z.int().min(576, "must be at least 576 bytes").max(65535, "must be at most 65535 bytes");
