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
    const match = `iifname "${keyOf("network", "front")}" ip saddr 172.20.0.2 tcp dport 22`;
    const [[name, rules] = []] = chainsOf(closed);
    expect(name).toBe("host_ingress");
    expect(rules).toEqual([
        expect.stringMatching(new RegExp(`^${match} counter name "count_host_[0-9a-f]{8}" accept$`)),
        'counter name "count_host_ingress" drop',
    ]);
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

test("host policy: counts sources of both families, where a rule is of both", () => {
    const limit = { rate: "5/minute", perSource: true };
    const world = onHost("limited", {
        ingress: [
            { action: "allow", ports: 22, limit },
            { action: "allow", from: "203.0.113.0/24", ports: 80, limit },
            { action: "drop", ports: 81, limit: { connections: 3 }, log: true },
        ],
    });
    const items = itemsOf(["base"], world);
    const short = (text: string) => text.replace(/(host)_[0-9a-f_]{8,}/g, "$1");
    const chain = items.findLast((item) => item.type === "chain");
    expect(chain?.rules.slice(-5).map(short)).toEqual([
        'tcp dport 22 update @rate_ip_host { ip saddr limit rate 5/minute burst 5 packets } counter name "count_host" accept',
        "tcp dport 22 update @rate_ip6_host { ip6 saddr & ffff:ffff:ffff:ffff:: limit rate 5/minute burst 5 packets } " +
            'counter name "count_host" accept',
        "ip saddr 203.0.113.0/24 tcp dport 80 update @rate_ip_host { ip saddr limit rate 5/minute burst 5 packets } " +
            'counter name "count_host" accept',
        'tcp dport 81 add @connections_all_host { meta mark & 0x0 ct count 3 } counter name "count_host" goto log_host',
        'counter name "count_host_ingress" drop',
    ]);
    const logs = items.filter((item) => item.type === "chain" && item.name.startsWith("log_host"));
    expect(logs).toMatchObject([
        { rules: ['limit rate 10/second burst 20 packets log prefix "linuxnet limited: " level info', "drop"] },
    ]);
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
