import { z } from "zod";
import { later, many, shape } from "./schema.js";

const milliseconds = z.int("milliseconds are expected").min(0, "must not be negative");
const path = z.string().min(1, "must not be empty");

/** How a host is reached; stored with every default written out, so that dependents compare equal. */
export const connection = shape({
    host: z
        .string()
        .min(1, "must not be empty")
        .regex(/^[A-Za-z0-9_.:%-]+$/, "must be a host name or an address")
        .optional(),
    port: z
        .int("a port is expected")
        .min(1, "must be a port, 1 to 65535")
        .max(65535, "must be a port, 1 to 65535")
        .default(22),
    user: z
        .string()
        .regex(/^[A-Za-z0-9_][A-Za-z0-9_.@\\-]*$/, "must be a user name")
        .default("root"),
    privateKey: z.string().optional(),
    privateKeyFile: path.optional(),
    privateKeyPassword: z.string().optional(),
    certificate: later("Use the key without a certificate."),
    certificateFile: later("Use the key without a certificate."),
    password: z.string().optional(),
    agentSocketPath: path.optional(),
    hostKey: many(
        z
            .string()
            .regex(
                /^((ssh|ecdsa|sk)-[A-Za-z0-9@.-]+ [A-Za-z0-9+/=]+( .*)?|SHA256:[A-Za-z0-9+/=]+)$/,
                'must be a key such as "ssh-ed25519 AAAA..." or a fingerprint such as "SHA256:..."',
            ),
    ).optional(),
    knownHosts: path.default("~/.ssh/known_hosts"),
    hostKeyPolicy: z.literal(["strict", "accept-new"], '"strict" or "accept-new" is expected').default("strict"),
    proxy: later("Reach the host directly."),
    transport: z
        .literal(["ssh2", "local"], '"ssh2" or "local" is expected ("openssh" is not supported yet)')
        .default("ssh2"),
    sudo: z
        .union([z.boolean(), shape({ password: z.string() })], "true, false or { password } is expected")
        .default(false),
    waitMs: milliseconds.optional(),
    dialTimeoutMs: milliseconds.default(15_000),
    keepAliveMs: milliseconds.default(10_000),
    lockTimeoutMs: milliseconds.default(60_000),
    operationTimeoutMs: milliseconds.default(120_000),
}).refine((value) => value["transport"] === "local" || value["host"] !== undefined, {
    path: ["host"],
    message: 'is required (or transport: "local" for the machine the program runs on)',
});

/** Names of its arguments, for suggestions. */
export const connectionNames = Object.keys(connection.shape);
