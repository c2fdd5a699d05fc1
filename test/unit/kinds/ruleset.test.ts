import { expect, test } from "vitest";
import { plan } from "../../../provider/kernel/plan.js";
import type { World } from "../../../provider/model/world.js";
import { type Args, allItems, empty, endpoint, host, keyOf, network, put, ref, sandbox } from "./build.js";
import { createTracer, type Packet, type Verdict } from "./tracer.js";

/*
 * The addresses of this page. The host is 192.0.2.10 on eth0; 198.51.100.7 is somebody outside.
 *
 *   front 172.20.0.0/24   web .2, shop .3
 *   back  172.21.0.0/24   api .2
 *   data  172.22.0.0/24   db .2, cache .3            internal
 *   cell  172.23.0.0/24   one .2, two .3             isolateEndpoints
 */
const addresses: Record<string, readonly [network: string, address: string]> = {
    web: ["front", "172.20.0.2"],
    shop: ["front", "172.20.0.3"],
    api: ["back", "172.21.0.2"],
    db: ["data", "172.22.0.2"],
    cache: ["data", "172.22.0.3"],
    one: ["cell", "172.23.0.2"],
    two: ["cell", "172.23.0.3"],
};
const local = ["127.0.0.1", "192.0.2.10", "172.20.0.1", "172.21.0.1", "172.22.0.1", "172.23.0.1"];

function base(): World {
    let world = network(empty, "front", "172.20.0.0/24");
    world = network(world, "back", "172.21.0.0/24");
    world = network(world, "data", "172.22.0.0/24", { internal: true });
    world = network(world, "cell", "172.23.0.0/24", { isolateEndpoints: true });
    for (const [name, [on]] of Object.entries(addresses)) world = endpoint(sandbox(world, name), name, on);
    world = put(world, "port-mapping", "web", { target: on("web"), hostPort: 8080, targetPort: 80 });
    return put(world, "port-mapping", "one", {
        target: on("one"),
        hostPort: 53,
        protocol: ["udp"],
        hostAddress: "192.0.2.10",
    });
}

function on(name: string) {
    return ref("endpoint", `${name}-${addresses[name]?.[0]}`);
}

const policy = (target: string, args: Args) => (world: World) =>
    put(world, "firewall-policy", `${target}-${Object.keys(args).join("-")}`, { target: on(target), ...args });

function tracerOf(...changes: ((world: World) => World)[]) {
    const world = changes.reduce((before, change) => change(before), base());
    const { nft } = plan([], allItems(world));
    return createTracer(nft.map((line) => line.args.join(" ")).join("\n"));
}

/** Where a name of this page is: interface and address, as the host sees them. */
function place(name: string): { dev: string | undefined; address: string } {
    if (name === "outside") return { dev: "eth0", address: "198.51.100.7" };
    if (name === "host") return { dev: undefined, address: "192.0.2.10" };
    const [networkName, address] = addresses[name] ?? [];
    if (networkName !== undefined && address !== undefined) return { dev: keyOf("network", networkName), address };
    return { dev: undefined, address: name };
}

/** `web -> db tcp 5432`, as the first packet of a connection. */
function packet(from: string, to: string, dport: number, more: Partial<Packet> = {}): Packet {
    const [source, target] = [place(from), place(to)];
    const isLocal = target.dev === undefined;
    return {
        hook: from === "host" ? "output" : isLocal ? "input" : "forward",
        ...(source.dev === undefined ? {} : { iifname: source.dev }),
        ...(target.dev === undefined ? {} : { oifname: target.dev }),
        saddr: source.address,
        daddr: target.address,
        protocol: "tcp",
        dport,
        local,
        ...more,
    };
}

type Row = readonly [
    title: string,
    from: string,
    to: string,
    port: number,
    verdict: Verdict["verdict"],
    more?: Partial<Packet>,
];

function walk(group: string, trace: (packet: Packet) => Verdict, rows: readonly Row[]): void {
    test.each(rows.map((row) => [row[0], row] as const))(
        `${group}: %s`,
        (_title, [, from, to, port, verdict, more]) => {
            const result = trace(packet(from, to, port, more));
            expect(result.verdict, result.path).toBe(verdict);
        },
    );
}

const plain = tracerOf();

walk("forward", plain, [
    ["one network reaches itself", "web", "shop", 80, "accept"],
    ["an internal network reaches itself", "db", "cache", 6379, "accept"],
    ["an internal network reaches nothing outside", "db", "outside", 443, "drop"],
    ["nothing outside reaches an internal network", "outside", "db", 5432, "drop"],
    ["an internal network reaches no other network", "db", "api", 80, "drop"],
    ["no other network reaches an internal one", "api", "db", 5432, "drop"],
    ["a published port of another network is closed to an internal one", "db", "web", 80, "drop", { isDnat: true }],
    ["an internal network is closed to published connections", "outside", "db", 80, "drop", { isDnat: true }],
    ["networks are closed to each other", "web", "api", 80, "drop"],
    ["networks are closed to the outside", "outside", "web", 80, "drop"],
    ["a network reaches the outside", "web", "outside", 443, "accept"],
    ["a published port is open to the outside", "outside", "web", 80, "accept", { isDnat: true }],
    ["a published port is open to other networks", "api", "web", 80, "accept", { isDnat: true }],
    ["a published port is open to its own network", "shop", "web", 80, "accept", { isDnat: true }],
    ["isolated endpoints do not reach each other", "one", "two", 80, "drop"],
    ["isolated endpoints reach the outside", "one", "outside", 443, "accept"],
    ["isolated endpoints reach each other's published ports", "two", "one", 53, "accept", { isDnat: true }],
    ["replies pass", "outside", "web", 40000, "accept", { state: "established" }],
    ["related errors pass", "outside", "web", 40000, "accept", { state: "related" }],
    [
        "replies pass to internal networks, whatever they answer",
        "cache",
        "db",
        40000,
        "accept",
        { state: "established" },
    ],
    ["invalid packets to a network are dropped", "outside", "web", 80, "drop", { state: "invalid" }],
    [
        "invalid packets from a network are dropped: they would leave without NAT",
        "web",
        "outside",
        80,
        "drop",
        { state: "invalid" },
    ],
]);

test("forward: traffic between interfaces that are not ours is left alone where forwarding was on before", () => {
    const foreign = { hook: "forward", saddr: "10.0.0.1", daddr: "10.0.1.1", protocol: "tcp", dport: 80 } as const;
    expect(plain({ ...foreign, iifname: "wg0", oifname: "eth1" }).verdict).toBe("accept");
    expect(plain({ ...foreign, iifname: "wg0", oifname: "eth1", state: "invalid" }).verdict).toBe("accept");
    // eth0's forwarding was off: nothing but our networks may profit from it.
    const closed = { ...foreign, iifname: "eth0", oifname: "eth1" };
    expect(plain(closed).verdict).toBe("drop");
    expect(plain({ ...closed, state: "invalid" }).verdict).toBe("drop");
    // What others began to route (Docker, libvirt) has its answers.
    expect(plain({ ...closed, state: "established" }).verdict).toBe("accept");
    expect(plain({ ...closed, isDnat: true }).verdict).toBe("accept");
});

walk("input", plain, [
    ["an endpoint reaches its own gateway address", "web", "172.20.0.1", 22, "accept"],
    ["an endpoint reaches the host's own address", "web", "192.0.2.10", 22, "accept"],
    ["an endpoint does not reach a foreign gateway address", "web", "172.21.0.1", 22, "drop"],
    ["an endpoint does not reach an internal network's gateway address", "web", "172.22.0.1", 22, "drop"],
    ["an internal network reaches its own gateway address", "db", "172.22.0.1", 53, "accept"],
    ["an internal network does not reach the host's own address", "db", "192.0.2.10", 22, "drop"],
    ["an internal network does not reach a foreign gateway address", "db", "172.20.0.1", 22, "drop"],
    ["the outside does not reach a gateway address", "outside", "172.22.0.1", 22, "drop"],
    ["the outside reaches the host as before", "outside", "192.0.2.10", 22, "accept"],
    [
        "the outside reaches the host as before, with packets that are invalid too",
        "outside",
        "192.0.2.10",
        22,
        "accept",
        { state: "invalid" },
    ],
    ["invalid packets of an endpoint do not reach the host", "web", "192.0.2.10", 22, "drop", { state: "invalid" }],
    [
        "the host reaches its own gateway addresses",
        "lo",
        "172.22.0.1",
        80,
        "accept",
        { iifname: "lo", saddr: "172.22.0.1", hook: "input" },
    ],
    ["replies to the host pass", "db", "192.0.2.10", 40000, "accept", { state: "established" }],
]);

walk("output", plain, [
    ["the host reaches an endpoint", "host", "web", 80, "accept"],
    ["the host reaches an internal network", "host", "db", 5432, "accept"],
    ["the host reaches the outside", "host", "outside", 443, "accept"],
]);

const loopback = { hook: "prerouting", protocol: "tcp", dport: 631, local } as const;
test.each([
    [
        "an endpoint does not reach 127.0.0.1 of the host",
        { ...loopback, iifname: "lnfront", saddr: "172.20.0.2", daddr: "127.0.0.1" },
        "drop",
    ],
    [
        "the outside does not reach it",
        { ...loopback, iifname: "eth0", saddr: "198.51.100.7", daddr: "127.0.0.1" },
        "drop",
    ],
    [
        "nobody speaks as 127.0.0.1",
        { ...loopback, iifname: "lnfront", saddr: "127.0.0.1", daddr: "192.0.2.10" },
        "drop",
    ],
    ["the host itself does both", { ...loopback, iifname: "lo", saddr: "127.0.0.1", daddr: "127.0.0.1" }, "accept"],
] as const)("loopback guard: %s", (_title, sent, verdict) => {
    expect(plain(sent).verdict).toBe(verdict);
});

const arriving = (daddr: string, dport: number, more: Partial<Packet> = {}): Packet => ({
    hook: "prerouting",
    iifname: "eth0",
    saddr: "198.51.100.7",
    daddr,
    protocol: "tcp",
    dport,
    local,
    ...more,
});

test.each([
    ["a port published on every address goes to its target", arriving("192.0.2.10", 8080), "172.20.0.2:80"],
    ["from an endpoint too", arriving("192.0.2.10", 8080, { iifname: "lnback", saddr: "172.21.0.2" }), "172.20.0.2:80"],
    ["by a gateway address too", arriving("172.21.0.1", 8080, { iifname: "lnback" }), "172.20.0.2:80"],
    ["from the host itself too", arriving("127.0.0.1", 8080, { hook: "output" }), "172.20.0.2:80"],
    ["an address that is not the host's is left alone", arriving("203.0.113.99", 8080), undefined],
    ["a port that nobody published is left alone", arriving("192.0.2.10", 8081), undefined],
    ["another protocol is left alone", arriving("192.0.2.10", 8080, { protocol: "udp" }), undefined],
    ["a port published on one address", arriving("192.0.2.10", 53, { protocol: "udp" }), "172.23.0.2:53"],
    ["is not published on another", arriving("172.20.0.1", 53, { protocol: "udp" }), undefined],
] as const)("publish: %s", (_title, sent, dnat) => {
    expect(plain(sent)).toMatchObject({ verdict: "accept", ...(dnat === undefined ? {} : { dnat }) });
    expect(plain(sent).dnat).toBe(dnat);
});

const leaving = (from: string, oifname: string, more: Partial<Packet> = {}): Packet => ({
    hook: "postrouting",
    oifname,
    saddr: place(from).address,
    daddr: "198.51.100.7",
    protocol: "tcp",
    dport: 443,
    ...more,
});

test.each([
    ["an endpoint that leaves the host takes its address", leaving("web", "eth0"), true],
    ["an endpoint of an internal network has none to take", leaving("db", "eth0"), false],
    ["an endpoint keeps its own towards other networks", leaving("web", "lnback"), false],
    ["a client outside keeps its own", leaving("outside", "lnfront", { isDnat: true }), false],
    [
        "an endpoint that reaches itself by its published port takes the gateway's",
        leaving("web", "lnfront", { isDnat: true }),
        true,
    ],
    ["127.0.0.1 takes the gateway's", { ...leaving("host", "lnfront", { isDnat: true }), saddr: "127.0.0.1" }, true],
] as const)("masquerade: %s", (_title, sent, isMasqueraded) => {
    expect(plain(sent).isMasqueraded).toBe(isMasqueraded);
});

const allow = (from: unknown, ports: unknown[]) => ({ action: "allow", from: [from], ports });
const allowTo = (to: unknown, ports: unknown[]) => ({ action: "allow", to: [to], ports });

const ingressOnWeb = tracerOf(policy("web", { ingress: [allow(on("shop"), [80])] }));
walk("ingress by reference on one network", ingressOnWeb, [
    ["the peer reaches the port", "shop", "web", 80, "accept"],
    ["and no other port", "shop", "web", 81, "drop"],
    ["other networks stay closed", "api", "web", 80, "drop"],
    ["the published port is judged by its outside source", "outside", "web", 80, "drop", { isDnat: true }],
    ["the host is judged too", "host", "web", 80, "drop"],
    ["the host's replies pass", "host", "web", 40000, "accept", { state: "established" }],
    ["the target itself goes where it wants", "web", "shop", 22, "accept"],
    ["other endpoints are as they were", "web", "outside", 443, "accept"],
]);

const ingressAcross = tracerOf(policy("api", { ingress: [allow(on("web"), [8080])] }));
walk("ingress by reference across networks", ingressAcross, [
    ["exactly this path between networks opens", "web", "api", 8080, "accept"],
    ["no other port", "web", "api", 8081, "drop"],
    ["no neighbour of the peer", "shop", "api", 8080, "drop"],
    ["not the way back", "api", "web", 8080, "drop"],
    ["not from outside", "outside", "api", 8080, "drop"],
]);

const ingressNetwork = tracerOf(policy("api", { ingress: [allow(ref("network", "front"), ["8000-8010"])] }));
walk("ingress by a network's reference", ingressNetwork, [
    ["all of the network gets in", "shop", "api", 8005, "accept"],
    ["below the range nobody does", "shop", "api", 7999, "drop"],
    ["above the range nobody does", "shop", "api", 8011, "drop"],
    ["another network does not", "one", "api", 8005, "drop"],
]);

const ingressCidr = tracerOf(
    policy("api", { ingress: [allow("172.20.0.0/16", [80]), allow("any", [81]), allow("external", [82])] }),
);
walk("ingress by CIDR and keyword", ingressCidr, [
    ["a CIDR opens no path between networks", "web", "api", 80, "drop"],
    ["nor does any", "web", "api", 81, "drop"],
    ["nor from outside", "outside", "api", 81, "drop"],
    ["any lets published connections in", "outside", "api", 81, "accept", { isDnat: true }],
    ["external lets published connections in", "outside", "api", 82, "accept", { isDnat: true }],
    ["external is not the host", "host", "api", 82, "drop"],
    ["any is the host too", "host", "api", 81, "accept"],
]);

const ingressEither = tracerOf(
    policy("api", { ingress: [{ action: "allow", from: ["any", on("web")], ports: [80] }] }),
);
walk("ingress by reference beside a keyword", ingressEither, [
    ["the reference opens its path", "web", "api", 80, "accept"],
    ["the keyword opens none", "shop", "api", 80, "drop"],
]);

const ingressInternal = tracerOf(
    policy("db", { ingress: [allow(on("web"), [5432]), allow(on("cache"), [5432]), allow("host", [5432])] }),
);
walk("ingress on an internal network", ingressInternal, [
    ["no policy opens an internal network to another", "web", "db", 5432, "drop"],
    ["its own network is let in", "cache", "db", 5432, "accept"],
    ["the host is let in by name", "host", "db", 5432, "accept"],
    ["to that port only", "host", "db", 22, "drop"],
]);

const ingressIsolated = tracerOf(policy("one", { ingress: [allow("any", [80])] }));
walk("ingress on isolated endpoints", ingressIsolated, [
    ["an allow is a stage: isolation stays closed", "two", "one", 80, "drop"],
]);

const egress = tracerOf(policy("web", { egress: [allowTo("external", [443]), allowTo(on("shop"), [80])] }));
walk("egress", egress, [
    ["what is allowed leaves", "web", "outside", 443, "accept"],
    ["what is not does not", "web", "outside", 80, "drop"],
    ["a peer is reached", "web", "shop", 80, "accept"],
    ["the host is closed", "web", "192.0.2.10", 22, "drop"],
    ["the own gateway is closed", "web", "172.20.0.1", 22, "drop"],
    ["the others still get in", "shop", "web", 80, "accept"],
    ["its replies pass", "web", "shop", 40000, "accept", { state: "established" }],
    ["no path opens between networks", "web", "api", 80, "drop"],
]);

const both = tracerOf(
    policy("web", { egress: [allowTo(on("api"), [8080, 8082]), allowTo("external", [8081])] }),
    policy("api", { ingress: [allow(on("web"), [8080, 8081])] }),
    policy("shop", { egress: [allowTo(on("web"), ["1-100"])] }),
    policy("web", { ingress: [allow("any", [80])] }),
);
walk("egress and ingress", both, [
    ["both sides allow", "web", "api", 8080, "accept"],
    ["the source does not", "web", "api", 8081, "drop"],
    ["the target does not", "web", "api", 8082, "drop"],
    ["both sides of one network allow", "shop", "web", 80, "accept"],
    ["the target on the same network does not", "shop", "web", 81, "drop"],
]);

const denied = tracerOf(
    policy("web", { egress: [], defaultAction: "reject" }),
    policy("shop", { ingress: [allow("any", [80])], defaultAction: "allow" }),
);
walk("default action", denied, [
    ["reject tells the sender", "web", "shop", 80, "reject"],
    ["an allow by default lets in what no rule named", "host", "shop", 22, "accept"],
    ["but opens no other network", "api", "shop", 22, "drop"],
]);

const ordered = tracerOf(
    policy("shop", {
        ingress: [{ action: "drop", from: [on("web")], ports: [80, 81, 82] }, allow("any", [80])],
        defaultAction: "allow",
        priority: 5,
    }),
    (world) =>
        put(world, "firewall-policy", "early", {
            target: ref("network", "front"),
            ingress: [{ action: "reject", from: [on("web")], ports: [81] }, allow(on("web"), [82])],
            priority: 1,
        }),
);
walk("several policies", ordered, [
    ["the first match decides", "web", "shop", 80, "drop"],
    ["policies are asked by priority", "web", "shop", 81, "reject"],
    ["an allow of one is not asked of the next", "web", "shop", 82, "accept"],
    ["the strictest default decides what no rule named", "web", "shop", 83, "drop"],
    ["a network's policy is its endpoints'", "shop", "web", 82, "drop"],
]);

const changed = (name: string, subnet: string, args: Args) => (world: World) =>
    put(world, "network", name, { host, subnet, ...args });
const denying = changed("front", "172.20.0.0/24", { defaultPolicy: "deny" });

walk("defaultPolicy deny", tracerOf(denying), [
    ["endpoints of the network do not reach each other", "web", "shop", 80, "drop"],
    ["nor the outside", "web", "outside", 443, "drop"],
    ["nor the host", "web", "172.20.0.1", 22, "drop"],
    ["nor the host by another address", "web", "192.0.2.10", 22, "drop"],
    ["the host does not reach them", "host", "web", 80, "drop"],
    ["the host reaches itself by the gateway's address", "host", "172.20.0.1", 80, "accept"],
    ["nor does the outside by a published port", "outside", "web", 80, "drop", { isDnat: true }],
    ["nor another network", "api", "web", 80, "drop", { isDnat: true }],
    ["replies pass", "web", "shop", 80, "accept", { state: "established" }],
    ["other networks are as they were", "api", "outside", 443, "accept"],
]);

walk(
    "defaultPolicy deny with policies",
    tracerOf(
        denying,
        policy("web", { egress: [allowTo(on("shop"), [80, 81]), allowTo("host", [53])] }),
        policy("shop", { ingress: [allow(on("web"), [80]), allow("host", [82]), allow("external", [83])] }),
    ),
    [
        ["what both sides allow passes", "web", "shop", 80, "accept"],
        ["what the target does not allow does not", "web", "shop", 81, "drop"],
        ["what the source does not allow does not", "web", "shop", 82, "drop"],
        ["the way back is closed", "shop", "web", 80, "drop"],
        ["a policy lets the host in", "host", "shop", 82, "accept"],
        ["a policy lets a sandbox reach the host", "web", "172.20.0.1", 53, "accept"],
        ["a policy opens a published port", "outside", "shop", 83, "accept", { isDnat: true }],
        ["but not what is not published", "outside", "shop", 83, "drop"],
    ],
);

walk("hostAccess false", tracerOf(changed("front", "172.20.0.0/24", { hostAccess: false })), [
    ["an endpoint does not reach its gateway address", "web", "172.20.0.1", 22, "drop"],
    ["nor another address of the host", "web", "192.0.2.10", 22, "drop"],
    ["the host does not reach an endpoint", "host", "web", 80, "drop"],
    ["but its published port", "host", "web", 80, "accept", { isDnat: true, oifname: "lo" }],
    ["the network reaches itself", "web", "shop", 80, "accept"],
    ["and the outside", "web", "outside", 443, "accept"],
]);

const direct = changed("front", "172.20.0.0/24", { directAccess: true });
walk(
    "directAccess",
    tracerOf(direct, policy("web", { ingress: [allow("198.51.100.0/24", [80]), allow("any", [81])] })),
    [
        ["what a policy allows gets in from outside", "outside", "web", 80, "accept"],
        ["by a keyword too", "outside", "web", 81, "accept"],
        ["what it does not allow does not", "outside", "web", 82, "drop"],
        ["an endpoint without a policy stays closed", "outside", "shop", 80, "drop"],
        ["other networks stay closed", "api", "web", 81, "drop"],
        ["the own network is let in", "shop", "web", 81, "accept"],
        ["the host is let in", "host", "web", 81, "accept"],
    ],
);

const protocols = tracerOf(
    policy("web", {
        ingress: [
            { action: "allow", protocol: ["icmp", 47] },
            { action: "allow", ports: ["53/udp", 53] },
            { action: "allow", protocol: "udp", ports: [123] },
        ],
    }),
);
walk("protocols", protocols, [
    ["icmp", "shop", "web", 0, "accept", { protocol: "icmp" }],
    ["a number", "shop", "web", 0, "accept", { protocol: "47" }],
    ["a port with its protocol", "shop", "web", 53, "accept", { protocol: "udp" }],
    ["a port without is tcp", "shop", "web", 53, "accept"],
    ["a port of the rule's protocol", "shop", "web", 123, "accept", { protocol: "udp" }],
    ["and not of tcp", "shop", "web", 123, "drop"],
]);

const frame = (more: Partial<Packet>): Packet => ({
    family: "bridge",
    hook: "prerouting",
    iifname: keyOf("endpoint", "web-front"),
    etherSource: "02:6c:ac:14:00:02",
    etherType: "ip",
    saddr: "172.20.0.2",
    ...more,
});
test.each([
    ["an endpoint speaks as itself", {}, "accept"],
    ["not with another MAC", { etherSource: "02:6c:ac:14:00:03" }, "drop"],
    ["not with another address", { saddr: "172.20.0.3" }, "drop"],
    ["asks for others by ARP as itself", { etherType: "arp", arpSender: "172.20.0.2", saddr: undefined }, "accept"],
    ["does not answer ARP for others", { etherType: "arp", arpSender: "172.20.0.1", saddr: undefined }, "drop"],
    ["sends no IPv6", { etherType: "ip6", saddr: undefined }, "drop"],
    ["sends no tagged frames", { etherType: "8021q" }, "drop"],
    ["ports that are no endpoint's are left alone", { iifname: "docker0", etherSource: "00:00:00:00:00:01" }, "accept"],
] as [string, Partial<Packet>, string][])("port guard: %s", (_title, more, verdict) => {
    expect(plain(frame(more)).verdict).toBe(verdict);
});

test.each([
    ["a broadcast does not reach an endpoint with an ingress policy", "ff:ff:ff:ff:ff:ff", ingressOnWeb, "drop"],
    ["nor does a multicast", "01:00:5e:00:00:01", ingressOnWeb, "drop"],
    ["a unicast does", "02:6c:ac:14:00:02", ingressOnWeb, "accept"],
    ["without a policy a broadcast does", "ff:ff:ff:ff:ff:ff", plain, "accept"],
    ["but not where the network denies", "ff:ff:ff:ff:ff:ff", tracerOf(denying), "drop"],
] as const)("port guard: %s", (_title, etherTarget, trace, verdict) => {
    const sent = {
        family: "bridge",
        hook: "postrouting",
        oifname: keyOf("endpoint", "web-front"),
        etherType: "ip",
        etherTarget,
    } as const;
    expect(trace(sent).verdict).toBe(verdict);
});

const tunnelled = tracerOf((world) =>
    put(world, "overlay-tunnel", "t", {
        network: ref("network", "back"),
        vni: 1,
        peers: [{ underlayAddress: "192.0.2.20", ipRange: "172.21.0.128/30" }],
    }),
);
const underlay = { iifname: "eth0", protocol: "udp" };
walk("tunnel", tunnelled, [
    ["a peer gets in", "192.0.2.20", "192.0.2.10", 4789, "accept", underlay],
    ["a stranger does not", "198.51.100.7", "192.0.2.10", 4789, "drop", underlay],
    ["other ports are as they were", "198.51.100.7", "192.0.2.10", 53, "accept", underlay],
]);
