import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { capabilitiesScript, factsScript, parseCapabilities, parseFacts } from "../../../provider/host/facts.js";
import { parseManifest } from "../../../provider/host/manifest.js";
import { parseJsonLines, parseSections } from "../../../provider/host/sections.js";

const captured = readFileSync(`${__dirname}/captured/facts.txt`, "utf8");

test("facts: reads what a host answers", () => {
    const facts = parseFacts(captured);
    expect(facts).toMatchObject({
        machineId: "0123456789abcdef0123456789abcdef",
        kernel: "6.1.0-28-amd64",
        nftables: "1.0.6",
        capabilities: ["conntrack"],
        forwarding: { eth0: false, up0: false },
        isRouter: false,
        hasNetnsDirectory: false,
        hasNetnsFolder: false,
        hasBridgeNetfilter: true,
    });
    expect(facts.addresses.map(({ interfaceName, address, mtuBytes }) => [interfaceName, address, mtuBytes])).toEqual([
        ["lo", "127.0.0.1/8", 65536],
        ["eth0", "192.0.2.10/24", 1500],
    ]);
    expect(
        facts.routes.map(({ destination, interfaceName, source, mtuBytes }) => [
            destination.text,
            interfaceName,
            source,
            mtuBytes,
        ]),
    ).toEqual([
        ["0.0.0.0/0", "eth0", undefined, 1500],
        ["10.9.0.0/16", "eth0", undefined, 1500],
        ["192.0.2.0/24", "eth0", "192.0.2.10", 1500],
    ]);
});

test.each([
    ["32768\t60999\n\n", { first: 32768, last: 60999, reserved: [] }],
    [
        "1024\t65535\n8080,9148-9150\n",
        {
            first: 1024,
            last: 65535,
            reserved: [
                { first: 8080, last: 8080 },
                { first: 9148, last: 9150 },
            ],
        },
    ],
    ["", undefined],
])("facts: reads the ports that the kernel hands out from %j", (body, clientPorts) => {
    const facts = parseFacts(captured.replace("@@ paths", `@@ client ports\n${body}@@ paths`));
    expect(facts.clientPorts).toEqual(clientPorts);
});

const edit = (from: string | RegExp, to: string) => parseFacts(captured.replace(from, to));

test("facts: an interface of ours is no foreign one, its address and route neither", () => {
    const facts = edit(/"eth0"/g, '"ln0123456789ab"');
    expect(facts.addresses.map(({ interfaceName }) => interfaceName)).toEqual(["lo"]);
    expect(facts.routes).toEqual([]);
    expect(parseFacts(captured.replace("\neth0 0", "\nln0123456789ab 1")).forwarding).toEqual({ up0: false });
});

test("facts: a point-to-point address, a host route and a route that leads nowhere are read", () => {
    const address = JSON.stringify([
        { ifname: "wg0", mtu: 1420, addr_info: [{ family: "inet", local: "10.8.0.2", prefixlen: 32 }] },
    ]);
    const routes = JSON.stringify([
        { dst: "10.8.0.9", dev: "wg0" },
        { type: "blackhole", dst: "10.99.0.0/16" },
    ]);
    const facts = parseFacts(
        captured.replace(/^\[.*"lo".*$/m, address).replace(/^\[.*"default","gateway".*$/m, routes),
    );
    expect(facts.addresses.map((each) => each.address)).toEqual(["10.8.0.2/32"]);
    expect(facts.routes.map(({ destination, mtuBytes }) => [destination.text, mtuBytes])).toEqual([
        ["10.8.0.9/32", 1420],
    ]);
});

test("facts: reads the routes of IPv6, with the MTU of the route, of a router's advertisement or of the interface", () => {
    const routes = [
        { dst: "2001:db8:1::/64", dev: "eth0", protocol: "kernel", metric: 256, pref: "medium" },
        { dst: "2001:db8:2::9", dev: "eth0", gateway: "fe80::1", prefsrc: "2001:db8:1::10", metrics: [{ mtu: 1400 }] },
        { dst: "default", dev: "eth0", gateway: "fe80::1", protocol: "ra", metric: 1024, pref: "medium" },
        { dst: "default", dev: "ppp0", metric: 2048, pref: "medium" },
        { dst: "fe80::/64", dev: "eth0", pref: "medium" },
        { dst: "2001:db8:3::/64", dev: "ln0123456789ab", pref: "medium" },
        { dst: "2001:db8:4::/64", dev: "eth0", table: "7", pref: "medium" },
    ];
    const address = '"prefixlen":24,"scope":"global","label":"eth0"';
    const more = `${address}},{"family":"inet6","local":"2001:db8:1::10","prefixlen":64,"temporary":true`;
    const section =
        "@@ ipv6\ndefault/disable_ipv6 0\nlo/disable_ipv6 0\nall/forwarding 0\n/proc/sys/net/ipv6/conf/eth0/mtu:1480\n";
    const text = captured
        .replace(/(^\[\{"dst":"default".*)\]$/m, (_, ipv4) => `${ipv4},${JSON.stringify(routes).slice(1)}`)
        .replace(address, more)
        .replace("@@ forwarding", `${section}@@ forwarding`);
    const { ipv6, routes: ofIpv4 } = parseFacts(text);
    expect(
        ipv6?.routes.map(({ destination, interfaceName, source, mtuBytes }) => [
            ...[destination.text, interfaceName, source, mtuBytes],
        ]),
    ).toEqual([
        ["2001:db8:1::/64", "eth0", undefined, 1480],
        ["2001:db8:2::9/128", "eth0", "2001:db8:1::10", 1400],
        ["::/0", "eth0", undefined, 1480],
        ["::/0", "ppp0", undefined, 1500],
    ]);
    expect(ipv6?.subnets.map((each) => each.text)).toEqual(["2001:db8:1::/64", "2001:db8:1::/64", "2001:db8:2::9/128"]);
    expect(ipv6?.addresses).toEqual([{ interfaceName: "eth0", address: "2001:db8:1::10/64", isTemporary: true }]);
    expect(ofIpv4.map(({ destination }) => destination.text)).toEqual(["0.0.0.0/0", "10.9.0.0/16", "192.0.2.0/24"]);
});

test.each([
    ["on", "default/disable_ipv6 0\nlo/disable_ipv6 0\nall/forwarding 0\n", true, undefined],
    ["off for interfaces to come", "default/disable_ipv6 1\nlo/disable_ipv6 0\nall/forwarding 0\n", false, undefined],
    ["off for lo", "default/disable_ipv6 0\nlo/disable_ipv6 1\nall/forwarding 0\n", false, undefined],
    ["not in the kernel", "", false, true],
])("facts: IPv6 is %s", (_title, shown, isThere, lacks) => {
    const { ipv6, lacksIpv6 } = parseFacts(captured.replace("@@ forwarding", `@@ ipv6\n${shown}@@ forwarding`));
    expect([ipv6 !== undefined, lacksIpv6]).toEqual([isThere, lacks]);
});

test.each([
    [
        "nft\n",
        "the host has no nft. Install it there: apt-get install nftables (or dnf, apk, pacman, zypper: packages nftables).",
    ],
    [
        "ip\nnft\nss\n",
        "the host has no ip, nft, ss. Install it there: apt-get install iproute2 nftables (or dnf, apk, pacman, zypper: packages iproute2 nftables).",
    ],
])("facts: says how to install what is missing: %j", (missing, message) => {
    expect(() => edit("@@ missing\n", `@@ missing\n${missing}`)).toThrow(new Error(message));
});

test("facts: forwarding and paths are read as they are", () => {
    expect(edit("eth0 0", "eth0 1").forwarding).toEqual({ eth0: true, up0: false });
    expect(edit("@@ paths\n", "@@ paths\n/run/netns\n").hasNetnsDirectory).toBe(true);
    expect(edit("/proc/sys/net/bridge\n", "").hasBridgeNetfilter).toBe(false);
});

test("facts: the scripts are sh", () => {
    for (const script of [factsScript, capabilitiesScript]) execFileSync("sh", ["-n"], { input: script });
});

test("capabilities: reads one a line", () => {
    expect(parseCapabilities("@@ capabilities\nbridge\nvxlan\n")).toEqual(["bridge", "vxlan"]);
});

test("sections: takes an answer apart, whatever comes before and however often a name comes", () => {
    const sections = parseSections("motd\n@@ a\n1\n2\n@@ b\n@@ a\n3\n@@ c x\nnot @@ this\n");
    expect([...sections]).toEqual([
        ["a", "1\n2\n3"],
        ["b", ""],
        ["c x", "not @@ this\n"],
    ]);
});

test("sections: an empty line of JSON is no value", () => {
    expect(parseJsonLines('{"a":1}\n\n[2]\n')).toEqual([{ a: 1 }, [2]]);
    expect(parseJsonLines(undefined)).toEqual([]);
});

test("manifest: reads objects and the token; a host without any has token 0", () => {
    const manifest = parseManifest(
        parseSections(
            '@@ generation\nabc\n@@ objects\n{"schemaVersion":1,"kind":"sandbox","key":"ls1"}\n{"schemaVersion":1,"kind":"base","key":"base"}\n',
        ),
    );
    expect(manifest.generation).toBe("abc");
    expect([...manifest.world.objects.keys()]).toEqual(["ls1"]);
    expect(manifest.world.base?.key).toBe("base");
    expect(parseManifest(parseSections("@@ generation\n\n@@ objects\n"))).toMatchObject({ generation: "0" });
});

test("manifest: refuses what a newer version wrote", () => {
    expect(() =>
        parseManifest(parseSections('@@ objects\n{"schemaVersion":2,"kind":"sandbox","key":"ls1"}\n')),
    ).toThrow("/var/lib/linuxnet on the host was written by a newer pulumi-linuxnet (schema 2). Update the package.");
});
