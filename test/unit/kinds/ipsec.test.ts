import { expect, test } from "vitest";
import { derive } from "../../../provider/derive.js";
import { type Item, keyOf as keyOfItem } from "../../../provider/kernel/item.js";
import { plan } from "../../../provider/kernel/plan.js";
import { objectKinds } from "../../../provider/kinds/index.js";
import { parseIpv4Cidr } from "../../../provider/model/address.js";
import type { HostFacts, World } from "../../../provider/model/world.js";
import { type Args, affectedItems, empty, facts, keyOf, network, put, ref } from "./build.js";

/*
 * Two hosts, left 192.0.2.10 and right 192.0.2.20, each with one end of segment 42 (and of others where a test says so).
 */
const [one, two] = ["first-secret-of-the-segment", "second-secret-of-the-segment"];
const identities = { left: { id: "1".repeat(32), epoch: 3 }, right: { id: "2".repeat(32), epoch: 7 } };
const addresses = { left: "192.0.2.10", right: "192.0.2.20" };
type Side = keyof typeof identities;
const otherOf = (side: Side): Side => (side === "left" ? "right" : "left");

const factsOf = (side: Side): HostFacts => {
    const address = `${addresses[side]}/24`;
    const range = parseIpv4Cidr("192.0.2.0/24");
    return {
        ...facts,
        identity: identities[side],
        addresses: [{ interfaceName: "eth0", address, range, mtuBytes: 1500 }],
        routes: facts.routes.map(({ source: _, ...route }) => route),
    };
};

const peerOf = (side: Side, peer: Args = {}) => ({
    underlayAddress: addresses[otherOf(side)],
    ipRange: side === "left" ? "172.25.0.128/25" : "172.25.0.0/25",
    identity: identities[otherOf(side)],
    ...peer,
});

function argsOf(side: Side, args: Args): Args {
    return { network: ref("network", "mesh"), vni: 42, encryption: "ipsec", key: one, peers: [peerOf(side)], ...args };
}

function end(side: Side, args: Args = {}): World {
    const ipRange = side === "left" ? "172.25.0.0/25" : "172.25.0.128/25";
    const gateway = side === "left" ? "172.25.0.1" : "172.25.0.129";
    const world = network(empty, "mesh", "172.25.0.0/24", { ipRange, gateway });
    return put(world, "overlay-tunnel", "mesh", argsOf(side, args), { facts: factsOf(side) });
}

const key = keyOf("overlay-tunnel", "mesh");

function itemsOf<T extends Item["type"]>(world: World, type: T): Extract<Item, { type: T }>[] {
    const { after } = affectedItems([key], world, world);
    return after.filter((item): item is Extract<Item, { type: T }> => item.type === type);
}

/** The kept keys: `<from> <to> <reqid> <epoch>` -> key. */
function keysOf(side: Side, args: Args = {}): Map<string, string> {
    const object = end(side, args).objects.get(key);
    if (object === undefined) throw new Error("no tunnel");
    const kind = objectKinds["overlay-tunnel"];
    const inputs = kind.schema.parse(argsOf(side, args)) as Record<string, unknown>;
    const text = kind.keys?.(object, inputs, factsOf(side), derive) ?? "";
    const lines = text.trim().split("\n");
    return new Map(lines.map((line) => [line.slice(0, line.lastIndexOf(" ")), line.slice(line.lastIndexOf(" ") + 1)]));
}

test("ipsec: what one end sends by, the other receives by, for each boot of the sender", () => {
    for (const side of ["left", "right"] as const) {
        const [send] = itemsOf(end(side), "xfrm-send");
        const [receive] = itemsOf(end(otherOf(side)), "xfrm-receive");
        expect(send).toMatchObject({ source: addresses[side], destination: addresses[otherOf(side)] });
        expect([receive?.source, receive?.destination, receive?.reqid]).toEqual([
            send?.source,
            send?.destination,
            send?.reqid,
        ]);
        const { epoch } = identities[side];
        expect(receive?.epochs).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8].map((i) => epoch + i));
        const [sent, received] = [keysOf(side), keysOf(otherOf(side))];
        for (const each of receive?.epochs ?? []) {
            const name = `${send?.source} ${send?.destination} ${send?.reqid} ${each}`;
            expect(sent.get(name)).toMatch(/^[0-9a-f]{72}$/);
            expect(received.get(name)).toBe(sent.get(name));
        }
    }
});

test("ipsec: each direction, epoch, pair, port and secret has keys of its own", () => {
    const variants: Args[] = [
        {},
        { key: two },
        { port: 4790 },
        { peers: [peerOf("left", { identity: { id: "3".repeat(32), epoch: 7 } })] },
        { peers: [peerOf("left", { underlayAddress: "192.0.2.21" })] },
    ];
    const keys = variants.flatMap((args) => [...keysOf("left", args).values()]);
    expect(keys).toHaveLength(variants.length * 18);
    expect(new Set(keys).size).toBe(keys.length);
});

test("ipsec: over IPv6 it is the same, with its own addresses, sets and MTU", () => {
    const [here, there] = ["2001:db8::10", "2001:db8::20"];
    const peers = [peerOf("left", { underlayAddress: there })];
    const world = end("left", { peers });
    const object = world.get("overlay-tunnel", key);
    expect(object).toMatchObject({ local: here, mtuBytes: 1396 });
    const policies = itemsOf(world, "xfrm-policy").map(({ source, destination }) => `${source} ${destination}`);
    expect(new Set(policies)).toEqual(new Set([`${here} ${there}`, `${there} ${here}`]));
    const { after } = affectedItems([key], world, world);
    const sets = after.flatMap((item) => (item.type === "element" && item.key[0] === there ? [item.set] : []));
    expect(new Set(sets)).toEqual(new Set(["tunnel_peers6", "encrypted_peers6"]));
    const { add } = plan([], after);
    const lines = add.map(({ args }) => args.join(" "));
    expect(lines.find((line) => line.startsWith("xfrm policy add"))).toMatch(
        new RegExp(
            `src ${here}/128 dst ${there}/128 proto udp dport 4789 dir out .* tmpl src ${here} dst ${there} proto esp`,
        ),
    );
    const ways = [...keysOf("left", { peers }).keys()].map((line) => line.split(" ").slice(0, 2).join(" "));
    expect(new Set(ways)).toEqual(new Set([`${here} ${there}`, `${there} ${here}`]));
});

test("ipsec: the object, the items and their lines hold no secret and no key", () => {
    const world = end("left", { key: [one, two] });
    const { after } = affectedItems([key], world, world);
    const steps = plan([], after);
    const text = JSON.stringify([world.objects.get(key), after, steps.add, steps.nft]);
    const keys = [...keysOf("left", { key: [one, two] }).values()];
    expect(keys).toHaveLength(36);
    for (const secret of [one, two, ...keys, ...keys.map((each) => each.slice(0, 64))]) {
        expect(text).not.toContain(secret);
    }
});

test("ipsec: policies and peers come before the device, and go after it", () => {
    const world = end("left");
    const without = world.with(new Map([[key, undefined]]));
    const { before, after } = affectedItems([key], without, world);
    const words = (lines: readonly { readonly args: readonly string[] }[]) => lines.map(({ args }) => args.join(" "));
    const up = plan(before, after);
    expect(words(up.nft)).toContain("add element inet linuxnet encrypted_peers { 192.0.2.20 . 4789 }");
    const added = words(up.add);
    const device = added.findIndex((line) => line.startsWith("link add"));
    const policies = added.flatMap((line, i) => (line.startsWith("xfrm policy add") ? [i] : []));
    expect(policies).toHaveLength(2);
    expect(Math.max(...policies)).toBeLessThan(device);
    const down = plan(after, before);
    const removed = words(down.remove);
    const last = removed.findIndex((line) => line.startsWith("link ") && line.includes("del"));
    expect(last).toBeGreaterThanOrEqual(0);
    expect(removed.findIndex((line) => line.startsWith("xfrm policy delete"))).toBeGreaterThan(last);
    expect(words(down.nft)).toContain("delete element inet linuxnet encrypted_peers { 192.0.2.20 . 4789 }");
});

test("ipsec: a secret comes, takes over and goes without anything else being touched", () => {
    const worlds = [[one], [one, two], [two, one], [two]].map((secrets) => end("left", { key: secrets }));
    const steps = worlds.slice(1).map((world, i) => {
        const { before, after } = affectedItems([key], worlds[i] ?? world, world);
        const { remove, nft, add } = plan(before, after);
        return [...remove, ...nft, ...add].map(({ tool, args }) => `${tool} ${args.slice(0, tool === "ip" ? 3 : 1)}`);
    });
    const receive = Array.from({ length: 9 }, () => "xfrm receive");
    expect(steps).toEqual([
        [...receive, "xfrm send"],
        ["ip xfrm,policy,update"],
        Array.from({ length: 10 }, () => "xfrm delete"),
    ]);
});

test("ipsec: a boot of the peer slides its window, one of the host itself touches nothing that counts", () => {
    const before = end("left");
    const moved = end("left", { peers: [peerOf("left", { identity: { ...identities.right, epoch: 9 } })] });
    const items = affectedItems([key], before, moved);
    const lines = plan(items.before, items.after).add.map(({ args }) => `${args[0]} ${args.slice(4).join(" ")}`);
    const [{ reqid } = { reqid: 0 }] = itemsOf(before, "xfrm-receive");
    const spi = (epoch: number) => `0x${(reqid + (epoch % 16)).toString(16)}`;
    expect(lines).toEqual([
        ...[7, 8].map((epoch) => `delete ${spi(epoch)}`),
        ...[16, 17].map((epoch) => `receive ${spi(epoch)} ${epoch}`),
    ]);
});

test("ipsec: keys that the host has outlived, or that are of another identity, are told", () => {
    const object = end("left").objects.get(key);
    if (object === undefined) throw new Error("no tunnel");
    const told = (identity: Partial<typeof identities.left>) =>
        objectKinds["overlay-tunnel"].driftOfFacts?.(object, {
            ...factsOf("left"),
            identity: { ...identities.left, ...identity },
        });
    expect([told({}), told({ epoch: 5 }), told({ id: "9".repeat(32) })]).toEqual([
        [],
        ["its keys begin with epoch 3, and the host is in epoch 5"],
        ["its keys are made of another identity than the host has now"],
    ]);
});

/** A second segment of the host on the same port. */
function second(args: Args): World {
    const world = network(end("left"), "other", "172.26.0.0/24", { ipRange: "172.26.0.0/25" });
    const peers = [peerOf("left", { ipRange: "172.26.0.128/25" })];
    const more = { network: ref("network", "other"), vni: 43, peers, ...args };
    return put(world, "overlay-tunnel", "other", argsOf("left", more), { facts: factsOf("left") });
}

test("ipsec: segments on one port share what is between two hosts, and the last one takes it along", () => {
    const both = second({});
    expect(new Set(itemsOf(both, "xfrm-policy").map(keyOfItem)).size).toBe(2);
    const alone = both.with(new Map([[keyOf("overlay-tunnel", "other"), undefined]]));
    const items = affectedItems([keyOf("overlay-tunnel", "other")], both, alone);
    const { remove, add } = plan(items.before, items.after);
    expect([...remove, ...add].filter(({ args, tool }) => tool === "xfrm" || args[0] === "xfrm")).toEqual([]);
});

test.each<[Args, string]>([
    [{ encryption: undefined, key: undefined }, "Give one of them another port."],
    [{ key: two }, "Give both one key, or one of them another port."],
])("ipsec: segments on one port that cannot be told apart are refused: %o", (args, message) => {
    expect(() => second(args)).toThrow(message);
    expect(() => second({ ...args, port: 4790 })).not.toThrow();
});

test("ipsec: while one of two segments on a port has its secret changed, both ends still know what is sent by", () => {
    const sending = (world: World) => itemsOf(world, "xfrm-policy").find(({ direction }) => direction === "out")?.reqid;
    const [send1, send2] = [end("left"), end("left", { key: two })].map(sending);
    expect([sending(second({ key: [two, one] })), send1 === send2]).toEqual([send1, false]);
});

test.each<[Args, string]>([
    [
        { peers: [peerOf("left", { identity: undefined })] },
        'peers[0]: encryption "ipsec" makes its keys from the identity of the host at 192.0.2.20.',
    ],
    [{ peers: [peerOf("left", { identity: identities.left })] }, "peers[0]: its identity is that of this host itself."],
])("ipsec: %o is refused", (args, message) => {
    expect(() => end("left", args)).toThrow(message);
});

test("ipsec: a host without an identity is told how it gets one", () => {
    const world = network(empty, "mesh", "172.25.0.0/24", { ipRange: "172.25.0.0/25" });
    expect(() => put(world, "overlay-tunnel", "mesh", argsOf("left", {}))).toThrow("Run `pulumi up --refresh`.");
});
