import fc from "fast-check";
import { expect, test } from "vitest";
import { parseIpv4 } from "../../../provider/model/address.js";
import type { EndpointObject } from "../../../provider/model/object.js";
import { Refusal } from "../../../provider/model/refusal.js";
import type { World } from "../../../provider/model/world.js";
import { empty, endpoint, keyOf, network, remove, sandbox } from "./build.js";

const runs = 125;
const operations = 800;
const sandboxCount = 40;

/** Two networks, one of them with a range, reserved addresses and IPv6. */
const networks = [
    { name: "plain", subnet: "10.0.0.0/27", args: {}, range: [1, 30], closed: [1] },
    {
        name: "ranged",
        subnet: "10.0.1.0/26",
        args: {
            subnet: ["10.0.1.0/26", "fd00:1::/64"],
            gateway: "10.0.1.1",
            ipRange: "10.0.1.8-10.0.1.31",
            reserved: ["10.0.1.9", "10.0.1.30"],
        },
        range: [8, 31],
        closed: [1, 9, 30],
    },
] as const;

const operation = fc.record({
    network: fc.nat(networks.length - 1),
    sandbox: fc.nat(sandboxCount - 1),
    what: fc.constantFrom("attach", "attach", "static", "keep", "detach"),
    host: fc.nat(63),
});

type Operation = typeof operation extends fc.Arbitrary<infer T> ? T : never;

const start = networks.reduce(
    (world, { name, subnet, args }) => network(world, name, subnet, args),
    Array.from({ length: sandboxCount }, (_, i) => `s${i}`).reduce((world, name) => sandbox(world, name), empty),
);

/** The last number of what a network's endpoints have, as the test keeps its own books. */
type Books = Map<number, number>[];

/** The address that has to come out, or none. */
function expected(at: (typeof networks)[number], taken: ReadonlySet<number>): number | undefined {
    for (let number: number = at.range[0]; number <= at.range[1]; number++)
        if (!taken.has(number) && !(at.closed as readonly number[]).includes(number)) return number;
    return undefined;
}

function step(world: World, books: Books, { network: n, sandbox: s, what, host }: Operation): World {
    const at = networks[n] as (typeof networks)[number];
    const book = books[n] as Map<number, number>;
    const [prefix] = at.subnet.split(/\.\d+\//) as [string];
    if (what === "detach") {
        book.delete(s);
        return remove(world, "endpoint", `s${s}-${at.name}`);
    }
    const others = new Set([...book].flatMap(([holder, number]) => (holder === s ? [] : [number])));
    const isEdge = host === 0 || host >= (n === 0 ? 31 : 63);
    const wanted =
        what === "static"
            ? isEdge || host === 1 || others.has(host)
                ? undefined
                : host
            : (book.get(s) ?? expected(at, others));
    const args = what === "static" ? { ipv4Address: `${prefix}.${host}` } : {};
    if (wanted === undefined) {
        expect(() => endpoint(world, `s${s}`, at.name, args)).toThrow(Refusal);
        return world;
    }
    const after = endpoint(world, `s${s}`, at.name, args);
    const made = after.get("endpoint", keyOf("endpoint", `s${s}-${at.name}`)) as EndpointObject;
    if (made.ipv4Address !== `${prefix}.${wanted}`) expect(made.ipv4Address).toBe(`${prefix}.${wanted}`);
    book.set(s, wanted);
    return after;
}

test("allocator: 100,000 random operations give each the address it has to have, none twice, none leaked, none outside", {
    timeout: 300_000,
}, () => {
    let count = 0;
    const property = fc.property(fc.array(operation, { minLength: operations, maxLength: operations }), (steps) => {
        const books: Books = networks.map(() => new Map());
        let world = start;
        for (const one of steps) world = step(world, books, one);
        count += steps.length;
        for (const [n, { name, subnet }] of networks.entries()) {
            const there = world
                .endpointsOf(keyOf("network", name))
                .map(({ ipv4Address }) => parseIpv4(ipv4Address ?? "") & 255);
            expect(there.sort(), subnet).toEqual([...(books[n] as Map<number, number>).values()].sort());
            expect(new Set(there).size).toBe(there.length);
        }
    });
    fc.assert(property, { numRuns: runs, endOnFailure: true });
    expect(count).toBe(100_000);
});
