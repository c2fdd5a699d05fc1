import { expect, test } from "vitest";
import { lowestFree } from "../../../provider/model/free-address.js";
import { addressesOf, type Half, type Halves, halvesOf, subnetsOf } from "../../../provider/model/half.js";
import { macOf } from "../../../provider/model/mac.js";

const ipv6 = { subnet: "fd00:20::/64", gateway: "fd00:20::1" };
const both: Halves = { subnet: "172.20.0.0/24", gateway: "172.20.0.1", ipv6 };

test("halves: a network has IPv4, IPv6 or both, IPv4 first; objects of before there was IPv6 alone have IPv4", () => {
    expect(halvesOf({ subnet: "172.20.0.0/24", gateway: "172.20.0.1", ipRange: "172.20.0.128/25" })).toEqual([
        { family: 4, subnet: "172.20.0.0/24", gateway: "172.20.0.1", ipRange: "172.20.0.128/25" },
    ]);
    expect(subnetsOf(both)).toEqual(["172.20.0.0/24", "fd00:20::/64"]);
    expect(halvesOf({ ipv6 })).toEqual([{ family: 6, ...ipv6 }]);
});

test("halves: an endpoint has an address in each: in dual stack the one of the same number, unless it has another", () => {
    expect(addressesOf({ ipv4Address: "172.20.0.7" }, both)).toEqual(["172.20.0.7", "fd00:20::7"]);
    expect(addressesOf({ ipv4Address: "172.20.0.7", ipv6Address: "fd00:20::a1" }, both)).toEqual([
        "172.20.0.7",
        "fd00:20::a1",
    ]);
    expect(addressesOf({ ipv6Address: "fd00:20::a1" }, { ipv6 })).toEqual(["fd00:20::a1"]);
});

test("halves: the lowest free IPv6 address is never the first, which means all routers, and stays in the range", () => {
    const half: Half = { family: 6, ...ipv6 };
    expect(lowestFree(half, new Set(["fd00:20::1"]))).toBe("fd00:20::2");
    const small = { ...half, ipRange: "fd00:20::ffff-fd00:20::1:1" };
    expect(lowestFree(small, new Set(["fd00:20::ffff"]))).toBe("fd00:20::1:0");
    expect(lowestFree(small, new Set(["fd00:20::ffff", "fd00:20::1:0", "fd00:20::1:1"]))).toBeUndefined();
    const away = [{ first: 0xfd00_0020n << 96n, last: (0xfd00_0020n << 96n) + 0xffffn }];
    expect(lowestFree(half, new Set(), away)).toBe("fd00:20::1:0");
});

test("MAC addresses: 65,536 IPv6 addresses in a row have as many, all local and unicast, apart from those of IPv4", () => {
    const macs = new Set(Array.from({ length: 65_536 }, (_, i) => macOf(`fd00:20::${i.toString(16)}`)));
    expect(macs.size).toBe(65_536);
    for (const mac of macs) expect(mac).toMatch(/^06(:[0-9a-f]{2}){5}$/);
    expect(macOf("fd00:20::a1")).toBe(macOf("fd00:20::a1"));
    expect(macOf("fd00:21::a1")).not.toBe(macOf("fd00:20::a1"));
});
