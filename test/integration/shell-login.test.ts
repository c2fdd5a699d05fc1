import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { execa } from "execa";
import ssh2 from "ssh2";
import { afterAll, beforeAll, expect, test } from "vitest";
import { createHost, type LabHost } from "../../lab/index.js";
import { generateKeyPair } from "../../lab/key-pair.js";
import { convertPkcs8 } from "../../provider/host/pkcs8-key.js";
import { connectionTo, openUsing, refusalOf } from "./host-connection.js";

const within = { timeoutMs: 20_000 };
const password = "correct horse $(touch /run/ran)'\"";
const folder = mkdtempSync(join(tmpdir(), "linuxnet-test-"));

/** Transports that log in. */
const remote = ["ssh2", "openssh"] as const;

/** Each row once for each of them. */
function overEach<Row extends readonly unknown[]>(rows: readonly Row[]): [(typeof remote)[number], ...Row][] {
    return remote.flatMap((transport) => rows.map((row): [(typeof remote)[number], ...Row] => [transport, ...row]));
}

let host: LabHost;

/** Nobody has its other half. */
const strangeKey = generateKeyPair().private;

/** Adds a user with the lab's key and the password. */
async function addUser(name: string, shell = "/bin/sh", sudoers = ""): Promise<void> {
    const hash = (await execa("openssl", ["passwd", "-6", "-stdin"], { input: password })).stdout;
    await host.exec(`useradd -m -d /run/home-${name} -s ${shell} -p '${hash}' ${name}
        cp /etc/ssh/authorized_keys/root /etc/ssh/authorized_keys/${name}
        if [ -n "${sudoers}" ]; then echo '${name} ${sudoers}' >/etc/sudoers.d/${name}; chmod 440 /etc/sudoers.d/${name}; fi`);
}

async function makeKey(name: string, passphrase = ""): Promise<string> {
    const path = join(folder, name);
    await execa("ssh-keygen", ["-q", "-t", "ed25519", "-N", passphrase, "-f", path]);
    return path;
}

beforeAll(async () => {
    host = await createHost();
    await addUser("plain");
    await addUser("free", "/bin/sh", "ALL=(ALL) NOPASSWD: ALL");
    await addUser("asked", "/bin/sh", "ALL=(ALL) ALL");
    await addUser("nologin", "/usr/sbin/nologin");
    // A second sshd that takes passwords, the third also asks by keyboard-interactive, which needs PAM.
    await host.exec(`printf 'Banner /etc/hostname\\nAuthenticationMethods any\\n' >/run/password.conf
        sed 's/^AuthenticationMethods.*//; s/^PasswordAuthentication.*/PasswordAuthentication yes/; s/^PermitRootLogin.*/PermitRootLogin yes/' \\
            /etc/ssh/sshd_config >>/run/password.conf
        sed 's/^PasswordAuthentication.*/PasswordAuthentication no/; s/^Kbd.*/KbdInteractiveAuthentication yes/; s/^UsePAM.*/UsePAM yes/' \\
            /run/password.conf >/run/interactive.conf
        /usr/sbin/sshd -p 2222 -f /run/password.conf; /usr/sbin/sshd -p 2223 -f /run/interactive.conf`);
});

afterAll(async () => {
    rmSync(folder, { recursive: true });
    await host[Symbol.asyncDispose]();
});

const isRoot = { exitCode: 0, stdout: "0\n", stderr: "" };

test.each(remote)(
    "login: over %s, chatter of start-up files and a banner are not taken for answers",
    async (transport) => {
        await host.exec(
            "usermod -s /bin/bash root; printf 'echo hello; echo 0; echo oops >&2\\n' >/run/lab/home/.bashrc",
        );
        await using shell = await openUsing(connectionTo(host, { transport, port: 2222 }));
        expect(await shell.run("id -u", within)).toEqual(isRoot);
        await host.exec("rm /run/lab/home/.bashrc; usermod -s /bin/sh root");
    },
);

test.each(overEach([["bash"], ["fish"], ["tcsh"]]))(
    "login: over %s, the login shell may be %s",
    async (transport, shellName) => {
        const user = `${shellName}-${transport}`;
        await addUser(user, `/usr/bin/${shellName}`, "ALL=(ALL) ALL");
        await using shell = await openUsing(connectionTo(host, { transport, user, sudo: { password } }));
        expect(await shell.run("id -u", within)).toEqual(isRoot);
    },
);

test.each(
    overEach([
        ["sudo without password", "free", true],
        ["sudo with a password it does not ask for", "free", { password }],
        ["sudo with password", "asked", { password }],
    ] as const),
)("login: over %s, becomes root by %s", async (transport, _name, user, sudo) => {
    await using shell = await openUsing(connectionTo(host, { transport, user, sudo }));
    expect(await shell.run("id -u; ps -e -o args= | grep -c 'correct [h]orse'", within)).toMatchObject({
        stdout: "0\n0\n",
    });
    expect((await host.exec("ls /run/ran", { check: false })).exitCode).toBe(2);
});

test.each([...remote, "local"] as const)("login: over %s, sudo does no harm to root", async (transport) => {
    await using shell = await openUsing(connectionTo(host, { transport, sudo: true }));
    expect(await shell.run("id -u", within)).toEqual(isRoot);
});

test.each([
    ["a password", { user: "asked", port: 2222, privateKey: undefined, password, sudo: { password } }],
    [
        "a password by keyboard-interactive",
        { user: "asked", port: 2223, privateKey: undefined, password, sudo: { password } },
    ],
    [
        "a password after a key that does not fit",
        { user: "asked", port: 2222, privateKey: strangeKey, password, sudo: { password } },
    ],
] as const)("login: takes %s", async (_name, changes) => {
    await using shell = await openUsing(connectionTo(host, changes));
    expect(await shell.run("id -u", within)).toEqual(isRoot);
});

const passphrase = "secret words";

/** How to make a key, and its passphrase when it gets one. */
const keyForms: readonly [string, (path: string, passphrase: string) => string[]][] = [
    ...["ed25519", "ecdsa", "rsa"].flatMap((type) =>
        [...(type === "ed25519" ? ["RFC4716"] : ["RFC4716", "PEM", "PKCS8"])].map((form): (typeof keyForms)[number] => [
            `${type} in ${form === "RFC4716" ? "OpenSSH's own form" : form}`,
            (path, words) => ["ssh-keygen", "-q", "-t", type, "-m", form, "-N", words, "-f", path],
        ]),
    ),
    [
        "ed25519 in PKCS8",
        (path, words) => [
            ...["openssl", "genpkey", "-algorithm", "ed25519", "-out", path],
            ...(words === "" ? [] : ["-aes256", "-pass", `pass:${words}`]),
        ],
    ],
];

test.each(
    keyForms.flatMap(([name, command]) =>
        ["", passphrase].map((words) => [words === "" ? name : `${name}, encrypted`, command, words] as const),
    ),
)("login: takes a key of %s, as file and as text", async (_name, command, words) => {
    const path = join(mkdtempSync(join(folder, "form-")), "key");
    const [file = "", ...args] = command(path, words);
    await execa(file, args);
    const text = readFileSync(path, "utf8");
    // ssh-keygen cannot read every form.
    const { utils } = ssh2;
    const [key] = [utils.parseKey(convertPkcs8(text, words), words)].flat();
    if (key === undefined || key instanceof Error) throw new Error(`not read: ${key?.message}`);
    await host.exec("cat >>/etc/ssh/authorized_keys/root", {
        stdin: `${key.type} ${key.getPublicSSH().toString("base64")}\n`,
    });
    const privateKeyPassword = words === "" ? undefined : words;
    const without = { privateKey: undefined, privateKeyPassword };
    for (const changes of [
        { ...without, privateKeyFile: path },
        { ...without, privateKey: text },
        { ...without, privateKey: text.replaceAll("\n", "\r\n") },
        ...(words === "" ? [{ ...without, privateKey: text, transport: "openssh" as const }] : []),
    ]) {
        await using shell = await openUsing(connectionTo(host, changes));
        expect(await shell.run("id -u", within)).toEqual(isRoot);
    }
    if (words === "") return;
    const refusal = async (password?: string) =>
        (await refusalOf(connectionTo(host, { privateKey: text, privateKeyPassword: password }))).message;
    expect(await refusal()).toMatch(/connection\.privateKey is encrypted\. Set connection\.privateKeyPassword, or use/);
    expect(await refusal("wrong words")).toMatch(/connection\.privateKey could not be decrypted\. Correct connection/);
});

test.each(remote)(
    "login: over %s, takes a key file and an agent; the environment goes before them",
    async (transport) => {
        const plain = join(folder, `plain "key" 100%d ${transport}`);
        writeFileSync(plain, host.connection.privateKey, { mode: 0o600 });
        await using byFile = await openUsing(
            connectionTo(host, { transport, privateKey: undefined, privateKeyFile: plain }),
        );
        expect(await byFile.run("id -u", within)).toEqual(isRoot);

        const socket = join(folder, `agent ${transport}`);
        const agent = execa("ssh-agent", ["-D", "-a", socket], { reject: false });
        await expect
            .poll(() => execa("ssh-add", [plain], { env: { SSH_AUTH_SOCK: socket }, reject: false }))
            .toHaveProperty("exitCode", 0);
        await using byAgent = await openUsing(
            connectionTo(host, { transport, privateKey: undefined, agentSocketPath: socket }),
        );
        expect(await byAgent.run("id -u", within)).toEqual(isRoot);
        agent.kill();

        process.env["LINUXNET_SSH_KEY_FILE"] = plain;
        try {
            await using byEnvironment = await openUsing(connectionTo(host, { transport, privateKey: "nonsense" }));
            expect(await byEnvironment.run("id -u", within)).toEqual(isRoot);
        } finally {
            delete process.env["LINUXNET_SSH_KEY_FILE"];
        }
    },
);

const refusals = [
    [
        "no root",
        { user: "plain" },
        /^plain@\S+ is not root on the host and connection\.sudo is not set\. Set connection\.sudo: true, or log in as root\.$/,
    ],
    [
        "sudo wants a password",
        { user: "asked", sudo: true },
        /^asked@\S+: sudo wants a password\. Set connection\.sudo: \{ password \}/,
    ],
    [
        "a wrong sudo password",
        { user: "asked", sudo: { password: "wrong" } },
        /^asked@\S+: sudo did not accept the password\. Correct connection\.sudo\.password\.$/,
    ],
    [
        "no sudoer",
        { user: "plain", sudo: { password } },
        /^plain@\S+ may not become root by sudo \(it said: .*not in the sudoers.*\)\. Allow the user in/,
    ],
    [
        "an account without shell",
        { user: "nologin" },
        /the login ended with exit code 1 before there was a shell \(it said: This account is currently not available/,
    ],
    [
        "an unknown user",
        { user: "nobody-here" },
        /^nobody-here@\S+: no credential was accepted \(tried: connection\.privateKey\)\. Check connection\.user/,
    ],
    [
        "a missing key file",
        { privateKey: undefined, privateKeyFile: "/nonexistent/key" },
        /: key file \/nonexistent\/key does not exist\. Correct the path\.$/,
    ],
    [
        "no key",
        { privateKey: "secret nonsense" },
        /: connection\.privateKey is not a private key in OpenSSH or PEM form\.$/,
    ],
    [
        "an agent that is gone",
        { privateKey: undefined, agentSocketPath: "/nonexistent/agent" },
        /no credential was accepted \(tried: .*agent \/nonexistent\/agent\)/,
    ],
    [
        "a port without sshd",
        { port: 2299 },
        /^root@\S+:2299: port 2299 refuses connections\. Check that sshd runs there, and connection\.port\.$/,
    ],
    [
        "an unknown name",
        { host: "does-not-exist.invalid" },
        /^root@does-not-exist\.invalid: the name does-not-exist\.invalid /,
    ],
] as const;

test.each([
    ...overEach(refusals),
    [
        "ssh2",
        "a wrong password",
        { user: "asked", port: 2222, privateKey: undefined, password: "wrong" },
        /no credential was accepted \(tried: password\)/,
    ],
    [
        "openssh",
        "a password (of stack configuration)",
        { password: "secret" },
        /^root@\S+: the transport "openssh" takes no password\. Use a key or an agent, or the transport "ssh2"\.$/,
    ],
] as const)("login: over %s, %s is refused with its own sentence", async (transport, _name, changes, message) => {
    const error = await refusalOf(connectionTo(host, { transport, ...changes }));
    expect(error.message).toMatch(message);
    expect(error.message).not.toMatch(/correct horse|wrong'|secret/);
    expect(error.message).not.toContain("\n");
});

test.each(remote)(
    "login: over %s, a key that is encrypted, wrongly decrypted, public or of nobody is refused",
    async (transport) => {
        const path = await makeKey(`${transport}-encrypted`, "secret words");
        const other = await makeKey(`${transport}-other`);
        const refusal = async (privateKeyFile: string, privateKeyPassword?: string) =>
            (
                await refusalOf(
                    connectionTo(host, { transport, privateKey: undefined, privateKeyFile, privateKeyPassword }),
                )
            ).message;
        expect(await refusal(path)).toMatch(
            transport === "ssh2"
                ? /encrypted is encrypted\. Set connection\.privateKeyPassword, or use an agent\.$/
                : /encrypted is encrypted\. Add it to an agent \(ssh-add\)\.$/,
        );
        if (transport === "ssh2")
            expect(await refusal(path, "wrong words")).toMatch(
                /encrypted could not be decrypted\. Correct connection\.privateKeyPassword\.$/,
            );
        expect(await refusal(`${path}.pub`)).toMatch(/is a public key\. Give the private one\.$/);
        expect(await refusal(other)).toMatch(/no credential was accepted \(tried: key file \S+other\)/);
    },
);

test("login: with no credential at all it says where it looked", async () => {
    const kept = { home: process.env["HOME"], agent: process.env["SSH_AUTH_SOCK"] };
    process.env["HOME"] = folder;
    delete process.env["SSH_AUTH_SOCK"];
    const error = await refusalOf(connectionTo(host, { privateKey: undefined }));
    process.env["HOME"] = kept.home;
    if (kept.agent !== undefined) process.env["SSH_AUTH_SOCK"] = kept.agent;
    expect(error.message).toMatch(/no credential is set and none was found: .*id_ed25519.* Set connection\.privateKey/);
});

test.each([
    ["ssh2", 2300],
    ["openssh", 2310],
] as const)(
    "login: over %s, waits for a host that is not there yet, and says so when it never comes",
    async (transport, port) => {
        const opening = openUsing(connectionTo(host, { transport, port, waitMs: 10_000 }));
        await new Promise((resolve) => setTimeout(resolve, 600));
        await host.exec(`/usr/sbin/sshd -p ${port}`);
        await using shell = await opening;
        expect(await shell.run("id -u", within)).toEqual(isRoot);
        const error = await refusalOf(connectionTo(host, { transport, port: 2301, waitMs: 700 }));
        expect(error.message).toMatch(/refuses connections\. .* It was tried for 0\.7 s \(connection\.waitMs\)\.$/);
    },
);

const late = /: the login by ssh was not done within 0\.5 s\. /;

test.each([
    ["ssh2", "silence", "", /the host answered, but did not finish the SSH handshake within 0\.5 s\. /],
    ["ssh2", "another protocol", "220 mail ESMTP\r\n", /did not finish the SSH handshake within 0\.5 s\. /],
    ["ssh2", "a closed door", undefined, /: the host ended the connection before the login was done\. /],
    ["openssh", "silence", "", late],
    ["openssh", "another protocol", "220 mail ESMTP\r\n", late],
    ["openssh", "a closed door", undefined, /: the host ended the connection before the login was done\. /],
] as const)("login: over %s, a port that answers with %s is refused", async (transport, _name, greeting, message) => {
    const sockets: Socket[] = [];
    const server = createServer((socket) => {
        sockets.push(socket.on("error", () => undefined));
        if (greeting === undefined) socket.destroy();
        else socket.write(greeting);
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const { port } = server.address() as AddressInfo;
    const error = await refusalOf(connectionTo(host, { transport, host: "127.0.0.1", port, dialTimeoutMs: 500 }));
    for (const socket of sockets) socket.destroy();
    server.close();
    expect(error.message).toMatch(message);
    expect(error.mayHeal).toBe(true);
});
