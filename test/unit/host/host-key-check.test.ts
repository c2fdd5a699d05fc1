import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { generateKeyPair } from "../../../lab/key-pair.js";
import { prepareHostKeyCheck } from "../../../provider/host/host-key-check.js";
import type { Connection } from "../../../provider/model/connection.js";

const folder = mkdtempSync(join(tmpdir(), "linuxnet-test-"));
const [users, systems] = [join(folder, "users"), join(folder, "systems")];
const [ours, other] = [generateKeyPair().public, generateKeyPair().public];

afterAll(() => rmSync(folder, { recursive: true }));

const edge: Connection = {
    host: "edge",
    port: 22,
    user: "root",
    knownHosts: users,
    hostKeyPolicy: "strict",
    transport: "ssh2",
    sudo: false,
    dialTimeoutMs: 1000,
    keepAliveMs: 1000,
    lockTimeoutMs: 1000,
    operationTimeoutMs: 1000,
};

test.each([
    ["the key in the machine's file", "", `edge ${ours}`, undefined],
    ["the key in the user's file, another in the machine's", `edge ${ours}`, `edge ${other}`, undefined],
    ["another key in the machine's file", "", `\nedge ${other}`, `line 2 of ${systems} has`],
    ["other keys in both: the user's file is named", `edge ${other}`, `edge ${other}`, `line 1 of ${users} has`],
    ["the key revoked by the machine's file", `edge ${ours}`, `@revoked * ${ours}`, `@revoked in line 1 of ${systems}`],
    ["nothing in both", "", "", `is not in ${users} or ${systems}. Check`],
    [
        "an authority in the machine's file",
        "",
        `@cert-authority * ${other}`,
        `Line 1 of ${systems} trusts an authority`,
    ],
])("host key: judges by %s", (_name, user, system, expected) => {
    writeFileSync(users, `${user}\n`);
    writeFileSync(systems, `${system}\n`);
    const refusal = prepareHostKeyCheck(edge, [systems]).judge(ours.split(" ")[1] ?? "");
    if (expected === undefined) expect(refusal).toBeUndefined();
    else expect(refusal?.message).toContain(expected);
});

test("host key: without the machine's file only the user's is named", () => {
    writeFileSync(users, "");
    const refusal = prepareHostKeyCheck(edge, [join(folder, "nowhere")]).judge(ours.split(" ")[1] ?? "");
    expect(refusal?.message).toContain(`is not in ${users}. Check`);
});

test("host key: connection.hostKey counts alone", () => {
    writeFileSync(systems, `edge ${other}\n`);
    const check = prepareHostKeyCheck({ ...edge, hostKey: [ours] }, [systems]);
    expect(check.judge(ours.split(" ")[1] ?? "")).toBeUndefined();
    expect(check.judge(other.split(" ")[1] ?? "")?.message).toContain("not the one in connection.hostKey");
});
