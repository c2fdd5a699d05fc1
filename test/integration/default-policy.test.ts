import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "vitest";
import { openStack } from "./driver.js";
import { flood } from "./flood.js";
import { layTestBed } from "./test-bed.js";
import { answersTo, inside, run, serve } from "./traffic.js";

const bed = layTestBed();
const fromHost = () => ({ machine: bed.host });
const fromClient = () => ({ machine: bed.client });
const subnet = "172.20.0.0/24";

test("network: defaultPolicy deny closes both directions until a policy allows, and again after it", async () => {
    await using stack = await openStack(bed.host);
    const vault = await stack.network("vault", { subnet, defaultPolicy: "deny" });
    const api = await stack.join("api", vault);
    const db = await stack.join("db", vault);
    await using _db = await serve(db.place, "db", "tcp:80", "udp:80");
    await using _host = await serve(fromHost(), "host", "tcp:81");
    await using _client = await serve(fromClient(), "client", "tcp:82");
    await stack.portMapping("http", { target: db.endpoint, hostPort: 8080, targetPort: 80 });
    const closed = async () => {
        const toDb = { [`tcp ${db.address}:80`]: "nothing", [`udp ${db.address}:80`]: "nothing" };
        const fromApi = {
            ...toDb,
            [`icmp ${db.address}`]: "nothing",
            "tcp 172.20.0.1:81": "nothing",
            "icmp 172.20.0.1": "nothing",
            [`tcp ${bed.host.address}:81`]: "nothing",
            [`tcp ${bed.client.address}:82`]: "nothing",
        };
        const fromOutside = { [`tcp ${bed.host.address}:8080`]: "nothing" };
        // What the host itself may not send, its own programs are told.
        const ofHost = { ...toDb, [`udp ${db.address}:80`]: "EPERM", ...fromOutside, "tcp 127.0.0.1:8080": "nothing" };
        const answers = await Promise.all([
            answersTo(api.place, fromApi),
            answersTo(fromHost(), ofHost),
            answersTo(fromClient(), fromOutside),
        ]);
        expect(answers).toEqual([fromApi, ofHost, fromOutside]);
        // ARP always passes: what does not answer is known all the same.
        expect(await run(api.place, `ip neigh show ${db.address}`)).toContain("lladdr");
    };
    await closed();
    await using ingress = await stack.firewallPolicy("in", {
        target: db.endpoint,
        ingress: [
            { action: "allow", from: [api.endpoint], protocol: "udp", ports: [80] },
            { action: "allow", from: ["host", "external"], ports: [80] },
        ],
    });
    await using egress = await stack.firewallPolicy("out", {
        target: api.sandbox,
        egress: [{ action: "allow", to: [db.endpoint, "host"] }],
    });
    const fromApi = {
        [`udp ${db.address}:80`]: `db to ${api.address}`,
        [`tcp ${db.address}:80`]: "nothing",
        "tcp 172.20.0.1:81": `host to ${api.address}`,
        [`tcp ${bed.client.address}:82`]: "nothing",
    };
    const published = { [`tcp ${bed.host.address}:8080`]: `db to ${bed.client.address}` };
    const ofHost = { "tcp 127.0.0.1:8080": "db to 172.20.0.1", [`udp ${db.address}:80`]: "EPERM" };
    const answers = await Promise.all([
        answersTo(api.place, fromApi),
        answersTo(fromClient(), published),
        answersTo(fromHost(), ofHost),
    ]);
    expect(answers).toEqual([fromApi, published, ofHost]);
    expect(await vault.refresh()).toEqual([]);
    await ingress.delete();
    await egress.delete();
    await closed();
});

test("network: under a flood of attempts a denied endpoint is closed from before its first to after its last moment", async () => {
    await using stack = await openStack(bed.host);
    const vault = await stack.network("vault", { subnet, defaultPolicy: "deny" });
    const front = await stack.network("front", { subnet: "172.21.0.0/24" });
    const api = await stack.join("api", vault, { ipv4Address: "172.20.0.20" });
    const web = await stack.join("web", front);
    const db = await stack.sandbox("db");
    await using _route = await bed.routeOutside(subnet);
    const [before, after] = ["172.20.0.30", "172.20.0.31"];
    const dbItself = [`${before}:80`, `${after}:80`];
    const published = `${bed.host.address}:8080`;
    await using toApi = await flood(api.place, ...dbItself);
    await using toWeb = await flood(web.place, ...dbItself, published);
    await using toHost = await flood(fromHost(), ...dbItself, published);
    await using toClient = await flood(fromClient(), ...dbItself, published);
    await using toDb = await flood(
        inside(bed.host, db),
        ...[`${api.address}:80`, "172.20.0.1:80", `${bed.host.address}:80`, `${bed.client.address}:80`],
    );
    const nobody = "203.0.113.99";
    const connect = () => stack.endpoint("db-vault", { sandbox: db, network: vault, ipv4Address: before });
    const publish = (target: unknown) =>
        stack.portMapping("http", { target, hostPort: 8080, targetPort: 80, protocol: ["tcp", "udp"] });
    const arrived = () => [toApi, toWeb, toHost, toClient, toDb].map((place) => place.arrived());

    const endpoint = await connect();
    const mapping = await publish(endpoint);
    const policy = await stack.firewallPolicy("db", {
        target: endpoint,
        ingress: [{ action: "allow", from: [nobody] }],
        egress: [{ action: "allow", to: [nobody] }],
    });
    await policy.update({ ingress: [{ action: "allow", from: [nobody], ports: [80] }] });
    await policy.update({ egress: undefined });
    expect(await endpoint.update({ ipv4Address: after })).toBe("update");
    await vault.update({ labels: { a: "b" } });
    await policy.delete();
    await mapping.update({ hostPort: "8080-8081", targetPort: "80-81" });
    await sleep(300);
    await mapping.delete();
    await endpoint.delete();
    expect(arrived()).toEqual([[], [], [], [], []]);

    // The same flood gets in and out of the same endpoint where nothing denies it.
    await vault.update({ defaultPolicy: "network" });
    await publish(await connect());
    const both = (address: string) => [`tcp from ${address}`, `udp from ${address}`];
    const expected = [
        both(before),
        [],
        both(before),
        both(bed.host.address),
        ["172.20.0.1", api.address, web.address, bed.client.address, bed.host.address].flatMap(both).sort(),
    ];
    await expect.poll(arrived, { timeout: 10_000 }).toEqual(expected);
});

test("network: hostAccess false keeps its endpoints and the host apart, but for published ports", async () => {
    await using stack = await openStack(bed.host);
    const front = await stack.network("front", { subnet, hostAccess: false });
    const web = await stack.join("web", front);
    const api = await stack.join("api", front);
    await using _web = await serve(web.place, "web", "tcp:80");
    await using _host = await serve(fromHost(), "host", "tcp:81");
    await using _client = await serve(fromClient(), "client", "tcp:82");
    await stack.portMapping("http", { target: web.endpoint, hostPort: 8080, targetPort: 80 });
    const fromApi = {
        "tcp 172.20.0.1:81": "nothing",
        "icmp 172.20.0.1": "nothing",
        [`tcp ${bed.host.address}:81`]: "nothing",
        // Hairpin: by its gateway, as everybody of the own network.
        [`tcp ${bed.host.address}:8080`]: "web to 172.20.0.1",
        [`tcp ${bed.client.address}:82`]: `client to ${bed.host.address}`,
        [`tcp ${web.address}:80`]: `web to ${api.address}`,
    };
    const ofHost = { [`tcp ${web.address}:80`]: "nothing", "tcp 127.0.0.1:8080": "web to 172.20.0.1" };
    const [answers, hostAnswers] = await Promise.all([answersTo(api.place, fromApi), answersTo(fromHost(), ofHost)]);
    expect([answers, hostAnswers]).toEqual([fromApi, ofHost]);
    expect(await front.refresh()).toEqual([]);
    await front.update({ hostAccess: undefined });
    const open = { "tcp 172.20.0.1:81": `host to ${api.address}` };
    expect(await answersTo(api.place, open)).toEqual(open);
});

test("network: directAccess lets the outside reach addresses of endpoints where a policy allows it", async () => {
    await using stack = await openStack(bed.host);
    const routed = await stack.network("routed", { subnet, directAccess: true, masquerade: false });
    const back = await stack.network("back", { subnet: "172.21.0.0/24" });
    const web = await stack.join("web", routed);
    const other = await stack.join("other", routed);
    const worker = await stack.join("worker", back);
    await using _web = await serve(web.place, "web", "tcp:80", "tcp:81", "udp:80");
    await using _other = await serve(other.place, "other", "tcp:80");
    await using _client = await serve(fromClient(), "client", "tcp:82");
    await using _route = await bed.routeOutside(subnet, "172.21.0.0/24");
    const to = (place: { address: string }, port: number) => `tcp ${place.address}:${port}`;
    const closed = { [to(web, 80)]: "nothing", [to(other, 80)]: "nothing", [`icmp ${web.address}`]: "nothing" };
    expect(await answersTo(fromClient(), closed)).toEqual(closed);
    await using policy = await stack.firewallPolicy("web", {
        target: web.endpoint,
        ingress: [{ action: "allow", from: [bed.client.address], protocol: ["tcp", "udp"], ports: [80] }],
    });
    // Both sides see the other's own address.
    const open = {
        ...closed,
        [to(web, 80)]: `web to ${bed.client.address}`,
        [`udp ${web.address}:80`]: `web to ${bed.client.address}`,
        [to(web, 81)]: "nothing",
        "tcp 172.20.0.1:22": "nothing",
    };
    const out = { [`tcp ${bed.client.address}:82`]: `client to ${web.address}` };
    const fromWorker = { [to(web, 80)]: "nothing" };
    const answers = await Promise.all([
        answersTo(fromClient(), open),
        answersTo(web.place, out),
        answersTo(worker.place, fromWorker),
    ]);
    expect(answers).toEqual([open, out, fromWorker]);
    await routed.update({ directAccess: false });
    expect(await answersTo(fromClient(), closed)).toEqual(closed);
    expect(await policy.refresh()).toEqual([]);
});
