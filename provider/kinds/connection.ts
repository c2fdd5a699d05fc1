import { z } from "zod";
import { addressPools } from "./address-pools.js";
import { many, shape } from "./schema.js";

const milliseconds = z.int("milliseconds are expected").min(0, "must not be negative");
const path = z.string().min(1, "must not be empty");

/** What a login takes, whether to the host or to a bastion. */
const loginFields = {
    host: z
        .string()
        .min(1, "must not be empty")
        .regex(/^[A-Za-z0-9_.:%-]+$/, "must be a host name or an address")
        .optional(),
    port: z
        .int("a port is expected")
        .min(1, "must be a port, 1 to 65535")
        .max(65535, "must be a port, 1 to 65535")
        .optional(),
    user: z
        .string()
        .regex(/^[A-Za-z0-9_][A-Za-z0-9_.@\\-]*$/, "must be a user name")
        .optional(),
    privateKey: z.string().optional(),
    privateKeyFile: path.optional(),
    privateKeyPassword: z.string().optional(),
    certificate: z.string().optional(),
    certificateFile: path.optional(),
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
    knownHosts: path.optional(),
    hostKeyPolicy: z.literal(["strict", "accept-new"], '"strict" or "accept-new" is expected').default("strict"),
    dialTimeoutMs: milliseconds.default(15_000),
    keepAliveMs: milliseconds.default(10_000),
};

const login = shape(loginFields);
const hop = login
    .superRefine((value, context) => {
        refuseCertificates(value, context);
        if (value.host === undefined)
            context.addIssue({
                code: "custom",
                path: ["host"],
                message: "the bastion's name or address",
                input: value,
            });
    })
    .transform(writeDefaults);

const fields = shape({
    ...loginFields,
    proxy: many(hop).optional(),
    transport: z.literal(["ssh2", "openssh", "local"], '"ssh2", "openssh" or "local" is expected').default("ssh2"),
    sudo: z
        .union([z.boolean(), shape({ password: z.string() })], "true, false or { password } is expected")
        .default(false),
    waitMs: milliseconds.optional(),
    lockTimeoutMs: milliseconds.default(60_000),
    operationTimeoutMs: milliseconds.default(120_000),
    // Without a default: what was stored before the argument was there has none.
    confirmTimeoutMs: z.int("milliseconds are expected").min(1000, "must be at least 1000").optional(),
    // Written by the Host, for what is on it.
    name: z.string().optional(),
    deleteUnreachable: z.boolean().optional(),
    cooperate: z.boolean().optional(),
    addressPools: addressPools.optional(),
});

type Arguments = z.output<typeof fields>;

export const connectionArguments: readonly string[] = Object.keys(fields.shape);

/** How a host is reached; stored with every default written out, so that dependents compare equal. */
export const connection = fields
    .superRefine((value, context) => {
        if (value.transport !== "openssh") refuseCertificates(value, context);
        for (const [name, message] of findConflicts(value))
            context.addIssue({ code: "custom", path: [name], message, input: value });
    })
    .transform(writeDefaults);

/** What a transport cannot do is refused, never ignored: the name of the argument and what is wrong with it. */
function findConflicts(value: Arguments): [keyof Arguments, string][] {
    const found: [keyof Arguments, string][] = [];
    const hasProxy = value.proxy !== undefined && value.proxy.length > 0;
    if (value.transport === "local" && hasProxy) found.push(["proxy", 'is not for the transport "local"']);
    if (value.transport === "local") return found;
    if (value.host === undefined)
        found.push(["host", 'is required (or transport: "local" for the machine the program runs on)']);
    if (value.transport !== "openssh") return found;
    if (value.certificate !== undefined && value.certificateFile !== undefined)
        found.push(["certificateFile", "is a second one beside certificate. Give one of them"]);
    if (value.password !== undefined)
        found.push([
            "password",
            'is not for the transport "openssh", which answers no questions. Use a key or an agent, or the transport "ssh2"',
        ]);
    if (value.privateKeyPassword !== undefined)
        found.push([
            "privateKeyPassword",
            'is not for the transport "openssh", which answers no questions. Add the key to an agent (ssh-add), or use the transport "ssh2"',
        ]);
    if (Array.isArray(value.hostKey) && value.hostKey.some((key) => key.startsWith("SHA256:")))
        found.push([
            "hostKey",
            'must be keys ("ssh-ed25519 AAAA...") with the transport "openssh", which takes no fingerprints',
        ]);
    if (hasProxy)
        found.push([
            "proxy",
            'is not for the transport "openssh". Write ProxyJump into ~/.ssh/config, or use the transport "ssh2"',
        ]);
    return found;
}

function refuseCertificates(value: z.output<typeof login>, context: z.core.$RefinementCtx): void {
    for (const name of ["certificate", "certificateFile"] as const) {
        if (value[name] === undefined) continue;
        const message = 'is for the transport "openssh" only. Use that, or the key without a certificate';
        context.addIssue({ code: "custom", path: [name], message, input: value });
    }
}

/** With "openssh" what is not given stays out: there ~/.ssh/config decides. */
function writeDefaults<Value extends z.output<typeof login>>(value: Value) {
    if ("transport" in value && value.transport === "openssh") return value;
    const { port = 22, user = "root", knownHosts = "~/.ssh/known_hosts" } = value;
    return { ...value, port, user, knownHosts };
}
