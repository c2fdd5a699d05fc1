import { z } from "zod";
import type { PortProtocol } from "../model/object.js";
import { parsePortRange } from "../model/port-range.js";
import { parsePublishedPort, portProtocols } from "../model/published-port.js";
import { later, many, hostAddress as place, ports, shape } from "./schema.js";
import { hasUnknown } from "./unknown.js";

/** One published port or range in canonical form, whichever way it was written. */
export interface PublishedPortInputs {
    readonly targetPort: number | string;
    readonly hostPort?: number | string;
    readonly protocol: PortProtocol[];
    readonly hostAddress?: string[];
}

export const protocol = z.literal([...portProtocols], '"tcp", "udp" or "sctp" is expected');

/** Compose's short form; a number is a port of the sandbox. */
const short = z
    .union([z.string(), z.number()], 'a text such as "8080:80", or an object, is expected')
    .transform((value, context): PublishedPortInputs => {
        try {
            const { protocol: one = "tcp", hostAddress, ...rest } = parsePublishedPort(String(value));
            if (hostAddress === undefined) return { ...rest, protocol: [one] };
            const address = place.safeParse(hostAddress);
            if (address.success) return { ...rest, protocol: [one], hostAddress: [address.data] };
            throw new Error(address.error.issues[0]?.message);
        } catch (error) {
            context.issues.push({ code: "custom", message: (error as Error).message, input: value });
            return z.NEVER;
        }
    });

const object = shape({
    targetPort: ports,
    hostPort: ports.optional(),
    protocol: many(protocol).default(["tcp"]),
    hostAddress: many(place).optional(),
});

/** Compose's long form. */
const long = shape({
    target: ports,
    published: ports.optional(),
    protocol: protocol.default("tcp"),
    host_ip: place.optional(),
    mode: later("A port is published on the host of its target; leave it out.", "host"),
    name: z.string().optional(),
    app_protocol: z.string().optional(),
}).transform(({ target, published, protocol: one, host_ip }) => ({
    targetPort: target,
    ...(published === undefined ? {} : { hostPort: published }),
    protocol: [one],
    ...(host_ip === undefined ? {} : { hostAddress: [host_ip] }),
}));

const isLong = (value: unknown) => typeof value === "object" && value !== null && "target" in value;

/** Told apart by what only one of them has, so that a mistake is told in the words of the form that was meant. */
const anyForm = z.unknown().transform((value, context) => {
    const schema: z.ZodType = typeof value !== "object" ? short : isLong(value) ? long : object;
    const parsed = schema.safeParse(value);
    if (parsed.success) return parsed.data as PublishedPortInputs;
    for (const issue of parsed.error.issues) context.issues.push({ ...issue, input: value } as never);
    return z.NEVER;
});
export const publishedPorts = many(anyForm);

/** Two of the ports that ask for one and the same port of the host, by their places in the list. */
export function findRepeated(list: readonly PublishedPortInputs[]): readonly [number, number] | undefined {
    const seen = new Map<string, number>();
    for (const [i, entry] of list.entries()) {
        // Of a range for one target port the first free port is taken.
        if (hasUnknown(entry) || entry.hostPort === undefined || leavesChoice(entry)) continue;
        const { first, last } = parsePortRange(entry.hostPort);
        for (const address of new Set(entry.hostAddress ?? [""])) {
            for (const protocol of new Set(entry.protocol)) {
                for (let port = first; port <= last; port++) {
                    const at = `${address} ${protocol} ${port}`;
                    const before = seen.get(at);
                    if (before !== undefined) return [before, i];
                    seen.set(at, i);
                }
            }
        }
    }
    return undefined;
}

function leavesChoice({ hostPort = 0, targetPort }: PublishedPortInputs): boolean {
    const [host, target] = [parsePortRange(hostPort), parsePortRange(targetPort)];
    return target.first === target.last && host.first !== host.last;
}
