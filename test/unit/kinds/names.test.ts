import { expect, test } from "vitest";
import type { Item } from "../../../provider/kernel/item.js";
import { objectKinds } from "../../../provider/kinds/index.js";
import { nameFiles } from "../../../provider/kinds/name-files.js";
import { dnsOf, domainOf, hostGatewaysOf, hostnameOf, recordsOf } from "../../../provider/kinds/names.js";
import type { NetworkObject, SandboxObject } from "../../../provider/model/object.js";
import { World } from "../../../provider/model/world.js";
import { type Args, affectedItems, empty, endpoint, keyOf, network, put, remove, sandbox } from "./build.js";

const networkOf = (world: World, name: string) => world.get("network", keyOf("network", name)) as NetworkObject;
const sandboxOf = (world: World, name: string) => world.get("sandbox", keyOf("sandbox", name)) as SandboxObject;
const records = (world: World, name: string) =>
    recordsOf(networkOf(world, name), world).map(({ addresses, names }) => [addresses, names]);
const dns = (world: World, name: string) => dnsOf(sandboxOf(world, name), world);

/** The world as a provider that knew no names left it. */
function withoutNames(world: World): World {
    const objects = [...world.objects].map(([key, object]) => {
        const { dns: _, hostname: __, ...rest } = object as Partial<Omit<SandboxObject, "dns">> & { dns?: unknown };
        return [key, rest] as const;
    });
    return new World(new Map(objects as never), world.base);
}

function shop(front: Args = {}, back: Args = {}): World {
    let world = network(empty, "front", "172.20.0.0/24", { ipv6: true, ...front });
    world = network(world, "back", "172.21.0.0/24", { internal: true, ...back });
    world = sandbox(world, "web");
    world = sandbox(world, "db", { name: "db-123abc" });
    world = endpoint(world, "web", "front");
    world = endpoint(world, "web", "back", { aliases: ["Cache", "api.internal"] });
    return endpoint(world, "db", "back");
}

test("names: a sandbox has on each network its own, its namespace's and its aliases there, with and without the domain", () => {
    const world = shop();
    expect(records(world, "front")).toEqual([
        [
            ["172.20.0.2", "fd12:3456:789a::2"],
            ["web.front", "web"],
        ],
    ]);
    expect(records(world, "back")).toEqual([
        [["172.21.0.2"], ["web.back", "web", "cache.back", "cache", "api.internal.back", "api.internal"]],
        [["172.21.0.3"], ["db.back", "db", "db-123abc.back", "db-123abc"]],
    ]);
});

test("names: a hostname and a domain of the program's own take the place of those made of names", () => {
    let world = shop({}, { dns: { domain: "corp.example" } });
    world = sandbox(world, "db", { name: "db-123abc", hostname: "Postgres" });
    expect(records(world, "back")[1]).toEqual([
        ["172.21.0.3"],
        ["postgres.corp.example", "postgres", "db-123abc.corp.example", "db-123abc"],
    ]);
});

test("names: several endpoints may have one, and names go with their endpoints", () => {
    let world = shop();
    world = endpoint(world, "db", "back", { aliases: ["cache"] });
    const withCache = () => recordsOf(networkOf(world, "back"), world).filter(({ names }) => names.includes("cache"));
    expect(withCache().map(({ addresses }) => addresses[0])).toEqual(["172.21.0.2", "172.21.0.3"]);
    world = remove(world, "endpoint", "web-back");
    expect(withCache().map(({ addresses }) => addresses[0])).toEqual(["172.21.0.3"]);
});

test("names: what was made before there were names has none, and what is called as it was is found as its resource", () => {
    const world = withoutNames(shop());
    expect(records(world, "back")).toEqual([]);
    expect(dns(world, "db")).toMatchObject({ mode: "none", networks: [] });
    expect(hostnameOf(sandboxOf(world, "db"))).toBe("db");
    expect(domainOf(networkOf(world, "back"))).toBe("back");
});

test("names: dns.mode none leaves nothing in the manifest, as before there were names", () => {
    expect(networkOf(shop({ dns: { mode: "none" } }), "front").dns).toBeUndefined();
});

test("dns: a server answers at the gateway of the default route, by all networks with one", () => {
    expect(dns(shop(), "web")).toEqual({
        mode: "server",
        networks: ["lnback", "lnfront"],
        servers: [],
        forwards: true,
        resolver: "172.20.0.1",
        search: [],
        options: [],
    });
    expect(dns(shop(), "db")).toMatchObject({ networks: ["lnback"], forwards: false, resolver: "172.21.0.1" });
});

test("dns: of two ways out the one with the higher priority names the resolver", () => {
    let world = shop({}, { internal: false });
    expect(dns(world, "web")).toMatchObject({ resolver: "172.21.0.1" });
    world = endpoint(world, "web", "front", { gatewayPriority: 5 });
    expect(dns(world, "web")).toMatchObject({ resolver: "172.20.0.1" });
    world = endpoint(world, "web", "front", { gatewayPriority: "never" });
    expect(dns(world, "web")).toMatchObject({ resolver: "172.21.0.1" });
});

test("dns: what the sandbox says goes before what its networks say, each setting by itself", () => {
    const ofNetwork = { servers: ["192.0.2.1"], search: ["a.example", "b.example"], options: ["ndots:2"] };
    let world = shop({ dns: ofNetwork }, { dns: { servers: ["192.0.2.2", "192.0.2.1"], search: "a.example" } });
    expect(dns(world, "web")).toMatchObject({ ...ofNetwork, servers: ["192.0.2.1", "192.0.2.2"] });
    world = sandbox(world, "web", { dns: { servers: ["192.0.2.3"], options: [], domain: "c.example" } });
    expect(dns(world, "web")).toMatchObject({
        servers: ["192.0.2.3"],
        search: ["c.example", "a.example", "b.example"],
        options: [],
    });
});

test.each([
    ["server", "server", undefined, "server", ["lnback", "lnfront"], "172.20.0.1"],
    ["hosts", "server", undefined, "server", ["lnback"], "172.21.0.1"],
    ["none", "server", undefined, "server", ["lnback"], "172.21.0.1"],
    ["hosts", "hosts", undefined, "hosts", [], undefined],
    ["none", "hosts", undefined, "hosts", [], undefined],
    ["none", "none", undefined, "none", [], undefined],
    ["server", "server", "hosts", "hosts", [], undefined],
    ["server", "server", "none", "none", [], undefined],
    ["hosts", "hosts", "server", "hosts", [], undefined],
    ["none", "none", "server", "hosts", [], undefined],
])("dns: networks with %s and %s, sandbox with %s: %s", (front, back, own, mode, networks, resolver) => {
    let world = shop({ dns: { mode: front } }, { dns: { mode: back } });
    if (own !== undefined) world = sandbox(world, "web", { dns: { mode: own } });
    const { resolver: found, ...rest } = dns(world, "web");
    expect(rest).toMatchObject({ mode, networks });
    expect(found).toBe(resolver);
});

test("dns: a sandbox without networks has names only when its program gives it some", () => {
    let world = sandbox(empty, "alone");
    expect(dns(world, "alone")).toMatchObject({ mode: "none", forwards: false });
    world = sandbox(world, "alone", { extraHosts: { a: "10.0.0.1" } });
    expect(dns(world, "alone")).toMatchObject({ mode: "hosts", networks: [] });
});

test("host-gateway: the host on the network of the default route, in each family", () => {
    expect(hostGatewaysOf(sandboxOf(shop(), "web"), shop())).toEqual(["172.20.0.1", "fd12:3456:789a::1"]);
    expect(hostGatewaysOf(sandboxOf(shop(), "db"), shop())).toEqual(["172.21.0.1"]);
});

test("outputs: a sandbox shows its hostname, a network where its endpoints ask", () => {
    const world = shop({}, { dns: { mode: "hosts" } });
    expect(objectKinds.sandbox.outputs(sandboxOf(world, "db"), world, "")).toMatchObject({ hostname: "db" });
    const server = (name: string) => objectKinds.network.outputs(networkOf(world, name), world, "")["dnsServer"];
    expect([server("front"), server("back")]).toEqual(["172.20.0.1", undefined]);
});

test("hostname: a resource that is renamed is found by its new name", () => {
    const renamed = put(empty, "sandbox", "Next Web", { host: { kind: "host", id: "host.1@m1" }, name: "web" });
    expect([...renamed.objects.values()]).toMatchObject([{ hostname: "next-web" }]);
});

/** Path below /etc/netns and lines, without comments and localhost. */
function files(world: World, name: string): Record<string, readonly string[]> {
    const own = nameFiles(sandboxOf(world, name), world).flatMap((item) => (item.type === "netns-file" ? [item] : []));
    return Object.fromEntries(
        own.map(({ netns, file, lines }) => [`${netns}/${file}`, lines.filter((line) => !/^#|localhost/.test(line))]),
    );
}

test("files: with a server the hosts file has the sandbox's own names, with hosts those of all on its networks", () => {
    const own = [
        "172.21.0.3 db.back db db-123abc.back db-123abc",
        "172.21.0.1 host.docker.internal host.linuxnet.internal",
    ];
    const others = ["172.21.0.2 web.back web cache.back cache api.internal.back api.internal"];
    expect(files(shop(), "db")["db-123abc/hosts"]).toEqual(own);
    const inFiles = [own[1], others[0], own[0]];
    expect(files(shop({}, { dns: { mode: "hosts" } }), "db")["db-123abc/hosts"]).toEqual(inFiles);
    const byItself = sandbox(shop(), "db", { name: "db-123abc", dns: { mode: "hosts" } });
    expect(files(byItself, "db")["db-123abc/hosts"]).toEqual(inFiles);
    expect(files(shop({}, { dns: { mode: "none" } }), "db")).toEqual({});
});

test("files: resolv.conf names the gateway that answers, else servers, and nobody in internal networks", () => {
    const resolver = (world: World, name: string) => files(world, name)[`${sandboxOf(world, name).name}/resolv.conf`];
    expect(resolver(shop(), "web")).toEqual(["nameserver 172.20.0.1", "options ndots:0"]);
    expect(resolver(shop(), "db")).toEqual(["nameserver 172.21.0.1", "options ndots:0"]);
    const settings = { search: ["a.example", "b.example"], options: ["ndots:2", "rotate"], servers: ["192.0.2.53"] };
    expect(resolver(shop({ dns: settings }), "web")).toEqual([
        "nameserver 172.20.0.1",
        "search a.example b.example",
        "options ndots:2 rotate",
    ]);
    const inFiles = shop({ dns: { ...settings, mode: "hosts" } }, { dns: { mode: "hosts" } });
    expect(resolver(inFiles, "web")).toEqual([
        "nameserver 192.0.2.53",
        "search a.example b.example",
        "options ndots:2 rotate",
    ]);
    expect(resolver(inFiles, "db")).toEqual([]);
});

test("files: a sandbox's extraHosts go before those of its networks, and before names", () => {
    let world = shop({ dns: { mode: "hosts" }, extraHosts: { a: "192.0.2.1", b: "192.0.2.2" } });
    world = sandbox(world, "web", { extraHosts: { b: "host-gateway", db: "192.0.2.3" } });
    expect(files(world, "web")["web/hosts"]?.slice(0, 5)).toEqual([
        "192.0.2.1 a",
        "172.20.0.1 b",
        "fd12:3456:789a::1 b",
        "192.0.2.3 db",
        "172.21.0.2 web.back web",
    ]);
});

test("files: an endpoint that comes changes those of others only where names are in files", () => {
    const changed = (world: World) => {
        const after = endpoint(sandbox(world, "new"), "new", "back");
        const items = affectedItems([keyOf("endpoint", "new-back")], world, after);
        const text = ({ netns, file, lines }: { netns: string; file: string; lines: readonly string[] }) =>
            JSON.stringify([netns, file, lines]);
        const of = (list: readonly Item[]) => list.flatMap((item) => (item.type === "netns-file" ? [text(item)] : []));
        const before = new Set(of(items.before));
        return of(items.after)
            .filter((each) => !before.has(each))
            .map((each) => JSON.parse(each).slice(0, 2).join("/"))
            .sort();
    };
    expect(changed(shop({}, { dns: { mode: "hosts" } }))).toEqual(
        expect.arrayContaining(["db-123abc/hosts", "new/hosts", "web/hosts"]),
    );
    expect(changed(shop()).filter((each) => !each.startsWith("new/"))).toEqual([]);
    const one = sandbox(shop(), "db", { name: "db-123abc", dns: { mode: "hosts" } });
    expect(changed(one).filter((each) => !each.startsWith("new/"))).toEqual(["db-123abc/hosts"]);
});
