import { readFileSync } from "node:fs";
import fc from "fast-check";
import { expect, test } from "vitest";
import { linkAlias } from "../../../provider/kernel/link.js";
import { nftString, normaliseParts } from "../../../provider/kernel/nft.js";

const hostile = fc.oneof(
    fc.string({ unit: "binary" }),
    fc.string({ unit: fc.constantFrom('"', "\\", "\n", ";", "{", "}", "#", "$", "é", "😀", "a", "\u0000") }),
);

test("nft string: nothing leaves it: one pair of quotes, no control characters, at most 118 bytes", () => {
    fc.assert(
        fc.property(hostile, (text) => {
            const written = nftString(text);
            // biome-ignore lint/suspicious/noControlCharactersInRegex: exactly these would end the statement
            expect(written).toMatch(/^"[^"\\\u0000-\u001f\u007f]*"$/u);
            expect(new TextEncoder().encode(written).length).toBeLessThanOrEqual(120);
        }),
        { numRuns: 1000 },
    );
});

test.each([
    ["plain text", '"plain text"'],
    ['a"; drop', '"a ; drop"'],
    ["two\nlines", '"two lines"'],
    ["é".repeat(100), `"${"é".repeat(59)}"`],
    [`${"x".repeat(116)}😀`, `"${"x".repeat(116)}"`],
])("nft string: writes %j as %s", (text, written) => {
    expect(nftString(text)).toBe(written);
});

test("alias: any text becomes one without quotes, escapes and comments, which batch files do not know", () => {
    fc.assert(
        fc.property(hostile, (text) => {
            expect(linkAlias(text)).toMatch(/^[A-Za-z0-9 _.:()@/+-]{0,200}$/);
        }),
    );
});

/** Printed by nft 1.0.6 for one element of each shape that we write. */
const printed = JSON.parse(readFileSync(`${__dirname}/nft-1.0.6.json`, "utf8")) as {
    nftables: { set?: { name: string; elem: unknown[] }; map?: { name: string; elem: [unknown, unknown][] } }[];
};
const pairs = printed.nftables.flatMap(({ set, map }) => [
    ...(set?.elem ?? []).map((key) => [set?.name, normaliseParts(key), ""]),
    ...(map?.elem ?? []).map(([key, value]) => [map?.name, normaliseParts(key), normaliseParts(value)]),
]);

test.each([
    ["ingress", "ln0123456789ab . 172.20.0.2", "goto in_le1"],
    ["published", "203.0.113.10 . tcp . 22", "172.20.0.2 . 22"],
    ["published", "203.0.113.10 . udp . 53", "172.20.0.3 . 53"],
    ["published_any", "tcp . 8080", "172.20.0.2 . 80"],
    ["subnets", "ln0123456789ab . 172.20.0.0/24", ""],
    ["subnets", "ln0123456789ac . 172.21.0.4/30", ""],
    ["masqueraded", "172.22.0.0/24", ""],
    ["networks", "ln0123456789ab", ""],
    ["tunnel_ports", "4789", ""],
    ["tunnel_peers", "192.0.2.2 . 4789", ""],
    ["macs", "le0123456789ab . 02:6c:ac:14:00:02", ""],
])("nft json: reads the element of %s as %s", (...pair) => {
    expect(pairs).toContainEqual(pair);
});

test.each([
    ["an element with a counter", { elem: { val: "ln1", counter: { packets: 1, bytes: 60 } } }, "ln1"],
    ["a jump", { jump: { target: "x" } }, "jump x"],
])("nft json: reads %s", (_title, value, text) => {
    expect(normaliseParts(value)).toBe(text);
});
