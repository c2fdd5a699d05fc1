import { readdirSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import type { Item } from "../../../provider/kernel/item.js";
import { isEmpty, plan } from "../../../provider/kernel/plan.js";
import { affectedBy, itemsOf } from "../../../provider/kinds/index.js";
import type { World } from "../../../provider/model/world.js";
import { printPlan } from "../kernel/print.js";
import { allItems, endpoint, type Kind, keyOf, put, ref, remove } from "./build.js";
import { exampleWorlds } from "./example-worlds.js";
import { smallWorld } from "./worlds.js";

const small = smallWorld();

test.each([
    ["network", "front"],
    ["network", "back"],
    ["sandbox", "web"],
    ["sandbox", "db"],
    ["endpoint", "web-front"],
    ["endpoint", "api-back"],
    ["endpoint", "db-back"],
    ["port-mapping", "http"],
    ["overlay-tunnel", "back-tunnel"],
] as const)("%s %s: puts exactly this into the kernel", async (kind, name) => {
    const items = itemsOf([keyOf(kind, name)], small);
    await expect(printPlan(plan([], items))).toMatchFileSnapshot(`golden/${kind}-${name}.txt`);
});

test("port mapping on two families: puts exactly this into the kernel", async () => {
    let world = put(small, "network", "front", {
        host: ref("host", "edge"),
        subnet: ["172.20.0.0/24", "fd00:20::/64"],
    });
    const [web, api] = [ref("endpoint", "web-front"), ref("endpoint", "api-front")];
    const ports = ["8085:80", "[::]:8081:80", { targetPort: 80, hostPort: 8082, hostAddress: "2001:db8::10" }];
    world = put(world, "port-mapping", "one", { target: web, ports, existingFlows: "cut" });
    world = put(world, "port-mapping", "two", { target: [web, api], ports: ["8090:80", "0.0.0.0:8091:80/udp"] });
    const items = itemsOf([keyOf("port-mapping", "one"), keyOf("port-mapping", "two")], world);
    const text = `${printPlan(plan([], items))}\n${printPlan(plan(items, []))}`;
    await expect(text).toMatchFileSnapshot("golden/port-mapping-ipv6.txt");
});

test("base: puts exactly this into the kernel, and takes it out again", async () => {
    const items = itemsOf(["base"], small);
    const text = `${printPlan(plan([], items))}\n${printPlan(plan(items, []))}`;
    await expect(text).toMatchFileSnapshot("golden/base.txt");
});

test("firewall policy: has nothing of its own, it lives in the chains of its endpoints", () => {
    expect(itemsOf([keyOf("firewall-policy", "db-access")], small)).toEqual([]);
});

/** A segment 172.25.0.0/16 and fd00:25::/48 on this host (172.25.0.0/24) and another (172.25.1.0/24). */
function segmentWorld(): World {
    const subnet = "172.25.0.0/16";
    let world = put(small, "network", "mesh", { host: ref("host", "edge"), subnet, ipRange: "172.25.0.0/24" });
    world = endpoint(world, "web", "mesh");
    return put(world, "overlay-tunnel", "mesh", {
        network: ref("network", "mesh"),
        vni: 7,
        peers: [{ underlayAddress: "192.0.2.30", ipRange: "172.25.1.0/24" }],
    });
}

const far = (kind: Kind, name: string, ...addresses: string[]) => ({ ...ref(kind, name, "m2"), addresses });

test("firewall policy about other hosts: puts exactly this into the kernel", async () => {
    const peers = [
        far("endpoint", "app-mesh", "172.25.1.2"),
        far("network", "mesh-b", "172.25.1.0-172.25.1.99"),
        { ...ref("network", "mesh"), segment: true },
        ref("network", "mesh"),
    ];
    const rules = { ingress: [{ action: "allow", from: peers, ports: 80 }], egress: [{ action: "allow", to: peers }] };
    let world = put(segmentWorld(), "firewall-policy", "mesh", { target: ref("endpoint", "web-mesh"), ...rules });
    world = put(world, "firewall-policy", "self", { target: ref("host", "edge"), ingress: rules.ingress });
    world = put(world, "firewall-policy", "front", {
        target: ref("endpoint", "web-front"),
        ingress: [{ action: "allow", from: { ...ref("network", "mesh"), segment: true } }],
    });
    const policed = ["web-mesh", "web-front"].map((name) => keyOf("endpoint", name));
    const chains = itemsOf([...policed, "base"], world).filter((item) => item.type === "chain");
    await expect(printPlan(plan([], chains))).toMatchFileSnapshot("golden/firewall-policy-across.txt");
    const there = unaffected(world, remove(world, "overlay-tunnel", "mesh"), keyOf("overlay-tunnel", "mesh"));
    expect(keysOf(there.before)).toEqual(keysOf(there.after));
});

test("port mapping to other hosts: puts exactly this into the kernel", async () => {
    const both = [ref("endpoint", "web-mesh"), { endpoint: far("endpoint", "app-mesh", "172.25.1.2"), weight: 2 }];
    let world = put(segmentWorld(), "port-mapping", "both", { target: both, ports: ["8085:80", "8086:80/udp"] });
    const kept = { target: far("endpoint", "app-mesh", "172.25.1.2", "fd00:25:1::2"), sourceAddress: "keep" };
    world = put(world, "port-mapping", "kept", { ...kept, ports: ["8087:80", "127.0.0.1:8088:81/udp"] });
    const items = itemsOf([keyOf("port-mapping", "both"), keyOf("port-mapping", "kept")], world);
    await expect(printPlan(plan([], items))).toMatchFileSnapshot("golden/port-mapping-across.txt");
    const left = remove(world, "endpoint", "web-mesh");
    const spread = itemsOf([keyOf("port-mapping", "both")], left);
    expect(spread.flatMap((item) => ("value" in item ? [item.value] : []))).toEqual(Array(2).fill(["172.25.1.2", 80]));
});

test("examples: each has its ruleset below", () => {
    expect(Object.keys(exampleWorlds).sort()).toEqual(readdirSync(join(__dirname, "../../../examples")).sort());
});

test.each(Object.entries(exampleWorlds))("example %s: this is what it adds to the base ruleset", async (name, lay) => {
    const world = lay();
    const base = itemsOf(["base"], world);
    const { nft } = plan(base, [...base, ...itemsOf([...world.objects.keys()], world)]);
    await expect(`${nft.map((line) => line.args.join(" ")).join("\n")}\n`).toMatchFileSnapshot(`golden/${name}.nft`);
});

const keysOf = (items: readonly Item[]) => items.map((item) => JSON.stringify(item)).sort();

/** What `affects` names must be enough: items of all other objects stay as they were. */
function unaffected(before: World, after: World, changed: string): { before: Item[]; after: Item[] } {
    const affected = affectedBy([changed], before, after);
    const others = [...new Set([...before.objects.keys(), ...after.objects.keys()])].filter(
        (key) => !affected.has(key),
    );
    return { before: itemsOf(others, before), after: itemsOf(others, after) };
}

test.each([...small.objects.values()].map((object) => [object.kind, object.name, object] as const))(
    "%s %s: what its coming and going changes elsewhere is looked at",
    (kind, _name, object) => {
        const without = remove(small, kind, object.owner.name);
        const there = unaffected(small, without, object.key);
        expect(keysOf(there.before)).toEqual(keysOf(there.after));
        expect(isEmpty(plan(there.before, there.after))).toBe(true);
    },
);

test.each([
    ["network", "front", { host: ref("host", "edge"), subnet: "172.20.0.0/24", gateway: "172.20.0.254", mtu: 1400 }],
    ["network", "front", { host: ref("host", "edge"), subnet: "172.20.0.0/24", internal: true }],
    ["network", "front", { host: ref("host", "edge"), subnet: "172.20.0.0/24", ipv6: true }],
    [
        "endpoint",
        "web-front",
        { sandbox: ref("sandbox", "web"), network: ref("network", "front"), ipv4Address: "172.20.0.99" },
    ],
    [
        "endpoint",
        "api-back",
        { sandbox: ref("sandbox", "api"), network: ref("network", "back"), ipv4Address: "172.21.0.9" },
    ],
    [
        "endpoint",
        "api-front",
        { sandbox: ref("sandbox", "api"), network: ref("network", "front"), gatewayPriority: "never" },
    ],
    ["overlay-tunnel", "back-tunnel", { network: ref("network", "back"), vni: 42, mtu: 1300 }],
    ["firewall-policy", "db-access", { target: ref("network", "front"), egress: [] }],
] as [Kind, string, Record<string, unknown>][])(
    "%s %s: what its change changes elsewhere is looked at",
    (kind, name, args) => {
        const after = put(small, kind, name, args);
        const there = unaffected(small, after, keyOf(kind, name));
        expect(keysOf(there.before)).toEqual(keysOf(there.after));
        expect(isEmpty(plan(allItems(small), allItems(after)))).toBe(false);
    },
);

test.each([
    ["endpoint", "api-front"],
    ["sandbox", "api"],
    ["network", "back"],
] as const)("%s %s: as a peer of a policy, its coming and going is looked at where the policy is", (kind, name) => {
    const policed = put(small, "firewall-policy", "web-access", {
        target: ref("endpoint", "web-front"),
        ingress: [{ action: "allow", from: ref(kind, name), ports: [80] }],
    });
    const without = remove(policed, kind, name);
    const there = unaffected(policed, without, keyOf(kind, name));
    expect(keysOf(there.before)).toEqual(keysOf(there.after));
});
