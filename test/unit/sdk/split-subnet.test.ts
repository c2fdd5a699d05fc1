import fc from "fast-check";
import { Address4, Address6 } from "ip-address";
import { expect, test } from "vitest";
import { firstAddress, splitSubnet } from "../../../sdk/split-subnet.js";

test("splitSubnet: gives each host a /24 of an IPv4 subnet, in order", () => {
    expect(splitSubnet("10.64.0.0/16", 3)).toEqual([
        { range: "10.64.0.0/24", gateway: "10.64.0.1" },
        { range: "10.64.1.0/24", gateway: "10.64.1.1" },
        { range: "10.64.2.0/24", gateway: "10.64.2.1" },
    ]);
});

test("splitSubnet: gives each host a /64 of an IPv6 subnet", () => {
    expect(splitSubnet("fd00:1::/48", 2)).toEqual([
        { range: "fd00:1::/64", gateway: "fd00:1::1" },
        { range: "fd00:1:0:1::/64", gateway: "fd00:1:0:1::1" },
    ]);
});

test("splitSubnet: ignores host bits that are set", () => {
    expect(splitSubnet("10.64.7.9/16", 1)).toEqual(splitSubnet("10.64.0.0/16", 1));
});

test.each([
    ["10.64.0.0/23", 3, undefined, "10.64.0.0/23 has room for 2 ranges of /24, but there are 3 hosts"],
    ["10.64.0.0/25", 1, undefined, "prefixPerHost 24 does not fit 10.64.0.0/25: expected 25 to 30"],
    ["10.64.0.0/24", 1, 31, "prefixPerHost 31 does not fit"],
    ["10.64.0.0/24", 1, 24.5, "prefixPerHost 24.5 does not fit"],
    ["10.64.0.0", 1, undefined, '"10.64.0.0" is not a subnet'],
    ["10.64.0.0/33", 1, undefined, '"10.64.0.0/33" is neither CIDR'],
    ["office/24", 1, undefined, '"office/24" is neither CIDR'],
])("splitSubnet: refuses %s for %i hosts with prefix %s", (subnet, count, prefix, message) => {
    expect(() => splitSubnet(subnet, count, prefix)).toThrow(message);
});

const ipv4Splits = fc
    .record({
        base: fc.bigInt({ min: 0n, max: (1n << 32n) - 1n }),
        length: fc.integer({ min: 8, max: 30 }),
        more: fc.integer({ min: 0, max: 6 }),
        wanted: fc.integer({ min: 1, max: 80 }),
    })
    .map(({ base, length, more, wanted }) => {
        const subnet = `${Address4.fromBigInt(base).correctForm()}/${length}`;
        return { subnet, prefix: Math.min(length + more, 30), wanted };
    });

test("splitSubnet: ranges are disjoint, in order, inside the subnet, and as many as wanted, or it refuses", () => {
    fc.assert(
        fc.property(ipv4Splits, ({ subnet, prefix, wanted }) => {
            const room = 2 ** (prefix - new Address4(subnet).subnetMask);
            if (wanted > room) {
                expect(() => splitSubnet(subnet, wanted, prefix)).toThrow(`has room for ${room} ranges`);
                return;
            }
            const ranges = splitSubnet(subnet, wanted, prefix).map(({ range }) => new Address4(range));
            expect(ranges).toHaveLength(wanted);
            const whole = new Address4(subnet);
            for (const [index, range] of ranges.entries()) {
                expect(range.isInSubnet(whole)).toBe(true);
                expect(range.startAddress().bigInt()).toBe(range.bigInt());
                const next = ranges[index + 1];
                if (next) expect(next.bigInt()).toBe(range.endAddress().bigInt() + 1n);
            }
        }),
    );
});

test("splitSubnet: the gateway is inside its range and can be used by a machine", () => {
    fc.assert(
        fc.property(fc.integer({ min: 1, max: 256 }), (wanted) => {
            for (const { range, gateway } of splitSubnet("fd00:2:3::/56", wanted)) {
                expect(new Address6(gateway).isInSubnet(new Address6(range))).toBe(true);
                expect(new Address6(gateway).bigInt()).toBe(new Address6(range).bigInt() + 1n);
            }
        }),
    );
});

test("splitSubnet: appending a host leaves the ranges of the others", () => {
    fc.assert(
        fc.property(fc.integer({ min: 1, max: 255 }), (wanted) => {
            const more = splitSubnet("10.64.0.0/16", wanted + 1);
            expect(more.slice(0, wanted)).toEqual(splitSubnet("10.64.0.0/16", wanted));
        }),
    );
});

test.each([
    ["10.64.1.0/24", "10.64.1.1"],
    ["10.64.1.10-10.64.1.20", "10.64.1.10"],
    ["fd00::/64", "fd00::1"],
    ["fd00::10-fd00::20", "fd00::10"],
])("firstAddress: of %s is %s", (range, address) => {
    expect(firstAddress(range)).toBe(address);
});
