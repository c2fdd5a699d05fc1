import { expect, test } from "vitest";
import { openStack, reconnect } from "./driver.js";
import { layTestBed } from "./test-bed.js";
import { answersTo, run, serve, talk } from "./traffic.js";

const bed = layTestBed();
const gateway = { front: "172.20.0.1", back: "172.21.0.1" };

const linkOf = async (name: string, sandbox?: string) => {
    const { stdout } = await bed.host.exec(["ip", "-json", "-details", "link", "show", "dev", name], { sandbox });
    return JSON.parse(stdout)[0];
};

test("network: sandboxes reach their gateway, each other, the host and the outside", async () => {
    await using stack = await openStack(bed.host);
    const front = await stack.network("front", { subnet: "172.20.0.0/24" });
    const web = await stack.join("web", front);
    const api = await stack.join("api", front);
    await using _api = await serve(api.place, "api", "tcp:80", "udp:53");
    await using _host = await serve({ machine: bed.host }, "host", "tcp:81");
    await using _client = await serve({ machine: bed.client }, "client", "tcp:82", "udp:82");
    const expected = {
        [`icmp ${gateway.front}`]: "reply",
        [`icmp ${api.address}`]: "reply",
        [`tcp ${api.address}:80`]: `api to ${web.address}`,
        [`udp ${api.address}:53`]: `api to ${web.address}`,
        [`tcp ${gateway.front}:81`]: `host to ${web.address}`,
        [`tcp ${bed.host.address}:81`]: `host to ${web.address}`,
        [`tcp ${bed.client.address}:82`]: `client to ${bed.host.address}`,
        [`udp ${bed.client.address}:82`]: `client to ${bed.host.address}`,
        [`icmp ${bed.client.address}`]: "reply",
    };
    expect(await answersTo(web.place, expected)).toEqual(expected);
    const fromHost = {
        [`tcp ${api.address}:80`]: `api to ${gateway.front}`,
        [`tcp ${gateway.front}:81`]: `host to ${gateway.front}`,
        [`icmp ${web.address}`]: "reply",
    };
    expect(await answersTo({ machine: bed.host }, fromHost)).toEqual(fromHost);
});

test("network: without masquerade the outside sees the sandbox's own address", async () => {
    await using stack = await openStack(bed.host);
    const front = await stack.network("front", { subnet: "172.20.0.0/24", masquerade: false });
    const web = await stack.join("web", front);
    await using _route = await bed.routeOutside("172.20.0.0/24");
    await using _client = await serve({ machine: bed.client }, "client", "tcp:82", "udp:82");
    const question = `tcp ${bed.client.address}:82`;
    const asItself = {
        [question]: `client to ${web.address}`,
        [`udp ${bed.client.address}:82`]: `client to ${web.address}`,
    };
    expect(await answersTo(web.place, asItself)).toEqual(asItself);
    expect(await front.update({ masquerade: true })).toBe("update");
    const asHost = { [question]: `client to ${bed.host.address}` };
    expect(await answersTo(web.place, asHost)).toEqual(asHost);
});

test("network: without a subnet it has one that nothing on the host is in, from the Host's pools", async () => {
    await bed.host.exec("ip link add taken0 up type bridge && ip addr add 10.99.0.7/24 dev taken0");
    await using _ = { [Symbol.asyncDispose]: async () => void (await bed.host.exec("ip link del taken0")) };
    await reconnect();
    await using stack = await openStack(bed.host, { host: { addressPools: [{ base: "10.99.0.0/22", size: 24 }] } });
    // At once: no two get the same one.
    const networks = await Promise.all(["a", "b"].map((name) => stack.network(name)));
    expect(networks.map(({ outs }) => outs.subnets[0]).sort()).toEqual(["10.99.1.0/24", "10.99.2.0/24"]);
    const [first] = networks;
    const [web, api] = [await stack.join("web", first as never), await stack.join("api", first as never)];
    await using _api = await serve(api.place, "api", "tcp:80");
    const expected = { [`tcp ${api.address}:80`]: `api to ${web.address}` };
    expect(await answersTo(web.place, expected)).toEqual(expected);
    // It stays, whatever changes.
    const subnet = first?.outs.subnets;
    expect(await first?.update({ masquerade: false })).toBe("update");
    expect([first?.outs.subnets, await first?.refresh()]).toEqual([subnet, []]);
    await stack.network("c");
    await expect(stack.network("d")).rejects.toThrow("have no free subnet left (10.99.0.0/22 in /24s)");
});

test("network: networks are closed to each other, and to the outside", async () => {
    await using stack = await openStack(bed.host);
    const front = await stack.network("front", { subnet: "172.20.0.0/24" });
    const back = await stack.network("back", { subnet: "172.21.0.0/24" });
    const web = await stack.join("web", front);
    const db = await stack.join("db", back);
    await using _web = await serve(web.place, "web", "tcp:80", "udp:80");
    await using _db = await serve(db.place, "db", "tcp:80", "udp:80");
    await using _host = await serve({ machine: bed.host }, "host", "tcp:81");
    await using _route = await bed.routeOutside("172.20.0.0/24", "172.21.0.0/24");
    const nothing = (address: string) => ({
        [`icmp ${address}`]: "nothing",
        [`tcp ${address}:80`]: "nothing",
        [`udp ${address}:80`]: "nothing",
    });
    const fromWeb = {
        ...nothing(db.address),
        [`tcp ${gateway.back}:81`]: "nothing",
        [`icmp ${gateway.back}`]: "nothing",
    };
    const fromDb = { ...nothing(web.address), [`tcp ${gateway.front}:81`]: "nothing" };
    // A gateway address is of the host, but nobody outside its network talks to it.
    const fromOutside = { ...nothing(web.address), ...nothing(db.address), [`tcp ${gateway.front}:81`]: "nothing" };
    const answers = await Promise.all([
        answersTo(web.place, fromWeb),
        answersTo(db.place, fromDb),
        answersTo({ machine: bed.client }, fromOutside),
    ]);
    expect(answers).toEqual([fromWeb, fromDb, fromOutside]);
});

test("network: internal lets nothing in or out but the host's gateway address", async () => {
    await using stack = await openStack(bed.host);
    const front = await stack.network("front", { subnet: "172.20.0.0/24" });
    const data = await stack.network("data", { subnet: "172.21.0.0/24", internal: true });
    const web = await stack.join("web", front);
    const db = await stack.join("db", data);
    const cache = await stack.join("cache", data);
    await using _web = await serve(web.place, "web", "tcp:80");
    await using _db = await serve(db.place, "db", "tcp:80");
    await using _cache = await serve(cache.place, "cache", "tcp:80");
    await using _host = await serve({ machine: bed.host }, "host", "tcp:81", "udp:81");
    await using _client = await serve({ machine: bed.client }, "client", "tcp:82", "udp:82");
    await stack.portMapping("http", { target: web.endpoint, hostPort: 8080, targetPort: 80 });
    await using _route = await bed.routeOutside("172.21.0.0/24");
    const unreached = {
        [`tcp ${gateway.front}:81`]: "nothing",
        [`tcp ${bed.host.address}:81`]: "nothing",
        [`udp ${bed.host.address}:81`]: "nothing",
        [`tcp ${bed.host.address}:8080`]: "nothing",
        [`tcp ${gateway.back}:8080`]: "nothing",
        [`icmp ${bed.host.address}`]: "nothing",
        [`tcp ${web.address}:80`]: "nothing",
        [`tcp ${bed.client.address}:82`]: "nothing",
        [`udp ${bed.client.address}:82`]: "nothing",
    };
    const reached = { ["icmp 172.21.0.1"]: "reply", [`tcp ${cache.address}:80`]: `cache to ${db.address}` };
    const withoutRoute = await answersTo(db.place, unreached);
    // Without a default route the sandbox knows by itself; with one the host has to refuse.
    expect(new Set(Object.values(withoutRoute))).toEqual(new Set(["unreachable", "nothing"]));
    await run(db.place, `ip route add default via 172.21.0.1`);
    const fromDb = { ...unreached, ...reached };
    expect(await answersTo(db.place, fromDb)).toEqual(fromDb);
    const nobody = { [`tcp ${db.address}:80`]: "nothing", [`icmp ${db.address}`]: "nothing" };
    const [fromWeb, fromClient] = await Promise.all([
        answersTo(web.place, nobody),
        answersTo({ machine: bed.client }, nobody),
    ]);
    expect([fromWeb, fromClient]).toEqual([nobody, nobody]);
});

test("network: isolateEndpoints keeps neighbours apart, also by way of the gateway", async () => {
    await using stack = await openStack(bed.host);
    const front = await stack.network("front", { subnet: "172.20.0.0/24", isolateEndpoints: true });
    const web = await stack.join("web", front);
    const api = await stack.join("api", front);
    await using _api = await serve(api.place, "api", "tcp:80", "udp:80");
    await using _client = await serve({ machine: bed.client }, "client", "tcp:82");
    const closed = {
        [`tcp ${api.address}:80`]: "nothing",
        [`udp ${api.address}:80`]: "nothing",
        [`icmp ${api.address}`]: "nothing",
        [`icmp ${gateway.front}`]: "reply",
        [`tcp ${bed.client.address}:82`]: `client to ${bed.host.address}`,
    };
    expect(await answersTo(web.place, closed)).toEqual(closed);
    for (const [from, to] of [
        [web, api],
        [api, web],
    ] as const) {
        await run(from.place, `ip route add ${to.address} via ${gateway.front}`);
    }
    expect(await answersTo(web.place, closed)).toEqual(closed);
    expect(await front.update({ isolateEndpoints: false })).toBe("update");
    const open = { [`tcp ${api.address}:80`]: `api to ${web.address}` };
    expect(await answersTo(web.place, open)).toEqual(open);
});

test("network: mtu is that of the bridge and of both ends of every endpoint, also after a change", async () => {
    await using stack = await openStack(bed.host);
    const front = await stack.network("front", { subnet: "172.20.0.0/24", mtu: 1400 });
    const web = await stack.join("web", front);
    const { hostInterface, interfaceName } = web.endpoint.outs;
    const mtus = async () => [
        (await linkOf(front.outs.interfaceName)).mtu,
        (await linkOf(hostInterface)).mtu,
        (await linkOf(interfaceName, web.sandbox.outs.name)).mtu,
    ];
    expect(await mtus()).toEqual([1400, 1400, 1400]);
    expect(await front.update({ mtu: 9000 })).toBe("update");
    expect(await mtus()).toEqual([9000, 9000, 9000]);
    const api = await stack.join("api", front);
    await run(web.place, `ping -c1 -W1 -M do -s 8972 ${api.address}`);
    expect(await front.update({ mtu: 1300 })).toBe("update");
    expect(await mtus()).toEqual([1300, 1300, 1300]);
});

test("network: changes in place leave connections alone, on it and on others", async () => {
    await using stack = await openStack(bed.host);
    const front = await stack.network("front", { subnet: "172.20.0.0/24" });
    const back = await stack.network("back", { subnet: "172.21.0.0/24" });
    const web = await stack.join("web", front);
    const api = await stack.join("api", front);
    const worker = await stack.join("worker", back);
    const queue = await stack.join("queue", back);
    await using _api = await serve(api.place, "api", "tcp:80");
    await using _queue = await serve(queue.place, "queue", "tcp:80");
    await using _client = await serve({ machine: bed.client }, "client", "tcp:82");
    await using untouched = await talk(web.place, `tcp ${api.address}:80`);
    await using onIt = await talk(worker.place, `tcp ${queue.address}:80`);
    const outside = `tcp ${bed.client.address}:82`;
    const changes = [
        { labels: { team: "a" } },
        { internal: true },
        { internal: false },
        { masquerade: false },
        { mtu: 1400 },
    ];
    for (const change of changes) {
        expect(await back.update(change), JSON.stringify(change)).toBe("update");
        await untouched.next();
        await onIt.next();
        const { [outside]: answer } = await answersTo(worker.place, { [outside]: "" });
        if ("internal" in change && change.internal) expect(answer).toBe("unreachable");
        else if ("internal" in change) expect(answer).toBe(`client to ${bed.host.address}`);
    }
    expect(await back.update({})).toBe("same");
    expect(await back.refresh()).toEqual([]);
});

test("network: a changed gateway moves in place, with the routes of its sandboxes", async () => {
    await using stack = await openStack(bed.host);
    const front = await stack.network("front", { subnet: "172.20.0.0/24" });
    const web = await stack.join("web", front);
    await using _client = await serve({ machine: bed.client }, "client", "tcp:82");
    expect(await front.update({ gateway: "172.20.0.254" })).toBe("update");
    const expected = {
        "icmp 172.20.0.254": "reply",
        "icmp 172.20.0.1": "nothing",
        [`tcp ${bed.client.address}:82`]: `client to ${bed.host.address}`,
    };
    expect(await answersTo(web.place, expected)).toEqual(expected);
    expect(await front.refresh()).toEqual([]);
    expect(await web.endpoint.refresh()).toEqual([]);
});

test("network: a changed subnet replaces it", async () => {
    await using stack = await openStack(bed.host);
    const front = await stack.network("front", { subnet: "172.20.0.0/24" });
    const { id } = front;
    expect(await front.update({ subnet: "172.30.0.0/24" })).toBe("replace");
    expect(front.id).not.toBe(id);
    const web = await stack.join("web", front);
    expect(web.address).toBe("172.30.0.2");
});

test("network: a subnet in use is refused, naming the holder", async () => {
    await using stack = await openStack(bed.host);
    await using other = await openStack(bed.host, { name: "prod" });
    await other.network("front", { subnet: "172.20.0.0/16" });
    const underlay = bed.host.address.replace(/\d+$/, "0/25");
    await expect(stack.network("front", { subnet: "172.20.8.0/24" })).rejects.toThrow(
        'subnet 172.20.8.0/24 overlaps 172.20.0.0/16 of network "front" of stack test/prod',
    );
    await expect(stack.network("front", { subnet: underlay })).rejects.toThrow(
        `subnet ${underlay} overlaps ${bed.host.address}/24 of the host's interface eth0`,
    );
});

test("network: a subnet that the host has a route to is refused, naming the route", async () => {
    await bed.host.exec(`ip route add 172.31.0.0/16 via ${bed.client.address}`);
    await using stack = await openStack(bed.host, { connection: { keepAliveMs: 9000 } });
    await expect(stack.network("front", { subnet: "172.31.5.0/24" })).rejects.toThrow(
        "subnet 172.31.5.0/24 overlaps the host's route to 172.31.0.0/16 over eth0",
    );
    await bed.host.exec("ip route del 172.31.0.0/16");
});
