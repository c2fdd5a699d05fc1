import { expect, test } from "vitest";
import { explainDialError } from "../../../provider/host/dial-error.js";
import type { Connection } from "../../../provider/model/connection.js";

const edge: Connection = {
    host: "edge",
    port: 22,
    user: "root",
    transport: "ssh2",
    hostKeyPolicy: "strict",
    sudo: false,
    dialTimeoutMs: 15_000,
    keepAliveMs: 10_000,
    lockTimeoutMs: 1000,
    operationTimeoutMs: 1000,
};

const failed = (code: string) => Object.assign(new Error(code), { code });

/** mayHeal, mayHealAfterBoot, patienceMs */
test.each([
    ["a refused port", failed("ECONNREFUSED"), [true, true, 0]],
    ["a host that does not answer", failed("ETIMEDOUT"), [true, true, 0]],
    ["a neighbour that does not answer", failed("EHOSTUNREACH"), [true, true, 0]],
    ["no route here", failed("ENETUNREACH"), [false, false, 0]],
    ["a name that does not exist", failed("ENOTFOUND"), [false, false, 0]],
    ["a resolver that does not answer", failed("EAI_AGAIN"), [true, true, 0]],
    ["a door that closes", failed("ECONNRESET"), [true, true, 6000]],
    ["a refused login", Object.assign(new Error("all failed"), { level: "client-authentication" }), [false, true, 0]],
    ["no common algorithm", new Error("Handshake failed: no matching host key format"), [false, false, 0]],
] as const)("dial error: after %s, trying again may help as far as it can", (_name, error, hope) => {
    const { mayHeal, mayHealAfterBoot, patienceMs } = explainDialError(error, edge, ["key"]);
    expect([mayHeal, mayHealAfterBoot, patienceMs]).toEqual(hope);
});

test("dial error: of several addresses, that IPv6 leads nowhere is the least telling", () => {
    const [none, refused] = [failed("ENETUNREACH"), failed("ECONNREFUSED")];
    for (const errors of [
        [none, refused],
        [refused, none],
    ])
        expect(explainDialError(new AggregateError(errors), edge, []).message).toContain("refuses connections");
    expect(explainDialError(new AggregateError([none]), edge, []).message).toContain("no route to the host");
});
