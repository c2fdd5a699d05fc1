import { execFileSync } from "node:child_process";
import fc from "fast-check";
import { expect, test } from "vitest";
import { renderFragment } from "../../../provider/host/manifest.js";
import { exits, renderTransaction, type Transaction } from "../../../provider/host/transaction.js";
import type { Item } from "../../../provider/kernel/item.js";
import { itemsOf } from "../../../provider/kinds/index.js";
import type { World } from "../../../provider/model/world.js";
import { affectedItems, allItems, empty, endpoint, keyOf, network, put, ref, remove, sandbox } from "../kinds/build.js";
import { smallWorld } from "../kinds/worlds.js";

function render(before: World, after: World, changed: readonly string[], more: Partial<Transaction> = {}) {
    return renderTransaction({
        ...affectedItems(changed, before, after),
        worldBefore: before,
        worldAfter: after,
        changed,
        fragments: new Map(
            changed
                .filter((each) => after.objects.has(each))
                .map((each) => [each, renderFragment(itemsOf([each], after))]),
        ),
        generationBefore: "a1",
        generationAfter: "b2",
        owner: 'endpoint "web-front" of stack shop/dev',
        lockWaitMs: 2_000,
        waivedPorts: new Set(),
        confirmTimeoutMs: 15_000,
        ...more,
    });
}

const isShell = (script: string) => execFileSync("sh", ["-n"], { input: script });

const two = sandbox(network(empty, "front", "172.20.0.0/24"), "web");
const withEndpoint = endpoint(two, "web", "front");
const key = keyOf("endpoint", "web-front");

test.each([
    ["endpoint-create", two, withEndpoint],
    ["endpoint-change", withEndpoint, endpoint(withEndpoint, "web", "front", { ipv4Address: "172.20.0.9" })],
    ["endpoint-delete", withEndpoint, two],
])("%s: is this script", async (name, before, after) => {
    const { script, isEmpty } = render(before, after, [key]);
    expect(isEmpty).toBe(false);
    isShell(script);
    await expect(script).toMatchFileSnapshot(`golden/${name}.sh`);
});

test("a kernel without IPv6: the script says no word that it refuses, the lines for its restore do", () => {
    const keys = [...withEndpoint.objects.keys()];
    const nothing = withEndpoint.with(new Map(keys.map((each) => [each, undefined])));
    const linesOf = (script: string) => script.split("\n").filter((line) => /^link set .*(alias|dev front)/.test(line));
    const [without, having] = [true, false].map((lacksIpv6) => {
        const [make, unmake] = [
            render(nothing, withEndpoint, keys, { lacksIpv6 }),
            render(withEndpoint, nothing, keys, { lacksIpv6 }),
        ];
        for (const { script } of [make, unmake]) isShell(script);
        return `${make.script}\n${unmake.script}`;
    });
    const spoken = (text = "") => text.split("\n").filter((line) => /^link .*addrgenmode/.test(line)).length;
    expect([spoken(without), spoken(having) > 0]).toEqual([0, true]);
    expect(linesOf(without ?? "")).toEqual(linesOf(having ?? "").map((line) => line.replace(" addrgenmode none", "")));
    expect(without).toMatch(/^\d+ ip - link set dev \S+ .*addrgenmode none alias/m);
});

test("the first object and the last one: the script is sh, and leaves no directory behind", () => {
    const world = smallWorld();
    const nothing = [...world.objects.keys()]
        .reduce((left, each) => left.with(new Map([[each, undefined]])), world)
        .withBase(undefined);
    const first = render(nothing, world, [...world.objects.keys()], { before: [], after: allItems(world) });
    const last = render(world, nothing, [...world.objects.keys()], { before: allItems(world), after: [] });
    isShell(first.script);
    isShell(last.script);
    expect(last.script).toContain(
        "\nrm -rf /var/lib/linuxnet/objects /var/lib/linuxnet/new /var/lib/linuxnet/generation || fail manifest\n",
    );
    expect(last.script).toContain("\nrm -rf $r\n");
    expect(first.script).not.toContain("\nrm -rf $r\n");
});

test("nothing to do in the kernel: is empty, and still writes the manifest", () => {
    const labelled = endpoint(withEndpoint, "web", "front", { labels: { team: "a" } });
    const { script, isEmpty, steps } = render(withEndpoint, labelled, [key]);
    expect([isEmpty, steps]).toEqual([true, []]);
    expect(script).toContain('"labels":{"team":"a"}');
    isShell(script);
});

/** The text that the script keeps for the way back, and the lines of it that run for a stage. */
function undoOf(script: string): string {
    const start = script.indexOf("printf '%s' ");
    return script.slice(start, script.indexOf(">$r/undo", start));
}

test("the way back: a create is taken out again, a delete made again, a change changed back", () => {
    const created = undoOf(render(two, withEndpoint, [key]).script);
    expect(created).toContain(`link del dev ${key}`);
    expect(created).toContain("delete element bridge linuxnet endpoints");
    const deleted = undoOf(render(withEndpoint, two, [key]).script);
    expect(deleted).toContain(`link add name ${key}`);
    expect(deleted).toContain("add element bridge linuxnet endpoints");
    const wider = put(two, "network", "front", { host: ref("host", "edge"), subnet: "172.20.0.0/24", mtu: 1400 });
    const changed = render(two, wider, [keyOf("network", "front")]);
    expect(changed.script).toContain("link set dev lnfront mtu 1400");
    expect(undoOf(changed.script)).toContain("link set dev lnfront mtu 1500");
});

test("the way back: it is written before anything is done, and dropped after the manifest is", () => {
    const { script } = render(two, withEndpoint, [key]);
    const at = (text: string, from = 0) => {
        const index = script.indexOf(text, from);
        expect(index, text).toBeGreaterThan(-1);
        return index;
    };
    const written = at("printf '%s' ");
    const first = at("s=2; echo $s >>$r/stage");
    const manifest = at("echo b2 >/var/lib/linuxnet/generation || exit");
    const dropped = script.lastIndexOf(": >$r/undo");
    expect([at("flock -w 2 9"), at(`exit ${exits.stale}`), written, first, manifest, dropped, at("'@@ done'")]).toEqual(
        [at("flock -w 2 9"), at(`exit ${exits.stale}`), written, first, manifest, dropped, at("'@@ done'")].sort(
            (a, b) => a - b,
        ),
    );
});

test("steps are numbered as the script fails with them", () => {
    const { script, steps } = render(two, withEndpoint, [key]);
    const numbers = [...script.matchAll(/\|\| fail (\d+)$/gm)].map(([, number]) => Number(number));
    expect(numbers).toEqual(steps.map((_step, i) => i));
    expect(steps.map(({ tool, netns }) => [tool, netns])).toEqual([
        ["resolver", undefined],
        ["nft", undefined],
        ["ip", undefined],
        ["netns-file", undefined],
        ["sysctl", "web"],
        ["ip", "web"],
        ["names", undefined],
    ]);
});

test("names that must be free are looked at before anything is done; those made anew are not", () => {
    expect(render(two, withEndpoint, [key]).script).toContain(
        `if [ -e /sys/class/net/${key} ]; then echo '@@ taken'; echo 'interface "${key}"'; exit 76; fi`,
    );
    const renamed = endpoint(withEndpoint, "web", "front", { interfaceName: "eth0" });
    const { script } = render(withEndpoint, renamed, [key]);
    expect(script).toContain(`link del dev ${key}`);
    expect(script).not.toContain("@@ taken");
});

test("ports that must be free are looked at by protocol, those that were looked at are not", () => {
    const mapping = (hostPort: number | string, protocol: string[]) =>
        put(withEndpoint, "port-mapping", "http", { target: ref("endpoint", "web-front"), hostPort, protocol });
    const at = [keyOf("port-mapping", "http")];
    const { script } = render(withEndpoint, mapping("8080-8081", ["tcp", "udp"]), at);
    expect(script).toContain("w=' tcp:8080 tcp:8081 udp:8080 udp:8081 '");
    expect(script.match(/\bss -/g)).toHaveLength(1);
    isShell(script);
    const waived = render(withEndpoint, mapping("8080-8081", ["tcp"]), at, { waivedPorts: new Set(["tcp 8080"]) });
    expect(waived.script).toContain("w=' tcp:8081 '");
    const retargeted = mapping(8080, ["tcp"]);
    const same = put(retargeted, "port-mapping", "http", {
        target: ref("endpoint", "web-front"),
        hostPort: 8080,
        targetPort: 81,
    });
    expect(render(retargeted, same, at).script).not.toContain("ss -Hln");
});

const secretive = fc.oneof(
    fc.constantFrom(
        "$(touch /tmp/x)",
        "`id`",
        "'; id; '",
        '"; drop',
        "a\nLINUXNET_END\nid",
        "#",
        "\\",
        "a'b\"c",
        "${HOME}",
        "EOF\n@@ done",
    ),
    fc.string({ unit: "grapheme", maxLength: 40 }).filter((text) => !text.includes("\u0000")),
);

test("hostile text in names, owners, labels and descriptions stays data: the script has the same commands", () => {
    /** Commands outside quotes and here-documents. */
    const skeleton = (script: string) =>
        script
            .replace(/<<'LINUXNET_END'.*?\nLINUXNET_END\n/gs, "<<\n")
            .replace(/'\\''/g, "")
            .replace(/'[^']*'/gs, "''")
            // Words of names and keys, as many as there are names.
            .replace(/(start_resolver|stop_resolver|put_names)( [\w.:,/=-]+)+/g, "$1 ''")
            .replace(/(printf ''|echo) [\w.:/@=,+%-]+( >|;|$)/gm, "$1 ''$2");
    const make = (text: string, aliased: string) => {
        let world = put(two, "network", "front", {
            host: ref("host", "edge"),
            name: aliased.slice(0, 60) || "x",
            subnet: "172.20.0.0/24",
            labels: { text },
        });
        world = endpoint(world, "web", "front", { labels: { [text]: text } });
        const policed = put(world, "firewall-policy", "p", {
            target: ref("endpoint", "web-front"),
            ingress: [{ action: "drop", description: text.slice(0, 120) }],
        });
        return render(two, policed, [keyOf("network", "front"), key, keyOf("firewall-policy", "p")], { owner: text });
    };
    const expected = skeleton(make("plain text", "front").script);
    fc.assert(
        fc.property(secretive, secretive, (text, name) => {
            const { script } = make(text, name);
            expect(skeleton(script)).toBe(expected);
        }),
        { numRuns: 200 },
    );
    for (const text of ["$(id)", "'; id; '", "a\nLINUXNET_END\nid"]) isShell(make(text, text).script);
});

test("a namespace of somebody else is never taken: its name is a claim", () => {
    const items: Item[] = [{ type: "netns", name: "web" }];
    const { script } = render(empty, two, [], { before: [], after: items });
    expect(script).toContain(
        "if [ -e /run/netns/web ]; then echo '@@ taken'; echo 'network namespace \"web\"'; exit 76; fi",
    );
});

test("a manifest that cannot be written: before its first rename everything goes back, after it the next one goes on", () => {
    const { script } = render(withEndpoint, two, [key]);
    const [undo = ""] = /printf '%s' '.*?>\$r\/undo/s.exec(script) ?? [];
    expect(undo).toContain("if [ $s -ge 4 ]; then\n");
    expect(undo).toContain(`/var/lib/linuxnet/objects/${key}.restore || return 1\n`);
    expect(undo).toContain("\nrm -f /var/lib/linuxnet/new/*");
    expect(script).toContain(
        "\necho b2 >/var/lib/linuxnet/generation || exit 77\nsync /var/lib/linuxnet/objects || exit 77\n",
    );
});

test("a manifest outlives a power cut: files are on the disk before they are renamed, and the names before it is said", () => {
    const inOrder = (script: string, texts: readonly string[]) => {
        const places = texts.map((text) => script.indexOf(`\n${text}`));
        expect(places, script).toEqual([...places].filter((place) => place > 0).sort((a, b) => a - b));
    };
    inOrder(render(two, withEndpoint, [key]).script, [
        'printf \'%s\\n\' \'{"schemaVersion":1,"kind":"endpoint"',
        "{ sync /var/lib/linuxnet/new/* </dev/null >/dev/null 2>&1 9>&- & }; p=$! || fail manifest\n",
        "s=2; echo",
        "ip -j -d -batch",
        "wait $p || fail manifest\n",
        "mv -f /var/lib/linuxnet/new/* /var/lib/linuxnet/objects/ || fail manifest\n",
        "sync /var/lib/linuxnet/objects || exit 77\n",
        ": >$r/undo\n\necho '@@ done'",
    ]);
    inOrder(render(withEndpoint, two, [key]).script, ["rm -f", "sync /var/lib/linuxnet/objects || exit 77\n"]);
    const many = Array.from({ length: 17 }, (_, i) => `s${i}`);
    const crowd = many.reduce((world, name) => sandbox(world, name), two);
    const { script } = render(
        two,
        crowd,
        many.map((name) => keyOf("sandbox", name)),
    );
    inOrder(script, ["{ sync -f /var/lib/linuxnet/new <", "wait $p"]);
});

test("a removed object's file goes, a changed one is written beside and renamed", () => {
    const { script } = render(withEndpoint, remove(withEndpoint, "endpoint", "web-front"), [key]);
    expect(script).toContain(
        `rm -f /var/lib/linuxnet/objects/${key}.json /var/lib/linuxnet/objects/${key}.restore || fail manifest`,
    );
    expect(render(two, withEndpoint, [key]).script).toMatch(
        new RegExp(
            `printf '%s\\\\n' '\\{.*\\}' >/var/lib/linuxnet/new/${key}.json \\|\\| fail manifest\n[^]*mv -f /var/lib/linuxnet/new/\\*`,
        ),
    );
});

test("the way back: neighbours go last and alone, because ip ends a batch at their first error", () => {
    const neighbour = {
        type: "neighbour",
        dev: "ln1",
        link: "link ln1",
        address: "172.20.0.9",
        mac: "02:6c:ac:14:00:09",
    } as const;
    const after: Item[] = [neighbour, { type: "netns", name: "web-1" }];
    const undo = undoOf(render(two, two, [], { before: [], after }).script);
    const [netns, end, neigh] = ["netns del web-1", "LINUXNET_END\n", "neigh del 172.20.0.9"].map((text) =>
        undo.indexOf(text),
    );
    expect(netns).toBeGreaterThan(-1);
    expect(end).toBeGreaterThan(netns as number);
    expect(neigh).toBeGreaterThan(end as number);
});
