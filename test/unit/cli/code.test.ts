import fc from "fast-check";
import ts from "typescript";
import { expect, test } from "vitest";
import { type Code, createIdentifiers, renderCode } from "../../../cli/import/code.js";

test.each([
    ["web", "Sandbox", "web"],
    ["new data!", "Network", "newData"],
    ["2-api", "Sandbox", "_2Api"],
    ["delete", "FirewallPolicy", "deleteFirewallPolicy"],
    ["linuxnet", "Network", "linuxnetNetwork"],
    ["Ünï", "Network", "n"],
    ["", "Network", "network"],
])("identifier: %j becomes %s %s", (name, suffix, identifier) => {
    expect(createIdentifiers()(name, suffix)).toBe(identifier);
});

test("identifier: the same name again is another one", () => {
    const identify = createIdentifiers();
    expect(["web", "web", "web", "web"].map((name) => identify(name, "Sandbox"))).toEqual([
        ...["web", "webSandbox", "webSandbox2", "webSandbox3"],
    ]);
});

test("identifier: any names become identifiers that TypeScript takes, each once", () => {
    fc.assert(
        fc.property(fc.array(fc.string({ maxLength: 12 }), { maxLength: 8 }), (names) => {
            const identify = createIdentifiers();
            const found = names.map((name) => identify(name, "Network"));
            expect(new Set(found).size).toBe(found.length);
            const text = found.map((each) => `const ${each} = 1;`).join("\n");
            expect(ts.transpileModule(`"use strict";\n${text}`, { reportDiagnostics: true }).diagnostics).toEqual([]);
        }),
    );
});

const code = fc.letrec<{ value: Code }>((tie) => ({
    value: fc.oneof(
        { maxDepth: 3 },
        fc.string(),
        fc.integer(),
        fc.boolean(),
        fc.array(tie("value"), { maxLength: 5 }),
        fc.dictionary(
            fc.string({ maxLength: 8 }).filter((name) => name !== "__proto__" && name !== "variable"),
            tie("value"),
            { maxKeys: 5, noNullPrototype: true },
        ),
    ),
})).value;

test("value: what is printed means the same, whatever is in it", () => {
    fc.assert(
        fc.property(code, (value) => {
            expect(new Function(`return ${renderCode(value)};`)()).toEqual(value);
        }),
    );
});

test("value: variables are printed bare, what is undefined not at all, and long values broken", () => {
    const args = { host: { variable: "host" }, mtu: undefined, target: [{ variable: "web" }, "a b"] };
    expect(renderCode(args)).toBe('{ host, target: [web, "a b"] }');
    expect(renderCode({ true: true, host: "host" })).toBe('{ true: true, host: "host" }');
    expect(renderCode({ description: "x".repeat(90), list: [1, 2] })).toBe(
        `{\n    description: "${"x".repeat(90)}",\n    list: [1, 2],\n}`,
    );
});
