import fc from "fast-check";
import { expect, test } from "vitest";
import { dnsNameOf, parseDnsName } from "../../../provider/model/dns-name.js";

test.each([
    ["db", "db"],
    ["DB.Example.COM.", "db.example.com"],
    ["_sip._tcp", "_sip._tcp"],
    ["a-b--c", "a-b--c"],
    ["1a", "1a"],
    ["1.a", "1.a"],
    ["a".repeat(63), "a".repeat(63)],
    [`${"a".repeat(63)}.`.repeat(3) + "a".repeat(61), `${"a".repeat(63)}.`.repeat(3) + "a".repeat(61)],
])("DNS name: %s is stored as %s", (given, stored) => {
    expect(parseDnsName(given)).toBe(stored);
    expect(parseDnsName(stored)).toBe(stored);
});

test.each([
    ["", "is not a DNS name"],
    [".", "is not a DNS name"],
    ["a..b", "is not a DNS name"],
    ["-a", "is not a DNS name"],
    ["a-", "is not a DNS name"],
    ["a b", "is not a DNS name"],
    ["a\nb", "is not a DNS name"],
    ["a#b", "is not a DNS name"],
    ["bücher", "is not a DNS name"],
    ["fd00::1", "is not a DNS name"],
    ["a".repeat(64), "is not a DNS name"],
    [`${"a".repeat(63)}.`.repeat(3) + "a".repeat(62), "it has 254 characters, and 253 are the most"],
    ["10.0.0.1", "would be read as an address"],
    ["1", "would be read as an address"],
    ["db.0x1f", "would be read as an address"],
    ["localhost", "is what every machine calls itself"],
    ["db.localhost", "is what every machine calls itself"],
])("DNS name: %j is refused", (given, words) => {
    expect(() => parseDnsName(given)).toThrow(words);
});

test.each([
    ["db", "db"],
    ["My_Web 1", "my_web-1"],
    ["api.internal", "api.internal"],
    ["--a--", "a"],
    ["..a..b..", "a.b"],
    ["1", "sandbox-1"],
    ["10.0.0.1", "sandbox-10-0-0-1"],
    ["localhost", "sandbox-localhost"],
    ["", "sandbox"],
    ["日本", "sandbox"],
    ["a".repeat(70), "a".repeat(63)],
])("DNS name of %j: %s", (given, name) => {
    expect(dnsNameOf(given, "sandbox")).toBe(name);
});

test("DNS name: whatever a resource is called, its name can be asked for", () => {
    const names = fc.oneof(
        fc.string({ unit: "binary", maxLength: 300 }),
        fc.stringMatching(/^[a-z0-9._-]{0,400}$/),
        fc.constantFrom("a".repeat(300), "1.".repeat(200), "-", "0x"),
    );
    fc.assert(
        fc.property(names, (name) => {
            const made = dnsNameOf(name, "sandbox");
            expect(parseDnsName(made)).toBe(made);
        }),
        { numRuns: 300 },
    );
});
