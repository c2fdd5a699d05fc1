import { z } from "zod";
import { icmpTypeNames, icmpTypeNumber, speaksOfIcmpv6 } from "../model/icmp-type.js";
import type { PolicyRule } from "../model/object.js";
import { formatRate, parseRate } from "../model/rate.js";
import { known, many, shape, text } from "./schema.js";
import { unknown } from "./unknown.js";

const allTypes = [...new Set([...icmpTypeNames("icmp"), ...icmpTypeNames("icmpv6")])];

const icmpType = z
    .union([z.string(), z.number()], "the name or number of an ICMP type is expected")
    .transform((value, context) => {
        if (typeof value === "string" && allTypes.includes(value)) return value;
        const type = icmpTypeNumber("icmp", value);
        if (type !== undefined) return type;
        const message = `is no ICMP type (0-255, or one of ${allTypes.join(", ")})`;
        context.issues.push({ code: "custom", message, input: value });
        return z.NEVER;
    });

const rejectWith = z.literal(
    ["tcp-reset", "port-unreachable", "host-unreachable", "admin-prohibited", "no-route"],
    '"tcp-reset", "port-unreachable", "host-unreachable", "admin-prohibited" or "no-route" is expected',
);

const atLeastOne = z.int("a whole number is expected").min(1, "must be at least 1");

const limit = shape({
    rate: text((value) => formatRate(parseRate(value))).optional(),
    burst: atLeastOne.max(1_000_000, "must be at most 1000000").optional(),
    perSource: z.boolean().optional(),
    connections: atLeastOne.max(65_535, "must be at most 65535").optional(),
})
    .refine(({ rate, connections }) => rate !== undefined || connections !== undefined, "needs rate or connections")
    .refine(({ rate, burst }) => burst === undefined || rate !== undefined, {
        path: ["burst"],
        message: "needs rate, which it exceeds for a moment",
    });

const prefix = z.string().min(1, "must not be empty").max(64, "must have at most 64 characters");

/** Arguments of a rule beyond who and what: how it answers, how often it matches, what it writes down. */
export const rareArguments = {
    icmpTypes: many(icmpType).optional(),
    rejectWith: rejectWith.optional(),
    limit: known(limit).optional(),
    log: z.union([z.boolean(), prefix], "true, false or a prefix is expected").optional(),
};

const isGiven = (value: unknown) =>
    value !== undefined && value !== unknown && !(Array.isArray(value) && value.length === 0);

/** What does not go together in one rule; nothing is said about what is not known yet. */
export function refineRare<S extends z.ZodType<Record<string, unknown>>>(rule: S) {
    return rule
        .refine(({ action, rejectWith }) => !isGiven(rejectWith) || action === "reject" || action === unknown, {
            path: ["rejectWith"],
            message: 'belongs to action "reject"',
        })
        .refine(({ icmpTypes, ports }) => !isGiven(icmpTypes) || !isGiven(ports), {
            path: ["icmpTypes"],
            message: "does not go together with ports, which ICMP has not",
        })
        .refine(({ icmpTypes, protocol }) => !isGiven(icmpTypes) || isOneIcmp(protocol), {
            path: ["icmpTypes"],
            message: 'speaks of protocol "icmp" or of "icmpv6"; give one of them alone, or none for "icmp"',
        })
        .refine(({ icmpTypes, protocol }) => !isOneIcmp(protocol) || haveThese(icmpTypes, protocol), {
            path: ["icmpTypes"],
            message: `has a type that its protocol has not; "icmpv6" has ${icmpTypeNames("icmpv6").join(", ")}`,
        });
}

/** Nothing but one of the two, as far as it is known. */
function isOneIcmp(protocol: unknown): boolean {
    if (!isGiven(protocol)) return true;
    const all = Array.isArray(protocol) ? protocol.filter((each) => each !== unknown) : [];
    return [
        ["icmp", 1],
        ["icmpv6", 58],
    ].some((names) => all.every((each) => names.includes(each as string)));
}

function haveThese(types: unknown, protocol: unknown): boolean {
    const known = (list: unknown): (string | number)[] =>
        Array.isArray(list) ? list.filter((each) => each !== unknown) : [];
    const isKnown = isGiven(types) && protocol !== unknown && known(protocol).length === (protocol as unknown[]).length;
    const of = speaksOfIcmpv6({ protocols: known(protocol) }) ? "icmpv6" : "icmp";
    return !isKnown || known(types).every((type) => icmpTypeNumber(of, type) !== undefined);
}

interface RareInputs {
    readonly icmpTypes?: (string | number)[];
    readonly rejectWith?: PolicyRule["rejectWith"];
    readonly limit?: PolicyRule["limit"];
    readonly log?: boolean | string;
}

/** They are in an object only where they say something, as rules of earlier builds are. */
export function buildRare({ icmpTypes = [], rejectWith, limit, log }: RareInputs): Partial<PolicyRule> {
    return {
        ...(icmpTypes.length === 0 ? {} : { icmpTypes }),
        ...(rejectWith === undefined ? {} : { rejectWith }),
        ...(limit === undefined ? {} : { limit }),
        ...(log === undefined || log === false ? {} : { log }),
    };
}
