import * as pulumi from "@pulumi/pulumi";
import { afterEach, beforeEach, expect, test } from "vitest";
import * as linuxnet from "../../../sdk/index.js";
import { inputsOf, type Registered, secret, settle, startEngine } from "./engine.js";

let registered: Registered[];
beforeEach(async () => {
    registered = await startEngine();
});
afterEach(settle);

const makeHost = (name: string) => new linuxnet.Host(name, { connection: { host: `${name}.example` } });
const networkType = "pulumi-nodejs:dynamic/linuxnet:Network";
const tunnelType = "pulumi-nodejs:dynamic/linuxnet:OverlayTunnel";

async function registeredOf(type: string) {
    await settle();
    return Object.fromEntries(registered.filter((one) => one.type === type).map((one) => [one.name, one.inputs]));
}

test("makes a network and a tunnel on each host, each with a range of its own", async () => {
    new linuxnet.OverlayNetwork("mesh", {
        hosts: [makeHost("a"), makeHost("b"), makeHost("c")],
        subnet: "10.64.0.0/16",
        vni: 42,
        internal: true,
        encryption: "ipsec",
        key: "SHARED",
        keepAliveMs: 25_000,
    });
    const networks = await registeredOf(networkType);
    const tunnels = await registeredOf(tunnelType);
    expect(Object.keys(networks)).toEqual(["mesh-a", "mesh-b", "mesh-c"]);
    expect(networks["mesh-b"]).toMatchObject({
        host: { kind: "host", id: "b.1@machine" },
        subnet: "10.64.0.0/16",
        ipRange: "10.64.1.0/24",
        gateway: "10.64.1.1",
        internal: true,
        connection: secret({ host: "b.example" }),
    });
    expect(networks["mesh-b"]).not.toHaveProperty("vni");
    expect(networks["mesh-b"]).not.toHaveProperty("key");
    expect(tunnels["mesh-b"]).toMatchObject({
        network: { kind: "network", id: "mesh-b.1@machine" },
        vni: 42,
        encryption: "ipsec",
        key: secret("SHARED"),
        peers: [
            { host: { kind: "host", id: "a.1@machine" }, ipRange: "10.64.0.0/24", keepAliveMs: 25_000 },
            { host: { kind: "host", id: "c.1@machine" }, ipRange: "10.64.2.0/24", keepAliveMs: 25_000 },
        ],
        connection: secret({ host: "b.example" }),
    });
    expect(tunnels["mesh-b"]).not.toHaveProperty("internal");
});

test("takes ranges by name, also for two families and from Outputs", async () => {
    const mesh = new linuxnet.OverlayNetwork("mesh", {
        hosts: { left: makeHost("a"), right: makeHost("b") },
        subnet: ["10.64.0.0/16", "fd00:1::/48"],
        ranges: pulumi.output({
            left: ["10.64.9.0/24", "fd00:1:0:9::/64"],
            right: ["10.64.8.10-10.64.8.20", "fd00:1:0:8::/64"],
        }),
        vni: 42,
    });
    const networks = await registeredOf(networkType);
    expect(Object.keys(mesh.networks)).toEqual(["left", "right"]);
    expect(networks["mesh-a"]).toMatchObject({
        ipRange: ["10.64.9.0/24", "fd00:1:0:9::/64"],
        gateway: ["10.64.9.1", "fd00:1:0:9::1"],
    });
    expect(networks["mesh-b"]).toMatchObject({ gateway: ["10.64.8.10", "fd00:1:0:8::1"] });
});

test("splits two families, each by its own prefix", async () => {
    new linuxnet.OverlayNetwork("mesh", {
        hosts: [makeHost("a"), makeHost("b")],
        subnet: ["10.64.0.0/16", "fd00:1::/48"],
        prefixPerHost: [20],
        vni: 42,
    });
    const networks = await registeredOf(networkType);
    expect(networks["mesh-b"]?.["ipRange"]).toEqual(["10.64.16.0/20", "fd00:1:0:1::/64"]);
});

test("on: finds a network by host and by name, and names the hosts otherwise", () => {
    const [a, b] = [makeHost("a"), makeHost("b")];
    const mesh = new linuxnet.OverlayNetwork("mesh", { hosts: [a, b], subnet: "10.64.0.0/16", vni: 42 });
    expect(mesh.on(a)).toBe(mesh.networks["a"]);
    expect(mesh.on("b")).toBe(mesh.networks["b"]);
    expect(() => mesh.on(makeHost("c"))).toThrow('OverlayNetwork "mesh": "c" is not one of its hosts (a, b).');
    expect(linuxnet.OverlayNetwork.isInstance(mesh)).toBe(true);
    expect(linuxnet.Network.isInstance(mesh)).toBe(false);
});

test("an endpoint on it attaches to the network on its sandbox's host", async () => {
    const [a, b] = [makeHost("a"), makeHost("b")];
    const mesh = new linuxnet.OverlayNetwork("mesh", { hosts: [a, b], subnet: "10.64.0.0/16", vni: 42 });
    const sandbox = new linuxnet.Sandbox("web", { host: pulumi.output(b) });
    const endpoint = sandbox.connect(mesh);
    const inputs = await inputsOf(registered, endpoint, "web-mesh");
    expect(inputs["network"]).toEqual({ kind: "network", id: "mesh-b.1@machine" });
});

test("an endpoint on it is refused for a sandbox on another host", () => {
    const mesh = new linuxnet.OverlayNetwork("mesh", { hosts: [makeHost("a")], subnet: "10.64.0.0/16", vni: 42 });
    const stranger = new linuxnet.Sandbox("web", { host: makeHost("c") });
    expect(() => stranger.connect(mesh)).toThrow('OverlayNetwork "mesh": "c" is not one of its hosts (a).');
});

test("in a policy it stands for its networks: as a target for one policy a host, as a peer for all of it", async () => {
    const [a, b] = [makeHost("a"), makeHost("b")];
    const mesh = new linuxnet.OverlayNetwork("mesh", { hosts: [a, b], subnet: "10.64.0.0/16", vni: 42 });
    const policy = new linuxnet.FirewallPolicy("access", {
        target: mesh,
        ingress: [{ action: "allow", from: [mesh, "any"] }],
    });
    await inputsOf(registered, policy, "access");
    const networks = [
        { kind: "network", id: "mesh-a.1@machine" },
        { kind: "network", id: "mesh-b.1@machine" },
    ];
    const ingress = [{ from: [{ kind: "overlay-network", networks }, "any"] }];
    const policies = await registeredOf("pulumi-nodejs:dynamic/linuxnet:FirewallPolicy");
    expect(policies).toMatchObject({
        access: { target: [networks[0]], ingress, connection: secret({ host: "a.example" }) },
        "access-b": { target: [networks[1]], ingress, connection: secret({ host: "b.example" }) },
    });
});

test.each([
    [{ hosts: pulumi.output([]) }, "hosts: expected a plain array or record of Hosts."],
    [{ hosts: null }, "hosts: expected a plain array or record of Hosts."],
    [{ hosts: ["a"] }, "hosts[0]: expected a Host object"],
])("refuses %o", (wrong, message) => {
    const args = { subnet: "10.64.0.0/16", vni: 42, ...wrong };
    expect(() => new linuxnet.OverlayNetwork("mesh", args as never)).toThrow(`OverlayNetwork "mesh": ${message}`);
});

test("refuses a host that is given twice", () => {
    const a = makeHost("a");
    const make = () => new linuxnet.OverlayNetwork("mesh", { hosts: [a, a], subnet: "10.64.0.0/16", vni: 42 });
    expect(make).toThrow('OverlayNetwork "mesh": hosts: "a" is given twice.');
});
