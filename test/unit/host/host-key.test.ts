import { createHmac } from "node:crypto";
import { expect, test } from "vitest";
import {
    findHostLines,
    judgeKey,
    keyType,
    orderHostKeyAlgorithms,
    parseKnownHosts,
    renderFingerprint,
    renderHostName,
} from "../../../provider/host/host-key.js";

/** Bytes in the shape of a public key: its type, then anything. */
function makeKey(type: string, seed: string): string {
    const fields = [type, seed.padEnd(36, ".")].map((text) => {
        const length = Buffer.alloc(4);
        length.writeUInt32BE(text.length);
        return Buffer.concat([length, Buffer.from(text)]);
    });
    return Buffer.concat(fields).toString("base64");
}

function hash(name: string): string {
    const salt = Buffer.alloc(20, 7);
    return `|1|${salt.toString("base64")}|${createHmac("sha1", salt).update(name).digest("base64")}`;
}

const key = makeKey("ssh-ed25519", "ours");
const otherKey = makeKey("ssh-ed25519", "theirs");
const rsaKey = makeKey("ssh-rsa", "rsa");

test.each([
    ["its plain name", `edge ssh-ed25519 ${key}`, "edge", 22, "known"],
    ["another key", `edge ssh-ed25519 ${otherKey}`, "edge", 22, "changed"],
    ["a key of another type only", `edge ssh-rsa ${rsaKey}`, "edge", 22, "changed"],
    ["two keys, ours second", `edge ssh-rsa ${rsaKey}\nedge ssh-ed25519 ${key}`, "edge", 22, "known"],
    ["nothing", "", "edge", 22, "unknown"],
    ["another name", `edge2 ssh-ed25519 ${key}`, "edge", 22, "unknown"],
    ["a name in other case, as OpenSSH", `EDGE ssh-ed25519 ${key}`, "Edge", 22, "known"],
    ["a list", `a,edge,10.0.0.1 ssh-ed25519 ${key}`, "10.0.0.1", 22, "known"],
    ["a port", `[edge]:2222 ssh-ed25519 ${key}`, "edge", 2222, "known"],
    ["another port", `[edge]:2223 ssh-ed25519 ${key}`, "edge", 2222, "unknown"],
    ["an IPv6 address", `2001:db8::1 ssh-ed25519 ${key}`, "2001:DB8::1", 22, "known"],
    ["a port of an IPv6 address", `[2001:db8::1]:2222 ssh-ed25519 ${key}`, "2001:db8::1", 2222, "known"],
    ["a wildcard", `*.example.com ssh-ed25519 ${key}`, "a.b.example.com", 22, "known"],
    ["a question mark", `edge-? ssh-ed25519 ${key}`, "edge-7", 22, "known"],
    ["a question mark for two characters", `edge-? ssh-ed25519 ${key}`, "edge-77", 22, "unknown"],
    ["a dot is no wildcard", `e.ge ssh-ed25519 ${key}`, "edge", 22, "unknown"],
    ["a negation", `*.example.com,!bad.example.com ssh-ed25519 ${key}`, "bad.example.com", 22, "unknown"],
    [
        "a negation that comes first",
        `!bad.example.com,*.example.com ssh-ed25519 ${key}`,
        "bad.example.com",
        22,
        "unknown",
    ],
    ["a negation of another", `*.example.com,!bad.example.com ssh-ed25519 ${key}`, "good.example.com", 22, "known"],
    ["a hashed name", `${hash("edge")} ssh-ed25519 ${key}`, "edge", 22, "known"],
    ["a hashed name with a port", `${hash("[edge]:2222")} ssh-ed25519 ${key}`, "edge", 2222, "known"],
    ["the hash of another name", `${hash("edge2")} ssh-ed25519 ${key}`, "edge", 22, "unknown"],
    ["a broken hash", `|1|x ssh-ed25519 ${key}`, "edge", 22, "unknown"],
    ["the key revoked", `edge ssh-ed25519 ${key}\n@revoked * ssh-ed25519 ${key}`, "edge", 22, "revoked"],
    ["another key revoked", `edge ssh-ed25519 ${key}\n@revoked * ssh-ed25519 ${otherKey}`, "edge", 22, "known"],
    ["only a revoked other key", `@revoked edge ssh-ed25519 ${otherKey}`, "edge", 22, "unknown"],
    ["a certificate authority", `@cert-authority edge ssh-ed25519 ${key}`, "edge", 22, "unknown"],
    [
        "an authority beside the key",
        `@cert-authority * ssh-ed25519 ${otherKey}\nedge ssh-ed25519 ${key}`,
        "edge",
        22,
        "known",
    ],
    ["another marker", `@other edge ssh-ed25519 ${key}`, "edge", 22, "unknown"],
    ["a comment", `# edge ssh-ed25519 ${key}`, "edge", 22, "unknown"],
    ["a comment at the end", `edge ssh-ed25519 ${key} root@edge`, "edge", 22, "known"],
    ["tabs, spaces and CRLF", `  edge\tssh-ed25519  ${key}\r\n`, "edge", 22, "known"],
    ["a type that is not the key's", `edge ssh-rsa ${key}`, "edge", 22, "unknown"],
    ["no key", "edge ssh-ed25519", "edge", 22, "unknown"],
    ["no base64", "edge ssh-ed25519 AAAA!", "edge", 22, "unknown"],
    ["half a key", `edge ssh-ed25519 ${key.slice(0, 40)}`, "edge", 22, "unknown"],
    ["a byte order mark", `\ufeffedge ssh-ed25519 ${key}`, "edge", 22, "unknown"],
])("known_hosts: judges %s", (_name, text, host, port, expected) => {
    const lines = findHostLines(parseKnownHosts(text), renderHostName(host, port));
    expect(judgeKey(lines, key).kind).toBe(expected);
});

test("known_hosts: keeps the lines of authorities, with where they stand", () => {
    expect(parseKnownHosts(`# mine\n@cert-authority *.example.com ssh-ed25519 ${key}\n`, "/k")).toEqual([
        {
            file: "/k",
            lineNumber: 2,
            names: "*.example.com",
            isRevoked: false,
            isAuthority: true,
            type: "ssh-ed25519",
            key,
        },
    ]);
});

test("known_hosts: a changed key names the line that says otherwise", () => {
    const lines = parseKnownHosts(`# mine\n\nedge ssh-ed25519 ${otherKey}\n`);
    expect(judgeKey(lines, key)).toMatchObject({ kind: "changed", line: { lineNumber: 3, key: otherKey } });
});

test("host key: a fingerprint is what ssh-keygen prints", () => {
    const github = "AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl";
    expect(renderFingerprint(github)).toBe("SHA256:+DiY3wvvV6TuJJhbpZisF/zLDA0zPMSvHdkr4UvCOqU");
});

test.each([
    [key, "ssh-ed25519"],
    [rsaKey, "ssh-rsa"],
    ["AAAA", undefined],
    ["", undefined],
    ["ssh-ed25519", undefined],
    ["//////////////////", undefined],
])("host key: the type of %j is %s", (text, type) => {
    expect(keyType(text)).toBe(type);
});

test.each([
    [[], "ssh-ed25519"],
    [["ecdsa-sha2-nistp256"], "ecdsa-sha2-nistp256"],
    [["ssh-rsa"], "rsa-sha2-512"],
    [["ssh-rsa", "ssh-ed25519"], "ssh-ed25519"],
    [["sk-ssh-ed25519@openssh.com"], "ssh-ed25519"],
])("host key: knowing %j, the server is first asked for %s", (types, first) => {
    const algorithms = orderHostKeyAlgorithms(types);
    expect(algorithms[0]).toBe(first);
    expect(algorithms).toHaveLength(6);
    expect(algorithms).not.toContain("ssh-rsa");
});
