import { isIPv6 } from "node:net";
import fc from "fast-check";
import { Address6 } from "ip-address";
import { expect, test } from "vitest";
import { contains } from "../../../provider/model/address.js";
import { formatIpv6, linkLocalOf, networkAround, parseIpv6, parseIpv6Cidr } from "../../../provider/model/ipv6.js";

/** Addresses with many zero groups, where the canonical form is decided. */
const anyAddress = fc
    .array(fc.oneof(fc.constant(0), fc.nat({ max: 15 }), fc.nat({ max: 0xffff })), { minLength: 8, maxLength: 8 })
    .map((groups) => groups.reduce((sum, group) => (sum << 16n) | BigInt(group), 0n))
    .filter((value) => value >> 32n !== 0xffffn);

test("ipv6: is written as RFC 5952 says, and as ip-address writes it", () => {
    fc.assert(
        fc.property(anyAddress, (value) => {
            expect(formatIpv6(value)).toBe(Address6.fromBigInt(value).correctForm());
        }),
    );
});

test("ipv6: every form that ip-address writes is the same address", () => {
    fc.assert(
        fc.property(anyAddress, (value) => {
            const address = Address6.fromBigInt(value);
            const forms = [address.correctForm(), address.canonicalForm(), address.to4in6()];
            for (const form of forms.flatMap((text) => [text, text.toUpperCase()])) expect(parseIpv6(form)).toBe(value);
        }),
    );
});

test("ipv6: takes exactly the texts that Node takes, but for zones and IPv4 in disguise", () => {
    const piece = fc.constantFrom("0", "1", "ab", "FFFF", "00001", ":", "::", ".", "1.2.3.4", "g", " ", "");
    fc.assert(
        fc.property(fc.array(piece, { maxLength: 16 }), (pieces) => {
            const text = pieces.join("");
            const isTaken = (() => {
                try {
                    parseIpv6(text);
                    return true;
                } catch (error) {
                    return /form of IPv6/.test((error as Error).message);
                }
            })();
            expect(isTaken, text).toBe(isIPv6(text));
        }),
        { numRuns: 5000 },
    );
});

test.each([
    ["fd00:0001:0000:0000:0000:0000:0000:0010", "fd00:1::10"],
    ["FD00:1::00AB", "fd00:1::ab"],
    ["::", "::"],
    ["::1", "::1"],
    ["2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"],
    ["2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"],
    ["2001:0:0:1:0:0:0:1", "2001:0:0:1::1"],
    ["64:ff9b::192.0.2.1", "64:ff9b::c000:201"],
    ["::192.0.2.1", "::c000:201"],
])("ipv6: %s is %s", (text, canonical) => {
    expect(formatIpv6(parseIpv6(text))).toBe(canonical);
});

test.each([
    ["::ffff:192.0.2.1", '"::ffff:192.0.2.1" is an IPv4 address in the form of IPv6; write 192.0.2.1'],
    ["::ffff:c000:201", '"::ffff:c000:201" is an IPv4 address in the form of IPv6; write 192.0.2.1'],
    ["fe80::1%eth0", '"fe80::1%eth0" has a zone, which means something on one machine only; leave "%..." out'],
    ["fd00::1/64", '"fd00::1/64" is not an IPv6 address such as fd00:1::10'],
    ["fd00::1::2", '"fd00::1::2" is not an IPv6 address such as fd00:1::10'],
    ["1.2.3.4::1", '"1.2.3.4::1" is not an IPv6 address such as fd00:1::10'],
    ["fd00:::1", '"fd00:::1" is not an IPv6 address such as fd00:1::10'],
    ["fd00:1:2:3:4:5:6:7:8", '"fd00:1:2:3:4:5:6:7:8" is not an IPv6 address such as fd00:1::10'],
    ["172.20.0.1", '"172.20.0.1" is not an IPv6 address such as fd00:1::10'],
    ["$(id)", '"$(id)" is not an IPv6 address such as fd00:1::10'],
])("ipv6: refuses %s", (text, message) => {
    expect(() => parseIpv6(text)).toThrow(new Error(message));
});

test.each([
    ["FD00:1:0::/64", "fd00:1::/64", 64],
    ["::/0", "::/0", 0],
    ["fd00::1/128", "fd00::1/128", 128],
])("ipv6 network: %s is %s", (text, canonical, prefixLength) => {
    expect(parseIpv6Cidr(text)).toMatchObject({ text: canonical, prefixLength });
});

test.each([
    ["fd00::/129", '"fd00::/129" is not an IPv6 network in CIDR notation such as fd00:1::/64'],
    ["fd00::/064", '"fd00::/064" is not an IPv6 network in CIDR notation such as fd00:1::/64'],
    ["fd00::", '"fd00::" is not an IPv6 network in CIDR notation such as fd00:1::/64'],
    ["fd00:1::5/64", '"fd00:1::5/64" has bits set behind its prefix; the network is fd00:1::/64'],
    ["172.20.0.0/24", '"172.20.0.0" is not an IPv6 address such as fd00:1::10'],
])("ipv6 network: refuses %s", (text, message) => {
    expect(() => parseIpv6Cidr(text)).toThrow(new Error(message));
});

test("ipv6 network: begins and ends where its prefix says, for every address and length", () => {
    fc.assert(
        fc.property(anyAddress, fc.integer({ min: 0, max: 128 }), (address, prefixLength) => {
            const around = networkAround(address, prefixLength);
            expect(contains(around, { first: address, last: address })).toBe(true);
            const bits = (value: bigint) => value.toString(2).padStart(128, "0");
            expect(bits(around.first)).toBe(bits(address).slice(0, prefixLength).padEnd(128, "0"));
            expect(bits(around.last)).toBe(bits(address).slice(0, prefixLength).padEnd(128, "1"));
        }),
    );
});

test.each([
    ["02:6c:ac:14:00:0a", "fe80::6c:acff:fe14:a"],
    ["00:00:5e:00:53:01", "fe80::200:5eff:fe00:5301"],
])("ipv6: %s has the link-local address %s", (mac, address) => {
    expect(linkLocalOf(mac)).toBe(address);
});
