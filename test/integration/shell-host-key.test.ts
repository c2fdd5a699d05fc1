import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { execa } from "execa";
import { afterAll, beforeAll, expect, test } from "vitest";
import { createHost, type LabHost } from "../../lab/index.js";
import { generateKeyPair } from "../../lab/key-pair.js";
import { findHostLines, parseKnownHosts, renderFingerprint, renderHostName } from "../../provider/host/host-key.js";
import { type ConnectionChanges, connectionTo, openUsing, refusalOf } from "./host-connection.js";

const folder = mkdtempSync(join(tmpdir(), "linuxnet-test-"));
const file = join(folder, "known_hosts");
const strangeKey = generateKeyPair().public.trim();

let host: LabHost;
/** Keys of the sshd on port 2222, as `type base64`. */
let keys: Readonly<Record<"ed25519" | "ecdsa" | "rsa", string>>;

beforeAll(async () => {
    host = await createHost();
    const { stdout } = await host.exec(`cd /etc/ssh
        for type in ecdsa rsa; do ssh-keygen -q -t $type -N '' -f ssh_host_\${type}_key; done
        { for type in rsa ecdsa; do echo HostKey /etc/ssh/ssh_host_\${type}_key; done; cat sshd_config; } >both_config
        /usr/sbin/sshd -p 2222 -f both_config
        cut -d ' ' -f 1,2 ssh_host_ecdsa_key.pub ssh_host_rsa_key.pub`);
    const [ecdsa = "", rsa = ""] = stdout.split("\n");
    keys = { ed25519: host.connection.hostKey, ecdsa, rsa };
});

afterAll(async () => {
    rmSync(folder, { recursive: true });
    await host[Symbol.asyncDispose]();
});

/** A connection that judges by the known_hosts file, given by its text. */
function byKnownHosts(text: string, changes: ConnectionChanges = {}) {
    writeFileSync(file, text);
    return connectionTo(host, { hostKey: undefined, knownHosts: file, ...changes });
}

async function expectToOpen(connection: ReturnType<typeof connectionTo>): Promise<void> {
    await using shell = await openUsing(connection);
    expect((await shell.run("id -u", { timeoutMs: 10_000 })).stdout).toBe("0\n");
}

const fingerprintOf = (key: string) => renderFingerprint(key.split(" ")[1] ?? "");

test.each(["ed25519", "ecdsa", "rsa"] as const)(
    "host key: only the %s key is known, so the server is asked for it",
    async (type) => {
        await expectToOpen(byKnownHosts(`[${host.address}]:2222 ${keys[type]}\n`, { port: 2222 }));
        await expectToOpen(connectionTo(host, { port: 2222, hostKey: [`${keys[type]} root@edge`] }));
    },
);

test("host key: fingerprints, several keys, hashed files and bare names off port 22 are taken", async () => {
    await expectToOpen(connectionTo(host, { hostKey: [fingerprintOf(keys.ed25519)] }));
    await expectToOpen(connectionTo(host, { hostKey: [strangeKey, `${fingerprintOf(keys.ed25519)}=`] }));
    await expectToOpen(byKnownHosts(`${host.address} ${keys.ed25519}\n`, { port: 2222 }));
    writeFileSync(file, `${host.address} ${keys.ed25519}\n`);
    await execa("ssh-keygen", ["-q", "-H", "-f", file]);
    expect(readFileSync(file, "utf8")).toMatch(/^\|1\|/);
    await expectToOpen(connectionTo(host, { hostKey: undefined, knownHosts: file }));
});

test("host key: unknown, changed and revoked are three refusals, each with fingerprint and the line to paste", async () => {
    const { address } = host;
    const key = keys.ed25519;
    const print = fingerprintOf(key);
    const messageOf = async (text: string) => (await refusalOf(byKnownHosts(text))).message;
    expect(await messageOf("")).toBe(
        `root@${address}: the host key is unknown: ssh-ed25519 ${print} is not in ${file}. Check the fingerprint on the host's ` +
            "console (ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub), then set connection.hostKey: " +
            `"${key}", or add the line "${address} ${key}" to ${file}.`,
    );
    const changed = await messageOf(`# mine\n${address} ${strangeKey}\n`);
    expect(changed).toContain(
        `the host key has changed. The host shows ssh-ed25519 ${print}, but line 2 of ${file} has`,
    );
    expect(changed).toContain(fingerprintOf(strangeKey));
    expect(changed).toContain(`ssh-keygen -R '${address}' -f ${file}`);
    expect(changed).toContain(`connection.hostKey: "${key}"`);
    const revoked = await messageOf(`${address} ${key}\n@revoked * ${key}\n`);
    expect(revoked).toContain(`the host key ssh-ed25519 ${print} is marked @revoked in line 2 of ${file}.`);
});

test("host key: one that is not in connection.hostKey is refused, whatever known_hosts has", async () => {
    const known = byKnownHosts(`${host.address} ${keys.ed25519}\n`);
    const error = await refusalOf({ ...known, hostKey: [strangeKey], hostKeyPolicy: "accept-new" });
    expect(error.message).toContain("the host key is not the one in connection.hostKey.");
    expect(error.message).toContain(`set connection.hostKey: "${keys.ed25519}".`);
    expect(error.mayHeal).toBe(false);
});

test("host key: accept-new writes a new key down once, and takes no changed or revoked one", async () => {
    const path = join(folder, "new", "known_hosts");
    const connection = connectionTo(host, { hostKey: undefined, knownHosts: path, hostKeyPolicy: "accept-new" });
    await Promise.all([expectToOpen(connection), expectToOpen(connection)]);
    await expectToOpen({ ...connection, hostKeyPolicy: "strict" });
    expect(readFileSync(path, "utf8")).toBe(`${host.address} ${keys.ed25519}\n`);
    expect(statSync(path).mode & 0o777).toBe(0o600);
    expect(statSync(join(folder, "new")).mode & 0o777).toBe(0o700);

    const policy = { hostKeyPolicy: "accept-new" } as const;
    await expectToOpen(byKnownHosts("# no newline at the end", policy));
    expect(readFileSync(file, "utf8")).toBe(`# no newline at the end\n${host.address} ${keys.ed25519}\n`);
    expect((await refusalOf(byKnownHosts(`${host.address} ${strangeKey}\n`, policy))).message).toContain("has changed");
    expect((await refusalOf(byKnownHosts(`@revoked * ${keys.ed25519}\n`, policy))).message).toContain("@revoked");
    const unwritable = await refusalOf(byKnownHosts("", { ...policy, knownHosts: "/proc/known_hosts" }));
    expect(unwritable.message).toMatch(
        /the new host key could not be added to \/proc\/known_hosts \(\w+\)\. Make the file/,
    );
});

const address = (): string => host.address;

const knownHostsFiles: readonly [string, () => string, string][] = [
    ["nothing", () => "", "unknown"],
    ["the key", () => `${address()} ${keys.ed25519}\n`, "known"],
    ["another key", () => `${address()} ${strangeKey}\n`, "changed"],
    ["another key first", () => `${address()} ${strangeKey}\n${address()} ${keys.ed25519}\n`, "known"],
    ["the key revoked", () => `${address()} ${keys.ed25519}\n@revoked * ${keys.ed25519}\n`, "revoked"],
    ["another key revoked", () => `${address()} ${keys.ed25519}\n@revoked * ${strangeKey}\n`, "known"],
    ["an authority only", () => `@cert-authority * ${strangeKey}\n`, "unknown"],
    ["the key as an authority", () => `@cert-authority * ${keys.ed25519}\n`, "unknown"],
    ["an authority beside the key", () => `@cert-authority * ${strangeKey}\n${address()} ${keys.ed25519}\n`, "known"],
    ["an unknown marker", () => `@other ${address()} ${keys.ed25519}\n`, "unknown"],
    ["a pattern", () => `198.*,!${address()}0 ${keys.ed25519}\n`, "known"],
    ["a negation", () => `198.*,!${address()} ${keys.ed25519}\n`, "unknown"],
    ["another port", () => `[${address()}]:2222 ${keys.ed25519}\n`, "unknown"],
    ["the key of another type", () => `${address()} ${keys.ed25519.replace("ssh-ed25519", "ssh-rsa")}\n`, "unknown"],
];

test.each(knownHostsFiles)(
    "host key: with %s in known_hosts, ssh2 judges as the system's ssh",
    async (_name, text, expected) => {
        const verdictOf = async (transport: "ssh2" | "openssh") => {
            const connection = byKnownHosts(text(), { transport });
            const error = await expectToOpen(connection).catch((reason: unknown) => reason);
            if (error === undefined) return "known";
            const [, kind] = /(unknown|changed|revoked)/.exec((error as Error).message) ?? [];
            return kind;
        };
        expect([await verdictOf("ssh2"), await verdictOf("openssh")]).toEqual([expected, expected]);
    },
);

test("known_hosts: finds the lines ssh-keygen finds", async () => {
    const names = [
        "edge",
        "Edge",
        "edge.example.com",
        "bad.example.com",
        "10.0.0.1",
        "10.0.0.12",
        "2001:db8::1",
        "edgy",
    ];
    const patterns = [
        "edge",
        "*.example.com,!bad.*",
        "EDGE",
        "10.0.0.?",
        "[edge]:2222",
        "[10.0.0.1]:2222",
        "2001:db8::1",
        "e*",
        "*",
    ];
    const lines = patterns.flatMap((pattern) => [
        `${pattern} ${keys.ed25519}`,
        `@revoked ${pattern} ${keys.rsa} gone`,
        `@cert-authority ${pattern} ${keys.ecdsa} ours`,
        "",
        "# edge",
    ]);
    const plain = join(folder, "plain");
    const hashed = join(folder, "hashed");
    writeFileSync(plain, `${lines.join("\n")}\n`);
    const exact = names.flatMap((name) => [
        `${name.toLowerCase()} ${keys.ecdsa}`,
        `[${name.toLowerCase()}]:2222 ${keys.ecdsa}`,
    ]);
    writeFileSync(hashed, `${exact.join("\n")}\n`);
    await execa("ssh-keygen", ["-q", "-H", "-f", hashed]);
    let found = 0;
    for (const path of [plain, hashed])
        for (const name of names)
            for (const port of [22, 2222]) {
                const ours = findHostLines(parseKnownHosts(readFileSync(path, "utf8")), renderHostName(name, port));
                const { stdout } = await execa("ssh-keygen", ["-F", renderHostName(name, port), "-f", path], {
                    reject: false,
                });
                const theirs = [...stdout.matchAll(/found: line (\d+)/g)].map((match) => Number(match[1]));
                expect(
                    ours.map((line) => line.lineNumber),
                    `${name} ${port}`,
                ).toEqual(theirs);
                found += theirs.length;
            }
    expect(found).toBeGreaterThan(60);
});
