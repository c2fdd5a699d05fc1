import fc from "fast-check";
import { expect, test } from "vitest";
import { derive } from "../../../provider/derive.js";
import { plan } from "../../../provider/kernel/plan.js";
import { objectKinds } from "../../../provider/kinds/index.js";
import { contains, parseIpv4, parseIpv4Cidr, parseIpv4Range } from "../../../provider/model/address.js";
import type {
    EndpointObject,
    NetworkObject,
    OverlayTunnelObject,
    PortMappingObject,
    SandboxObject,
} from "../../../provider/model/object.js";
import type { World } from "../../../provider/model/world.js";
import {
    type Args,
    affectedItems,
    build,
    empty,
    endpoint,
    facts,
    host,
    keyOf,
    network,
    put,
    ref,
    remove,
    sandbox,
} from "./build.js";

const on = (world: World, name: string) => world.get("endpoint", keyOf("endpoint", name)) as EndpointObject;

function sandboxes(world: World, count: number): World {
    return Array.from({ length: count }, (_, i) => `s${i}`).reduce((each, name) => sandbox(each, name), world);
}

test("address: automatic ones are the lowest free ones, beside gateway, reserved and static ones", () => {
    let world = sandboxes(network(empty, "front", "172.20.0.0/24", { reserved: ["172.20.0.2", "172.20.0.4"] }), 4);
    world = endpoint(world, "s0", "front", { ipv4Address: "172.20.0.3" });
    for (const name of ["s1", "s2", "s3"]) world = endpoint(world, name, "front");
    expect(world.all("endpoint").map((each) => each.ipv4Address)).toEqual([
        "172.20.0.3",
        "172.20.0.5",
        "172.20.0.6",
        "172.20.0.7",
    ]);
});

test("address: an automatic one stays on update, also when a lower one is free again", () => {
    let world = sandboxes(network(empty, "front", "172.20.0.0/24"), 2);
    world = endpoint(endpoint(world, "s0", "front"), "s1", "front");
    world = remove(world, "endpoint", "s0-front");
    expect(on(endpoint(world, "s1", "front", { labels: { a: "b" } }), "s1-front").ipv4Address).toBe("172.20.0.3");
});

test("address: an automatic one leaves those to others that the program gives them, of both families, and one that is there stays", () => {
    const start = network(empty, "front", "172.20.0.0/29", { ipv6: true });
    const subnet = (start.get("network", keyOf("network", "front"))?.ipv6?.subnet ?? "").replace("/64", "");
    const staticAddresses = ["172.20.0.2", "172.20.0.4", `${subnet}3`];
    const attach = (world: World, name: string, given: readonly string[]) =>
        put(
            world,
            "endpoint",
            `${name}-front`,
            { sandbox: ref("sandbox", name), network: ref("network", "front") },
            { staticAddresses: given },
        );
    let world = sandboxes(start, 5);
    world = attach(world, "s0", staticAddresses);
    expect(on(world, "s0-front")).toMatchObject({ ipv4Address: "172.20.0.3", ipv6Address: `${subnet}8` });
    world = attach(world, "s0", ["172.20.0.3"]);
    expect(on(world, "s0-front")).toMatchObject({ ipv4Address: "172.20.0.3", ipv6Address: `${subnet}8` });
    world = attach(attach(world, "s1", staticAddresses), "s2", staticAddresses);
    expect(() => attach(world, "s3", staticAddresses)).toThrow(
        /3 are in use, .* The program gives 172\.20\.0\.2, 172\.20\.0\.4 to others\. Use a larger/,
    );
});

test("address: one that was static stays when the program leaves it out", () => {
    let world = endpoint(sandboxes(network(empty, "front", "172.20.0.0/24"), 1), "s0", "front", {
        ipv4Address: "172.20.0.77",
    });
    world = endpoint(world, "s0", "front");
    expect(on(world, "s0-front").ipv4Address).toBe("172.20.0.77");
});

test("address: a static one may be outside ipRange, an automatic one may not", () => {
    let world = sandboxes(network(empty, "front", "172.20.0.0/24", { ipRange: "172.20.0.128/25" }), 2);
    expect(world.get("network", keyOf("network", "front"))?.gateway).toBe("172.20.0.128");
    world = endpoint(endpoint(world, "s0", "front", { ipv4Address: "172.20.0.5" }), "s1", "front");
    expect(world.all("endpoint").map((each) => each.ipv4Address)).toEqual(["172.20.0.5", "172.20.0.129"]);
});

test("address: no two endpoints of a network ever share one, whatever comes, goes and is asked for", () => {
    const step = fc.record({
        name: fc.integer({ min: 0, max: 9 }),
        ipv4Address: fc.option(
            fc.integer({ min: 0, max: 15 }).map((last) => `10.0.0.${last}`),
            { nil: undefined },
        ),
        goes: fc.boolean(),
    });
    const start = sandboxes(
        network(empty, "tiny", "10.0.0.0/28", { ipRange: "10.0.0.4/30", reserved: ["10.0.0.6"] }),
        10,
    );
    fc.assert(
        fc.property(fc.array(step, { maxLength: 25 }), (steps) => {
            let world = start;
            for (const { name, ipv4Address, goes } of steps) {
                try {
                    world = goes
                        ? remove(world, "endpoint", `s${name}-tiny`)
                        : endpoint(world, `s${name}`, "tiny", ipv4Address === undefined ? {} : { ipv4Address });
                } catch {
                    // Refused: nothing changed.
                }
            }
            const addresses = world.all("endpoint").map((each) => each.ipv4Address);
            expect(new Set(addresses).size).toBe(addresses.length);
            const { gateway } = world.get("network", keyOf("network", "tiny")) as NetworkObject;
            for (const forbidden of [gateway, "10.0.0.0", "10.0.0.15"]) expect(addresses).not.toContain(forbidden);
        }),
    );
});

test.each([
    ["the first of the subnet", "10.0.0.0/24", {}, "10.0.0.1"],
    [
        "the first of ipRange, which leaves the ranges of other hosts alone",
        "10.0.0.0/16",
        { ipRange: "10.0.3.0/24" },
        "10.0.3.0",
    ],
    ["the first address behind the subnet's own", "10.0.0.0/16", { ipRange: "10.0.0.0/24" }, "10.0.0.1"],
    ["the one that is given", "10.0.0.0/24", { gateway: "10.0.0.254" }, "10.0.0.254"],
] as [string, string, Args, string][])("gateway: is %s", (_title, subnet, args, gateway) => {
    expect(build("network", "n", { host, subnet, ...args }, empty)).toMatchObject({ gateway });
});

test("replacement: one that takes the place of another before that is deleted chooses for its own subnet", () => {
    const old = endpoint(sandbox(network(empty, "front", "172.20.0.0/24"), "web"), "web", "front");
    const moved = network(old, "front", "172.30.0.0/24");
    expect(moved.all("network")).toMatchObject([{ subnet: "172.30.0.0/24", gateway: "172.30.0.1" }]);
    expect(on(endpoint(moved, "web", "front"), "web-front")).toMatchObject({ ipv4Address: "172.30.0.2" });
    const target = { sandbox: ref("sandbox", "web"), network: ref("network", "back") };
    const other = put(network(old, "back", "172.21.0.0/24"), "endpoint", "web-front", target);
    expect(on(other, "web-front")).toMatchObject({ ipv4Address: "172.21.0.2", interfaceName: "back" });
});

test("gateway: stays when the program leaves it out", () => {
    const world = network(empty, "front", "10.0.0.0/24", { gateway: "10.0.0.254" });
    expect(build("network", "front", { host, subnet: "10.0.0.0/24" }, world)).toMatchObject({ gateway: "10.0.0.254" });
});

test("gateway: is inside the subnet and no address of the network itself, for any subnet and range", () => {
    const cases = fc.tuple(fc.integer({ min: 16, max: 30 }), fc.nat(), fc.nat());
    fc.assert(
        fc.property(cases, ([length, a, b]) => {
            const subnet = parseIpv4Cidr(`10.0.0.0/${length}`);
            const size = subnet.last - subnet.first + 1;
            const [low, high] = [a % size, b % size].sort((x, y) => x - y) as [number, number];
            const text = (offset: number) => `10.0.${Math.floor(offset / 256)}.${offset % 256}`;
            const ipRange = `${text(low)}-${text(high)}`;
            if (low === size - 1 || (low === 0 && size === 2)) return;
            const { gateway } = build("network", "n", { host, subnet: subnet.text, ipRange }, empty) as NetworkObject;
            const value = parseIpv4(gateway ?? "");
            expect(contains(subnet, { first: value, last: value })).toBe(true);
            expect([subnet.first, subnet.last]).not.toContain(value);
            if (low > 0) expect(value).toBe(parseIpv4Range(ipRange).first);
        }),
    );
});

test("mtu: is the uplink's, the given one, or that of the tunnel on the network", () => {
    const jumbo = { ...facts, routes: facts.routes.map((route) => ({ ...route, mtuBytes: 9000 })) };
    expect(build("network", "n", { host, subnet: "10.0.0.0/24" }, empty, { facts: jumbo })).toMatchObject({
        mtuBytes: 9000,
    });
    expect(build("network", "n", { host, subnet: "10.0.0.0/24", mtu: 1400 }, empty)).toMatchObject({ mtuBytes: 1400 });
    let world = endpoint(sandbox(network(empty, "n", "10.0.0.0/24"), "web"), "web", "n");
    const before = world;
    world = put(world, "overlay-tunnel", "t", {
        network: ref("network", "n"),
        vni: 1,
        peers: [{ underlayAddress: "192.0.2.20", ipRange: "10.0.0.128/25" }],
    });
    const { after } = affectedItems([keyOf("overlay-tunnel", "t")], before, world);
    const mtus = after.flatMap((item) => ("mtuBytes" in item ? [[item.type, item.mtuBytes]] : []));
    expect(new Map(mtus as [string, number][])).toEqual(
        new Map([
            ["vxlan", 1450],
            ["bridge", 1450],
            ["veth", 1450],
        ]),
    );
});

test.each([
    ["the network's name", "frontend", {}, "frontend"],
    ["cut, when it is too long", "a-network-with-a-long-name", {}, "a-network--weba"],
    ["not one that the kernel refuses", "default", {}, "default-webd"],
    ["the one that is given", "frontend", { interfaceName: "eth0" }, "eth0"],
] as [string, string, Args, string][])("interface name: is %s", (_title, name, args, interfaceName) => {
    const world = endpoint(sandbox(network(empty, name, "10.0.0.0/24"), "web"), "web", name, args);
    expect(world.all("endpoint")[0]?.interfaceName).toBe(interfaceName);
});

test("interface name: two networks of one name get two interfaces", () => {
    let world = network(network(empty, "a", "10.0.0.0/24", { name: "same" }), "b", "10.0.1.0/24", { name: "same" });
    world = sandbox(world, "web");
    world = endpoint(endpoint(world, "web", "a"), "web", "b");
    expect(world.all("endpoint").map((each) => each.interfaceName)).toEqual(["same", "same-webb"]);
});

test("mac: follows the address, unless it is given", () => {
    const world = endpoint(sandboxes(network(empty, "n", "10.0.0.0/24"), 2), "s0", "n");
    expect(on(world, "s0-n").macAddress).toBe("02:6c:0a:00:00:02");
    expect(on(endpoint(world, "s1", "n", { macAddress: "02-00-00-00-00-01" }), "s1-n").macAddress).toBe(
        "02:00:00:00:00:01",
    );
    expect(on(endpoint(world, "s0", "n", { ipv4Address: "10.0.0.9" }), "s0-n").macAddress).toBe("02:6c:0a:00:00:09");
});

test("routing tables: each endpoint of a sandbox has its own, lowest free first, and keeps it", () => {
    let world = sandbox(empty, "web");
    for (const i of [0, 1, 2]) world = endpoint(network(world, `n${i}`, `10.0.${i}.0/24`), "web", `n${i}`);
    const tables = () => world.all("endpoint").map((each) => each.routingTable);
    expect(tables()).toEqual([1000, 1001, 1002]);
    world = remove(world, "endpoint", "web-n1");
    world = endpoint(network(world, "n3", "10.0.3.0/24"), "web", "n3");
    world = endpoint(world, "web", "n0", { labels: { a: "b" } });
    expect(tables()).toEqual([1000, 1002, 1001]);
});

/** Interface and gateway of the sandbox's default route. */
function defaultRoute(world: World): string | undefined {
    const { after } = affectedItems([keyOf("sandbox", "web")], world, world);
    const route = after.find((item) => item.type === "route" && item.table === "main");
    return route?.type === "route" ? `${route.dev} ${route.via}` : undefined;
}

test.each([
    ["none without endpoints", [], undefined],
    ["by the only endpoint", [["b", {}]], "b 10.0.1.1"],
    [
        "by the network that is first by name",
        [
            ["b", {}],
            ["a", {}],
        ],
        "a 10.0.0.1",
    ],
    [
        "by the highest priority",
        [
            ["a", {}],
            ["b", { gatewayPriority: 1 }],
        ],
        "b 10.0.1.1",
    ],
    [
        "not below zero by default",
        [
            ["a", { gatewayPriority: -1 }],
            ["b", {}],
        ],
        "b 10.0.1.1",
    ],
    [
        "never by an endpoint that says so",
        [
            ["a", { gatewayPriority: "never" }],
            ["b", { gatewayPriority: -5 }],
        ],
        "b 10.0.1.1",
    ],
    [
        "never by an internal network",
        [
            ["in", { gatewayPriority: 9 }],
            ["b", {}],
        ],
        "b 10.0.1.1",
    ],
    [
        "none when all say never",
        [
            ["a", { gatewayPriority: "never" }],
            ["in", {}],
        ],
        undefined,
    ],
] as [string, [string, Args][], string | undefined][])("default route: %s", (_title, endpoints, route) => {
    let world = network(network(empty, "a", "10.0.0.0/24"), "b", "10.0.1.0/24");
    world = sandbox(network(world, "in", "10.0.2.0/24", { internal: true }), "web");
    for (const [name, args] of endpoints) world = endpoint(world, "web", name, args);
    expect(defaultRoute(world)).toBe(route);
});

const mappable = endpoint(sandbox(network(empty, "n", "10.0.0.0/24"), "web"), "web", "n");
const target = ref("endpoint", "web-n");
const bindings = (args: Args, world = mappable) =>
    (build("port-mapping", "p", { target, ...args }, world) as PortMappingObject).bindings.map(
        ({ protocol, hostAddress, hostPort, targetPort }) =>
            `${hostAddress ?? "*"}:${hostPort.first}-${hostPort.last}/${protocol} -> ${targetPort.first}-${targetPort.last}`,
    );

test.each([
    ["the same port", { hostPort: 80 }, ["*:80-80/tcp -> 80-80"]],
    ["another port", { hostPort: "8080", targetPort: 80 }, ["*:8080-8080/tcp -> 80-80"]],
    ["the target's own port", { target: { endpoint: target, port: 81 }, hostPort: 80 }, ["*:80-80/tcp -> 81-81"]],
    ["a range", { hostPort: "8000-8010", targetPort: "9000-9010" }, ["*:8000-8010/tcp -> 9000-9010"]],
    ["the first free port of a range", { hostPort: "8000-8010", targetPort: 80 }, ["*:8000-8000/tcp -> 80-80"]],
    ["the first free port there is", { targetPort: 80 }, ["*:20000-20000/tcp -> 80-80"]],
    ["a free range for a range", { targetPort: "80-82" }, ["*:20000-20002/tcp -> 80-82"]],
    [
        "every protocol on every address",
        { hostPort: 53, protocol: ["tcp", "udp"], hostAddress: ["127.0.0.1", "192.0.2.10"] },
        [
            "127.0.0.1:53-53/tcp -> 53-53",
            "127.0.0.1:53-53/udp -> 53-53",
            "192.0.2.10:53-53/tcp -> 53-53",
            "192.0.2.10:53-53/udp -> 53-53",
        ],
    ],
] as [string, Args, string[]][])("port mapping: publishes %s", (_title, args, published) => {
    expect(bindings(args)).toEqual(published);
});

test("port mapping: passes over ports that others have, and keeps the one it got", () => {
    let world = put(mappable, "port-mapping", "q", { target, hostPort: "20000-20001" });
    expect(bindings({ targetPort: 80 }, world)).toEqual(["*:20002-20002/tcp -> 80-80"]);
    world = put(world, "port-mapping", "p", { target, targetPort: 80 });
    world = remove(world, "port-mapping", "q");
    expect(bindings({ targetPort: 81 }, world)).toEqual(["*:20002-20002/tcp -> 81-81"]);
    expect(bindings({ hostPort: "20001-20010", targetPort: 80 }, world)).toHaveLength(1);
});

test("port mapping: its own port is no conflict on update, and the same port of another protocol or address never is", () => {
    const world = put(mappable, "port-mapping", "p", { target, hostPort: 53, hostAddress: "127.0.0.1" });
    expect(bindings({ hostPort: 53, hostAddress: "127.0.0.1", labels: { a: "b" } }, world)).toHaveLength(1);
    for (const args of [
        { hostPort: 53, protocol: "udp" },
        { hostPort: 53, hostAddress: "192.0.2.10" },
    ]) {
        expect(() => build("port-mapping", "q", { target, ...args }, world)).not.toThrow();
    }
});

const dual = network(mappable, "n", "10.0.0.0/24", { ipv6: true });

test.each([
    [undefined, "::", true],
    [undefined, "0.0.0.0", true],
    ["0.0.0.0", "::", false],
    ["::", "2001:db8::10", "of another stack"],
    [undefined, "2001:db8::10", "of another stack"],
    ["0.0.0.0", "2001:db8::10", false],
    ["192.0.2.10", "2001:db8::10", false],
    ["2001:db8::10", "2001:0DB8::0010", true],
    ["192.0.2.10", "::", false],
] as const)("port mapping: %s and %s are in each other's way: %s", (one, other, isIt) => {
    const at = (hostAddress: string | undefined) => ({ target, hostPort: 80, ...(hostAddress && { hostAddress }) });
    for (const [a, b] of [
        [one, other],
        [other, one],
    ]) {
        const world = put(dual, "port-mapping", "p", at(a));
        const second = (stack: string) => () => build("port-mapping", "q", at(b), world, { stack });
        if (isIt === true) expect(second("dev")).toThrow("already published");
        else expect(second("dev")).not.toThrow();
        if (isIt === false) expect(second("prod")).not.toThrow();
        else expect(second("prod")).toThrow("already published");
    }
});

test("port mapping: shows its ways in of both families, in brackets where URLs have them", () => {
    const object = build("port-mapping", "p", { target, ports: ["80", "[2001:db8::10]:81:81"] }, dual);
    const outs = objectKinds["port-mapping"].outputs(object as never, dual, "edge.example");
    expect(outs["bindings"]).toMatchObject([
        { hostAddress: "0.0.0.0", targetAddress: "10.0.0.2", url: "tcp://edge.example:20000" },
        { hostAddress: "::", targetAddress: "fd12:3456:789a::2", url: "tcp://edge.example:20000" },
        { hostAddress: "2001:db8::10", hostPort: 81, url: "tcp://[2001:db8::10]:81" },
    ]);
});

test("port mapping: a family that no target has is refused, and a network with such a port keeps its IPv6", () => {
    const six = { target, hostPort: 80, hostAddress: "2001:db8::10" };
    expect(() => build("port-mapping", "p", six, mappable)).toThrow(
        'hostAddress 2001:db8::10 is IPv6, which network "n" of the target has not. Set ipv6: true on the network, or leave the address out.',
    );
    const world = put(dual, "port-mapping", "p", six);
    expect(() => network(world, "n", "10.0.0.0/24")).toThrow(
        'port mapping "p" of stack shop/dev publishes on 2001:db8::10. Take that address out first, or keep IPv6.',
    );
    expect(() => network(put(dual, "port-mapping", "p", { target, hostPort: 80 }), "n", "10.0.0.0/24")).not.toThrow();
});

test("sandbox: is named after the resource and its key, keeps its name, and takes the given one", () => {
    const named = (name: string) => (build("sandbox", name, { host }, empty) as SandboxObject).name;
    expect(named("web")).toBe("web-web");
    expect(named("we b/ü")).toBe("we-b---web");
    expect(named("../..")).toBe("sandbox-");
    const world = put(empty, "sandbox", "web", { host });
    expect(build("sandbox", "web", { host, labels: { a: "b" } }, world)).toMatchObject({ name: "web-web" });
    expect(build("sandbox", "web", { host, name: "mine" }, world)).toMatchObject({ name: "mine" });
});

test.each([
    [
        "the source of the route to the first peer",
        [{ underlayAddress: "192.0.2.20", ipRange: "10.0.0.128/30" }],
        {},
        "192.0.2.10",
    ],
    [
        "the interface's address, when the route names no source",
        [{ underlayAddress: "203.0.113.1", ipRange: "10.0.0.128/30" }],
        {},
        "192.0.2.10",
    ],
    ["the given one", [], { local: "192.0.2.10" }, "192.0.2.10"],
    ["the host's only one", [], {}, "192.0.2.10"],
    ["the given one of IPv6", [], { local: "2001:DB8::0010" }, "2001:db8::10"],
    ["the interface's of IPv6", [{ underlayAddress: "2001:db8:9::1", ipRange: "10.0.0.128/30" }], {}, "2001:db8::10"],
] as [string, unknown[], Args, string][])("tunnel: sends from %s", (_title, peers, args, local) => {
    const tunnel = build(
        "overlay-tunnel",
        "t",
        { network: ref("network", "n"), vni: 1, peers, ...args },
        mappable,
    ) as OverlayTunnelObject;
    expect(tunnel).toMatchObject({ local, mtuBytes: local.includes(":") ? 1430 : 1450 });
});

test("tunnel: of an interface's IPv6 addresses it sends from the lasting one that is most like the peer's", () => {
    const { ipv6 } = facts;
    if (ipv6 === undefined) throw new Error("no IPv6");
    const own = (address: string, isTemporary = false) => ({
        ...{ interfaceName: "eth0", address: `${address}/64` },
        ...(isTemporary ? { isTemporary } : {}),
    });
    const addresses = [own("2001:db8::10"), own("fd00:1::10"), own("fd00:1::1", true), own("fd00:9::10")];
    const to = (underlayAddress: string) => {
        const args = { network: ref("network", "n"), vni: 1, peers: [{ underlayAddress, ipRange: "10.0.0.128/30" }] };
        const of = { ...facts, ipv6: { ...ipv6, addresses: addresses as typeof ipv6.addresses } };
        return (build("overlay-tunnel", "t", args, mappable, { facts: of }) as OverlayTunnelObject).local;
    };
    expect(["2001:db8::2", "fd00:1::2", "fd00:9:0:5::2"].map(to)).toEqual(["2001:db8::10", "fd00:1::10", "fd00:9::10"]);
});

test("tunnel: over IPv6 its device, its entries and who may send to it are of IPv6", () => {
    const peers = [{ underlayAddress: "2001:db8::20", ipRange: "10.0.0.128/30" }];
    const args = { network: ref("network", "n"), vni: 1, peers };
    const world = put(mappable, "overlay-tunnel", "t", args);
    const { nft, add } = plan(
        affectedItems([keyOf("overlay-tunnel", "t")], mappable, mappable).after,
        affectedItems([keyOf("overlay-tunnel", "t")], mappable, world).after,
    );
    const lines = [...nft, ...add].map(({ tool, args: words }) => `${tool} ${words.join(" ")}`);
    const mac = add.find(({ tool }) => tool === "bridge")?.args[2];
    expect(lines).toEqual(
        expect.arrayContaining([
            "nft add element inet linuxnet tunnel_peers6 { 2001:db8::20 . 4789 }",
            expect.stringMatching(/^ip link add name ltt mtu 1430 .* local 2001:db8::10 dstport 4789 nolearning$/),
            `ip neigh replace 10.0.0.128 lladdr ${mac} dev ltt nud permanent`,
            `bridge fdb replace ${mac} dev ltt self permanent dst 2001:db8::20`,
        ]),
    );
    expect(lines.join("\n")).not.toContain("tunnel_peers {");
});

test("tunnel: two on one port share its elements, and the one that goes leaves them to the other", () => {
    const peers = (third: number) => [{ underlayAddress: "192.0.2.20", ipRange: `10.0.${third}.128/30` }];
    let world = network(mappable, "m", "10.0.1.0/24");
    world = put(world, "overlay-tunnel", "t", { network: ref("network", "n"), vni: 1, peers: peers(0) });
    world = put(world, "overlay-tunnel", "u", { network: ref("network", "m"), vni: 2, peers: peers(1) });
    const { after } = affectedItems([keyOf("overlay-tunnel", "t")], world, remove(world, "overlay-tunnel", "t"));
    expect(after).toContainEqual({ type: "element", family: "inet", set: "tunnel_peers", key: ["192.0.2.20", 4789] });
});

test("port mapping: one port more beside 10,000 is one map element and reads nothing else", () => {
    const on = ref("endpoint", "web-front");
    let world = endpoint(sandbox(network(empty, "front", "172.20.0.0/24"), "web"), "web", "front");
    for (let first = 1; first <= 10_000; first += 1000) {
        world = put(world, "port-mapping", `many${first}`, { target: on, hostPort: `${first}-${first + 999}` });
    }
    const more = put(world, "port-mapping", "more", { target: on, hostPort: 10_001, targetPort: 80 });
    const { before, after } = affectedItems([keyOf("port-mapping", "more")], world, more);
    const { remove, nft, add } = plan(before, after);
    expect([remove, add]).toEqual([[], []]);
    expect(nft.map(({ args }) => args.join(" "))).toEqual([
        "add element inet linuxnet published_any { tcp . 10001 : 172.20.0.2 . 80 }",
    ]);
    const moved = put(more, "port-mapping", "more", { target: on, hostPort: 10_002, targetPort: 80 });
    const change = affectedItems([keyOf("port-mapping", "more")], more, moved);
    expect(plan(change.before, change.after).nft.map(({ args }) => args.join(" "))).toEqual([
        "delete element inet linuxnet published_any { tcp . 10001 }",
        "add element inet linuxnet published_any { tcp . 10002 : 172.20.0.2 . 80 }",
    ]);
});

test.each([
    ["a port below", 8080, false],
    ["a port among them", 40_000, true],
    ["a range that reaches into them", "32760-32770", true],
    ["a reserved one", 40_100, false],
])("port mapping: warns of %s what the kernel hands out: %s", (_title, hostPort, isWarned) => {
    const world = endpoint(sandbox(network(empty, "front", "172.20.0.0/24"), "web"), "web", "front");
    const object = build("port-mapping", "p", { target: ref("endpoint", "web-front"), hostPort }, world);
    const clientPorts = { first: 32_768, last: 60_999, reserved: [{ first: 40_100, last: 40_199 }] };
    const [words, ...more] = objectKinds["port-mapping"].warnings?.(object, world, { ...facts, clientPorts }) ?? [];
    expect(more).toEqual([]);
    expect(words?.includes(`sysctl net.ipv4.ip_local_reserved_ports=40100-40199,${hostPort}`) ?? false).toBe(isWarned);
});

const pooled = (pools: readonly object[]) => ({ connection: { addressPools: pools } });
const subnetOf = (world: World, name: string) => (world.get("network", keyOf("network", name)) as NetworkObject).subnet;
/** The schema of a kind leaves the connection alone: it is checked once for all kinds. */
const chooseNetwork = (world: World, name: string, args: Args, pools: readonly object[] = [], of = facts) =>
    objectKinds.network.build(
        { ...objectKinds.network.schema.parse({ host, ...args }), ...(pools.length > 0 ? pooled(pools) : {}) },
        {
            world,
            facts: of,
            key: keyOf("network", name),
            generation: "1",
            owner: { project: "shop", stack: "dev", urn: name, name },
            previous: world.get("network", keyOf("network", name)),
            adoptedFrom: undefined,
            kernel: undefined,
            derive,
            staticAddresses: new Set(),
        },
    ) as NetworkObject;

test("pool: a network without a subnet takes the first one that overlaps nothing on the host, and keeps it", () => {
    const busy = {
        ...facts,
        addresses: [
            ...facts.addresses,
            { interfaceName: "tun0", address: "10.176.1.9/32", range: parseIpv4Cidr("10.176.1.9/32"), mtuBytes: 1500 },
        ],
        routes: [
            ...facts.routes,
            { destination: parseIpv4Cidr("10.176.2.0/23"), interfaceName: "eth0", mtuBytes: 1500 },
        ],
    };
    let world = empty;
    for (const [name, subnet] of [
        ["a", "10.176.0.0/24"],
        ["b", "10.176.4.0/24"],
        ["c", "10.176.5.0/24"],
    ] as const) {
        const made = chooseNetwork(world, name, {}, [], busy);
        expect([made.subnet, made.gateway]).toEqual([subnet, subnet.replace("0/24", "1")]);
        world = world.with(new Map([[made.key, made]]));
    }
    world = remove(world, "network", "a");
    expect(chooseNetwork(world, "c", { internal: true }, [], busy).subnet).toBe("10.176.5.0/24");
    expect(chooseNetwork(world, "d", {}, [], busy).subnet).toBe("10.176.0.0/24");
    expect(subnetOf(network(world, "e", "10.176.0.0/24"), "e")).toBe("10.176.0.0/24");
});

test("pool: those of the Host are taken in their order, each family from its own, until none is left", () => {
    const pools = [
        { base: "10.9.0.0/30", size: 30 },
        { base: "fd99::/64", size: 80 },
        { base: "10.8.0.0/15", size: 16 },
    ];
    let world = empty;
    for (const [name, subnet, ipv6] of [
        ["a", "10.9.0.0/30", "fd99::/80"],
        ["b", "10.8.0.0/16", "fd99::1:0:0:0/80"],
    ] as const) {
        const made = chooseNetwork(world, name, { ipv6: true }, pools);
        expect([made.subnet, made.ipv6?.subnet]).toEqual([subnet, ipv6]);
        world = world.with(new Map([[made.key, made]]));
    }
    expect(() => chooseNetwork(world, "c", {}, pools)).toThrow(
        "the Host's address pools have no free subnet left (10.9.0.0/30 in /30s, 10.8.0.0/15 in /16s). In them are " +
            '10.9.0.0/30 of network "a" of stack shop/dev, 10.8.0.0/16 of network "b" of stack shop/dev. Give the network a subnet',
    );
});

test("pool: one that others have is refused with what is in it, of either family", () => {
    const used =
        (pools: readonly object[], args: Args = {}) =>
        () =>
            chooseNetwork(empty, "a", args, pools);
    const routed = {
        ...facts,
        routes: [
            ...facts.routes,
            ...[1, 2, 3, 4, 5].map((third) => ({
                destination: parseIpv4Cidr(`10.9.${third}.0/24`),
                interfaceName: "tun0",
                mtuBytes: 1500,
            })),
        ],
    };
    expect(used([{ base: "192.0.2.0/24", size: 25 }])).toThrow(
        "In them are 192.0.2.10/24 of the host's interface eth0. Give the network a subnet, or the Host further addressPools.",
    );
    expect(used([{ base: "2001:db8::/64", size: 80 }], { ipv6: true })).toThrow(
        "no free IPv6 subnet left (2001:db8::/64 in /80s). In them are 2001:db8::/64 of the host's interface eth0. Give",
    );
    const many = [
        { base: "10.9.0.0/16", size: 16 },
        { base: "192.0.2.0/24", size: 24 },
    ];
    expect(() => chooseNetwork(empty, "a", {}, many, routed)).toThrow(
        "In them are 192.0.2.10/24 of the host's interface eth0, the host's route to 10.9.1.0/24 over tun0, the host's route to 10.9.2.0/24 over tun0, " +
            "the host's route to 10.9.3.0/24 over tun0, the host's route to 10.9.4.0/24 over tun0 and 1 more. Give",
    );
});

test("address: when there is no number left beside that of IPv4, the error says who has them", () => {
    let world = sandboxes(network(empty, "front", ["172.20.0.0/29", "fd00::/125"] as never), 2);
    world = endpoint(world, "s0", "front", { ipv6Address: "fd00::3" });
    expect(() => endpoint(world, "s1", "front")).toThrow(
        'network "front" has no free address left in fd00::/125: 1 are in use, by endpoint "s0-front" of stack shop/dev. ' +
            "Use a /64, or give ipv6Address.",
    );
});

test("allowOverlap: a subnet may overlap what the host has and leads to, never another network", () => {
    expect(() => network(empty, "a", "192.0.2.0/25")).toThrow("overlaps 192.0.2.10/24 of the host's interface eth0");
    const world = network(empty, "a", "192.0.2.128/25", { allowOverlap: true });
    expect(subnetOf(world, "a")).toBe("192.0.2.128/25");
    expect(() => network(world, "b", "192.0.2.128/26", { allowOverlap: true })).toThrow('of network "a"');
});
