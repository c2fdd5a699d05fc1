import { expect, test } from "vitest";
import type { Connection } from "../../../provider/model/connection.js";
import { mayForget, override, parseOverrides } from "../../../provider/overrides.js";
import { isUnanswered } from "../../../provider/unanswered.js";

const edge = { host: "203.0.113.10", user: "root", privateKey: "old", sudo: true, name: "edge" } as Connection;

const parse = (config: Readonly<Record<string, string>>, environment = {}) =>
    parseOverrides((key) => config[key], environment);

test.each([
    ["nothing", {}, {}],
    ["all hosts", { "linuxnet:user": "a", "linuxnet:privateKey": "k" }, { user: "a", privateKey: "k" }],
    ["the sudo password", { "linuxnet:sudoPassword": "s" }, { sudo: { password: "s" } }],
    ["one host by its name", { "linuxnet:hosts": '{"edge":{"user":"b"},"core":{"user":"c"}}' }, { user: "b" }],
    ["one host by its address", { "linuxnet:hosts": '{"203.0.113.10":{"password":"p"}}' }, { password: "p" }],
    ["one before all", { "linuxnet:user": "a", "linuxnet:hosts": '{"edge":{"user":"b"}}' }, { user: "b" }],
    [
        "by name before by address",
        { "linuxnet:hosts": '{"edge":{"user":"b"},"203.0.113.10":{"user":"c"}}' },
        { user: "b" },
    ],
    ["what is for others", { "linuxnet:hosts": '{"core":{"user":"c"}}' }, {}],
])("overrides: %s", (_what, config, changed) => {
    expect(override(edge, parse(config))).toEqual({ ...edge, ...changed });
});

test("overrides: a sudo password is not for who needs no sudo", () => {
    const connection = { ...edge, sudo: false };
    expect(override(connection, parse({ "linuxnet:sudoPassword": "s" }))).toEqual(connection);
});

test.each([
    ["by default not", {}, {}, {}, false],
    ["the Host's argument", {}, {}, { deleteUnreachable: true }, true],
    ["configuration", { "linuxnet:deleteUnreachable": "true" }, {}, {}, true],
    ["the environment", {}, { LINUXNET_DELETE_UNREACHABLE: "1" }, {}, true],
    ["configuration of the host", { "linuxnet:hosts": '{"edge":{"deleteUnreachable":true}}' }, {}, {}, true],
    [
        "configuration before the argument",
        { "linuxnet:deleteUnreachable": "false" },
        {},
        { deleteUnreachable: true },
        false,
    ],
    ["not the other hosts", { "linuxnet:hosts": '{"core":{"deleteUnreachable":"true"}}' }, {}, {}, false],
])("deleteUnreachable: %s", (_what, config, environment, argument, expected) => {
    expect(mayForget({ ...edge, ...argument }, parse(config, environment))).toBe(expected);
});

test.each([
    ['{"edge":{"privatekey":"SECRET"}}', "linuxnet:hosts.edge.privatekey: there is no such argument."],
    ['{"edge":"SECRET"}', "linuxnet:hosts.edge: an object is expected."],
    ['{"edge":{"sudoPassword":["SECRET"]}}', "linuxnet:hosts.edge.sudoPassword: a text is expected."],
    ["SECRET", "linuxnet:hosts is not a table."],
])("overrides: what is wrong with linuxnet:hosts is said without its values: %s", (hosts, message) => {
    const read = () => parse({ "linuxnet:hosts": hosts });
    expect(read).toThrow(`stack configuration: ${message}`);
    expect(read).not.toThrow("SECRET");
});

const connectionError = (cause?: unknown) =>
    Object.assign(new Error("edge: no", { cause }), { name: "ConnectionError" });
const socketError = (code: string, more = {}) => Object.assign(new Error(code), { code, ...more });

test.each([
    ["a refused port", socketError("ECONNREFUSED"), true],
    ["no route", socketError("EHOSTUNREACH"), true],
    ["no name", socketError("ENOTFOUND"), true],
    ["each address of several", new AggregateError([socketError("ETIMEDOUT"), socketError("EHOSTUNREACH")]), true],
    ["a bastion that does not answer", connectionError(socketError("ETIMEDOUT")), true],
    ["a bastion that cannot connect", Object.assign(new Error("(SSH) Channel open failure: "), { reason: 2 }), true],
    ["a bastion that may not", Object.assign(new Error("(SSH) Channel open failure: "), { reason: 1 }), false],
    ["no network here", socketError("ENETUNREACH"), false],
    ["no DNS here", socketError("EAI_AGAIN"), false],
    ["a silent handshake", socketError("ETIMEDOUT", { level: "handshake" }), false],
    ["a login cut off", socketError("ECONNRESET"), false],
    ["a wrong key", Object.assign(new Error("no"), { level: "client-authentication" }), false],
    ["words without a cause", undefined, false],
])("unanswered: %s", (_what, cause, expected) => {
    expect(isUnanswered(connectionError(cause))).toBe(expected);
});
