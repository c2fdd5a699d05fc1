import { expect, test } from "vitest";
import { parseRange, prefixesOf } from "../../../provider/model/range.js";

test.each([
    ["172.25.0.0/25", ["172.25.0.0/25"]],
    ["172.25.0.10-172.25.0.20", ["172.25.0.10/31", "172.25.0.12/30", "172.25.0.16/30", "172.25.0.20/32"]],
    ["0.0.0.0-255.255.255.255", ["0.0.0.0/0"]],
    ["255.255.255.255-255.255.255.255", ["255.255.255.255/32"]],
    ["fd00:1:0:2::/64", ["fd00:1:0:2::/64"]],
    ["fd00::1-fd00::4", ["fd00::1/128", "fd00::2/127", "fd00::4/128"]],
    ["fd00::-fd00:0:0:2:ffff:ffff:ffff:ffff", ["fd00::/63", "fd00:0:0:2::/64"]],
])("range: %s is made of the prefixes %s", (text, prefixes) => {
    expect(prefixesOf(parseRange(text)).map((prefix) => prefix.text)).toEqual(prefixes);
});

test.each([
    ["fd00::2-fd00::1", '"fd00::2-fd00::1" ends before it begins'],
    ["fd00::1/64", '"fd00::1/64" has bits set behind its prefix; the network is fd00::/64'],
    ["fd00::1-fd00::2-fd00::3", '"fd00::1-fd00::2-fd00::3" is not a range'],
])("range: %s is refused", (text, message) => {
    expect(() => parseRange(text)).toThrow(message);
});
