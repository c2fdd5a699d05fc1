import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { parseManifest } from "../../../provider/host/manifest.js";
import { parseSections } from "../../../provider/host/sections.js";
import { parseSnapshot, snapshotScript } from "../../../provider/host/snapshot.js";
import { type Item, keyOf, observe } from "../../../provider/kernel/item.js";
import { isEmpty, plan } from "../../../provider/kernel/plan.js";
import { allItems } from "../kinds/build.js";
import { smallWorld } from "../kinds/worlds.js";

/** What a host of iproute2 6.1 and nft 1.0.6 answered after the small world had been applied to it. */
const captured = readFileSync(`${__dirname}/captured/snapshot.txt`, "utf8");
const small = smallWorld();
// It was captured when the restore script had no version yet.
const { restoreVersion: _none, ...base } = small.base as NonNullable<typeof small.base>;
const world = small.withBase({ ...base, loadedBridgeNetfilter: false });
const items = allItems(world);

/** Keys of what is missing or different, when one thing on the host is not as it was. */
function drift(text: string): string[] {
    const seen = new Map(observe(items, parseSnapshot(text)).map((item) => [keyOf(item), JSON.stringify(item)]));
    const isSame = (item: Item) => isEmpty(plan(observe([item], parseSnapshot(text)), [item]));
    return items.filter((item) => !seen.has(keyOf(item)) || !isSame(item)).map(keyOf);
}

test("snapshot: a host that carries everything is seen as it should be: nothing is planned", () => {
    const observed = observe(items, parseSnapshot(captured));
    expect(drift(captured)).toEqual([]);
    expect(isEmpty(plan(observed, items))).toBe(true);
});

test("snapshot: the manifest in it is the world", () => {
    const { world: read, generation } = parseManifest(parseSections(captured));
    expect(generation).toBe("abc");
    expect(new Map(read.objects)).toEqual(new Map(world.objects));
    expect(read.base).toEqual(world.base);
});

test.each([
    [
        "a bridge that is down",
        /("ifname":"lnfront","flags":\["BROADCAST","MULTICAST","UP)"/,
        '$1_NOT"',
        ["link lnfront"],
    ],
    ["a bridge with another MTU", /("ifname":"lnfront".{0,120}?"mtu":)1500/, "$11400", ["link lnfront"]],
    ["an interface that left its bridge", /("ifname":"lewebfront".*?)"master":"lnfront",/, "$1", ["link lewebfront"]],
    ["an interface of another kind", /"info_kind":"vxlan"/, '"info_kind":"dummy"', ["link ltbacktunnel"]],
    ["another VNI", /("info_kind":"vxlan","info_data":\{"id":)42/, "$143", ["link ltbacktunnel"]],
    ["a bridge that hands nothing to the firewall", /("nf_call_iptables":)1/, "$10", ["link lnfront"]],
    ["a port that sends nothing back", /("ifname":"lewebfront".*?"hairpin":)true/, "$1false", ["link lewebfront"]],
    ["a tunnel that learns", /("ifname":"ltbacktunnel".*?"learning":)false/, "$1true", ["link ltbacktunnel"]],
    [
        "a port that is cut off from its neighbours",
        /("ifname":"lewebfront".*?"isolated":)false/,
        "$1true",
        ["link lewebfront"],
    ],
    [
        "another interface in the place of one of ours",
        /("ifindex":\d+,"link_index":)\d+(,"ifname":"front")/,
        "$1999$2",
        ["link lewebfront"],
    ],
    [
        "a host that lost the way to a network",
        /"prefsrc":"172\.20\.0\.1"/,
        '"prefsrc":"172.20.0.77"',
        ["address  lnfront 172.20.0.1/24"],
    ],
    [
        "a hosts file with a line less",
        "/etc/netns/web/hosts:172.20.0.2 web.front web\n",
        "",
        ["file /etc/netns/web/hosts"],
    ],
    [
        "a hosts file with a line more",
        "/etc/netns/web/hosts:::1 localhost",
        "/etc/netns/web/hosts:10.0.0.1 evil\n/etc/netns/web/hosts:::1 localhost",
        ["file /etc/netns/web/hosts"],
    ],
    [
        "a resolv.conf with another server",
        "/etc/netns/web/resolv.conf:nameserver 172.20.0.1",
        "/etc/netns/web/resolv.conf:nameserver 192.0.2.1",
        ["file /etc/netns/web/resolv.conf"],
    ],
    ["a resolv.conf that is gone", /\/etc\/netns\/web\/resolv.conf.*\n/g, "", ["file /etc/netns/web/resolv.conf"]],
    [
        "a rule in the place of one of ours",
        /("chain": "in_ledbback".{0,40}"comment": "#)[0-9a-f]{8}/,
        "$1ffffffff",
        ["chain in_ledbback"],
    ],
    [
        "a counter that is gone",
        /"counter": \{"family": "inet", "name": "count_ledbback_egress"/,
        '"counter": {"name": "x"',
        ["counter count_ledbback_egress"],
    ],
    ["a chain that drops what no rule decides", /("name": "input".*?"policy": ")accept/, "$1drop", ["ruleset"]],
    [
        "a chain that hangs elsewhere",
        /("name": "output", "handle": \d+, "type": "filter".*?"prio": )0/,
        "$15",
        ["ruleset"],
    ],
    ["another name in the alias", /linuxnet endpoint web-front/, "renamed", ["link lewebfront"]],
    [
        "a missing gateway address",
        /"local":"172\.20\.0\.1"/,
        '"local":"172.20.0.77"',
        ["address  lnfront 172.20.0.1/24"],
    ],
    [
        "a missing address in a sandbox",
        /"local":"172\.20\.0\.2"/,
        '"local":"172.20.0.77"',
        ["address web front 172.20.0.2/24"],
    ],
    [
        "a default route to elsewhere",
        /"dst":"default","gateway":"172\.20\.0\.1","dev":"front","table":"1000"/,
        '"dst":"default","gateway":"172.20.0.9","dev":"front","table":"1000"',
        ["route web 1000 default"],
    ],
    [
        "a missing rule",
        /"priority":1000,"src":"172\.20\.0\.2"/,
        '"priority":1000,"src":"172.20.0.9"',
        ["rule web 1000 172.20.0.2 1000"],
    ],
    [
        "a changed switch",
        "net/ipv4/conf/lnfront/route_localnet:1",
        "net/ipv4/conf/lnfront/route_localnet:0",
        ["sysctl  net/ipv4/conf/lnfront/route_localnet"],
    ],
    [
        "a changed switch of a sandbox",
        "net/core/somaxconn:1024",
        "net/core/somaxconn:4096",
        ["sysctl db net/core/somaxconn"],
    ],
    [
        "a neighbour with another MAC",
        '"lladdr":"02:6c:c0:00:02:14"',
        '"lladdr":"02:6c:c0:00:02:ff"',
        ["neighbour ltbacktunnel 172.21.0.16"],
    ],
    [
        "a route of the host to elsewhere",
        '"gateway":"172.21.0.16","dev":"ltbacktunnel","prefsrc"',
        '"gateway":"172.21.0.17","dev":"ltbacktunnel","prefsrc"',
        ["route  main 172.21.0.16/31"],
    ],
    [
        "a missing way back to another host",
        '"iif":"lnback","table":"1280180225"',
        '"iif":"lnback","table":"1280180226"',
        ["reply-rule 4 lnback 1280180225"],
    ],
    [
        "a route of the host from elsewhere",
        '"dev":"ltbacktunnel","prefsrc":"172.21.0.1"',
        '"dev":"ltbacktunnel","prefsrc":"192.0.2.10"',
        ["route  main 172.21.0.16/31"],
    ],
    [
        "a forwarding entry to another peer",
        /("mac":"02:6c:c0:00:02:14","ifname":"ltbacktunnel","dst":")192\.0\.2\.20/,
        "$1192.0.2.99",
        ["fdb ltbacktunnel 02:6c:c0:00:02:14"],
    ],
    [
        "a published port to elsewhere",
        /\{"concat": \["tcp", 8080\]\}, \{"concat": \["172\.20\.0\.2", 80\]/,
        '{"concat": ["tcp", 8080]}, {"concat": ["172.20.0.9", 80]',
        ["element inet published_any tcp . 8080"],
    ],
    [
        "a missing element",
        /\{"concat": \["tcp", 8080\]\}/,
        '{"concat": ["tcp", 8081]}',
        ["element inet published_any tcp . 8080"],
    ],
    [
        "a missing element of an interval set",
        /\{"prefix": \{"addr": "172\.20\.0\.0", "len": 24\}\}\]\}\}/,
        '{"prefix": {"addr": "172.20.0.0", "len": 25}}]}}',
        ["element inet masqueraded 172.20.0.0/24"],
    ],
    [
        "a rule more in a chain of ours",
        /(\{"rule": \{"family": "inet", "table": "linuxnet", "chain": "in_ledbback")/,
        '{"rule": {"chain": "in_ledbback"}}, $1',
        ["chain in_ledbback"],
    ],
    [
        "a rule more in a base chain",
        /(\{"rule": \{"family": "inet", "table": "linuxnet", "chain": "forward")/,
        '{"rule": {"chain": "forward"}}, $1',
        ["ruleset"],
    ],
] as [string, string | RegExp, string, string[]][])("snapshot: sees %s, and nothing else", (_title, from, to, keys) => {
    const changed = captured.replace(from, to);
    expect(changed).not.toBe(captured);
    expect(drift(changed)).toEqual(keys);
});

test("snapshot: a table that is gone takes all of its items along", () => {
    const gone = captured.replace(/(@@ nft inet\n).*\n/, "$1");
    const ofInet = items.filter(
        (item) => ["chain", "counter"].includes(item.type) || (item.type === "element" && item.family === "inet"),
    );
    expect(drift(gone)).toEqual(
        ["ruleset", ...ofInet.map(keyOf)].sort(
            (a, b) => items.findIndex((item) => keyOf(item) === a) - items.findIndex((item) => keyOf(item) === b),
        ),
    );
});

test("snapshot: a sandbox that is gone takes all inside along, its files are on the host", () => {
    const gone = captured.replace(/@@ namespace web\n(\[.*\n)+/, "");
    expect(drift(gone)).toEqual(
        items
            .filter(({ type }) => type !== "netns-file")
            .filter((item) => (item.type === "netns" ? item.name === "web" : "netns" in item && item.netns === "web"))
            .map(keyOf),
    );
});

test("snapshot: the script is sh, whatever the items", () => {
    for (const list of [[], items]) execFileSync("sh", ["-n"], { input: snapshotScript(list) });
});

test("snapshot: reads tunnels' tables only where there is a tunnel", () => {
    expect(snapshotScript([])).not.toContain("fdb show");
    expect(snapshotScript(items)).toContain("bridge -j fdb show");
});
