import { expect, test } from "vitest";
import { renderOpensshArguments } from "../../../provider/host/openssh-arguments.js";
import { describeLoss, explainOpensshEnd, readRefusedKey } from "../../../provider/host/openssh-error.js";
import type { Connection } from "../../../provider/model/connection.js";

const edge: Connection = {
    host: "edge",
    transport: "openssh",
    hostKeyPolicy: "strict",
    sudo: false,
    dialTimeoutMs: 15_000,
    keepAliveMs: 10_000,
    lockTimeoutMs: 1000,
    operationTimeoutMs: 1000,
};

test.each([
    ["nothing", {}, {}, [], ["-p", "-l", "IdentityFile", "UserKnownHostsFile", "IdentityAgent", "IdentitiesOnly"]],
    ["a port and a user", { port: 22, user: "root" }, {}, ["-p 22", "-l root"], []],
    ["a key", {}, { key: "/k" }, ['IdentityFile="/k"', "IdentitiesOnly=yes"], ["IdentityAgent"]],
    ["a strange path", {}, { key: '/a "b" 100%d' }, ['IdentityFile="/a \\"b\\" 100%%d"'], []],
    ["a certificate", {}, { key: "/k", certificate: "/c d" }, ['CertificateFile="/c d"', "IdentitiesOnly=yes"], []],
    ["an agent", { agentSocketPath: "/a b" }, { key: "/k" }, ['IdentityAgent="/a b"'], ["IdentitiesOnly"]],
    ["known_hosts", { knownHosts: "/k" }, {}, ['UserKnownHostsFile="/k"', "StrictHostKeyChecking=yes"], []],
    [
        "accept-new",
        { hostKeyPolicy: "accept-new" },
        {},
        ["StrictHostKeyChecking=accept-new"],
        ["StrictHostKeyChecking=yes"],
    ],
    [
        "host keys",
        { hostKeyPolicy: "accept-new", knownHosts: "/mine" },
        { hostKeys: "/k" },
        ['UserKnownHostsFile="/k"', "StrictHostKeyChecking=yes", "GlobalKnownHostsFile=/dev/null"],
        ["accept-new", "/mine"],
    ],
    ["times", { keepAliveMs: 2500, dialTimeoutMs: 500 }, {}, ["ServerAliveInterval=3", "ConnectTimeout=2"], []],
] as const)("openssh: arguments of %s", (_name, changes, files, some, none) => {
    const text = renderOpensshArguments(
        { ...edge, ...changes },
        files,
        "dialTimeoutMs" in changes ? changes.dialTimeoutMs : 15_000,
    ).join(" ");
    expect(text).toMatch(/^-T -o BatchMode=yes .* -- edge$/);
    for (const part of some) expect(text).toContain(part);
    for (const part of none) expect(text).not.toContain(part === "-p" || part === "-l" ? ` ${part} ` : part);
});

test.each([
    [
        "ssh: Could not resolve hostname edge: Name or service not known",
        "edge: the name edge does not exist in DNS",
        false,
    ],
    ["ssh: Could not resolve hostname edge: Temporary failure in name resolution", "could not be looked up", true],
    ["ssh: connect to host edge port 22: Connection refused", "edge: port 22 refuses connections", true],
    ["ssh: connect to host edge port 2222: Connection timed out", "edge:2222: port 2222 does not answer", true],
    ["ssh: connect to host edge port 22: No route to host", "there is no route to the host (EHOSTUNREACH)", true],
    ["ssh: connect to host edge port 22: Network is unreachable", "no route to the host (ENETUNREACH)", false],
    ["Connection timed out during banner exchange\nConnection to 10.0.0.1 port 22 timed out", "does not answer", true],
    [
        "kex_exchange_identification: read: Connection reset by peer\nConnection reset by 10.0.0.1 port 22",
        "ended the connection",
        true,
    ],
    ["kex_exchange_identification: Connection closed by remote host", "ended the connection before the login", true],
    ["banner exchange: Connection to 10.0.0.1 port 25: invalid format", "does not speak SSH", false],
    ["root@edge: Permission denied (publickey).", "root@edge: no credential was accepted (tried: the key).", false],
    [
        "Received disconnect from 10.0.0.1 port 22:2: Too many authentication failures\nDisconnected from 10.0.0.1 port 22",
        "sshd gave up after too many credentials (the key)",
        false,
    ],
    [
        "Unable to negotiate with 10.0.0.1 port 22: no matching host key type found. Their offer: ssh-dss",
        "have no algorithm in common (Unable to negotiate",
        false,
    ],
    [
        "root@bastion: Permission denied (publickey).\nkex_exchange_identification: Connection closed by remote host",
        "edge: ssh did not get through (it said: root@bastion: Permission denied (publickey).)",
        false,
    ],
    [
        "what is that",
        "edge: ssh ended before the login was done (it said: what is that). Try it by hand: ssh edge.",
        false,
    ],
])("openssh: explains %j", (words, message, mayHeal) => {
    const error = explainOpensshEnd(`Warning: something\r\n${words}\r\n`, edge, ["the key"]);
    expect(error.message).toContain(message);
    expect(error.message).not.toContain("\n");
    expect(error.mayHeal).toBe(mayHeal);
});

test.each([
    ["Timeout, server 10.0.0.1 not responding.", "the host stopped answering"],
    ["Connection to 10.0.0.1 closed by remote host.", "the host closed the connection"],
    ["client_loop: send disconnect: Broken pipe", "the connection broke (send disconnect: Broken pipe)"],
    ["", "the host closed the shell"],
])("openssh: the end told by %j is %s", (words, reason) => {
    expect(describeLoss(`out of a script\r\n${words}\r\n`)).toBe(reason);
});

test("openssh: a login that ended for another reason is no refused key", () => {
    expect(readRefusedKey("root@edge: Permission denied (publickey).")).toBeUndefined();
});
