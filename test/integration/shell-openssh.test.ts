import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { execa } from "execa";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { createLab, type Lab, type LabHost } from "../../lab/index.js";
import { generateKeyPair } from "../../lab/key-pair.js";
import type { Connection } from "../../provider/model/connection.js";
import { type ConnectionChanges, connectionTo, openUsing, refusalOf } from "./host-connection.js";

const within = { timeoutMs: 20_000 };
const folder = mkdtempSync(join(tmpdir(), "linuxnet-test-"));
const file = join(folder, "known_hosts");
const key = join(folder, "key");
const config = join(folder, "config");
const strangeKey = generateKeyPair().public.trim();
const path = process.env["PATH"] ?? "";

let lab: Lab;
let host: LabHost;
let other: LabHost;

beforeAll(async () => {
    lab = await createLab({ hosts: 2 });
    [host, other] = lab.hosts as [LabHost, LabHost];
    writeFileSync(key, host.connection.privateKey, { mode: 0o600 });
    await execa("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-f", join(folder, "ca")]);
    // ssh looks for ~/.ssh/config in the home of the account, whatever $HOME says: -F stands for it here.
    const { stdout: ssh } = await execa("which", ["ssh"]);
    // Other test files, and runs that were killed, have key files of their own in the common one.
    process.env["TMPDIR"] = folder;
    writeFileSync(join(folder, "ssh"), `#!/bin/sh\nexec ${ssh} -F ${config} "$@"\n`, { mode: 0o755 });
});

afterEach(() => {
    process.env["PATH"] = path;
});

afterAll(async () => {
    delete process.env["TMPDIR"];
    rmSync(folder, { recursive: true });
    await lab[Symbol.asyncDispose]();
});

const openssh = (changes: ConnectionChanges = {}) => connectionTo(host, { transport: "openssh", ...changes });

/** A connection that judges by the known_hosts file, given by its text. */
function byKnownHosts(text: string, changes: ConnectionChanges = {}): Connection {
    writeFileSync(file, text);
    return openssh({ hostKey: undefined, knownHosts: file, ...changes });
}

/** A connection that gives a name only, and what ~/.ssh/config has for it. */
function byConfig(text: string, changes: ConnectionChanges = {}): Connection {
    writeFileSync(config, text);
    process.env["PATH"] = `${folder}:${path}`;
    const given = { host: "edge", port: undefined, user: undefined, privateKey: undefined, hostKey: undefined };
    return openssh({ ...given, knownHosts: undefined, ...changes });
}

async function addressBehind(connection: Connection): Promise<string> {
    await using shell = await openUsing(connection);
    const { stdout } = await shell.run("id -u; hostname", within);
    return stdout.trim().replace("\n", " ");
}

const filesLeft = () => readdirSync(tmpdir()).filter((name) => name.startsWith("linuxnet-ssh-"));
const nameOf = async (machine: LabHost) => (await machine.exec("hostname")).stdout.trim();

test("openssh: connection.hostKey alone decides, whatever known_hosts has", async () => {
    const { hostKey } = host.connection;
    const known = byKnownHosts(`${host.address} ${hostKey}\n`);
    expect(await addressBehind({ ...known, hostKey: [strangeKey, `${hostKey} root@edge`] })).toBe(
        `0 ${await nameOf(host)}`,
    );
});

test("openssh: a host key that is only in a revoked or hashed line, or with a port, is judged as ssh does", async () => {
    await host.exec("/usr/sbin/sshd -p 2222");
    const { hostKey } = host.connection;
    expect(await addressBehind(byKnownHosts(`[${host.address}]:2222 ${hostKey}\n`, { port: 2222 }))).toMatch(/^0 /);
    writeFileSync(file, `${host.address} ${hostKey}\n`);
    await execa("ssh-keygen", ["-q", "-H", "-f", file]);
    expect(await addressBehind(openssh({ hostKey: undefined, knownHosts: file }))).toMatch(/^0 /);
    const wrongPort = await refusalOf(byKnownHosts(`[${host.address}]:2223 ${hostKey}\n`));
    expect(wrongPort.message).toContain("the host key is unknown");
});

test("openssh: ~/.ssh/config gives what the connection does not, and not what it gives", async () => {
    await host.exec("/usr/sbin/sshd -p 2242");
    const login = `Host edge
        HostName ${host.address}
        User root
        Port 2242
        IdentityFile ${key}
        UserKnownHostsFile ${file}
        StrictHostKeyChecking no\n`;
    const known = `[${host.address}]:2242 ${host.connection.hostKey}\n${host.address} ${host.connection.hostKey}\n`;
    writeFileSync(file, known);
    expect(await addressBehind(byConfig(login))).toBe(`0 ${await nameOf(host)}`);
    const connection = byConfig(login, { port: 2243 });
    expect((await refusalOf(connection)).message).toMatch(
        /^edge:2243: ssh did not get through \(it said: .*2243: Connection refused\)/,
    );
    expect((await refusalOf(byConfig(login, { user: "nobody-here" }))).message).toMatch(
        /^nobody-here@edge: ssh did not get through \(it said: nobody-here@\S+: Permission denied /,
    );
    // Nothing is accepted in silence, whatever the file says.
    writeFileSync(file, "");
    expect((await refusalOf(byConfig(login))).message).toContain("edge: the host key is unknown: ssh-ed25519 SHA256:");
    expect(readFileSync(file, "utf8")).toBe("");
});

test("openssh: options of ~/.ssh/config that would change the pipe are out of force", async () => {
    writeFileSync(file, `${host.address} ${host.connection.hostKey}\n`);
    const control = join(folder, "control");
    const text = `LogLevel QUIET
        RemoteCommand echo remote
        RequestTTY force
        LocalForward 127.0.0.1:1 127.0.0.1:1
        ExitOnForwardFailure yes
        PermitLocalCommand yes
        LocalCommand echo local
        ControlMaster auto
        ControlPersist yes
        ControlPath ${control}
        ForkAfterAuthentication yes
        StdinNull yes
        IdentityFile ${key}
        UserKnownHostsFile ${file}
        BatchMode no
        User root
        HostName ${host.address}\n`;
    await using shell = await openUsing(byConfig(text));
    expect(await shell.run("id -u; test -t 0 || echo no terminal", within)).toEqual({
        exitCode: 0,
        stdout: "0\nno terminal\n",
        stderr: "",
    });
    expect(statSync(control, { throwIfNoEntry: false })).toBeUndefined();
    writeFileSync(file, "");
    expect((await refusalOf(byConfig(text))).message).toContain("the host key is unknown");
});

test("openssh: ProxyJump of ~/.ssh/config leads through a bastion, whose errors are named", async () => {
    writeFileSync(file, [host, other].map((each) => `${each.address} ${each.connection.hostKey}\n`).join(""));
    const otherKey = join(folder, "other-key");
    writeFileSync(otherKey, other.connection.privateKey, { mode: 0o600 });
    const text = (port: number) => `Host bastion
        HostName ${other.address}
        IdentityFile ${otherKey}
        Port ${port}
        Host edge
        HostName ${host.address}
        IdentityFile ${key}
        ProxyJump root@bastion
        Host *
        User root
        UserKnownHostsFile ${file}\n`;
    await using shell = await openUsing(byConfig(text(22)));
    const { stdout } = await shell.run("echo $SSH_CONNECTION", within);
    expect(stdout.split(" ")[0]).toBe(other.address);
    const error = await refusalOf(byConfig(text(2299)));
    expect(error.message).toMatch(
        /^edge: ssh did not get through \(it said: ssh: connect to host \S+ port 2299: Connection refused\)/,
    );
    expect(error.message).toContain(other.address);
    expect(error.mayHeal).toBe(true);
});

test("openssh: a bastion of ~/.ssh/config with an unknown key is told from the host itself", async () => {
    writeFileSync(file, `${host.address} ${host.connection.hostKey}\n`);
    const text = `Host edge
        HostName ${host.address}
        ProxyJump root@${other.address}
        Host *
        User root
        IdentityFile ${key}
        StrictHostKeyChecking yes
        UserKnownHostsFile ${file}\n`;
    const error = await refusalOf(byConfig(text));
    expect(error.message).toMatch(
        /^edge: the host key of a machine on the way was refused \(it said: No ED25519 host key is known for \S+ and you have .*\)\. Log in/,
    );
    expect(error.message).toContain(`is known for ${other.address} and`);
});

test("openssh: the private key is in no argument, and no file is left during the run, after it and after a refusal", async () => {
    const secret = host.connection.privateKey.split("\n")[3] ?? "";
    expect(secret.length).toBeGreaterThan(20);
    const before = filesLeft();
    {
        await using shell = await openUsing(openssh());
        expect((await shell.run("id -u", within)).stdout).toBe("0\n");
        expect(filesLeft()).toEqual(before);
        const { stdout } = await execa("ps", ["-e", "-o", "args="]);
        expect(stdout).toContain(`-- ${host.address} echo linuxnet-login-`);
        expect(stdout).not.toContain(secret);
    }
    await refusalOf(openssh({ port: 2299 }));
    await refusalOf(openssh({ hostKey: [strangeKey] }));
    expect(filesLeft()).toEqual(before);
});

/** Signs a public key, both as files in the folder. @returns path of the certificate */
async function sign(name: string, publicKey: string, ...options: string[]): Promise<string> {
    writeFileSync(join(folder, `${name}.pub`), `${publicKey.trim()}\n`);
    await execa("ssh-keygen", ["-q", "-s", join(folder, "ca"), "-I", name, ...options, join(folder, `${name}.pub`)]);
    return join(folder, `${name}-cert.pub`);
}

test("openssh: a user certificate is taken as a file and as text, and nothing of it is left", async () => {
    await host.exec(
        `cat >/run/ca.pub
        { echo TrustedUserCAKeys /run/ca.pub; echo AuthorizedKeysFile none; cat /etc/ssh/sshd_config; } >/run/ca.conf
        /usr/sbin/sshd -p 2250 -f /run/ca.conf`,
        { stdin: readFileSync(join(folder, "ca.pub"), "utf8") },
    );
    const pair = generateKeyPair();
    const certificateFile = await sign("user", pair.public, "-n", "root", "-V", "+1h");
    const changes = { port: 2250, privateKey: pair.private };
    const before = filesLeft();
    expect(await addressBehind(openssh({ ...changes, certificateFile }))).toMatch(/^0 /);
    const certificate = readFileSync(certificateFile, "utf8");
    expect(await addressBehind(openssh({ ...changes, certificate }))).toMatch(/^0 /);
    expect((await refusalOf(openssh(changes))).message).toContain("no credential was accepted");
    const missing = await refusalOf(openssh({ ...changes, certificateFile: "/nonexistent/key-cert.pub" }));
    expect(missing.message).toMatch(/: certificate \/nonexistent\/key-cert\.pub does not exist\. Correct the path\.$/);
    expect(filesLeft()).toEqual(before);
});

test("openssh: @cert-authority in known_hosts vouches for a host; ssh2 says that it cannot read that", async () => {
    const certificate = await sign("host", host.connection.hostKey, "-h", "-n", host.address);
    await host.exec(
        `cat >/etc/ssh/ssh_host_ed25519_key-cert.pub
        { echo HostCertificate /etc/ssh/ssh_host_ed25519_key-cert.pub; cat /etc/ssh/sshd_config; } >/run/host-ca.conf
        /usr/sbin/sshd -p 2251 -f /run/host-ca.conf`,
        { stdin: readFileSync(certificate, "utf8") },
    );
    const authority = readFileSync(join(folder, "ca.pub"), "utf8");
    const connection = byKnownHosts(`@cert-authority * ${authority}`, { port: 2251 });
    expect(await addressBehind(connection)).toMatch(/^0 /);
    expect((await refusalOf({ ...connection, port: 22 })).message).toContain("the host key is unknown");
    expect((await refusalOf({ ...connection, transport: "ssh2" })).message).toContain(
        `Line 1 of ${file} trusts an authority that signs host keys, which only the transport "openssh" understands.`,
    );
});

test("openssh: Match exec, a key and its certificate may come from ~/.ssh/config, and a shared connection of the user's stays his", async () => {
    const path = join(folder, "from-config");
    const pair = generateKeyPair();
    writeFileSync(path, pair.private, { mode: 0o600 });
    const certificate = await sign("from-config", pair.public, "-n", "root", "-V", "+1h");
    writeFileSync(file, `[${host.address}]:2250 ${host.connection.hostKey}\n`);
    const [flag, control] = [join(folder, "flag"), join(folder, "shared")];
    const text = `Host edge
        HostName ${host.address}
        Port 2250
        User root
        UserKnownHostsFile ${file}
        ControlMaster auto
        ControlPersist 60
        ControlPath ${control}
        Match exec "test -e ${flag}"
        IdentityFile ${path}
        CertificateFile ${certificate}\n`;
    expect((await refusalOf(byConfig(text))).message).toContain("Permission denied");
    writeFileSync(flag, "");
    const { exitCode } = await execa(join(folder, "ssh"), ["edge", "true"]);
    expect([exitCode, statSync(control).isSocket()]).toEqual([0, true]);
    const logins = async () => (await host.exec("ps -e -o args= | grep -c '^sshd: root' || true")).stdout.trim();
    const before = Number(await logins());
    expect(await addressBehind(byConfig(text))).toBe(`0 ${await nameOf(host)}`);
    await using shell = await openUsing(byConfig(text));
    expect((await shell.run("id -u", within)).stdout).toBe("0\n");
    expect(Number(await logins())).toBe(before + 1);
    await execa(join(folder, "ssh"), ["-O", "exit", "edge"]);
    expect((await shell.run("id -u", within)).stdout).toBe("0\n");
});

test("openssh: a key text with Windows line ends or without a last one is taken", async () => {
    const text = host.connection.privateKey.trim();
    for (const privateKey of [text, text.replaceAll("\n", "\r\n")])
        expect(await addressBehind(openssh({ privateKey }))).toMatch(/^0 /);
});

test("openssh: without ssh on this machine it says so", async () => {
    process.env["PATH"] = join(folder, "nowhere");
    expect((await refusalOf(openssh())).message).toMatch(
        /: ssh could not be started \(spawn ssh ENOENT\)\. Install the OpenSSH client \(ssh\) on the machine Pulumi runs on, or/,
    );
});

test("openssh: what ssh refuses in ~/.ssh/config is told in its words", async () => {
    expect((await refusalOf(byConfig("Nonsense yes\n"))).message).toMatch(
        /^edge: ssh ended before the login was done \(it said: .*Bad configuration option: nonsense.*\)\. Try it by hand: ssh edge\.$/,
    );
});
