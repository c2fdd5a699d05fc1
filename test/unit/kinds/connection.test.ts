import { expect, test } from "vitest";
import { connection } from "../../../provider/kinds/connection.js";
import { describeIssues } from "../../../provider/kinds/problem.js";
import { unknown } from "../../../provider/kinds/unknown.js";

const defaults = {
    hostKeyPolicy: "strict",
    sudo: false,
    dialTimeoutMs: 15_000,
    keepAliveMs: 10_000,
    lockTimeoutMs: 60_000,
    operationTimeoutMs: 120_000,
};
const hop = { hostKeyPolicy: "strict", dialTimeoutMs: 15_000, keepAliveMs: 10_000 };
const login = { port: 22, user: "root", knownHosts: "~/.ssh/known_hosts" };

test.each([
    ["ssh2, with every default", { host: "edge" }, { host: "edge", transport: "ssh2", ...login }],
    [
        "openssh, which leaves to ~/.ssh/config what is not given",
        { host: "edge", transport: "openssh" },
        { host: "edge", transport: "openssh" },
    ],
    [
        "openssh with what is given",
        { host: "edge", transport: "openssh", port: 22, user: "deploy", knownHosts: "/k" },
        { host: "edge", transport: "openssh", port: 22, user: "deploy", knownHosts: "/k" },
    ],
    [
        "openssh with a certificate",
        { host: "edge", transport: "openssh", certificateFile: "/c" },
        { host: "edge", transport: "openssh", certificateFile: "/c" },
    ],
    ["local, without a host", { transport: "local" }, { transport: "local", ...login }],
    [
        "a bastion, as a list",
        { host: "edge", proxy: { host: "bastion", hostKey: "SHA256:abc" } },
        {
            host: "edge",
            transport: "ssh2",
            ...login,
            proxy: [{ host: "bastion", hostKey: ["SHA256:abc"], ...hop, ...login }],
        },
    ],
    [
        "bastions, in their order",
        {
            host: "edge",
            proxy: [
                { host: "a", user: "jump" },
                { host: unknown, port: 2222 },
            ],
        },
        {
            host: "edge",
            transport: "ssh2",
            ...login,
            proxy: [
                { host: "a", ...hop, ...login, user: "jump" },
                { host: unknown, ...hop, ...login, port: 2222 },
            ],
        },
    ],
    ["an unknown host", { host: unknown }, { host: unknown, transport: "ssh2", ...login }],
])("connection: stores %s", (_name, input, expected) => {
    expect(connection.parse(input)).toEqual({ ...defaults, ...expected });
});

test("connection: what is stored is checked to itself", () => {
    for (const transport of ["ssh2", "openssh", "local"]) {
        const stored = connection.parse({ host: "edge", transport, hostKey: "ssh-ed25519 AAAA" });
        expect(connection.parse(stored)).toEqual(stored);
    }
});

test.each([
    ["no host", {}, 'host: is required (or transport: "local" for the machine the program runs on).'],
    [
        "a password over openssh",
        { host: "edge", transport: "openssh", password: "geheim" },
        'password: is not for the transport "openssh", which answers no questions. Use a key or an agent, or the transport "ssh2".',
    ],
    [
        "a passphrase over openssh",
        { host: "edge", transport: "openssh", privateKey: "x", privateKeyPassword: "geheim" },
        'privateKeyPassword: is not for the transport "openssh", which answers no questions. Add the key to an agent (ssh-add), or use the transport "ssh2".',
    ],
    [
        "a bastion without host",
        { host: "edge", proxy: [{ user: "a", password: "geheim" }] },
        "proxy[0].host: is required (the bastion's name or address).",
    ],
    [
        "sudo on a bastion",
        { host: "edge", proxy: { host: "a", sudo: true, password: "geheim" } },
        "proxy[0].sudo: there is no such argument.",
    ],
    [
        "a bastion over openssh",
        { host: "edge", transport: "openssh", proxy: { host: "a", password: "geheim" } },
        'proxy: is not for the transport "openssh". Write ProxyJump into ~/.ssh/config, or use the transport "ssh2".',
    ],
    [
        "a bastion to this machine",
        { transport: "local", proxy: [{ host: "a", password: "geheim" }] },
        'proxy: is not for the transport "local".',
    ],
    [
        "two certificates",
        { host: "edge", transport: "openssh", certificate: "geheim", certificateFile: "/c" },
        'certificateFile: is a second one beside certificate. Give one of them (got "/c").',
    ],
    [
        "a certificate over ssh2",
        { host: "edge", certificate: "geheim" },
        'certificate: is for the transport "openssh" only. Use that, or the key without a certificate.',
    ],
    [
        "a certificate file on a bastion",
        { host: "edge", proxy: { host: "a", certificateFile: "/geheim" } },
        'proxy[0].certificateFile: is for the transport "openssh" only. Use that, or the key without a certificate.',
    ],
    ["a number for a password", { host: "edge", password: 5 }, "password: a text is expected."],
])("connection: refuses %s", (_name, input, expected) => {
    const { error } = connection.safeParse(input);
    const issues = error === undefined ? [] : describeIssues(error, input, connection);
    expect(issues).toEqual([expected]);
    expect(issues.join()).not.toContain("geheim");
});

test("connection: refuses a fingerprint over openssh", () => {
    const input = { host: "edge", transport: "openssh", hostKey: ["ssh-ed25519 AAAA", "SHA256:abc"] };
    const { error } = connection.safeParse(input);
    expect(error?.issues).toMatchObject([
        { path: ["hostKey"], message: expect.stringContaining("takes no fingerprints") },
    ]);
});
