import fc from "fast-check";
import { Address4, Address6 } from "ip-address";
import { expect, test } from "vitest";
import { assignRanges, type HostRange } from "../../../provider/model/subnet-ranges.js";

const rangesOf = (assigned: Record<string, HostRange>) =>
    Object.fromEntries(Object.entries(assigned).map(([name, { ipRange }]) => [name, ipRange]));

test("ranges: each host has a /24 of an IPv4 subnet and its first address as gateway, in order", () => {
    expect(assignRanges({ hosts: ["a", "b", "c"], subnet: "10.64.0.0/16" })).toEqual({
        a: { ipRange: "10.64.0.0/24", gateway: "10.64.0.1" },
        b: { ipRange: "10.64.1.0/24", gateway: "10.64.1.1" },
        c: { ipRange: "10.64.2.0/24", gateway: "10.64.2.1" },
    });
});

test("ranges: two families are cut each by its own prefix", () => {
    const request = { hosts: ["a", "b"], subnet: ["10.64.0.0/16", "fd00:1::/48"], prefixPerHost: [20] };
    expect(assignRanges(request)["b"]).toEqual({
        ipRange: ["10.64.16.0/20", "fd00:1:0:1::/64"],
        gateway: ["10.64.16.1", "fd00:1:0:1::1"],
    });
});

test("ranges: set host bits are ignored", () => {
    const whole = assignRanges({ hosts: ["a"], subnet: "10.64.0.0/16" });
    expect(assignRanges({ hosts: ["a"], subnet: "10.64.7.9/16" })).toEqual(whole);
});

test("ranges: what the program chose stands, the others are put around it", () => {
    const given = { b: "10.64.0.0/23", c: "10.64.3.10-10.64.3.20" };
    expect(assignRanges({ hosts: ["a", "b", "c", "d"], subnet: "10.64.0.0/16", given })).toEqual({
        a: { ipRange: "10.64.2.0/24", gateway: "10.64.2.1" },
        b: { ipRange: "10.64.0.0/23", gateway: "10.64.0.1" },
        c: { ipRange: "10.64.3.10-10.64.3.20", gateway: "10.64.3.10" },
        d: { ipRange: "10.64.4.0/24", gateway: "10.64.4.1" },
    });
    const both = assignRanges({ hosts: ["a"], subnet: "10.64.0.0/16", given: { a: ["10.64.9.0/24", "fd00::/64"] } });
    expect(both["a"]?.gateway).toEqual(["10.64.9.1", "fd00::1"]);
});

test("ranges: a host that goes leaves the others, and one that comes at once does not take its range", () => {
    const subnet = "10.64.0.0/16";
    const before = assignRanges({ hosts: ["a", "b", "c"], subnet });
    const after = assignRanges({ hosts: ["d", "c", "a"], subnet }, before);
    expect(rangesOf(after)).toEqual({ d: "10.64.3.0/24", c: "10.64.2.0/24", a: "10.64.0.0/24" });
    expect(rangesOf(assignRanges({ hosts: ["d", "c", "a", "e"], subnet }, after))["e"]).toBe("10.64.1.0/24");
    // Nothing else is free.
    const small = assignRanges({ hosts: ["a", "b"], subnet: "10.64.0.0/23" });
    expect(rangesOf(assignRanges({ hosts: ["a", "c"], subnet: "10.64.0.0/23" }, small))["c"]).toBe("10.64.1.0/24");
});

test("ranges: another prefix or subnet, or a range that the program now gives to another, moves who is in the way", () => {
    const before = assignRanges({ hosts: ["a", "b"], subnet: "10.64.0.0/16" });
    const longer = assignRanges({ hosts: ["a", "b"], subnet: "10.64.0.0/16", prefixPerHost: 25 }, before);
    expect(rangesOf(longer)).toEqual({ a: "10.64.0.0/25", b: "10.64.0.128/25" });
    const larger = assignRanges({ hosts: ["a", "b"], subnet: "10.64.0.0/12" }, before);
    expect(rangesOf(larger)).toEqual(rangesOf(before));
    const given = assignRanges(
        { hosts: ["a", "b", "c"], subnet: "10.64.0.0/16", given: { c: "10.64.1.0/24" } },
        before,
    );
    expect(rangesOf(given)).toEqual({ a: "10.64.0.0/24", b: "10.64.2.0/24", c: "10.64.1.0/24" });
});

test.each([
    [{ subnet: "10.64.0.0/23" }, "10.64.0.0/23 has room for 2 ranges of /24, but there are 3 hosts"],
    [{ subnet: "10.64.0.0/25" }, "prefixPerHost 24 does not fit 10.64.0.0/25: expected 25 to 30"],
    [{ prefixPerHost: 31 }, "prefixPerHost 31 does not fit"],
    [{ prefixPerHost: 24.5 }, "prefixPerHost 24.5 does not fit"],
    [{ subnet: "10.64.0.0" }, '"10.64.0.0" is not a subnet'],
    [{ subnet: "10.64.0.0/33" }, '"10.64.0.0/33" is neither CIDR'],
    [{ subnet: "office/24" }, '"office/24" is neither CIDR'],
    [{ given: { x: "10.64.0.0/24" } }, "ranges.x: is not one of the hosts (a, b, c)."],
])("ranges: refuses %o", (wrong, message) => {
    expect(() => assignRanges({ hosts: ["a", "b", "c"], subnet: "10.64.0.0/24", ...wrong })).toThrow(message);
});

const hosts = fc.uniqueArray(fc.integer({ min: 1, max: 40 }).map(String), { minLength: 1, maxLength: 16 });
const isIn = (inner: string, outer: string) =>
    outer.includes(":")
        ? new Address6(inner).isInSubnet(new Address6(outer))
        : new Address4(inner).isInSubnet(new Address4(outer));

test.each(["10.64.0.0/20", "fd00:2:3::/60"])(
    "ranges: whoever comes and goes on %s, nobody's moves, and all are disjoint and inside",
    (subnet) => {
        fc.assert(
            fc.property(fc.array(hosts, { minLength: 1, maxLength: 12 }), (steps) => {
                let before: Record<string, HostRange> = {};
                for (const names of steps) {
                    const after = assignRanges({ hosts: names, subnet }, before);
                    for (const name of names) {
                        if (before[name] !== undefined) expect(after[name]).toEqual(before[name]);
                        expect(isIn(after[name]?.gateway as string, after[name]?.ipRange as string)).toBe(true);
                        expect(isIn(after[name]?.ipRange as string, subnet)).toBe(true);
                    }
                    expect(new Set(Object.values(rangesOf(after))).size).toBe(names.length);
                    before = after;
                }
            }),
        );
    },
);
