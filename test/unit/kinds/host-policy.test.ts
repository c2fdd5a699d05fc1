import { expect, test } from "vitest";
import { renderFragment } from "../../../provider/host/manifest.js";
import { typeOf } from "../../../provider/kernel/item.js";
import { plan } from "../../../provider/kernel/plan.js";
import { itemsOf } from "../../../provider/kinds/index.js";
import { letGo } from "../../../provider/kinds/let-go.js";
import { type Args, affectedItems, empty, endpoint, keyOf, network, put, ref, remove, sandbox } from "./build.js";

const two = endpoint(sandbox(network(empty, "front", "172.20.0.0/24"), "web"), "web", "front");
const onHost = (name: string, args: Args, world = two) =>
    put(world, "firewall-policy", name, { target: ref("host", "edge"), ...args });

/** Names and rules of the host's own chains, and whether a change of them has to be confirmed. */
const chainsOf = (world: typeof two) =>
    itemsOf(["base"], world).flatMap((item) => (item.type === "chain" ? [[item.name, item.rules.slice(-2)]] : []));
const isConfirmed = (changed: readonly string[], before: typeof two, after: typeof two) => {
    const { before: from, after: to } = affectedItems(changed, before, after);
    return plan(from, to).touched.some((item) => typeOf(item).mayLockOut?.(item));
};

const ssh = { action: "allow", from: ref("endpoint", "web-front"), ports: 22 };
const closed = onHost("closed", { ingress: [ssh] });
const key = keyOf("firewall-policy", "closed");

test("host policy: has one chain in each direction that it speaks of, which a host rebuilds at boot", () => {
    expect(chainsOf(two)).toEqual([]);
    const rule = `iifname "${keyOf("network", "front")}" ip saddr 172.20.0.2 tcp dport 22 accept`;
    expect(chainsOf(closed)).toEqual([["host_ingress", [rule, "drop"]]]);
    expect(chainsOf(onHost("out", { egress: [], defaultAction: "reject" }, closed)).map(([name]) => name)).toEqual([
        "host_ingress",
        "host_egress",
    ]);
    expect(renderFragment(itemsOf(["base"], closed))).toContain(
        "add chain inet linuxnet host_ingress { type filter hook input priority 10; policy accept; }",
    );
});

test("host policy: is confirmed when its chains come or change, not when they go", () => {
    expect(isConfirmed([key], two, closed)).toBe(true);
    expect(isConfirmed([key], closed, onHost("closed", { ingress: [] }, closed))).toBe(true);
    expect(isConfirmed([key], onHost("closed", { ingress: [ssh], labels: { a: "b" } }, closed), closed)).toBe(false);
    expect(isConfirmed([key], closed, remove(closed, "firewall-policy", "closed"))).toBe(false);
    const other = onHost("other", { ingress: [{ action: "drop", ports: 1 }], priority: 1 }, closed);
    expect(isConfirmed([key], other, remove(other, "firewall-policy", "other"))).toBe(true);
});

test("host policy: follows an endpoint that it names, and that is confirmed", () => {
    const moved = endpoint(closed, "web", "front", { ipv4Address: "172.20.0.9" });
    expect(JSON.stringify(chainsOf(moved))).toContain("ip saddr 172.20.0.9 tcp dport 22");
    expect(isConfirmed([keyOf("endpoint", "web-front")], closed, moved)).toBe(true);
    expect(
        isConfirmed(
            [keyOf("endpoint", "web-front")],
            two,
            endpoint(two, "web", "front", { ipv4Address: "172.20.0.9" }),
        ),
    ).toBe(false);
});

test("host policy: does not go with objects that it has nothing to do with", () => {
    const owner = closed.objects.get(keyOf("network", "front"))?.owner;
    if (owner === undefined) throw new Error("The network is there.");
    expect([...letGo(new Map([[keyOf("network", "front"), undefined]]), owner, closed).keys()]).not.toContain(key);
});

test("host policy: the host itself can be no peer of it", () => {
    expect(() => onHost("self", { ingress: [{ action: "allow", from: "host" }] })).toThrow(
        /"host" can never match where the Host is the target/,
    );
});
