import fc from "fast-check";
import { expect, test } from "vitest";
import {
    interfaceNameOf,
    kernelPrefixes,
    parseInterfaceName,
    parseNamespaceName,
} from "../../../provider/model/kernel-name.js";
import { macOfIpv4, parseMac } from "../../../provider/model/mac.js";
import { formatPortRange, parsePortRange } from "../../../provider/model/port-range.js";
import { formatId, parseId } from "../../../provider/model/reference.js";

/** dev_valid_name (net/core/dev.c), and the names that devinet's sysctl directories and loopback hold. */
function kernelAccepts(name: string): boolean {
    const bytes = new TextEncoder().encode(name).length;
    return bytes >= 1 && bytes <= 15 && !/[/:\s]/.test(name) && ![".", "..", "lo", "all", "default"].includes(name);
}

const hash = fc.stringMatching(/^[0-9a-f]{12}$/);
const logicalName = fc.oneof(
    fc.string({ unit: "binary" }),
    fc.string({ unit: "grapheme" }),
    fc.constantFrom("", ".", "..", "lo", "all", "default", "frontend", "a".repeat(15), "a".repeat(16), "a/b:c d"),
);

test("interface name: any logical name becomes one that the kernel and our own parser accept", () => {
    fc.assert(
        fc.property(logicalName, hash, (name, digits) => {
            const made = interfaceNameOf(name, digits);
            expect(made).toSatisfy(kernelAccepts);
            expect(parseInterfaceName(made)).toBe(made);
        }),
        { numRuns: 1000 },
    );
});

test.each([
    ["frontend", "frontend"],
    ["exactly15-bytes", "exactly15-bytes"],
    ["sixteen-bytes-xx", "sixteen-by-0123"],
    ["my network", "my-network"],
    ["näme", "n-me"],
    ["eth0.20", "eth0.20"],
    ["default", "default-0123"],
    ["all", "all-0123"],
    ["lo", "lo-0123"],
    ["..", "..-0123"],
    ["", "-0123"],
])("interface name: %j becomes %s", (name, made) => {
    expect(interfaceNameOf(name, "0123456789ab")).toBe(made);
});

test.each([["lo"], ["all"], ["default"], ["."], [".."], [""], ["a".repeat(16)], ["a b"], ["a/b"], ["a:b"], ["ü"]])(
    "interface name: refuses %j",
    (name) => {
        expect(() => parseInterfaceName(name)).toThrow(
            new Error(
                `"${name}" is not an interface name: 1 to 15 letters, digits, "-", "_" or "."; not "lo", "all" or "default"`,
            ),
        );
    },
);

test.each([["web"], ["web-1.prod_a"], ["0"], ["a".repeat(63)]])("namespace name: accepts %s", (name) => {
    expect(parseNamespaceName(name)).toBe(name);
});

test.each([[""], ["."], ["../etc"], ["-n"], ["a b"], ["$(id)"], ["a'b"], ["a\nb"], ["a".repeat(64)], ["ü"]])(
    "namespace name: refuses %j",
    (name) => {
        expect(() => parseNamespaceName(name)).toThrow(`"${name}" is not a namespace name: up to 63 letters`);
    },
);

test("kernel names: two letters and 12 digits, different for each kind", () => {
    const prefixes = Object.values(kernelPrefixes);
    expect(new Set(prefixes).size).toBe(prefixes.length);
    for (const prefix of prefixes) expect(`${prefix}0123456789ab`).toMatch(/^l[a-z][0-9a-f]{12}$/);
});

test("mac: follows from the address, differs for each, and is unicast and locally administered", () => {
    fc.assert(
        fc.property(fc.ipV4(), fc.ipV4(), (a, b) => {
            const mac = macOfIpv4(a);
            expect(parseMac(mac)).toBe(mac);
            expect(Number.parseInt(mac.slice(0, 2), 16) & 3).toBe(2);
            expect(mac === macOfIpv4(b)).toBe(a === b);
        }),
    );
    expect(macOfIpv4("172.20.0.10")).toBe("02:6c:ac:14:00:0a");
});

test.each([
    ["02:6C:AC:14:00:0A", "02:6c:ac:14:00:0a"],
    ["02-6c-ac-14-00-0a", "02:6c:ac:14:00:0a"],
])("mac: writes %s as %s", (text, canonical) => {
    expect(parseMac(text)).toBe(canonical);
});

test.each([
    [
        "01:00:5e:00:00:01",
        '"01:00:5e:00:00:01" is a multicast address; an endpoint needs a unicast one (first byte even)',
    ],
    [
        "ff:ff:ff:ff:ff:ff",
        '"ff:ff:ff:ff:ff:ff" is a multicast address; an endpoint needs a unicast one (first byte even)',
    ],
    ["00:00:00:00:00:00", '"00:00:00:00:00:00" is not a MAC address such as 02:6c:ac:14:00:0a'],
    ["02:6c:ac:14:00", '"02:6c:ac:14:00" is not a MAC address such as 02:6c:ac:14:00:0a'],
    ["026cac14000a", '"026cac14000a" is not a MAC address such as 02:6c:ac:14:00:0a'],
    ["02:6c:ac:14:00:0g", '"02:6c:ac:14:00:0g" is not a MAC address such as 02:6c:ac:14:00:0a'],
])("mac: refuses %s", (text, message) => {
    expect(() => parseMac(text)).toThrow(new Error(message));
});

test("port range: what is formatted reads back the same", () => {
    const port = fc.integer({ min: 1, max: 65535 });
    fc.assert(
        fc.property(port, port, (a, b) => {
            const range = { first: Math.min(a, b), last: Math.max(a, b) };
            const formatted = formatPortRange(range);
            expect(parsePortRange(formatted)).toEqual(range);
            expect(typeof formatted).toBe(a === b ? "number" : "string");
        }),
    );
});

test.each([
    [80, { first: 80, last: 80 }],
    ["80", { first: 80, last: 80 }],
    [" 8000 - 8010 ", { first: 8000, last: 8010 }],
    ["65535", { first: 65535, last: 65535 }],
])("port range: reads %j", (value, range) => {
    expect(parsePortRange(value)).toEqual(range);
});

test.each([
    [0, '"0" is not a port (1-65535) or a range such as 8000-8010'],
    [65536, '"65536" is not a port (1-65535) or a range such as 8000-8010'],
    [-1, '"-1" is not a port (1-65535) or a range such as 8000-8010'],
    [1.5, '"1.5" is not a port (1-65535) or a range such as 8000-8010'],
    ["http", '"http" is not a port (1-65535) or a range such as 8000-8010'],
    ["80-", '"80-" is not a port (1-65535) or a range such as 8000-8010'],
    ["1-2-3", '"1-2-3" is not a port (1-65535) or a range such as 8000-8010'],
    ["8010-8000", '"8010-8000" ends before it begins'],
])("port range: refuses %j", (value, message) => {
    expect(() => parsePortRange(value)).toThrow(new Error(message));
});

test("id: what is formatted reads back the same", () => {
    const word = fc.stringMatching(/^[a-z0-9]+$/);
    fc.assert(
        fc.property(word, word, fc.stringMatching(/^[A-Za-z0-9-]+$/), (key, generation, machineId) => {
            const id = { key, generation, machineId };
            expect(parseId(formatId(id))).toEqual(id);
        }),
    );
});

test.each([
    [""],
    ["ln0123456789ab"],
    ["ln01.1"],
    ["ln01@m"],
    ["LN01.1@m"],
    ["ln01.1@m/../x"],
    ["ln01.1@m\n"],
    ["a.b.c@m"],
])("id: refuses %j", (text) => {
    expect(() => parseId(text)).toThrow(
        new Error(`"${text}" is not an id of pulumi-linuxnet. Pass the resource object or its output "reference".`),
    );
});
