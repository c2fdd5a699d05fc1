import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { execa } from "execa";
import { afterAll, beforeAll, expect, test } from "vitest";
import { createHost, type LabHost } from "../../lab/index.js";
import { generateKeyPair } from "../../lab/key-pair.js";
import { findHostLines, parseKnownHosts, renderHostName } from "../../provider/host/host-key.js";
import { openShell } from "../../provider/host/open-shell.js";
import { connectionTo } from "./host-connection.js";
import { openRelay, type Relay } from "./relay.js";

type Verdict = "known" | "unknown" | "changed" | "revoked";

/** What the files of the table are made of. */
interface Words {
    /** The host's address, as it is, in IPv6, and with the port in brackets. */
    readonly a: string;
    readonly a6: string;
    readonly ap: string;
    readonly a6p: string;
    /** `[localhost]:<port>` */
    readonly name: string;
    readonly namePort: number;
    readonly ed: string;
    readonly rsa: string;
    readonly ecdsa: string;
    /** Of nobody. */
    readonly other: string;
    readonly otherRsa: string;
    /** Of the authority. */
    readonly ca: string;
    /** The host's certificate, as if it were a key. */
    readonly certificate: string;
}

const folder = mkdtempSync(join(tmpdir(), "linuxnet-test-"));
const keyFile = join(folder, "key");

let host: LabHost;
let relay: Relay;
let words: Words;

beforeAll(async () => {
    host = await createHost();
    relay = await openRelay(host);
    const { address: a, ipv6Address: a6, connection } = host;
    writeFileSync(keyFile, connection.privateKey, { mode: 0o600 });
    await execa("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-f", join(folder, "ca")]);
    writeFileSync(join(folder, "host.pub"), `${connection.hostKey}\n`);
    await execa("ssh-keygen", ["-q", "-s", join(folder, "ca"), "-I", "host", "-h", "-n", a, join(folder, "host.pub")]);
    const certificate = (await execa("cat", [join(folder, "host-cert.pub")])).stdout;
    // The one on 2222 has a key of each type, the one on 2251 a certificate.
    const { stdout } = await host.exec(
        `cat >/etc/ssh/ssh_host_ed25519_key-cert.pub; cd /etc/ssh
        for type in ecdsa rsa; do ssh-keygen -q -t $type -N '' -f ssh_host_\${type}_key; done
        { for type in rsa ecdsa; do echo HostKey /etc/ssh/ssh_host_\${type}_key; done; cat sshd_config; } >many_config
        { echo HostCertificate /etc/ssh/ssh_host_ed25519_key-cert.pub; cat sshd_config; } >certificate_config
        /usr/sbin/sshd -p 2222 -f many_config
        /usr/sbin/sshd -p 2251 -f certificate_config
        cut -d ' ' -f 1,2 ssh_host_ecdsa_key.pub ssh_host_rsa_key.pub`,
        { stdin: certificate },
    );
    const [ecdsa = "", rsa = ""] = stdout.split("\n");
    await execa("ssh-keygen", ["-q", "-t", "rsa", "-N", "", "-f", join(folder, "rsa")]);
    const publicOf = async (name: string) =>
        (await execa("cut", ["-d", " ", "-f", "1,2", join(folder, `${name}.pub`)])).stdout;
    words = {
        a,
        a6,
        ap: `[${a}]:2222`,
        a6p: `[${a6}]:2222`,
        name: `[localhost]:${relay.port}`,
        namePort: relay.port,
        ed: connection.hostKey,
        rsa,
        ecdsa,
        other: generateKeyPair().public,
        otherRsa: await publicOf("rsa"),
        ca: await publicOf("ca"),
        certificate: certificate.split(" ").slice(0, 2).join(" "),
    };
});

afterAll(async () => {
    rmSync(folder, { recursive: true });
    await relay[Symbol.asyncDispose]();
    await host[Symbol.asyncDispose]();
});

const targets = {
    "": () => ({ host: words.a, port: 22 }),
    "port 2222": () => ({ host: words.a, port: 2222 }),
    IPv6: () => ({ host: words.a6, port: 22 }),
    "IPv6, port 2222": () => ({ host: words.a6.toUpperCase(), port: 2222 }),
    "a name": () => ({ host: "LocalHost", port: words.namePort }),
    "a certificate": () => ({ host: words.a, port: 2251 }),
} as const;

/** Replaces plain names by their hashes. */
async function hash(text: string): Promise<string> {
    const path = join(mkdtempSync(join(folder, "hash-")), "known_hosts");
    writeFileSync(path, text);
    await execa("ssh-keygen", ["-q", "-H", "-f", path]);
    return (await execa("cat", [path], { stripFinalNewline: false })).stdout;
}

/** Salt and digest of the first name. */
async function hashParts(name: string, key: string): Promise<[string, string, string]> {
    const [, version = "", salt = "", digest = ""] = (await hash(`${name} ${key}\n`)).split(" ")[0]?.split("|") ?? [];
    return [version, salt, digest];
}

/** Two verdicts: of `ssh`, and of ssh2, which sees no certificates. */
type Expected = Verdict | readonly [ssh: Verdict, ssh2: Verdict];
type Case = readonly [string, keyof typeof targets, (words: Words) => string | Promise<string>, Expected];

const cases: readonly Case[] = [
    ["nothing", "", () => "", "unknown"],
    ["the key", "", ({ a, ed }) => `${a} ${ed}\n`, "known"],
    ["the key, without a last line end", "", ({ a, ed }) => `${a} ${ed}`, "known"],
    ["the key with a comment", "", ({ a, ed }) => `${a} ${ed} root@edge and more\n`, "known"],
    ["tabs and spaces", "", ({ a, ed }) => `  \t${a}\t ${ed.replace(" ", "\t \t")}  \n`, "known"],
    ["Windows line ends", "", ({ a, ed, other }) => `# mine\r\n\r\nx ${other}\r\n${a} ${ed}\r\n`, "known"],
    ["Windows line ends and a comment", "", ({ a, ed }) => `${a} ${ed} root@edge\r\n`, "known"],
    ["a byte order mark before the line", "", ({ a, ed }) => `\ufeff${a} ${ed}\n`, "unknown"],
    ["a byte order mark in a line of its own", "", ({ a, ed }) => `\ufeff\n${a} ${ed}\n`, "known"],
    ["a no-break space before the line", "", ({ a, ed }) => `\u00a0${a} ${ed}\n`, "unknown"],
    ["a vertical tab for a space", "", ({ a, ed }) => `${a}\v${ed}\n`, "unknown"],
    ["the line commented out", "", ({ a, ed }) => `#${a} ${ed}\n`, "unknown"],
    ["the line commented out, indented", "", ({ a, ed }) => `  # ${a} ${ed}\n`, "unknown"],
    ["another key", "", ({ a, other }) => `${a} ${other}\n`, "changed"],
    ["another key first", "", ({ a, ed, other }) => `${a} ${other}\n${a} ${ed}\n`, "known"],
    ["another key last", "", ({ a, ed, other }) => `${a} ${ed}\n${a} ${other}\n`, "known"],
    ["a key of another type only", "", ({ a, otherRsa }) => `${a} ${otherRsa}\n`, "changed"],
    ["another host's line", "", ({ ed }) => `edge ${ed}\n`, "unknown"],
    ["a name that begins alike", "", ({ a, ed }) => `${a}0 ${ed}\n`, "unknown"],
    ["a list of names", "", ({ a, ed }) => `edge,${a},10.0.0.1 ${ed}\n`, "known"],
    ["a list with a space", "", ({ a, ed }) => `edge, ${a} ${ed}\n`, "unknown"],
    ["a list with empty names", "", ({ a, ed }) => `,,${a}, ${ed}\n`, "known"],
    ["the type of another key", "", ({ a, ed }) => `${a} ${ed.replace("ssh-ed25519", "ssh-rsa")}\n`, "unknown"],
    ["a type that does not exist", "", ({ a, ed }) => `${a} ${ed.replace("ssh-ed25519", "ssh-x")}\n`, "unknown"],
    ["no type", "", ({ a, ed }) => `${a} ${ed.split(" ")[1]}\n`, "unknown"],
    ["no key", "", ({ a }) => `${a} ssh-ed25519\n`, "unknown"],
    ["half a key", "", ({ a, ed }) => `${a} ${ed.slice(0, 50)}\n`, "unknown"],
    ["a key that is no base64", "", ({ a, ed }) => `${a} ${ed.slice(0, 40)}!${ed.slice(41)}\n`, "unknown"],
    ["a line of SSH 1", "", ({ a }) => `${a} 1024 35 1234567890\n`, "unknown"],
    ["wrong lines around the key", "", ({ a, ed }) => `x\n@\n${a}\n@revoked\n${a} ${ed}\n!\n|1|\n`, "known"],
    ["a certificate in place of the key", "", ({ a, certificate }) => `${a} ${certificate}\n`, "changed"],

    ["*", "", ({ ed }) => `* ${ed}\n`, "known"],
    ["a pattern", "", ({ a, ed }) => `${a.slice(0, 4)}* ${ed}\n`, "known"],
    ["a pattern with ?", "", ({ a, ed }) => `${a.slice(0, -1)}? ${ed}\n`, "known"],
    ["a pattern with one ? too many", "", ({ a, ed }) => `${a}? ${ed}\n`, "unknown"],
    ["a dot is no pattern", "", ({ a, ed }) => `${a.replaceAll(".", "0")} ${ed}\n`, "unknown"],
    ["brackets are no pattern", "", ({ a, ed }) => `${a.slice(0, -1)}[0-9] ${ed}\n`, "unknown"],
    ["a negation of another host", "", ({ a, ed }) => `*,!${a}0 ${ed}\n`, "known"],
    ["a negation", "", ({ a, ed }) => `*,!${a} ${ed}\n`, "unknown"],
    ["a negation that comes first", "", ({ a, ed }) => `!${a},* ${ed}\n`, "unknown"],
    ["a negated pattern", "", ({ a, ed }) => `${a},!${a.slice(0, 3)}* ${ed}\n`, "unknown"],
    ["a negation alone", "", ({ ed }) => `!edge ${ed}\n`, "unknown"],
    ["a negation in another line", "", ({ a, ed }) => `!${a} ${ed}\n* ${ed}\n`, "known"],

    ["the hashed name", "", ({ a, ed }) => hash(`${a} ${ed}\n`), "known"],
    ["another hashed name", "", ({ ed }) => hash(`edge ${ed}\n`), "unknown"],
    ["another key under the hashed name", "", ({ a, other }) => hash(`${a} ${other}\n`), "changed"],
    ["hashed names, the second one's", "", ({ a, ed, other }) => hash(`edge ${other}\n${a} ${ed}\n`), "known"],
    ["a hash cut short", "", async ({ a, ed }) => `|1|${(await hashParts(a, ed))[1]} ${ed}\n`, "unknown"],
    [
        "a hash of another version",
        "",
        async ({ a, ed }) => {
            const [, salt, digest] = await hashParts(a, ed);
            return `|2|${salt}|${digest} ${ed}\n`;
        },
        "unknown",
    ],
    ["a hash in a list", "", async ({ a, ed }) => `|${(await hashParts(a, ed)).join("|")},edge ${ed}\n`, "unknown"],

    ["the key revoked", "", ({ a, ed }) => `${a} ${ed}\n@revoked * ${ed}\n`, "revoked"],
    ["the key revoked before it is known", "", ({ a, ed }) => `@revoked ${a} ${ed}\n${a} ${ed}\n`, "revoked"],
    ["only the key revoked", "", ({ a, ed }) => `@revoked ${a} ${ed}\n`, "revoked"],
    ["the key revoked for another host", "", ({ a, ed }) => `@revoked edge ${ed}\n${a} ${ed}\n`, "known"],
    ["the key revoked by a hashed name", "", async ({ a, ed }) => `@revoked ${await hash(`${a} ${ed}\n`)}`, "revoked"],
    ["another key revoked", "", ({ a, ed, other }) => `${a} ${ed}\n@revoked * ${other}\n`, "known"],
    ["only another key revoked", "", ({ a, other }) => `@revoked ${a} ${other}\n`, "unknown"],
    ["an unknown marker", "", ({ a, ed }) => `@other ${a} ${ed}\n`, "unknown"],
    ["a marker in capitals", "", ({ a, ed }) => `${a} ${ed}\n@REVOKED ${a} ${ed}\n`, "known"],

    ["an authority only", "", ({ ca }) => `@cert-authority * ${ca}\n`, "unknown"],
    ["the key as an authority", "", ({ ed }) => `@cert-authority * ${ed}\n`, "unknown"],
    ["an authority beside the key", "", ({ a, ca, ed }) => `@cert-authority * ${ca}\n${a} ${ed}\n`, "known"],
    [
        "an authority for a host with a certificate",
        "a certificate",
        ({ ca }) => `@cert-authority * ${ca}\n`,
        ["known", "unknown"],
    ],
    [
        "an authority, and the old key of the host",
        "a certificate",
        ({ a, ca, other }) => `[${a}]:2251 ${other}\n@cert-authority * ${ca}\n`,
        ["known", "changed"],
    ],
    ["another authority", "a certificate", ({ other }) => `@cert-authority * ${other}\n`, "unknown"],
    ["an authority for another host", "a certificate", ({ ca }) => `@cert-authority edge ${ca}\n`, "unknown"],
    ["the key, for a host with a certificate", "a certificate", ({ a, ed }) => `[${a}]:2251 ${ed}\n`, "known"],
    [
        "the authority revoked",
        "a certificate",
        ({ ca }) => `@cert-authority * ${ca}\n@revoked * ${ca}\n`,
        ["revoked", "unknown"],
    ],

    ["the port in brackets", "port 2222", ({ ap, ed }) => `${ap} ${ed}\n`, "known"],
    ["the port without brackets", "port 2222", ({ a, ed }) => `${a}:2222 ${ed}\n`, "unknown"],
    ["another port", "port 2222", ({ a, ed }) => `[${a}]:2223 ${ed}\n`, "unknown"],
    ["the port, for port 22", "", ({ ap, ed }) => `${ap} ${ed}\n`, "unknown"],
    ["port 22 in brackets", "", ({ a, ed }) => `[${a}]:22 ${ed}\n`, "unknown"],
    ["the bare name, for a port", "port 2222", ({ a, ed }) => `${a} ${ed}\n`, "known"],
    ["another key under the bare name, for a port", "port 2222", ({ a, other }) => `${a} ${other}\n`, "unknown"],
    [
        "another key for the port, the key under the bare name",
        "port 2222",
        ({ a, ap, ed, other }) => `${a} ${ed}\n${ap} ${other}\n`,
        "changed",
    ],
    ["the key revoked under the bare name", "port 2222", ({ a, ed }) => `${a} ${ed}\n@revoked ${a} ${ed}\n`, "revoked"],
    ["a pattern for every port", "port 2222", ({ ed }) => `[*]:* ${ed}\n`, "known"],
    ["the port hashed", "port 2222", ({ ap, ed }) => hash(`${ap} ${ed}\n`), "known"],
    ["the bare name hashed, for a port", "port 2222", ({ a, ed }) => hash(`${a} ${ed}\n`), "known"],
    ["only the RSA key", "port 2222", ({ ap, rsa }) => `${ap} ${rsa}\n`, "known"],
    ["only the ECDSA key", "port 2222", ({ ap, ecdsa }) => `${ap} ${ecdsa}\n`, "known"],
    [
        "the RSA key, another host's ECDSA key",
        "port 2222",
        ({ ap, ecdsa, rsa }) => `x ${ecdsa}\n${ap} ${rsa}\n`,
        "known",
    ],
    ["another RSA key", "port 2222", ({ ap, otherRsa }) => `${ap} ${otherRsa}\n`, "changed"],
    [
        "another RSA key, and the ECDSA key",
        "port 2222",
        ({ ap, ecdsa, otherRsa }) => `${ap} ${otherRsa}\n${ap} ${ecdsa}\n`,
        "known",
    ],
    ["only the RSA key, revoked", "port 2222", ({ ap, rsa }) => `${ap} ${rsa}\n@revoked * ${rsa}\n`, "changed"],
    [
        "the RSA key revoked, the ECDSA key known",
        "port 2222",
        ({ ap, ecdsa, rsa }) => `${ap} ${ecdsa}\n@revoked * ${rsa}\n`,
        "known",
    ],

    ["an IPv6 address", "IPv6", ({ a6, ed }) => `${a6} ${ed}\n`, "known"],
    ["an IPv6 address in capitals", "IPv6", ({ a6, ed }) => `${a6.toUpperCase()} ${ed}\n`, "known"],
    ["an IPv6 address in brackets", "IPv6", ({ a6, ed }) => `[${a6}] ${ed}\n`, "unknown"],
    ["an IPv6 address written in full", "IPv6", ({ a6, ed }) => `${a6.replace("::", ":0:")} ${ed}\n`, "unknown"],
    ["an IPv6 address hashed", "IPv6", ({ a6, ed }) => hash(`${a6} ${ed}\n`), "known"],
    ["an IPv6 address with a port", "IPv6, port 2222", ({ a6p, ed }) => `${a6p} ${ed}\n`, "known"],
    ["an IPv6 address with a port hashed", "IPv6, port 2222", ({ a6p, ed }) => hash(`${a6p} ${ed}\n`), "known"],
    ["an IPv6 address without its port", "IPv6, port 2222", ({ a6, other }) => `${a6} ${other}\n`, "unknown"],

    ["a name", "a name", ({ name, ed }) => `${name} ${ed}\n`, "known"],
    ["a name in capitals", "a name", ({ name, ed }) => `${name.toUpperCase()} ${ed}\n`, "known"],
    ["a pattern in capitals", "a name", ({ ed }) => `[LOCAL*]:* ${ed}\n`, "known"],
    ["a negation in capitals", "a name", ({ name, ed }) => `[*]:*,!${name.toUpperCase()} ${ed}\n`, "unknown"],
    ["a name hashed", "a name", ({ name, ed }) => hash(`${name} ${ed}\n`), "known"],
    ["a name hashed in capitals", "a name", ({ name, ed }) => hash(`${name.toUpperCase()} ${ed}\n`), "known"],
    ["the address behind a name", "a name", ({ namePort, ed }) => `[127.0.0.1]:${namePort} ${ed}\n`, "unknown"],
    ["another key under a name", "a name", ({ name, other }) => `${name} ${other}\n`, "changed"],
];

/** By the words of `ssh` itself. */
async function askSsh(file: string, target: { host: string; port: number }): Promise<Verdict> {
    const options = {
        BatchMode: "yes",
        StrictHostKeyChecking: "yes",
        UserKnownHostsFile: file,
        GlobalKnownHostsFile: "/dev/null",
        IdentitiesOnly: "yes",
        UpdateHostKeys: "no",
    };
    const { exitCode, stderr } = await execa(
        "ssh",
        [
            ...["-F", "none", "-i", keyFile, "-p", `${target.port}`, "-l", "root"],
            ...Object.entries(options).flatMap(([name, value]) => ["-o", `${name}=${value}`]),
            ...[target.host, "true"],
        ],
        { reject: false },
    );
    if (exitCode === 0) return "known";
    if (/REVOKED HOST KEY|Certificate CA key .* revoked/.test(stderr)) return "revoked";
    if (/IDENTIFICATION HAS CHANGED/.test(stderr)) return "changed";
    if (/host key is known for .* strict checking/.test(stderr)) return "unknown";
    throw new Error(`ssh ended with ${exitCode}: ${stderr}`);
}

/** @returns the verdict, and the sentence of a refusal */
async function askUs(file: string, target: { host: string; port: number }): Promise<readonly [Verdict, string]> {
    const connection = connectionTo(host, { ...target, hostKey: undefined, knownHosts: file });
    const opened = await openShell(connection).catch((error: unknown) => error as Error);
    if (!(opened instanceof Error)) {
        expect((await opened.run("id -u", { timeoutMs: 20_000 })).stdout).toBe("0\n");
        opened.close();
        return ["known", ""];
    }
    const { message } = opened;
    const [, verdict] = /the host key (?:is|has|\S+ \S+ is marked) @?(unknown|changed|revoked)/.exec(message) ?? [];
    if (verdict === undefined) throw opened;
    return [verdict as Verdict, message];
}

test.each(cases)("known_hosts: with %s (%s), ssh, ssh-keygen -F and ssh2 agree", async (...row) => {
    const [, target, text, expected] = row;
    const file = join(mkdtempSync(join(folder, "case-")), "known_hosts");
    const content = await text(words);
    writeFileSync(file, content);
    const place = targets[target]();
    const name = renderHostName(place.host, place.port);
    const [ssh, [ssh2, message], keygen] = await Promise.all([
        askSsh(file, place),
        askUs(file, place),
        execa("ssh-keygen", ["-F", name, "-f", file], { reject: false }),
    ]);
    const [ofSsh, ofSsh2] = typeof expected === "string" ? [expected, expected] : expected;
    expect({ ssh, ssh2 }).toEqual({ ssh: ofSsh, ssh2: ofSsh2 });
    if (ofSsh === "known" && ofSsh2 !== "known")
        expect(message).toContain('which only the transport "openssh" understands');
    // ssh-keygen -F also finds lines that have no usable key.
    const usable = parseKnownHosts(content);
    const found = [...keygen.stdout.matchAll(/found: line (\d+)/g)].map((match) => Number(match[1]));
    expect(findHostLines(usable, name).map(({ lineNumber }) => lineNumber)).toEqual(
        found.filter((number) => usable.some(({ lineNumber }) => lineNumber === number)),
    );
});
