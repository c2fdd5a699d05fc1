import { expect, test } from "vitest";
import { largestInside, overheadOf } from "../../../provider/kinds/tunnel-mtu.js";

test.each([
    ["none", 4, 50],
    ["none", 6, 70],
    ["wireguard", 4, 60],
    ["wireguard", 6, 80],
    ["ipsec", 4, 84],
    ["ipsec", 6, 104],
] as const)("mtu: encryption %s over IPv%s adds %s bytes", (encryption, underlay, bytes) => {
    expect(overheadOf(encryption, underlay)).toBe(bytes);
});

test.each([
    [1500, "none", 1450],
    [9000, "none", 8950],
    [1492, "none", 1442],
    [1500, "ipsec", 1416],
    [9000, "ipsec", 8916],
    // ESP pads to 4 bytes: a byte more of the underlay is none of the segment.
    [1503, "ipsec", 1416],
    [1504, "ipsec", 1420],
    [1500, "wireguard", 1440],
] as const)("mtu: of an underlay of %s bytes, encryption %s leaves %s", (underlayBytes, encryption, inside) => {
    expect(largestInside(underlayBytes, encryption, 4)).toBe(inside);
});
