import { beforeAll, expect, test } from "vitest";
import * as linuxnet from "../../../sdk/index.js";
import { inputsOf, type Registered, startEngine } from "./engine.js";

let registered: Registered[];
beforeAll(async () => {
    registered = await startEngine();
});

// Letter by letter: both texts are in users' state, old state must stay deletable.
test.each([
    ["Host", 'exports.handler = () => require("pulumi-linuxnet/provider").host;'],
    ["Network", 'exports.handler = () => require("pulumi-linuxnet/provider").network;'],
    ["Sandbox", 'exports.handler = () => require("pulumi-linuxnet/provider").sandbox;'],
    ["Endpoint", 'exports.handler = () => require("pulumi-linuxnet/provider").endpoint;'],
    ["PortMapping", 'exports.handler = () => require("pulumi-linuxnet/provider").portMapping;'],
    ["FirewallPolicy", 'exports.handler = () => require("pulumi-linuxnet/provider").firewallPolicy;'],
    ["OverlayTunnel", 'exports.handler = () => require("pulumi-linuxnet/provider").overlayTunnel;'],
] as const)("%s: keeps its type token and its provider text", async (title, text) => {
    const host = new linuxnet.Host(`${title}-edge`, { connection: { host: "203.0.113.10" } });
    const network = new linuxnet.Network(`${title}-front`, { host });
    const sandbox = new linuxnet.Sandbox(`${title}-web`, { host });
    const endpoint = sandbox.connect(network);
    const made = {
        Host: () => host,
        Network: () => network,
        Sandbox: () => sandbox,
        Endpoint: () => endpoint,
        PortMapping: () => new linuxnet.PortMapping("http", { target: endpoint }),
        FirewallPolicy: () => new linuxnet.FirewallPolicy("access", { target: endpoint }),
        OverlayTunnel: () => new linuxnet.OverlayTunnel("tunnel", { network, vni: 1 }),
    }[title]();
    const name = made.__linuxnet.name;
    const inputs = await inputsOf(registered, made, name);
    expect(inputs["__provider"]).toBe(text);
    expect(registered.find((one) => one.name === name)?.type).toBe(`pulumi-nodejs:dynamic/linuxnet:${title}`);
});
