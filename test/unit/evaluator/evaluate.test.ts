import { expect, test } from "vitest";
import { evaluate, evaluateAll } from "../../../provider/evaluator/evaluate.js";
import type { Origin, Packet } from "../../../provider/evaluator/packet.js";
import type { World } from "../../../provider/model/world.js";
import { empty, endpoint, facts, keyOf, network, put, ref, sandbox } from "../kinds/build.js";

/*
 * The host is 192.0.2.10; 198.51.100.7 is somebody outside.
 *
 *   front 172.20.0.0/24   web .2 (also on back), shop .3   published: web:80 on 8080, on 127.0.0.1 also 9000
 *   back  172.21.0.0/24   web .2, api .3
 *   data  172.22.0.0/24   api .2, db .3                    internal; db allows api 5432 ("only the API")
 *   cell  172.23.0.0/24   one .2, two .3                   isolateEndpoints, no masquerade
 */
function layOut(): World {
    let world = network(empty, "front", "172.20.0.0/24");
    world = network(world, "back", "172.21.0.0/24");
    world = network(world, "data", "172.22.0.0/24", { internal: true });
    world = network(world, "cell", "172.23.0.0/24", { isolateEndpoints: true, masquerade: false });
    for (const name of ["web", "shop", "api", "db", "one", "two"]) world = sandbox(world, name);
    for (const [name, on] of [
        ["web", "front"],
        ["shop", "front"],
        ["web", "back"],
        ["api", "back"],
        ["api", "data"],
        ["db", "data"],
        ["one", "cell"],
        ["two", "cell"],
    ] as const)
        world = endpoint(world, name, on, name === "web" && on === "front" ? { gatewayPriority: 10 } : {});
    const web = ref("endpoint", "web-front");
    world = put(world, "port-mapping", "http", { target: web, hostPort: 8080, targetPort: 80 });
    world = put(world, "port-mapping", "admin", { target: web, hostPort: 9000, hostAddress: "127.0.0.1" });
    world = put(world, "firewall-policy", "db-access", {
        target: ref("endpoint", "db-data"),
        ingress: [{ action: "allow", from: ref("sandbox", "api"), ports: 5432, description: "only the API" }],
    });
    return put(world, "firewall-policy", "api-access", {
        target: ref("endpoint", "api-back"),
        ingress: [
            { action: "allow", from: ["any", ref("network", "front")], ports: 80 },
            { action: "reject", from: "172.21.0.0/24", protocol: "udp" },
        ],
    });
}

const site = { world: layOut(), facts };
const outside = { outside: "198.51.100.7" };
const from = (name: string): Origin => {
    if (name === "host") return "host";
    if (name === "outside") return outside;
    return name.includes("-") ? { endpoint: keyOf("endpoint", name) } : { sandbox: keyOf("sandbox", name) };
};

/** `web -> 172.20.0.3 tcp 80`. */
function read(text: string): Packet {
    const [sender = "", to = "", protocol = "", port] = text.replace(" ->", "").split(" ");
    return { from: from(sender), to, protocol, ...(port === undefined ? {} : { port: Number(port) }) };
}

test.each([
    ["echo-request", "pass", 'ingress[0] of policy "ping" says allow within its limit'],
    ["8", "pass", 'ingress[0] of policy "ping" says allow within its limit'],
    ["timestamp-request", "drop", 'no ingress rule of "ping" matches, and the default of "ping" is drop'],
])("evaluator: knows types of ICMP: %s", (icmpType, verdict, reason) => {
    const world = put(layOut(), "firewall-policy", "ping", {
        target: ref("endpoint", "shop-front"),
        ingress: [{ action: "allow", icmpTypes: "echo-request", limit: { rate: "5/second" }, log: true }],
    });
    const packet = { ...read("web -> 172.20.0.3 icmp"), icmpType };
    expect(evaluate(packet, { world, facts })).toMatchObject({ verdict, reason });
    expect(evaluate(read("web -> 172.20.0.3 tcp 80"), { world, facts }).verdict).toBe("drop");
});

test.each([
    ["web -> 172.20.0.3 tcp 80", "pass", 'both are on network "front"'],
    ["web -> 198.51.100.7 tcp 443", "pass", 'network "front" reaches the outside'],
    [
        "web -> 172.21.0.3 tcp 81",
        "drop",
        'no ingress rule of "api-access" matches, and the default of "api-access" is drop',
    ],
    ["web -> 172.21.0.3 udp 53", "reject", 'ingress[1] of policy "api-access" says reject'],
    ["shop -> 172.21.0.3 tcp 80", "pass", 'ingress[0] of policy "api-access" says allow'],
    [
        "shop -> 172.21.0.2 tcp 80",
        "drop",
        'network "front" and network "back" are closed to each other, and no policy opens the path',
    ],
    [
        "web-back -> 172.20.0.3 tcp 80",
        "drop",
        'network "back" and network "front" are closed to each other, and no policy opens the path',
    ],
    ["outside -> 172.20.0.2 tcp 80", "drop", 'network "front" is closed to the outside, and this is not published'],
    ["outside -> 192.0.2.10 tcp 22", "pass", "the host's own ports are not held up"],
    ["outside -> 172.20.0.1 tcp 22", "drop", '172.20.0.1 is the gateway of network "front", for its endpoints only'],
    ["outside -> 127.0.0.1 tcp 9000", "drop", "127.0.0.0/8 and ::1 are for the host itself only"],
    ["outside -> 192.0.2.10 tcp 8080", "pass", 'published by "http"'],
    ["outside -> 192.0.2.10 udp 8080", "pass", "the host's own ports are not held up"],
    ["host -> 127.0.0.1 tcp 9000", "pass", "the host reaches its networks"],
    [
        "host -> 172.22.0.3 tcp 5432",
        "drop",
        'no ingress rule of "db-access" matches, and the default of "db-access" is drop',
    ],
    ["api -> 172.22.0.3 tcp 5432", "pass", 'ingress[0] ("only the API") of policy "db-access" says allow'],
    [
        "api -> 172.22.0.3 icmp",
        "drop",
        'no ingress rule of "db-access" matches, and the default of "db-access" is drop',
    ],
    ["db -> 198.51.100.7 tcp 443", "drop", 'sandbox "db" has no route to 198.51.100.7'],
    ["db -> 172.22.0.1 udp 53", "pass", 'network "data" reaches the host'],
    ["api-data -> 192.0.2.10 tcp 22", "drop", 'endpoint "api-back" may not send from 172.22.0.2, which is not its own'],
    ["one -> 172.23.0.3 tcp 80", "drop", 'network "cell" isolates its endpoints from each other'],
    ["one -> 172.23.0.2 tcp 80", "pass", "it does not leave the sandbox"],
    ["one -> 172.20.0.1 tcp 22", "drop", '172.20.0.1 is the gateway of network "front", for its endpoints only'],
] as const)("evaluator: %s: %s", (text, verdict, reason) => {
    const said = evaluate(read(text), site);
    expect([said.verdict, said.reason]).toEqual([verdict, reason]);
});

test.each([
    ["outside -> 192.0.2.10 tcp 8080", "198.51.100.7", "172.20.0.2:80", "keeps an address from outside"],
    ["shop -> 192.0.2.10 tcp 8080", "172.20.0.1", "172.20.0.2:80", "sends neighbours back by way of the gateway"],
    ["web -> 192.0.2.10 tcp 8080", "172.20.0.1", "172.20.0.2:80", "sends itself back by way of the gateway"],
    ["web-back -> 192.0.2.10 tcp 8080", "172.20.0.1", "172.20.0.2:80", "sends itself back by another network, too"],
    ["api -> 192.0.2.10 tcp 8080", "172.21.0.3", "172.20.0.2:80", "keeps an address of another network"],
    ["host -> 127.0.0.1 tcp 9000", "172.20.0.1", "172.20.0.2:9000", "hides 127.0.0.1 behind the gateway"],
    ["host -> 192.0.2.10 tcp 8080", "192.0.2.10", "172.20.0.2:80", "keeps the host's own address"],
    ["web -> 198.51.100.7 tcp 443", "192.0.2.10", "198.51.100.7:443", "masquerades what goes out"],
    ["one -> 198.51.100.7 tcp 443", "172.23.0.2", "198.51.100.7:443", "leaves a network without masquerade as it is"],
] as const)("evaluator: %s: from %s to %s, it %s", (text, source, target, _words) => {
    const said = evaluate(read(text), site);
    expect([said.source, `${said.target.address}:${said.target.port}`]).toEqual([source, target]);
});

test("evaluator: connections that are there go on, but with their own address only", () => {
    const packet = { ...read("shop -> 172.21.0.2 tcp 80"), state: "established" } as const;
    expect(evaluate(packet, site)).toMatchObject({ verdict: "pass", stage: "established" });
    expect(evaluate({ ...packet, source: "172.20.0.9" }, site)).toMatchObject({ verdict: "drop", stage: "port guard" });
});

test("evaluator: an address that nobody has is nobody's", () => {
    expect(evaluate(read("web -> 172.20.0.77 tcp 80"), site).reaches).toBe("nobody");
    expect(evaluate(read("web -> 172.20.0.3 tcp 80"), site).reaches).toEqual({
        endpoint: keyOf("endpoint", "shop-front"),
    });
});

test.each([
    ["a sender that is not there", { from: { sandbox: "lsnone" }, to: "172.20.0.2", protocol: "tcp" }, "no sandbox"],
    ["a protocol without a name", { from: "host", to: "172.20.0.2", protocol: "ospf" }, '"ospf" is no protocol'],
] as const)("evaluator: refuses %s", (_title, packet, message) => {
    expect(() => evaluate(packet, site)).toThrow(message);
});

test("evaluator: a port with several targets leads to each that takes connections, in its own way", () => {
    const at = (name: string) => ref("endpoint", name);
    const world = put(site.world, "port-mapping", "pool", {
        target: [
            at("web-front"),
            { endpoint: at("shop-front"), port: 81 },
            { endpoint: at("one-cell"), weight: 0 },
            { endpoint: at("web-back"), weight: 5 },
        ],
        targetPort: 80,
        hostPort: 8000,
    });
    const said = evaluateAll(read("shop -> 192.0.2.10 tcp 8000"), { ...site, world });
    const ways = said.map(({ verdict, target, source }) => `${verdict} ${target.address}:${target.port} ${source}`);
    expect(ways).toEqual([
        "pass 172.20.0.2:80 172.20.0.1",
        "pass 172.20.0.3:81 172.20.0.1",
        "pass 172.21.0.2:80 172.20.0.3",
    ]);
});
