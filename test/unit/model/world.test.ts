import fc from "fast-check";
import { expect, test } from "vitest";
import type { HostObject, PolicyRule } from "../../../provider/model/object.js";
import { World } from "../../../provider/model/world.js";

const owner = { project: "shop", stack: "dev", urn: "urn", name: "x" };
const base = { schemaVersion: 1 as const, generation: "1", owner, name: "x", labels: {} };
const name = fc.constantFrom("a", "b", "c", "d");

const peer = fc.oneof(
    name.map((key) => ({ object: key })),
    fc.constant({ cidr: "10.0.0.0/8" }),
    fc.constant({ keyword: "any" as const }),
);
const rules = fc.option(
    fc.array(
        fc
            .array(peer, { maxLength: 3 })
            .map((peers): PolicyRule => ({ action: "allow", peers, protocols: [], ports: [] })),
        { maxLength: 3 },
    ),
    { nil: undefined },
);

/** Objects of any kind that speak of each other by few keys, so that they often meet. */
const object: fc.Arbitrary<HostObject> = fc.oneof(
    name.map((key): HostObject => ({ ...base, kind: "sandbox", key, host: "h", sysctls: {} })),
    fc.tuple(name, name, name).map(
        ([key, sandbox, network]): HostObject => ({
            ...base,
            kind: "endpoint",
            key,
            sandbox: `s${sandbox}`,
            network: `n${network}`,
            ipv4Address: "172.20.0.2",
            macAddress: "02:6c:ac:14:00:02",
            interfaceName: "x",
            gatewayPriority: 0,
            routingTable: 1000,
        }),
    ),
    fc.tuple(name, name, fc.nat({ max: 300 }), fc.nat({ max: 200 })).map(([key, endpoint, first, more]): HostObject => {
        const hostPort = { first, last: first + more };
        const bindings = [{ protocol: "tcp" as const, hostPort, targetPort: hostPort }];
        return { ...base, kind: "port-mapping", key, endpoint, bindings };
    }),
    fc.tuple(name, name).map(
        ([key, network]): HostObject => ({
            ...base,
            kind: "overlay-tunnel",
            key,
            network,
            vni: 1,
            port: 4789,
            local: "192.0.2.1",
            peers: [],
            mtuBytes: 1450,
        }),
    ),
    fc.tuple(name, fc.array(name, { maxLength: 4 }), rules, rules).map(
        ([key, targets, ingress, egress]): HostObject => ({
            ...base,
            kind: "firewall-policy",
            key,
            targets,
            ...(ingress === undefined ? {} : { ingress }),
            ...(egress === undefined ? {} : { egress }),
            defaultAction: "drop",
            priority: 0,
        }),
    ),
);
const objects = fc
    .array(object, { maxLength: 12 })
    .map(
        (list) =>
            new Map(list.map((each) => [`${each.kind} ${each.key}`, { ...each, key: `${each.kind} ${each.key}` }])),
    );

test("world: every look-up finds what a walk over all objects finds", () => {
    fc.assert(
        fc.property(objects, fc.constantFrom("a", "b", "c", "d", "sa", "na", "sb", "nb"), (map, key) => {
            const world = new World(map as Map<string, HostObject>, undefined);
            const all = [...map.values()] as HostObject[];
            expect(world.endpointsOf(key)).toEqual(
                all.filter((each) => each.kind === "endpoint" && (each.sandbox === key || each.network === key)),
            );
            expect(world.mappingsOf(key)).toEqual(
                all.filter((each) => each.kind === "port-mapping" && each.endpoint === key),
            );
            for (const port of [0, 64, 100, 400]) {
                const has = (each: HostObject) =>
                    each.kind === "port-mapping" &&
                    each.bindings.some(({ hostPort }) => hostPort.first <= port && port <= hostPort.last);
                expect(world.mappingsAt("tcp", port >> 6)).toEqual(expect.arrayContaining(all.filter(has)));
                expect(world.mappingsAt("udp", port >> 6)).toEqual([]);
            }
            expect(world.tunnelsOf(key)).toEqual(
                all.filter((each) => each.kind === "overlay-tunnel" && each.network === key),
            );
            expect(world.policiesOn(key)).toEqual(
                all.filter((each) => each.kind === "firewall-policy" && each.targets.includes(key)),
            );
            expect(world.policiesAbout(key)).toEqual(
                all.filter(
                    (each) =>
                        each.kind === "firewall-policy" &&
                        [...(each.ingress ?? []), ...(each.egress ?? [])].some((rule) =>
                            rule.peers.some((one) => "object" in one && one.object === key),
                        ),
                ),
            );
            for (const kind of ["sandbox", "endpoint", "firewall-policy"] as const) {
                expect(world.all(kind)).toEqual(all.filter((each) => each.kind === kind));
            }
        }),
    );
});

test("world: a change gives a new one and leaves the old as it was", () => {
    fc.assert(
        fc.property(objects, objects, (before, changes) => {
            const world = new World(before as Map<string, HostObject>, undefined);
            const copy = new Map(world.objects);
            world.all("endpoint");
            const removals = new Map(
                [...before.keys()].filter((_key, i) => i % 2 === 0).map((key) => [key, undefined]),
            );
            const after = world.with(
                new Map<string, HostObject | undefined>([...removals, ...(changes as Map<string, HostObject>)]),
            );
            const expected = new Map([...copy].filter(([key]) => !removals.has(key)));
            for (const [key, each] of changes) expected.set(key, each as HostObject);
            expect(new Map(after.objects)).toEqual(expected);
            expect(after.all("endpoint").length).toBe(
                [...expected.values()].filter((each) => each.kind === "endpoint").length,
            );
            expect(world.objects).toEqual(copy);
        }),
    );
});

test("world: an object is found under its own kind only", () => {
    const sandbox: HostObject = { ...base, kind: "sandbox", key: "a", host: "h", sysctls: {} };
    const world = new World(new Map([["a", sandbox]]), undefined);
    expect(world.get("sandbox", "a")).toBe(sandbox);
    expect(world.get("network", "a")).toBeUndefined();
});

test("world: after changes every look-up finds what a world made at once finds, in the new one and in the old", () => {
    const keys = ["a", "b", "c", "d", "sa", "na", "sb", "nb"];
    const sorted = (list: readonly HostObject[]) => list.map((each) => each.key).sort();
    const found = (world: World) => [
        ...keys.flatMap((key) => [
            sorted(world.endpointsOf(key)),
            sorted(world.mappingsOf(key)),
            sorted(world.tunnelsOf(key)),
            sorted(world.policiesOn(key)),
            sorted(world.policiesAbout(key)),
        ]),
        ...Array.from({ length: 8 }, (_, block) => sorted(world.mappingsAt("tcp", block))),
        ...(["sandbox", "endpoint", "port-mapping", "overlay-tunnel", "firewall-policy"] as const).map((kind) =>
            sorted(world.all(kind)),
        ),
    ];
    const made = ({ objects }: World) => new World(new Map(objects), undefined);
    const steps = fc.array(fc.tuple(objects, fc.nat({ max: 3 })), { maxLength: 5 });
    fc.assert(
        fc.property(objects, steps, (first, list) => {
            let world = new World(first as Map<string, HostObject>, undefined);
            found(world);
            for (const [changes, part] of list) {
                const gone = [...world.objects.keys()].filter((_key, i) => i % 4 === part);
                const removals = gone.map((key) => [key, undefined] as const);
                const before = world;
                world = before.with(new Map([...removals, ...(changes as Map<string, HostObject>)]));
                expect(found(world)).toEqual(found(made(world)));
                if (part === 0) expect(found(before)).toEqual(found(made(before)));
            }
        }),
    );
});
