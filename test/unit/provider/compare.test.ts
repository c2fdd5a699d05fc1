import { expect, test } from "vitest";
import { z } from "zod";
import { compare } from "../../../provider/compare.js";
import { objectKinds } from "../../../provider/kinds/index.js";
import { objectHandler, type Props } from "../../../provider/lifecycle.js";
import type { HostObject } from "../../../provider/model/object.js";
import { check, endpoint, examples, host, kindNames, network, sandbox, unknown } from "./examples.js";

type Kind = HostObject["kind"];
const kinds = kindNames.filter((kind) => kind !== "host") as Kind[];

/** What `create` stores of checked inputs: the inputs, and more. */
async function stored(kind: Kind, args: Props = examples[kind]): Promise<Props> {
    const { inputs } = await check(kind, args);
    return { name: "x", ...inputs, schemaVersion: 1, machineId: "m1", reference: {}, drift: [] };
}

const diff = async (kind: Kind, olds: Props, args: Props) => {
    const { inputs } = await check(kind, args, olds);
    return objectHandler(kind).diff("x.1@m1", olds, inputs);
};
const nothing = { changes: false, replaces: [], deleteBeforeReplace: false, stables: [] };
const inPlace = { ...nothing, changes: true };
const replaced = (...replaces: string[]) => ({ changes: true, replaces, deleteBeforeReplace: true, stables: [] });

test.each(kinds)("%s: nothing changes when the program is as it was", async (kind) => {
    expect(await diff(kind, await stored(kind), examples[kind])).toEqual(nothing);
});

test.each(kinds)("%s: what was chosen on the host stays when the program leaves it out", async (kind) => {
    const chosen = {
        ...(await stored(kind)),
        address: "172.20.0.2",
        ipv4Address: "172.20.0.2",
        hostPort: 20000,
        mtu: 1500,
        gateway: "x",
    };
    const required = Object.fromEntries(
        Object.entries(examples[kind]).filter(([name]) =>
            ["host", "sandbox", "network", "target", "subnet", "vni"].includes(name),
        ),
    );
    const { inputs } = await check(kind, required, chosen);
    for (const name of ["address", "ipv4Address", "hostPort", "mtu", "gateway"])
        expect(inputs).not.toHaveProperty(name);
    const { changed } = compare(chosen, inputs, objectKinds[kind]);
    for (const name of ["address", "ipv4Address", "hostPort", "mtu", "gateway"]) expect(changed).not.toContain(name);
});

const other = (kind: string, key: string) => ({ kind, id: `${key}.2@m1` });

test.each([
    ["network", { host: other("host", "host") }, replaced("host")],
    ["network", { subnet: "10.0.0.0/24" }, replaced("subnet")],
    ["network", { host: unknown }, replaced("host")],
    ["network", { host: { ...host, id: unknown } }, replaced("host")],
    ["network", { subnet: unknown }, replaced("subnet")],
    ["network", { internal: false }, inPlace],
    ["network", { mtu: 1300 }, inPlace],
    ["network", { labels: {} }, inPlace],
    ["network", { labels: unknown }, inPlace],
    ["network", { ipRange: undefined }, inPlace],
    ["sandbox", { host: other("host", "host") }, replaced("host")],
    ["sandbox", { name: "other" }, replaced("name")],
    ["sandbox", { sysctls: {} }, inPlace],
    ["endpoint", { sandbox: other("sandbox", "ls1") }, replaced("sandbox")],
    ["endpoint", { network: other("network", "ln1") }, replaced("network")],
    ["endpoint", { sandbox: unknown, network: unknown }, replaced("sandbox", "network")],
    ["endpoint", { ipv4Address: "172.20.0.9" }, inPlace],
    ["endpoint", { interfaceName: "eth1" }, inPlace],
    ["endpoint", { gatewayPriority: 5 }, inPlace],
    ["port-mapping", { target: other("endpoint", "le2") }, inPlace],
    ["port-mapping", { target: { endpoint: { ...endpoint, id: unknown } } }, inPlace],
    ["port-mapping", { target: unknown }, inPlace],
    [
        "port-mapping",
        { publishOn: undefined, target: { ...endpoint, id: "le1.2@m2" } },
        replaced("target", "publishOn"),
    ],
    ["port-mapping", { publishOn: { ...host, id: "host.1@m2" }, target: endpoint }, replaced("target", "publishOn")],
    ["port-mapping", { hostPort: 81 }, inPlace],
    ["port-mapping", { hostAddress: undefined }, inPlace],
    ["port-mapping", { targetPort: undefined }, inPlace],
    ["firewall-policy", { target: [endpoint, sandbox] }, inPlace],
    ["firewall-policy", { target: unknown }, inPlace],
    ["firewall-policy", { target: { ...endpoint, id: "le1.2@m2" } }, replaced("target")],
    ["firewall-policy", { ingress: unknown }, inPlace],
    ["firewall-policy", { ingress: [] }, inPlace],
    ["firewall-policy", { ingress: undefined }, inPlace],
    ["firewall-policy", { egress: undefined }, inPlace],
    ["firewall-policy", { priority: 5 }, inPlace],
    ["overlay-tunnel", { network: { ...network, id: unknown } }, replaced("network")],
    ["overlay-tunnel", { peers: unknown }, inPlace],
    ["overlay-tunnel", { peers: [] }, inPlace],
    ["overlay-tunnel", { vni: 43 }, inPlace],
] as [Kind, Props, object][])("%s: %j", async (kind, change, expected) => {
    expect(await diff(kind, await stored(kind), { ...examples[kind], ...change })).toEqual(expected);
});

test.each(kinds)("%s: another connection is an update, and replaces nothing", async (kind) => {
    const olds = await stored(kind);
    expect(
        await diff(kind, olds, { ...examples[kind], connection: { host: "203.0.113.10", privateKey: "new" } }),
    ).toEqual(inPlace);
    expect(await diff(kind, olds, { ...examples[kind], connection: unknown })).toEqual(inPlace);
});

test.each(kinds)("%s: drift is an update", async (kind) => {
    expect(await diff(kind, { ...(await stored(kind)), drift: ["link ln1 is missing"] }, examples[kind])).toEqual(
        inPlace,
    );
});

test.each(kinds)("%s: an input whose change makes a new object is one of its arguments", (kind) => {
    const { schema, replaces, across, chosen } = objectKinds[kind];
    for (const name of [...replaces, ...(across?.decidedBy ?? []), ...chosen])
        expect(Object.keys(schema.shape)).toContain(name);
});

const rules = { schema: z.object({ chosen: z.int(), plain: z.int() }), replaces: [], chosen: ["chosen"] };

test.each([
    ["a value that was taken out", { plain: 1 }, {}, ["plain"]],
    ["a value that was chosen", { chosen: 1 }, {}, []],
    ["the same", { a: [1, { b: 2 }] }, { a: [1, { b: 2 }] }, []],
    ["names in another order", { a: { b: 1, c: 2 } }, { a: { c: 2, b: 1 } }, []],
    ["another value inside", { a: [1, { b: 2 }] }, { a: [1, { b: 3 }] }, ["a"]],
    ["a longer list", { a: [1] }, { a: [1, 2] }, ["a"]],
    ["a shorter list", { a: [1, 2] }, { a: [1] }, ["a"]],
    ["a name more inside", { a: {} }, { a: { b: 1 } }, ["a"]],
    ["a name less inside", { a: { b: 1 } }, { a: {} }, ["a"]],
    ["a list in place of an object", { a: {} }, { a: [] }, ["a"]],
    ["nothing in place of a value", { a: 1 }, {}, []],
    ["unknown, although it was", { a: unknown }, { a: unknown }, ["a"]],
    ["the provider's own text", { __provider: "a" }, { __provider: "b" }, []],
    ["null", { a: null }, { a: null }, []],
    ["a value in place of null", { a: null }, { a: {} }, ["a"]],
] as [string, Props, Props, string[]][])("compare: %s", (_title, olds, news, changed) => {
    expect(compare(olds, news, rules)).toEqual({ changes: changed.length > 0, replaces: [], changed });
});

test.each([
    ["what was made before the argument was there", {}, { a: true }, []],
    ["the default, written out or not", { a: true }, {}, []],
    ["another value", {}, { a: false }, ["a"]],
    ["another value taken out", { a: false }, {}, ["a"]],
] as [string, Props, Props, string[]][])(
    "compare: absence that means something: %s",
    (_title, olds, news, replaces) => {
        const own = { schema: z.object({ a: z.boolean() }), replaces: ["a"], chosen: [], absent: { a: true } };
        expect(compare(olds, news, own)).toMatchObject({ changes: replaces.length > 0, replaces });
    },
);
