import * as pulumi from "@pulumi/pulumi";
import { afterEach, beforeEach, expect, test } from "vitest";
import * as linuxnet from "../../../sdk/index.js";
import { inputsOf, type Registered, secret, settle, settledOf, startEngine } from "./engine.js";

let registered: Registered[];
beforeEach(async () => {
    registered = await startEngine();
});
afterEach(settle);

const connection = { host: "203.0.113.10", privateKey: "KEY" };
const owner = { project: "other", stack: "prod", urn: "urn:x", name: "x" };
const base = { schemaVersion: 1 as const, id: "abc.1@m2", name: "x", machineId: "m2", owner };

function makeWorld() {
    const host = new linuxnet.Host("edge", { connection });
    const network = new linuxnet.Network("frontend", { host, subnet: "172.20.0.0/24" });
    const sandbox = new linuxnet.Sandbox("web", { host });
    const endpoint = sandbox.connect(network, { aliases: "www" });
    const mapping = new linuxnet.PortMapping("http", { target: endpoint, ports: "8080:80" });
    const policy = new linuxnet.FirewallPolicy("access", { target: [endpoint, sandbox] });
    const tunnel = new linuxnet.OverlayTunnel("tunnel", { network, vni: 7, key: "SHARED" });
    return { host, network, sandbox, endpoint, mapping, policy, tunnel };
}

test("owner: says who made the object", async () => {
    const { endpoint } = makeWorld();
    const inputs = await inputsOf(registered, endpoint, "web-frontend");
    expect(inputs["owner"]).toEqual({
        project: "shop",
        stack: "prod",
        urn: "urn:pulumi:prod::shop::pulumi-nodejs:dynamic/linuxnet:Endpoint::web-frontend",
        name: "web-frontend",
    });
});

test("owner: the URN names the parent", async () => {
    const parent = new pulumi.ComponentResource("shop:index:Tier", "tier");
    const host = new linuxnet.Host("edge", { connection }, { parent });
    const inputs = await inputsOf(registered, host, "edge");
    const urn = "urn:pulumi:prod::shop::shop:index:Tier$pulumi-nodejs:dynamic/linuxnet:Host::edge";
    expect(inputs["owner"]).toMatchObject({ urn });
});

test("owner: children of one component may depend on each other", async () => {
    const parent = new pulumi.ComponentResource("shop:index:Tier", "tier");
    const host = new linuxnet.Host("edge", { connection }, { parent });
    new linuxnet.Network("frontend", { host }, { parent });
    await settle();
    expect(registered.map(({ name }) => name)).toEqual(["tier", "edge", "frontend"]);
});

test("connection: is one secret everywhere, and so is the key of a tunnel", async () => {
    const { tunnel, ...others } = makeWorld();
    const { network } = others;
    for (const resource of [tunnel, ...Object.values(others)]) {
        expect(await pulumi.isSecret(resource.connection)).toBe(true);
        expect(await settledOf(resource.connection)).toEqual(connection);
    }
    expect(await pulumi.isSecret(tunnel.key)).toBe(true);
    expect(await pulumi.isSecret(tunnel.vni)).toBe(false);
    const key = [pulumi.output("new"), "old"];
    const changing = new linuxnet.OverlayTunnel("changing", { network, vni: 7, encryption: "ipsec", key });
    expect(await pulumi.isSecret(changing.key)).toBe(true);
});

test("inputs: arguments go as they were written, undefined ones and outputs not at all", async () => {
    const { network, mapping } = makeWorld();
    const inputs = await inputsOf(registered, network, "frontend");
    expect(Object.keys(inputs).sort()).toEqual(["__provider", "connection", "host", "owner", "subnet"]);
    expect(inputs["subnet"]).toBe("172.20.0.0/24");
    expect(await inputsOf(registered, mapping, "http")).toMatchObject({
        target: { kind: "endpoint", id: "web-frontend.1@machine" },
        ports: "8080:80",
    });
});

test("static addresses: an endpoint that is given none knows what others on its network are, wherever they stand", async () => {
    const host = new linuxnet.Host("edge", { connection });
    const [front, back] = ["frontend", "backend"].map((name) => new linuxnet.Network(name, { host })) as [
        linuxnet.Network,
        linuxnet.Network,
    ];
    const connect = (name: string, to: linuxnet.Network, args = {}) =>
        new linuxnet.Sandbox(name, { host }).connect(to, args);
    const listed = async (of: linuxnet.Endpoint, name: string) =>
        (await inputsOf(registered, of, name))["staticAddresses"];
    const open = connect("open", front);
    const half = connect("half", front, { ipv4Address: "172.20.0.2" });
    const alone = connect("alone", back);
    const full = connect("full", front, { ipv4Address: "172.20.0.3", ipv6Address: "fd00::3" });
    connect("later", front, { ipv4Address: pulumi.output(Promise.resolve("172.20.0.4")) });
    expect(await listed(open, "open-frontend")).toBe("172.20.0.2 172.20.0.3 fd00::3 172.20.0.4");
    expect(await listed(half, "half-frontend")).toBe("fd00::3");
    expect(await listed(full, "full-frontend")).toBeUndefined();
    expect(await listed(alone, "alone-backend")).toBeUndefined();
});

test("inputs: a misspelt argument travels on, so that check can name the right one", async () => {
    const host = new linuxnet.Host("edge", { connection });
    const network = new linuxnet.Network("frontend", { host, subnett: "172.20.0.0/24" } as never);
    expect(await inputsOf(registered, network, "frontend")).toMatchObject({ subnett: "172.20.0.0/24" });
});

test("outputs: every one is there as an Output, also those the provider computes", () => {
    const { network, sandbox } = makeWorld();
    for (const output of [network.gateways, network.reference, network.drift, network.name, sandbox.podmanArgs]) {
        expect(pulumi.Output.isInstance(output)).toBe(true);
    }
});

test("isInstance: tells the kinds apart, and Outputs and plain objects from resources", () => {
    const world = makeWorld();
    const classes = [
        linuxnet.Host,
        linuxnet.Network,
        linuxnet.Sandbox,
        linuxnet.Endpoint,
        linuxnet.PortMapping,
        linuxnet.FirewallPolicy,
        linuxnet.OverlayTunnel,
    ];
    const table = Object.values(world).map((resource) => classes.map((one) => one.isInstance(resource)));
    expect(table).toEqual(classes.map((_, row) => classes.map((_, column) => row === column)));
    for (const other of [undefined, null, 1, "text", {}, pulumi.output(world.network)]) {
        expect(linuxnet.Network.isInstance(other)).toBe(false);
    }
});

test("isInstance: recognises a resource of another installed copy of the package", () => {
    const foreign = Object.defineProperty({}, "__linuxnet", { value: { kind: "network", name: "frontend" } });
    expect(linuxnet.Network.isInstance(foreign)).toBe(true);
});

test("static addresses do not show in an endpoint that is exported as a whole", async () => {
    const { endpoint } = makeWorld();
    await settledOf(endpoint.urn);
    expect(Object.keys(endpoint)).toContain("ipv4Address");
    expect(Object.keys(endpoint)).not.toContain("staticAddresses");
});

test("the brand does not show in a resource that is exported as a whole", () => {
    expect(Object.keys(makeWorld().sandbox)).not.toContain("__linuxnet");
});

test("get: reads the object with the id of its reference, over the given host", async () => {
    const host = new linuxnet.Host("edge", { connection });
    const reference = pulumi.output({ ...base, kind: "network" as const });
    const network = linuxnet.Network.get("frontend", reference, { host });
    const inputs = await inputsOf(registered, network, "frontend");
    expect(registered.find(({ name }) => name === "frontend")?.id).toBe("abc.1@m2");
    expect(inputs).toMatchObject({ host: { kind: "host", id: "edge.1@machine" }, connection: secret(connection) });
    const sandbox = linuxnet.Sandbox.get("web", { ...base, kind: "sandbox" }, { host });
    const endpoint = sandbox.connect(network);
    expect(await inputsOf(registered, endpoint, "web-frontend")).toMatchObject({
        network: { kind: "network", id: "abc.1@m2" },
        connection: secret(connection),
    });
    expect(await pulumi.isSecret(endpoint.connection)).toBe(true);
});

test("get: a Host takes its own connection", async () => {
    const host = linuxnet.Host.get("edge", { ...base, kind: "host" }, { connection });
    expect(await inputsOf(registered, host, "edge")).toMatchObject({ connection: secret(connection) });
    expect(await pulumi.isSecret(host.connection)).toBe(true);
});

test("get: refuses a name and a reference of another kind", () => {
    const host = new linuxnet.Host("edge", { connection });
    expect(() => linuxnet.Network.get("frontend", { name: "frontend" }, { host })).toThrow(
        'Network.get("frontend"): looking up by name comes later. Pass its reference.',
    );
    expect(() => linuxnet.Network.get("frontend", { ...base, kind: "sandbox" } as never, { host })).toThrow(
        'Network.get("frontend"): got a reference to a Sandbox, expected a Network.',
    );
});

test.each([
    [{ import: "abc" }, "the option import does not apply to this resource. Take over what exists"],
    [{ id: "abc" }, "the option id does not apply to this resource. Observe what another stack owns"],
    [{ provider: {} }, "the option provider does not apply to this resource."],
])("the options %o are refused in plain JavaScript too", (opts, message) => {
    expect(() => new linuxnet.Host("edge", { connection }, opts as never)).toThrow(message);
});

test("what is taken from elsewhere cannot be given", () => {
    const host = new linuxnet.Host("edge", { connection });
    expect(() => new linuxnet.Network("frontend", { host, connection } as never)).toThrow(
        'Network "frontend": connection is an output and cannot be given.',
    );
    expect(() => new linuxnet.Network("frontend", undefined as never)).toThrow("the arguments are missing");
    expect(() => new linuxnet.Host("edge", {} as never)).toThrow('Host "edge": connection: got nothing');
});

test("additionalSecretOutputs of the program are kept", async () => {
    const host = new linuxnet.Host("edge", { connection, labels: { a: "b" } }, { additionalSecretOutputs: ["labels"] });
    expect(await settledOf(host.labels)).toEqual({ a: "b" });
});

test("endpoint: routes go via an address or another endpoint", async () => {
    const { network, sandbox, endpoint } = makeWorld();
    const routed = new linuxnet.Endpoint("routed", {
        sandbox,
        network,
        routes: [
            { to: "10.0.0.0/8", via: "172.20.0.9" },
            { to: "10.1.0.0/16", via: endpoint, metric: 5 },
        ],
    });
    expect((await inputsOf(registered, routed, "routed"))["routes"]).toEqual([
        { to: "10.0.0.0/8", via: "172.20.0.9" },
        { to: "10.1.0.0/16", via: { kind: "endpoint", id: "web-frontend.1@machine" }, metric: 5 },
    ]);
});

test("port mapping: targets keep their port and weight; the first object gives the connection", async () => {
    const { endpoint } = makeWorld();
    const mapping = new linuxnet.PortMapping("spread", {
        target: [
            { ...base, kind: "endpoint" },
            { endpoint: pulumi.output(endpoint), port: 81, weight: 2 },
        ],
    });
    expect(await inputsOf(registered, mapping, "spread")).toMatchObject({
        target: [
            { kind: "endpoint", id: "abc.1@m2" },
            { endpoint: { kind: "endpoint", id: "web-frontend.1@machine" }, port: 81, weight: 2 },
        ],
        connection: secret(connection),
    });
});

test("policy: peers are references, and texts as they are", async () => {
    const { host, network, sandbox, endpoint } = makeWorld();
    const policy = new linuxnet.FirewallPolicy("peers", {
        target: pulumi.output(endpoint),
        ingress: [
            { action: "allow", from: [endpoint, "10.0.0.0/8", pulumi.output(network), { ...base, kind: "sandbox" }] },
            pulumi.output({ action: "drop" as const, from: host, ports: [5432] }),
            { action: "allow" },
        ],
        egress: [{ action: "allow", to: sandbox }],
    });
    const inputs = await inputsOf(registered, policy, "peers");
    expect(inputs).toMatchObject({
        target: { kind: "endpoint", id: "web-frontend.1@machine" },
        connection: secret(connection),
    });
    expect(inputs["ingress"]).toEqual([
        {
            action: "allow",
            from: [
                { kind: "endpoint", id: "web-frontend.1@machine", addresses: [] },
                "10.0.0.0/8",
                { kind: "network", id: "frontend.1@machine", addresses: ["172.20.0.0/24"] },
                { kind: "sandbox", id: "abc.1@m2" },
            ],
        },
        { action: "drop", from: { kind: "host", id: "edge.1@machine" }, ports: [5432] },
        { action: "allow" },
    ]);
    expect(inputs["egress"]).toEqual([{ action: "allow", to: { kind: "sandbox", id: "web.1@machine" } }]);
});

test("policy: peers carry what other hosts know them by", async () => {
    const { endpoint, network, host } = makeWorld();
    const mesh = new linuxnet.Network("mesh", {
        host,
        subnet: ["10.64.0.0/16", "fd00:1::/48"],
        ipRange: ["10.64.1.0/24", "fd00:1:0:1::/64"],
    });
    const sandbox = new linuxnet.Sandbox("app", { host });
    const app = sandbox.connect(mesh, { ipv4Address: "10.64.1.9", ipv6Address: "fd00:1:0:1::9" });
    const policy = new linuxnet.FirewallPolicy("far", {
        target: endpoint,
        ingress: [{ action: "allow", from: [pulumi.output(app), mesh, network] }],
    });
    expect(await inputsOf(registered, policy, "far")).toMatchObject({
        ingress: [
            {
                from: [
                    { kind: "endpoint", id: "app-mesh.1@machine", addresses: ["10.64.1.9", "fd00:1:0:1::9"] },
                    { kind: "network", id: "mesh.1@machine", addresses: ["10.64.1.0/24", "fd00:1:0:1::/64"] },
                    { kind: "network", id: "frontend.1@machine" },
                ],
            },
        ],
    });
});

test("policy: targets on several hosts get one policy each, the first one's is the parent", async () => {
    const [a, b] = ["a", "b"].map((name) => {
        const host = new linuxnet.Host(name, { connection: { host: `${name}.example` } });
        const network = new linuxnet.Network(`net-${name}`, { host });
        const sandbox = new linuxnet.Sandbox(`app-${name}`, { host });
        return { host, network, sandbox, endpoint: sandbox.connect(network) };
    }) as [FarWorld, FarWorld];
    const policy = new linuxnet.FirewallPolicy(
        "both",
        { target: [a.endpoint, b.sandbox, a.network, b.host], ingress: [], priority: 3 },
        { aliases: [{ name: "before" }] },
    );
    await inputsOf(registered, policy, "both");
    await settle();
    const policies = registered.filter(({ type }) => type.endsWith(":FirewallPolicy"));
    expect(policies.map(({ name, inputs }) => [name, inputs["target"], inputs["priority"]])).toEqual([
        [
            "both",
            [
                { kind: "endpoint", id: "app-a-net-a.1@machine" },
                { kind: "network", id: "net-a.1@machine" },
            ],
            3,
        ],
        [
            "both-b",
            [
                { kind: "sandbox", id: "app-b.1@machine" },
                { kind: "host", id: "b.1@machine" },
            ],
            3,
        ],
    ]);
    expect(policies[1]?.inputs["connection"]).toEqual(secret({ host: "b.example" }));
    const mixed = [a.endpoint, b.endpoint, pulumi.output(b.endpoint)];
    expect(() => new linuxnet.FirewallPolicy("mixed", { target: mixed, ingress: [] })).toThrow(
        'FirewallPolicy "mixed": target: the other targets are on several hosts (a, b), and of element 2 that is only known later. ' +
            "Name the resource itself, or make a policy for each host.",
    );
});

interface FarWorld {
    readonly host: linuxnet.Host;
    readonly network: linuxnet.Network;
    readonly sandbox: linuxnet.Sandbox;
    readonly endpoint: linuxnet.Endpoint;
}

test("policy: a peer of the wrong kind is named by its place", () => {
    const { endpoint, mapping } = makeWorld();
    const ingress = [{ action: "allow" as const, from: [endpoint, mapping as never] }];
    expect(() => new linuxnet.FirewallPolicy("wrong", { target: endpoint, ingress })).toThrow(
        'FirewallPolicy "wrong": ingress[0].from[1]: got a PortMapping, expected an Endpoint or Sandbox or Network or Host.',
    );
});

test("tunnel: peers are hosts with their address, addresses, and ranges", async () => {
    const { network, host } = makeWorld();
    const peers = [host, "192.0.2.9", { underlayAddress: "192.0.2.8", ipRange: "10.64.1.0/24" }, pulumi.output(host)];
    const tunnel = new linuxnet.OverlayTunnel("peers", { network, vni: 9, peers });
    const value = {
        host: { kind: "host", id: "edge.1@machine" },
        underlayAddress: await settledOf(host.underlayAddress),
    };
    expect((await inputsOf(registered, tunnel, "peers"))["peers"]).toEqual([value, peers[1], peers[2], value]);
    expect(() => new linuxnet.OverlayTunnel("ref", { network, vni: 9, peers: [{ ...base, kind: "host" }] })).toThrow(
        'OverlayTunnel "ref": peers[0]: a reference to a Host has no underlay address.',
    );
});
