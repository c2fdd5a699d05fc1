import fc from "fast-check";
import { expect, test } from "vitest";
import {
    contains,
    formatIpv4,
    overlaps,
    parseIpv4,
    parseIpv4Cidr,
    parseIpv4Range,
    withPrefix,
} from "../../../provider/model/address.js";
import { lowestFree } from "../../../provider/model/free-address.js";
import type { Half } from "../../../provider/model/half.js";

const anyAddress = fc.nat({ max: 0xffffffff });

test("address: every number is the address that its text says", () => {
    fc.assert(
        fc.property(anyAddress, (value) => {
            expect(parseIpv4(formatIpv4(value))).toBe(value);
        }),
    );
});

test.each([
    ["0.0.0.0", 0],
    ["172.20.0.10", 0xac14000a],
    ["255.255.255.255", 0xffffffff],
])("address: reads %s", (text, value) => {
    expect(parseIpv4(text)).toBe(value);
    expect(formatIpv4(value)).toBe(text);
});

test.each([
    ["172.20.0.010", "172.20.0.10"],
    ["00.0.0.1", "0.0.0.1"],
    ["010.00.00.01", "10.0.0.1"],
])("address: refuses %s, which is read in two ways", (text, decimal) => {
    const message = `"${text}" has leading zeros, which some programs read as octal; write ${decimal}`;
    expect(() => parseIpv4(text)).toThrow(new Error(message));
});

test.each([
    [""],
    ["172.20.0"],
    ["172.20.0.256"],
    ["172.20.0.1.1"],
    ["0x7f.0.0.1"],
    ["172.20.0.1/24"],
    [" 172.20.0.1"],
    ["172.20.0.1\n"],
    ["fd00::1"],
    ["$(id)"],
])("address: refuses %j", (text) => {
    expect(() => parseIpv4(text)).toThrow(new Error(`"${text}" is not an IPv4 address such as 172.20.0.10`));
});

test.each([
    ["172.20.0.0/24", 24, 0xac140000, 0xac1400ff],
    ["0.0.0.0/0", 0, 0, 0xffffffff],
    ["10.0.0.1/32", 32, 0x0a000001, 0x0a000001],
    ["10.0.0.2/31", 31, 0x0a000002, 0x0a000003],
    ["128.0.0.0/1", 1, 0x80000000, 0xffffffff],
])("network: reads %s", (text, prefixLength, first, last) => {
    expect(parseIpv4Cidr(text)).toEqual({ text, prefixLength, first, last });
});

test.each([
    ["172.20.0.0", '"172.20.0.0" is not an IPv4 network in CIDR notation such as 172.20.0.0/24'],
    ["172.20.0.0/33", '"172.20.0.0/33" is not an IPv4 network in CIDR notation such as 172.20.0.0/24'],
    ["172.20.0.0/024", '"172.20.0.0/024" is not an IPv4 network in CIDR notation such as 172.20.0.0/24'],
    ["172.20.0.5/24", '"172.20.0.5/24" has bits set behind its prefix; the network is 172.20.0.0/24'],
    ["172.20.300.0/24", '"172.20.300.0" is not an IPv4 address such as 172.20.0.10'],
    ["fd00::/64", '"fd00::/64" is not an IPv4 network in CIDR notation such as 172.20.0.0/24'],
    ["172.20.0.0/24; drop", '"172.20.0.0/24; drop" is not an IPv4 network in CIDR notation such as 172.20.0.0/24'],
])("network: refuses %s", (text, message) => {
    expect(() => parseIpv4Cidr(text)).toThrow(new Error(message));
});

test("network: begins and ends where its prefix says, for every address and length", () => {
    fc.assert(
        fc.property(anyAddress, fc.integer({ min: 0, max: 32 }), (address, prefixLength) => {
            const mask = prefixLength === 0 ? 0n : (0xffffffffn << BigInt(32 - prefixLength)) & 0xffffffffn;
            const first = Number(BigInt(address) & mask);
            const cidr = parseIpv4Cidr(`${formatIpv4(first)}/${prefixLength}`);
            expect(cidr).toMatchObject({ first, last: first + 2 ** (32 - prefixLength) - 1, prefixLength });
            expect(contains(cidr, { first: address, last: address })).toBe(true);
            if (first !== address) {
                expect(() => parseIpv4Cidr(`${formatIpv4(address)}/${prefixLength}`)).toThrow(cidr.text);
            }
        }),
    );
});

test.each([
    ["172.20.0.128/25", 0xac140080, 0xac1400ff],
    ["172.20.0.10-172.20.0.20", 0xac14000a, 0xac140014],
    ["172.20.0.10 - 172.20.0.10", 0xac14000a, 0xac14000a],
])("range: reads %s", (text, first, last) => {
    expect(parseIpv4Range(text)).toMatchObject({ first, last });
});

test.each([
    ["172.20.0.20-172.20.0.10", '"172.20.0.20-172.20.0.10" ends before it begins'],
    ["172.20.0.20", '"172.20.0.20" is not a range such as 172.20.0.128/25 or 172.20.0.10-172.20.0.20'],
    ["172.20.0.20-", '"" is not an IPv4 address such as 172.20.0.10'],
    [
        "172.20.0.1-172.20.0.2-172.20.0.3",
        '"172.20.0.1-172.20.0.2-172.20.0.3" is not a range such as 172.20.0.128/25 or 172.20.0.10-172.20.0.20',
    ],
])("range: refuses %s", (text, message) => {
    expect(() => parseIpv4Range(text)).toThrow(new Error(message));
});

const anyRange = fc.tuple(fc.nat({ max: 30 }), fc.nat({ max: 30 })).map(([a, b]) => ({
    first: Math.min(a, b),
    last: Math.max(a, b),
}));

test("range: contains and overlaps say what counting every address says", () => {
    const members = ({ first, last }: { first: number; last: number }) =>
        Array.from({ length: last - first + 1 }, (_, i) => first + i);
    fc.assert(
        fc.property(anyRange, anyRange, (a, b) => {
            const inA = new Set(members(a));
            expect(contains(a, b)).toBe(members(b).every((address) => inA.has(address)));
            expect(overlaps(a, b)).toBe(members(b).some((address) => inA.has(address)));
        }),
    );
});

test("address: takes the prefix length of its network", () => {
    expect(withPrefix("172.20.0.2", parseIpv4Cidr("172.20.0.0/16"))).toBe("172.20.0.2/16");
});

test("allocation: gives the lowest free address, never the first, the last or a taken one, until none is left", () => {
    const cases = fc.tuple(fc.integer({ min: 24, max: 30 }), fc.array(fc.nat({ max: 255 })), fc.nat(), fc.nat());
    fc.assert(
        fc.property(cases, ([prefixLength, offsets, a, b]) => {
            const subnet = parseIpv4Cidr(`172.20.0.0/${prefixLength}`);
            const size = subnet.last - subnet.first + 1;
            const [low, high] = [a % size, b % size].sort((x, y) => x - y) as [number, number];
            const range = { first: subnet.first + low, last: subnet.first + high };
            const taken = new Set(offsets.map((offset) => formatIpv4(subnet.first + offset)));
            const isUsable = (address: number) =>
                !taken.has(formatIpv4(address)) && address !== subnet.first && address !== subnet.last;
            const usable: string[] = [];
            for (let address = range.first; address <= range.last; address++)
                if (isUsable(address)) usable.push(formatIpv4(address));
            const ipRange = `${formatIpv4(range.first)}-${formatIpv4(range.last)}`;
            const half: Half = { family: 4, subnet: subnet.text, gateway: "", ipRange };
            const given: string[] = [];
            for (let next = lowestFree(half, taken); next !== undefined; next = lowestFree(half, taken)) {
                given.push(next);
                taken.add(next);
            }
            expect(given).toEqual(usable);
        }),
    );
});
