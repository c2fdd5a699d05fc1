import { chmodSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { execa } from "execa";
import { afterAll, beforeAll, expect, test } from "vitest";
import { createHost, type LabHost } from "../../lab/index.js";
import { generateKeyPair } from "../../lab/key-pair.js";
import { renderFingerprint } from "../../provider/host/host-key.js";
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

const transports = ["ssh2", "openssh"] as const;

test.each(transports)(
    "host key: over %s, unknown, changed and revoked are three refusals, each with fingerprint and the line to paste",
    async (transport) => {
        const { address } = host;
        const key = keys.ed25519;
        const print = fingerprintOf(key);
        const look = "(ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub)";
        const messageOf = async (text: string) => (await refusalOf(byKnownHosts(text, { transport }))).message;
        expect(await messageOf("")).toBe(
            `root@${address}: the host key is unknown: ssh-ed25519 ${print} is not in ${file}. Check the fingerprint on the host's ` +
                `console ${look}, then set connection.hostKey: "${key}", or add the line "${address} ${key}" to ${file}.`,
        );
        const other = transport === "ssh2" ? `ssh-ed25519 ${fingerprintOf(strangeKey)}` : "another one";
        expect(await messageOf(`# mine\n${address} ${strangeKey}\n`)).toBe(
            `root@${address}: the host key has changed. The host shows ssh-ed25519 ${print}, but line 2 of ${file} has ${other}. Somebody ` +
                `may be listening in. If the host was made anew, check the fingerprint on its console ${look}, run ` +
                `\`ssh-keygen -R '${address}' -f ${file}\` and add the line "${address} ${key}", or set connection.hostKey: "${key}".`,
        );
        const line = transport === "ssh2" ? `line 2 of ${file}` : file;
        const command = `echo "${address} $(cut -d ' ' -f 1,2 /etc/ssh/ssh_host_ed25519_key.pub)"`;
        expect(await messageOf(`${address} ${key}\n@revoked * ${key}\n`)).toBe(
            `root@${address}: the host key ssh-ed25519 ${print} is marked @revoked in ${line}. Do not use this host until it has a new ` +
                `key; then add the line that its console prints: ${command}.`,
        );
        await host.exec("cd /etc/ssh; ssh-keygen -y -f ssh_host_ed25519_key >ssh_host_ed25519_key.pub");
        expect((await host.exec(command)).stdout.trim()).toBe(`${address} ${key}`);
    },
);

test.each(transports)("host key: over %s, what a refusal says to paste opens the door", async (transport) => {
    const at2222 = { transport, port: 2222 } as const;
    const name = `[${host.address}]:2222`;
    const { message: unknown } = await refusalOf(byKnownHosts("", at2222));
    const [, hostKey = "", line = ""] = /hostKey: "([^"]+)", or add the line "([^"]+)"/.exec(unknown) ?? [];
    await expectToOpen(connectionTo(host, { ...at2222, hostKey: [hostKey] }));
    await expectToOpen(byKnownHosts(`${line}\n`, at2222));
    // Of the type that was refused, though the host has others.
    const rsaKey = join(folder, "rsa");
    rmSync(rsaKey, { force: true });
    await execa("ssh-keygen", ["-q", "-t", "rsa", "-N", "", "-f", rsaKey]);
    const connection = byKnownHosts(`${name} ${readFileSync(`${rsaKey}.pub`, "utf8")}`, at2222);
    const { message: changed } = await refusalOf(connection);
    expect(changed).toContain(`The host shows ssh-rsa ${fingerprintOf(keys.rsa)}`);
    const [, command = "", newLine = ""] = /run `([^`]+)` and add the line "([^"]+)"/.exec(changed) ?? [];
    await execa("sh", ["-c", command]);
    expect(readFileSync(file, "utf8")).toBe("");
    await expectToOpen(byKnownHosts(`${newLine}\n`, at2222));
});

test.each(transports)(
    "host key: over %s, one that is not in connection.hostKey is refused, whatever known_hosts has",
    async (transport) => {
        const known = byKnownHosts(`${host.address} ${keys.ed25519}\n`, { transport });
        // Of the second one's type no key is given: for ssh the host is new then.
        for (const hostKey of [strangeKey, keys.rsa]) {
            const error = await refusalOf({ ...known, hostKey: [hostKey], hostKeyPolicy: "accept-new" });
            expect(error.message).toContain(
                `the host key is not the one in connection.hostKey. The host shows ssh-ed25519 ${fingerprintOf(keys.ed25519)}.`,
            );
            expect(error.message).toContain(`set connection.hostKey: "${keys.ed25519}".`);
            expect(error.mayHeal).toBe(false);
        }
    },
);

const acceptNew = { hostKeyPolicy: "accept-new" } as const;

test.each([
    ["no file", () => host.address, 22, undefined],
    ["an empty file", () => host.address, 22, ["", 0o600]],
    ["a file that others may read", () => host.address, 22, ["# mine\n", 0o644]],
    ["a file of the group", () => host.address, 22, ["# mine\n\n", 0o660]],
    ["Windows line ends", () => host.address, 22, ["# mine\r\n", 0o600]],
    ["other hosts' lines", () => host.address, 22, [`edge ${strangeKey}\n`, 0o600]],
    ["a port", () => host.address, 2222, undefined],
    ["IPv6", () => host.ipv6Address.toUpperCase(), 22, undefined],
    ["IPv6 and a port", () => host.ipv6Address, 2222, undefined],
] as const)("host key: accept-new leaves the same file as ssh does: %s", async (_name, address, port, before) => {
    const [byUs, bySsh] = ["us", "ssh"].map((name) => join(mkdtempSync(join(folder, `${name}-`)), "known_hosts"));
    if (byUs === undefined || bySsh === undefined) throw new Error("no path");
    for (const path of [byUs, bySsh]) {
        if (before === undefined) continue;
        writeFileSync(path, before[0]);
        chmodSync(path, before[1]);
    }
    await expectToOpen(
        connectionTo(host, { host: address(), port, hostKey: undefined, knownHosts: byUs, ...acceptNew }),
    );
    writeFileSync(join(folder, "key"), host.connection.privateKey, { mode: 0o600 });
    // Without the distribution's settings: Debian's ssh hashes names, OpenSSH as such does not.
    await execa("ssh", [
        ...["-F", "none", "-i", join(folder, "key"), "-l", "root", "-p", `${port}`, "-o", "BatchMode=yes"],
        ...["-o", "StrictHostKeyChecking=accept-new", "-o", `UserKnownHostsFile=${bySsh}`],
        ...[address(), "true"],
    ]);
    expect(readFileSync(byUs, "utf8")).toBe(readFileSync(bySsh, "utf8"));
    expect(readFileSync(byUs, "utf8")).toContain(" ssh-");
    expect(statSync(byUs).mode).toBe(statSync(bySsh).mode);
});

test.each(transports)(
    "host key: over %s, accept-new writes a new key down once, and takes no changed or revoked one",
    async (transport) => {
        const path = join(folder, `new-${transport}`, "known_hosts");
        const policy = { transport, ...acceptNew };
        const connection = connectionTo(host, { hostKey: undefined, knownHosts: path, ...policy });
        await expectToOpen(connection);
        const text = readFileSync(path, "utf8");
        await Promise.all([expectToOpen(connection), expectToOpen(connection)]);
        await expectToOpen({ ...connection, hostKeyPolicy: "strict" });
        expect(readFileSync(path, "utf8")).toBe(text);
        expect(statSync(join(path, "..")).mode & 0o777).toBe(0o700);

        await expectToOpen(byKnownHosts("# no newline at the end", policy));
        expect(readFileSync(file, "utf8")).toMatch(/^# no newline at the end\n\S+ ssh-ed25519 \S+\n$/);
        await expectToOpen(connectionTo(host, { transport, hostKey: undefined, knownHosts: file }));
        const changed = await refusalOf(byKnownHosts(`${host.address} ${strangeKey}\n`, policy));
        expect(changed.message).toContain("has changed");
        const revoked = await refusalOf(byKnownHosts(`@revoked * ${keys.ed25519}\n`, policy));
        expect(revoked.message).toContain("is marked @revoked");
    },
);

test.each(
    transports.flatMap((transport) => [
        [transport, "/proc/known_hosts"] as const,
        [transport, "/proc/nowhere/known_hosts"] as const,
    ]),
)("host key: over %s, accept-new accepts nothing that it cannot write down (%s)", async (transport, knownHosts) => {
    const error = await refusalOf(connectionTo(host, { transport, hostKey: undefined, knownHosts, ...acceptNew }));
    expect(error.message).toMatch(
        /: the new host key could not be added to \/proc\/\S+ \(.+\)\. Make the file writable, or set connection\.hostKey\.$/,
    );
});

test("host key: connections that accept the same new key at once write it once", async () => {
    const path = join(folder, "at-once");
    const connection = connectionTo(host, { hostKey: undefined, knownHosts: path, ...acceptNew });
    await Promise.all(Array.from({ length: 5 }, () => expectToOpen(connection)));
    expect(readFileSync(path, "utf8")).toBe(`${host.address} ${keys.ed25519}\n`);
});
