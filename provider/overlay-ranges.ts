import { z } from "zod";
import { describeIssues } from "./kinds/problem.js";
import { hasUnknown, unknown } from "./kinds/unknown.js";
import type { Handler, Props } from "./lifecycle.js";
import { isEqual } from "./model/equal.js";
import { assignRanges, type HostRange, type RangeRequest } from "./model/subnet-ranges.js";

const oneOrMany = <T extends z.ZodType>(schema: T) => z.union([schema, z.array(schema)]);

const schema = z.object({
    hosts: z.array(z.string()),
    subnet: oneOrMany(z.string()),
    prefixPerHost: oneOrMany(z.number()).optional(),
    given: z.record(z.string(), oneOrMany(z.string())).optional(),
});

/** Of the inputs that ranges follow from. @throws Error | z.ZodError */
function assign(news: Props, olds: Props): Record<string, HostRange> {
    return assignRanges(schema.parse(news) as RangeRequest, olds["ranges"] as Record<string, HostRange> | undefined);
}

/**
 * Which part of an overlay's subnet each host has: kept in state, so that a host that comes or goes moves no address of the
 * others. Assigned by check, so that a preview shows them; touches no host.
 */
export const overlayRangesHandler: Handler = {
    async check(olds, { ranges: _, ...news }) {
        if ([news["subnet"], news["prefixPerHost"], news["given"]].some(hasUnknown))
            return { inputs: { ...news, ranges: unknown }, failures: [] };
        try {
            return { inputs: { ...news, ranges: assign(news, olds) }, failures: [] };
        } catch (error) {
            const reasons =
                error instanceof z.ZodError ? describeIssues(error, news, schema) : [(error as Error).message];
            // The program says `ranges`; here that is what comes out.
            const describe = (reason: string) =>
                `OverlayNetwork "${news["segment"]}": ${reason.replace(/^given/, "ranges")}`;
            return { inputs: news, failures: reasons.map((reason) => ({ property: "", reason: describe(reason) })) };
        }
    },

    async diff(_id, olds, news) {
        const changes = !isEqual(withoutProvider(olds), withoutProvider(news));
        return { changes, replaces: [], deleteBeforeReplace: false, stables: [] };
    },

    create: async (inputs) => ({ id: "ranges", outs: inputs }),
    read: async (id, props) => ({ id, props }),
    update: async (_id, _olds, news) => ({ outs: news }),
    delete: async () => undefined,
};

const withoutProvider = ({ __provider: _, ...props }: Props): Props => props;
