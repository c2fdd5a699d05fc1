import * as pulumi from "@pulumi/pulumi";
import { afterEach, beforeEach, expect, test } from "vitest";
import * as linuxnet from "../../../sdk/index.js";
import { inputsOf, type Registered, secret, settle, settledOf, startEngine } from "./engine.js";

let registered: Registered[];
beforeEach(async () => {
    registered = await startEngine();
});
afterEach(settle);

const connection = { host: "203.0.113.10", user: "deploy", privateKey: "KEY" };
const reference = <K extends string>(kind: K) => ({
    schemaVersion: 1 as const,
    kind,
    id: "abc.1@m2",
    name: "frontend",
    machineId: "m2",
    owner: { project: "other", stack: "prod", urn: "urn:x", name: "frontend" },
});

function makeHost(name = "edge") {
    return new linuxnet.Host(name, { connection });
}

test.each([
    ["the object", (network: linuxnet.Network) => network],
    ["an Output of the object", (network: linuxnet.Network) => pulumi.output(network)],
    ["a Promise of the object", (network: linuxnet.Network) => Promise.resolve(network)],
])("a reference by %s is sent as kind and id", async (_title, wrap) => {
    const host = makeHost();
    const network = new linuxnet.Network("frontend", { host });
    const sandbox = new linuxnet.Sandbox("web", { host: wrap(host as never) as never });
    const endpoint = new linuxnet.Endpoint("web-frontend", { sandbox, network: wrap(network) });
    const inputs = await inputsOf(registered, endpoint, "web-frontend");
    expect(inputs).toMatchObject({
        sandbox: { kind: "sandbox", id: "web.1@machine" },
        network: { kind: "network", id: "frontend.1@machine" },
        connection: secret(connection),
    });
});

test("another stack's reference is sent as kind and id, and nothing else of it", async () => {
    const sandbox = new linuxnet.Sandbox("web", { host: makeHost() });
    const network = pulumi.output(reference("network"));
    const endpoint = new linuxnet.Endpoint("web-frontend", { sandbox, network });
    const inputs = await inputsOf(registered, endpoint, "web-frontend");
    expect(inputs["network"]).toEqual({ kind: "network", id: "abc.1@m2" });
});

test("the projected property depends on the resource, which orders creation and replacement", async () => {
    const network = new linuxnet.Network("frontend", { host: makeHost() });
    const urns: string[] = [];
    for (const given of [network, pulumi.output(network), pulumi.output([network]).apply(([one]) => one)]) {
        const projected = new linuxnet.PortMapping("unused", {
            target: new linuxnet.Endpoint(`e${urns.length}`, {
                sandbox: new linuxnet.Sandbox(`s${urns.length}`, { host: makeHost(`h${urns.length}`) }),
                network: given as linuxnet.Network,
            }),
        });
        expect(projected).toBeDefined();
        const { projectRef } = await import("../../../sdk/reference.js");
        const output = pulumi.output(projectRef("x", ["network"], given) as pulumi.Output<unknown>);
        const { allResources } = output as unknown as { allResources(): Promise<Set<pulumi.Resource>> };
        urns.push(...(await Promise.all([...(await allResources())].map((one) => settledOf(one.urn)))));
    }
    expect(urns).toEqual(Array(3).fill(await settledOf(network.urn)));
});

test("in a preview only the id of a new resource is unknown, its kind is known", async () => {
    registered = await startEngine({ preview: true });
    const host = makeHost();
    const sandbox = new linuxnet.Sandbox("web", { host });
    const inputs = await inputsOf(registered, sandbox, "web");
    expect(inputs["host"]).toMatchObject({ kind: "host" });
});

test.each([
    [
        "a resource of another kind",
        (host: linuxnet.Host) => new linuxnet.Sandbox("other", { host }),
        'Endpoint "web": network: got a Sandbox, expected a Network.',
    ],
    [
        "a reference to another kind",
        () => reference("sandbox"),
        'Endpoint "web": network: got a reference to a Sandbox, expected a Network.',
    ],
    ["nothing", () => undefined, 'Endpoint "web": network: got nothing, expected a Network'],
    [
        "a resource that went through a stack output",
        () => ({ ...reference("network"), urn: "urn:pulumi:prod::shop::linuxnet:Network::frontend" }),
        "export frontend.reference",
    ],
    ["an id", () => "abc.1@m2", 'got the text "abc.1@m2"'],
    ["several", () => [], 'Endpoint "web": network: got several'],
    ["a number", () => 7, "got a number"],
    ["a reference of a later version", () => ({ ...reference("network"), schemaVersion: 2 }), "newer pulumi-linuxnet"],
])("%s in place of a network is refused", (_title, make, message) => {
    const host = makeHost();
    const sandbox = new linuxnet.Sandbox("web", { host });
    expect(() => new linuxnet.Endpoint("web", { sandbox, network: make(host) as never })).toThrow(message);
});

test("a wrong reference that comes later is refused through the Output", async () => {
    const { projectRef } = await import("../../../sdk/reference.js");
    const projected = projectRef('Endpoint "web": network', ["network"], pulumi.output(reference("sandbox")));
    await expect(settledOf(projected as pulumi.Output<unknown>)).rejects.toThrow(
        'Endpoint "web": network: got a reference to a Sandbox, expected a Network.',
    );
});

test.each([
    [
        () => new linuxnet.Network("front", { host: reference("host") }),
        'Network "front": host: a reference to a Host does not say how its machine is reached. Use Host.get(name, reference, { connection }) first.',
    ],
    [
        () => new linuxnet.Endpoint("web", { sandbox: reference("sandbox"), network: reference("network") }),
        'Endpoint "web": sandbox: a reference to a Sandbox does not say how its machine is reached. Use Sandbox.get(name, reference, { host }) first.',
    ],
    [() => new linuxnet.PortMapping("http", { target: [reference("endpoint")] }), "Use Endpoint.get(name, reference"],
])("a reference alone is refused where the connection has to come from it", (make, message) => {
    expect(make).toThrow(message);
});
