import fc from "fast-check";
import { expect, test } from "vitest";
import { type Item, keyOf, typeOf } from "../../../provider/kernel/item.js";
import type { Line } from "../../../provider/kernel/line.js";
import { isEmpty, type Plan, plan } from "../../../provider/kernel/plan.js";
import { type Kernel, runLine, runTransaction } from "./kernel-model.js";
import { printLine } from "./print.js";

const bit = fc.nat({ max: 1 });
const network = fc.record({
    mtuBytes: fc.constantFrom(1500, 1450),
    gateway: fc.constantFrom(1, 254),
    internal: fc.boolean(),
});
const endpoint = fc.record({
    network: bit,
    sandbox: bit,
    name: fc.constantFrom("eth", "net"),
    host: fc.constantFrom(2, 3),
    mtuBytes: fc.constantFrom(1500, 1450),
    routed: fc.boolean(),
    policy: fc.option(fc.constantFrom("tcp dport 80 goto closing", "reject"), { nil: undefined }),
});
const tunnel = fc.record({
    network: bit,
    vni: fc.constantFrom(1, 2),
    mtuBytes: fc.constantFrom(1450, 1400),
    remotes: fc.subarray([9, 10, 11]),
    underlay: fc.constantFrom("192.0.2.2", "192.0.2.3"),
});
const maybe = <T>(value: fc.Arbitrary<T>) => fc.option(value, { nil: undefined });

/** What a host could carry; what hangs on something that is not there is left out. */
const layout = fc.record({
    networks: fc.array(maybe(network), { minLength: 2, maxLength: 2 }),
    sandboxes: fc.array(fc.boolean(), { minLength: 2, maxLength: 2 }),
    endpoints: fc.array(maybe(endpoint), { maxLength: 4 }),
    tunnel: maybe(tunnel),
    published: fc.array(fc.tuple(fc.constantFrom(80, 443), fc.constantFrom("172.20.0.2", "172.20.0.3")), {
        maxLength: 2,
    }),
    hasUplink: fc.boolean(),
});
type Layout = typeof layout extends fc.Arbitrary<infer T> ? T : never;

const element = (family: "inet" | "bridge", set: string, ...key: string[]): Item => ({
    type: "element",
    family,
    set,
    key,
});

function networkItems(i: number, { mtuBytes, gateway, internal }: NonNullable<Layout["networks"][number]>): Item[] {
    const name = `ln${i}`;
    const link = `link ${name}`;
    return [
        { type: "bridge", name, mac: `02:6c:ac:14:0${i}:01`, mtuBytes, alias: name },
        { type: "address", dev: name, link, address: `172.20.${i}.${gateway}/24` },
        { type: "sysctl", key: `net/ipv4/conf/${name}/forwarding`, value: "1", link },
        element("inet", "networks", name),
        ...(internal ? [element("inet", "internal", name)] : []),
    ];
}

function endpointItems(i: number, of: NonNullable<Layout["endpoints"][number]>): Item[] {
    const name = `le${i}`;
    const dev = `${of.name}${i}`;
    const netns = `s${of.sandbox}`;
    const address = `172.20.${of.network}.${of.host + 10 * i}`;
    const link = `address ${netns} ${dev} ${address}/24`;
    const table = String(1000 + i);
    const via = `172.20.${of.network}.1`;
    const items: Item[] = [
        element("bridge", "endpoints", name),
        {
            type: "veth",
            name,
            bridge: `ln${of.network}`,
            netns,
            peerName: dev,
            peerMac: `02:6c:00:00:00:0${i}`,
            mtuBytes: of.mtuBytes,
            alias: name,
        },
        { type: "address", netns, dev, link: `link ${name}`, address: `${address}/24` },
        { type: "flows", filter: ["-s", address], cut: "when removed" },
    ];
    if (of.routed) {
        items.push(
            { type: "route", netns, dev, link, table, to: `172.20.${of.network}.0/24`, source: address },
            { type: "route", netns, dev, link, table, to: "default", via },
            { type: "rule", netns, priority: 1000 + i, from: address, table },
        );
    }
    if (of.policy !== undefined) {
        items.push(
            { type: "chain", name: `in_${name}`, rules: [of.policy, "drop"] },
            {
                type: "element",
                family: "inet",
                set: "ingress",
                key: [`ln${of.network}`, address],
                value: { goto: `in_${name}` },
            },
        );
    }
    return items;
}

function tunnelItems(
    {
        network,
        vni,
        mtuBytes,
        remotes,
        underlay,
    }: Omit<NonNullable<Layout["tunnel"]>, "mtuBytes"> & { readonly mtuBytes: number },
    gateway: number,
): Item[] {
    const dev = `ln${network}`;
    const sourceLink = `address  ${dev} 172.20.${network}.${gateway}/24`;
    const source = `172.20.${network}.${gateway}`;
    const at = { dev: "lt0", link: "link lt0", sourceLink, source, table: "main", isOnLink: true } as const;
    const mac = "02:6c:c0:00:02:01";
    return [
        { type: "vxlan", name: "lt0", mac, vni, local: "192.0.2.1", port: 4789, mtuBytes, alias: "t" },
        ...remotes.flatMap((host): Item[] => {
            const remote = `02:6c:ac:14:00:${host.toString(16).padStart(2, "0")}`;
            const address = `172.20.${network}.${host}`;
            return [
                { type: "route", ...at, to: `${address}/32`, via: address },
                { type: "neighbour", dev: "lt0", address, mac: remote },
                { type: "fdb", dev: "lt0", mac: remote, remote: underlay },
            ];
        }),
    ];
}

function itemsOf(of: Layout): Item[] {
    const items: Item[] = [];
    for (const [i, each] of of.networks.entries()) if (each !== undefined) items.push(...networkItems(i, each));
    for (const [i, isThere] of of.sandboxes.entries()) if (isThere) items.push({ type: "netns", name: `s${i}` });
    const defaults = new Set<number>();
    for (const [i, each] of of.endpoints.entries()) {
        if (each === undefined || of.networks[each.network] === undefined || !of.sandboxes[each.sandbox]) continue;
        items.push(...endpointItems(i, each));
        if (!each.routed || defaults.has(each.sandbox)) continue;
        defaults.add(each.sandbox);
        const dev = `${each.name}${i}`;
        const netns = `s${each.sandbox}`;
        const link = `address ${netns} ${dev} 172.20.${each.network}.${each.host + 10 * i}/24`;
        items.push({ type: "route", netns, dev, link, table: "main", to: "default", via: `172.20.${each.network}.1` });
    }
    const under = of.networks[of.tunnel?.network ?? 0];
    if (of.tunnel !== undefined && under !== undefined) items.push(...tunnelItems(of.tunnel, under.gateway));
    for (const [port, address] of new Map(of.published)) {
        items.push({
            type: "element",
            family: "inet",
            set: "published_any",
            key: ["tcp", port],
            value: [address, port],
        });
    }
    if (of.hasUplink) {
        items.push(element("inet", "opened_uplinks", "eth0"), {
            type: "sysctl",
            key: "net/ipv4/conf/eth0/forwarding",
            value: "1",
            old: "0",
        });
    }
    return items.length === 0 ? [] : [{ type: "ruleset", version: 2 }, { type: "netns-directory" }, ...items];
}

const items = layout
    .map(itemsOf)
    .chain((all) => fc.shuffledSubarray(all, { minLength: all.length, maxLength: all.length }));

/** Interfaces of endpoints whose guard is not in the bridge table. */
function unguarded(kernel: Kernel): string[] {
    const names = [...kernel.keys()].flatMap((key) => /^link {2}(le\d+)$/.exec(key)?.[1] ?? []);
    return names.filter((name) => !kernel.has(`element bridge endpoints "${name}"`));
}

function run(kernel: Kernel, steps: Plan): Kernel {
    for (const line of steps.remove) {
        runLine(kernel, line);
        expect(unguarded(kernel)).toEqual([]);
    }
    runTransaction(kernel, steps.nft);
    expect(unguarded(kernel)).toEqual([]);
    for (const line of steps.add) {
        runLine(kernel, line);
        expect(unguarded(kernel)).toEqual([]);
    }
    return kernel;
}

const fresh = (all: readonly Item[]) => run(new Map(), plan([], all));
const numRuns = 150;

test("plan: nothing is planned from a set to itself, in whatever order it is written", () => {
    fc.assert(
        fc.property(items, (all) => {
            expect(isEmpty(plan(all, structuredClone(all).reverse()))).toBe(true);
        }),
        { numRuns },
    );
});

test("plan: from any set to any other ends where a fresh create ends, without a line that the kernel refuses or an unguarded moment", () => {
    fc.assert(
        fc.property(items, items, (before, after) => {
            expect(run(fresh(before), plan(before, after))).toEqual(fresh(after));
        }),
        { numRuns },
    );
});

test("plan: to nothing leaves nothing", () => {
    fc.assert(
        fc.property(items, (all) => {
            expect([...run(fresh(all), plan(all, []))]).toEqual([]);
        }),
        { numRuns },
    );
});

test("plan: the way back leads back from wherever the way there ended", () => {
    fc.assert(
        fc.property(items, items, fc.nat(), (before, after, where) => {
            const steps = plan(before, after);
            const back = plan(after, before);
            const kernel = fresh(before);
            const force = (lines: readonly Line[], runLines = runLine as (kernel: Kernel, line: Line) => void) => {
                for (const line of lines) {
                    try {
                        runLines(kernel, line);
                    } catch {
                        // Best effort, as `ip -force` is.
                    }
                }
            };
            const cut = where % (steps.remove.length + steps.add.length + 2);
            for (const line of steps.remove.slice(0, cut)) runLine(kernel, line);
            const stage = cut <= steps.remove.length ? 1 : 3;
            if (stage === 3) {
                runTransaction(kernel, steps.nft);
                for (const line of steps.add.slice(0, cut - steps.remove.length - 1)) runLine(kernel, line);
                force(back.remove);
                runTransaction(kernel, back.nft);
            }
            force(back.add);
            expect(kernel).toEqual(fresh(before));
        }),
        { numRuns },
    );
});

test("plan: what goes along with its parent is not removed by itself", () => {
    fc.assert(
        fc.property(items, (all) => {
            const { remove } = plan(all, []);
            const insides = remove.filter((line) => line.netns !== undefined);
            expect(insides.map(printLine)).toEqual([]);
            expect(remove.filter((line) => /address|route|neigh/.test(line.args[0] ?? "")).map(printLine)).toEqual([]);
        }),
        { numRuns },
    );
});

test("plan: names that must be free are those of things that were not there before", () => {
    fc.assert(
        fc.property(items, items, (before, after) => {
            const known = new Set(before.map(keyOf));
            const expected = after.filter((item) => !known.has(keyOf(item))).map(keyOf);
            expect(new Set(plan(before, after).added.map(keyOf))).toEqual(new Set(expected));
        }),
        { numRuns },
    );
});

test("plan: what is read back is what came, changed or was made anew", () => {
    fc.assert(
        fc.property(items, items, (before, after) => {
            const old = new Map(before.map((item) => [keyOf(item), JSON.stringify(item)]));
            const touched = new Set(plan(before, after).touched.map(keyOf));
            for (const item of after) {
                if (old.get(keyOf(item)) !== JSON.stringify(item)) expect(touched).toContain(keyOf(item));
            }
            const gone = new Set(before.map(keyOf));
            for (const item of after) gone.delete(keyOf(item));
            for (const item of after) {
                if (
                    typeOf(item)
                        .parents(item)
                        .some((parent) => gone.has(parent) && touched.has(keyOf(item)))
                ) {
                    expect(old.has(keyOf(item))).toBe(true);
                }
            }
        }),
        { numRuns },
    );
});

const veth: Item = {
    type: "veth",
    name: "le1",
    bridge: "ln1",
    netns: "web",
    peerName: "eth0",
    peerMac: "02:6c:ac:14:00:02",
    mtuBytes: 1500,
    alias: "e",
};
const address: Item = { type: "address", netns: "web", dev: "eth0", link: "link le1", address: "172.20.0.2/24" };
const route: Item = {
    type: "route",
    netns: "web",
    dev: "eth0",
    link: "address web eth0 172.20.0.2/24",
    table: "main",
    to: "default",
    via: "172.20.0.1",
};

test("plan: what hangs on an interface is added again when the interface is made anew", () => {
    const renamed = (item: Item) => JSON.parse(JSON.stringify(item).replaceAll("eth0", "eth1")) as Item;
    const { remove, add } = plan([veth, address, route], [veth, address, route].map(renamed));
    expect(remove.map(printLine)).toEqual(["ip link del dev le1"]);
    expect(add.map(printLine).slice(-2)).toEqual([
        "ip -n web address replace 172.20.0.2/24 dev eth1",
        "ip -n web route replace default via 172.20.0.1 dev eth1 table main",
    ]);
});

test("plan: routes come back when their interface's address changes, because the kernel drops them with it", () => {
    const other: Item = { ...address, address: "172.20.0.3/24" };
    const rerouted: Item = { ...route, link: "address web eth0 172.20.0.3/24" };
    const { remove, add } = plan([veth, address, route], [veth, other, rerouted]);
    expect([...remove, ...add].map(printLine)).toEqual([
        "ip -n web address del 172.20.0.2/24 dev eth0",
        "ip -n web address replace 172.20.0.3/24 dev eth0",
        "ip -n web route replace default via 172.20.0.1 dev eth0 table main",
    ]);
});

test("plan: of an interface that goes, only the interface is removed, and what stays in the sandbox stays", () => {
    const rule: Item = { type: "rule", netns: "web", priority: 1000, from: "172.20.0.2", table: "1000" };
    const sandbox: Item = { type: "netns", name: "web" };
    const { remove, nft, add } = plan([sandbox, veth, address, route, rule], [sandbox]);
    expect([...remove, ...nft, ...add].map(printLine)).toEqual([
        "ip -n web rule del priority 1000 from 172.20.0.2 lookup 1000",
        "ip link del dev le1",
    ]);
});

test("tables that were flushed away are there again before a chain is added to them", () => {
    const ruleset: Item = { type: "ruleset", version: 2 };
    const chain: Item = { type: "chain", name: "in_le1", rules: ["drop"] };
    const flushed: Item = { ...ruleset, flaws: ["table inet linuxnet is missing"], strangeChains: ["forward"] };
    const lines = plan([flushed], [ruleset, chain]).nft.map(printLine);
    const at = (text: string) => lines.findIndex((line) => line.includes(text));
    expect(at("add table inet linuxnet")).toBeGreaterThan(-1);
    expect(at("add chain inet linuxnet in_le1")).toBeGreaterThan(at("add table inet linuxnet"));
});

test("plan: MTUs are raised from the bridge to the sandbox, and lowered from the sandbox to the bridge", () => {
    const at = (mtuBytes: number): Item[] => [
        { type: "bridge", name: "ln1", mac: "02:6c:ac:14:00:01", mtuBytes, alias: "n" },
        ...tunnelItems({ network: 1, vni: 1, mtuBytes, remotes: [], underlay: "192.0.2.2" }, 1),
        { ...veth, mtuBytes } as Item,
    ];
    const mtuLines = (from: number, to: number) =>
        plan(at(from), at(to))
            .add.map(printLine)
            .filter((line) => line.includes(" mtu "));
    const raised = [
        "ip link set dev ln1 mtu 8950",
        "ip link set dev lt0 mtu 8950",
        "ip link set dev le1 mtu 8950",
        "ip -n web link set dev eth0 mtu 8950",
    ];
    expect(mtuLines(1450, 8950)).toEqual(raised);
    expect(mtuLines(8950, 1450)).toEqual(raised.reverse().map((line) => line.replace("8950", "1450")));
});
