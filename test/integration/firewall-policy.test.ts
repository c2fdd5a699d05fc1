import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Joined, openStack } from "./driver.js";
import { layTestBed } from "./test-bed.js";
import { answersTo, ask, inside, run, serve, talk } from "./traffic.js";

const bed = layTestBed();
const fromHost = () => ({ machine: bed.host });
const fromClient = () => ({ machine: bed.client });

/** What everybody asks of a server with these ports. */
const questionsTo = (address: string) => [
    `tcp ${address}:80`,
    `tcp ${address}:81`,
    `udp ${address}:80`,
    `icmp ${address}`,
];

/** "80 81 udp icmp": what of a server is reached from somewhere. */
async function reached(from: Joined["place"], address: string): Promise<string> {
    const answers = await ask(from, ...questionsTo(address));
    const names = ["80", "81", "udp", "icmp"];
    return names.filter((_, i) => / to |reply/.test(answers[questionsTo(address)[i] ?? ""] ?? "")).join(" ");
}

/** Two networks: web on front; api, worker and db, which serves, on back. */
async function layOut() {
    const stack = await openStack(bed.host);
    const front = await stack.network("front", { subnet: "172.20.0.0/24" });
    const back = await stack.network("back", { subnet: "172.21.0.0/24" });
    const web = await stack.join("web", front);
    const api = await stack.join("api", back);
    const worker = await stack.join("worker", back);
    const db = await stack.join("db", back);
    const server = await serve(db.place, "db", "tcp:80", "tcp:81", "udp:80");
    return { stack, front, back, web, api, worker, db, server };
}

let layout: Awaited<ReturnType<typeof layOut>>;
beforeAll(async () => {
    layout = await layOut();
});
afterAll(async () => {
    await layout.server.stop();
    await layout.stack.destroyAll();
});

async function setBridgeNetfilter(value: "0" | "1"): Promise<AsyncDisposable> {
    const key = "/proc/sys/net/bridge/bridge-nf-call-iptables";
    const { stdout: before } = await bed.host.exec(["cat", key]);
    await bed.host.exec(`echo ${value} >${key}`);
    return { [Symbol.asyncDispose]: async () => void (await bed.host.exec(`echo ${before} >${key}`)) };
}

test.each(["0", "1"] as const)(
    "firewall policy: decides between two endpoints of one bridge, with bridge-nf-call-iptables %s",
    async (value) => {
        await using _switch = await setBridgeNetfilter(value);
        const { stack, api, worker, db } = layout;
        expect(await reached(api.place, db.address)).toBe("80 81 udp icmp");
        const ingress = [{ action: "allow", from: [api.endpoint], protocol: "tcp", ports: [80] }];
        await using policy = await stack.firewallPolicy("db-access", { target: db.endpoint, ingress });
        const answers = await Promise.all([reached(api.place, db.address), reached(worker.place, db.address)]);
        expect(answers).toEqual(["80", ""]);
        expect(await policy.refresh()).toEqual([]);
        await policy.delete();
        expect(await reached(worker.place, db.address)).toBe("80 81 udp icmp");
    },
);

test("firewall policy: rules are asked in order, policies by priority", async () => {
    const { stack, api, db } = layout;
    const allow = (...ports: number[]) => ({ action: "allow", from: [api.endpoint], ports });
    const drop = (...ports: number[]) => ({ action: "drop", from: [api.endpoint], ports });
    await using first = await stack.firewallPolicy("b", { target: db.endpoint, ingress: [drop(80), allow(80, 81)] });
    expect(await reached(api.place, db.address)).toBe("81");
    await first.update({ ingress: [allow(80, 81), drop(80)] });
    expect(await reached(api.place, db.address)).toBe("80 81");
    await using second = await stack.firewallPolicy("a", { target: db.sandbox, ingress: [drop(81)], priority: 10 });
    expect(await reached(api.place, db.address)).toBe("80 81");
    await second.update({ priority: -10 });
    expect(await reached(api.place, db.address)).toBe("80");
    // By name at equal priority: "a" comes before "b".
    await second.update({ priority: 0 });
    expect(await reached(api.place, db.address)).toBe("80");
});

test("firewall policy: peers are references, CIDRs and keywords", async () => {
    const { stack, front, back, web, api, worker, db } = layout;
    // One port for each peer.
    const peers: [unknown, string][] = [
        [api.endpoint, "api"],
        [api.sandbox, "api"],
        [back, "api worker"],
        [`${worker.address}/32`, "worker"],
        ["172.21.0.2/31", "api worker"],
        ["172.21.0.1", "host"],
        ["host", "host"],
        ["external", "client"],
        [bed.client.address, "client"],
        ["internal", "api worker"],
        ["any", "api worker host client"],
        [front, "web"],
        [[web.endpoint, "host"], "web host"],
    ];
    const ports = peers.map((_, i) => 8000 + i);
    const ingress = peers.map(([from], i) => ({ action: "allow", from, ports: [8000 + i] }));
    await using _firewallPolicy = await stack.firewallPolicy("policy", { target: db.endpoint, ingress });
    await using _portMapping = await stack.portMapping("published", {
        target: db.endpoint,
        hostPort: "8000-8020",
        targetPort: "8000-8020",
    });
    await using _db = await serve(db.place, "db", ...ports.map((port) => `tcp:${port}`));
    const places = { api: api.place, worker: worker.place, web: web.place, host: fromHost(), client: fromClient() };
    const answers = await Promise.all(
        Object.entries(places).map(async ([name, place]) => {
            const address = name === "client" ? bed.host.address : db.address;
            const answers = await ask(place, ...ports.map((port) => `tcp ${address}:${port}`));
            return ports.map((port) => (answers[`tcp ${address}:${port}`]?.startsWith("db to") ? name : ""));
        }),
    );
    const reachedBy = ports.map((_, i) => answers.flatMap((each) => each[i] || []).join(" "));
    expect(reachedBy).toEqual(peers.map(([, who]) => who));
});

test("firewall policy: an allow by reference opens exactly that path between networks", async () => {
    const { stack, front, web, api, db } = layout;
    await using other = await stack.join("other", front);
    await using _api = await serve(api.place, "api", "tcp:80");
    await using _web = await serve(web.place, "web", "tcp:80");
    const ingress = [{ action: "allow", from: [web.endpoint], ports: [80] }];
    await using policy = await stack.firewallPolicy("db-access", { target: db.endpoint, ingress });
    const [fromWeb, fromOther, elsewhere, back] = await Promise.all([
        reached(web.place, db.address),
        reached(other.place, db.address),
        ask(web.place, `tcp ${api.address}:80`),
        ask(db.place, `tcp ${web.address}:80`),
    ]);
    expect([fromWeb, fromOther]).toEqual(["80", ""]);
    expect(Object.values({ ...elsewhere, ...back })).toEqual(["nothing", "nothing"]);
    await policy.update({ ingress: [{ action: "allow", from: ["172.20.0.0/24", "any"], ports: [80] }] });
    expect(await reached(web.place, db.address)).toBe("");
});

test("firewall policy: an allow by reference does not open an internal network", async () => {
    await using stack = await openStack(bed.host, { name: "other" });
    const front = await stack.network("front", { subnet: "172.30.0.0/24" });
    const data = await stack.network("data", { subnet: "172.31.0.0/24", internal: true });
    const web = await stack.join("web", front);
    const db = await stack.join("db", data);
    await using _db = await serve(db.place, "db", "tcp:80");
    await run(db.place, "ip route add default via 172.31.0.1");
    await using _firewallPolicy = await stack.firewallPolicy("open", {
        target: db.endpoint,
        ingress: [{ action: "allow", from: [web.endpoint] }],
    });
    const closed = { [`tcp ${db.address}:80`]: "nothing" };
    expect(await answersTo(web.place, closed)).toEqual(closed);
});

test.each([
    ["drop", "nothing"],
    ["reject", "unreachable"],
    ["allow", "db to 172.21.0.2"],
] as const)("firewall policy: defaultAction %s answers a stranger with: %s", async (defaultAction, answer) => {
    const { stack, api, db } = layout;
    expect(api.address).toBe("172.21.0.2");
    const rules = [{ action: "drop", from: ["any"], ports: [81] }];
    await using _firewallPolicy = await stack.firewallPolicy("policy", {
        target: db.endpoint,
        ingress: rules,
        defaultAction,
    });
    const expected = {
        [`tcp ${db.address}:80`]: answer,
        [`udp ${db.address}:80`]: answer,
        [`tcp ${db.address}:81`]: "nothing",
    };
    const began = performance.now();
    expect(await answersTo(api.place, expected)).toEqual(expected);
    expect(performance.now() - began).toBeLessThan(5000);
    await using _host = await serve(fromHost(), "host", "tcp:82");
    if (defaultAction !== "allow") {
        const fromOwnHost = { [`tcp ${db.address}:80`]: answer };
        expect(await answersTo(fromHost(), fromOwnHost)).toEqual(fromOwnHost);
    }
});

test("firewall policy: a reject answers at once", async () => {
    const { stack, api, db } = layout;
    const rules = [{ action: "reject", from: ["any"] }];
    await using _firewallPolicy = await stack.firewallPolicy("policy", { target: db.endpoint, ingress: rules });
    const script = `const began = Date.now(); require("net").connect(80, "${db.address}").on("error", (e) => console.log(e.code, Date.now() - began < 400))`;
    expect(await run(api.place, [process.execPath, "-e", script])).toBe("EHOSTUNREACH true");
});

test("firewall policy: protocols are told apart", async () => {
    const { stack, api, db } = layout;
    await using policy = await stack.firewallPolicy("policy", { target: db.endpoint, ingress: [] });
    const cases: [object, string][] = [
        [{}, "80 81 udp icmp"],
        [{ protocol: "tcp" }, "80 81"],
        [{ protocol: "icmp" }, "icmp"],
        [{ protocol: 17 }, "udp"],
        [{ protocol: ["tcp", "udp"], ports: [80] }, "80 udp"],
        [{ ports: ["80/udp", 81] }, "81 udp"],
    ];
    for (const [rule, answer] of cases) {
        await policy.update({ ingress: [{ action: "allow", from: ["any"], ...rule }] });
        expect(await reached(api.place, db.address), JSON.stringify(rule)).toBe(answer);
    }
});

test("firewall policy: egress decides what an endpoint may reach", async () => {
    const { stack, front, api, worker, db, web } = layout;
    await using _client = await serve(fromClient(), "client", "tcp:80", "tcp:81");
    await using _host = await serve(fromHost(), "host", "tcp:82");
    await using _web = await serve(web.place, "web", "tcp:80");
    const out = `tcp ${bed.client.address}:80`;
    const out81 = `tcp ${bed.client.address}:81`;
    const gateway = "tcp 172.21.0.1:82";
    const egress = [
        { action: "drop", to: [bed.client.address], ports: [81] },
        { action: "allow", to: ["external", db.endpoint], protocol: "tcp" },
    ];
    await using policy = await stack.firewallPolicy("policy", { target: api.endpoint, egress });
    const expected = { [out]: `client to ${bed.host.address}`, [out81]: "nothing", [gateway]: "nothing" };
    expect(await answersTo(api.place, expected)).toEqual(expected);
    expect(await reached(api.place, db.address)).toBe("80 81");
    expect(await reached(worker.place, db.address)).toBe("80 81 udp icmp");
    await policy.update({ egress: [], defaultAction: "reject" });
    const nothing = { [out]: "unreachable", [gateway]: "unreachable", [`tcp ${db.address}:80`]: "unreachable" };
    expect(await answersTo(api.place, nothing)).toEqual(nothing);
    // Both must allow: the egress of the source and the ingress of the target.
    await policy.update({ egress: [{ action: "allow", to: ["any"] }], defaultAction: "drop" });
    expect(await reached(api.place, db.address)).toBe("80 81 udp icmp");
    await using _firewallPolicy = await stack.firewallPolicy("in", {
        target: db.endpoint,
        ingress: [{ action: "allow", ports: [81] }],
    });
    expect(await reached(api.place, db.address)).toBe("81");
    // An egress alone opens no path between networks.
    await policy.update({ egress: [{ action: "allow", to: [front] }] });
    expect(await reached(api.place, web.address)).toBe("");
    await policy.update({ egress: [{ action: "allow", to: ["host"] }] });
    const host = { [gateway]: `host to ${api.address}`, [out]: "nothing" };
    expect(await answersTo(api.place, host)).toEqual(host);
});

test("firewall policy: on a network it covers its endpoints, also those that come later", async () => {
    const { stack, back, api, worker } = layout;
    await using policy = await stack.firewallPolicy("back", {
        target: back,
        ingress: [{ action: "allow", from: [api.endpoint], ports: [80] }],
    });
    await using late = await stack.join("late", back);
    await using _late = await serve(late.place, "late", "tcp:80", "tcp:81", "udp:80");
    const answers = await Promise.all([
        reached(api.place, late.address),
        reached(worker.place, late.address),
        reached(fromHost(), late.address),
    ]);
    expect(answers).toEqual(["80", "", ""]);
    // A peer's endpoint that comes later is known too.
    await using guest = await stack.sandbox("guest");
    await policy.update({ ingress: [{ action: "allow", from: [api.sandbox, guest], ports: [81] }] });
    await using attached = await stack.endpoint("guest-back", { sandbox: guest, network: back });
    expect(await reached(inside(bed.host, guest), late.address)).toBe("81");
    expect(await attached.update({ ipv4Address: "172.21.0.77" })).toBe("update");
    expect(await reached(inside(bed.host, guest), late.address)).toBe("81");
    for (const resource of [policy, late.endpoint, attached]) expect(await resource.refresh()).toEqual([]);
});

test("firewall policy: established connections go on when it comes", async () => {
    const { stack, api, db } = layout;
    await using connection = await talk(api.place, `tcp ${db.address}:80`);
    await using _firewallPolicy = await stack.firewallPolicy("closed", {
        target: db.endpoint,
        ingress: [],
        egress: [],
    });
    expect(await connection.next()).toContain("db to");
    expect(await reached(api.place, db.address)).toBe("");
});

test("firewall policy: published traffic is judged by its outside source", async () => {
    const { stack, db, web } = layout;
    await using _portMapping = await stack.portMapping("http", {
        target: db.endpoint,
        hostPort: 8080,
        targetPort: 80,
        protocol: ["tcp", "udp"],
    });
    await using policy = await stack.firewallPolicy("policy", {
        target: db.endpoint,
        ingress: [{ action: "allow", from: [`${bed.client.address}/32`], protocol: ["tcp", "udp"], ports: [80] }],
    });
    const answer = `db to ${bed.client.address}`;
    const open = { [`tcp ${bed.host.address}:8080`]: answer, [`udp ${bed.host.address}:8080`]: answer };
    const closed = { [`tcp ${bed.host.address}:8080`]: "nothing" };
    expect(await answersTo(fromClient(), open)).toEqual(open);
    expect(await answersTo(web.place, closed)).toEqual(closed);
    expect(await answersTo(fromHost(), closed)).toEqual(closed);
    await policy.update({ ingress: [{ action: "allow", from: ["203.0.113.0/24"] }] });
    expect(await answersTo(fromClient(), closed)).toEqual(closed);
});

test("firewall policy: broadcasts do not reach a guarded endpoint", async () => {
    const { stack, api, worker, db, server } = layout;
    await using _db = server;
    await using open = await serve(worker.place, "worker", "udp:80");
    const shout = async () => {
        const script = `const s = require("dgram").createSocket("udp4"); s.bind(0, () => { s.setBroadcast(true);
            let left = 2; for (const a of ["172.21.0.255", "255.255.255.255"]) s.send("shout", 80, a, () => { if (--left === 0) s.close(); }); })`;
        await run(api.place, [process.execPath, "-e", script]);
        await sleep(150);
    };
    await shout();
    expect(server.output()).toContain("got shout");
    await using _firewallPolicy = await stack.firewallPolicy("closed", { target: db.endpoint, ingress: [] });
    const before = [server.output().length, open.output().length];
    await shout();
    expect(server.output().length).toBe(before[0]);
    expect(open.output().length).toBeGreaterThan(before[1] ?? 0);
});

test("firewall policy: a peer or target that is gone is refused by name", async () => {
    const { stack, back, db } = layout;
    const gone = await stack.join("gone", back);
    await gone.endpoint.delete();
    await expect(
        stack.firewallPolicy("policy", { target: db.endpoint, ingress: [{ action: "allow", from: [gone.endpoint] }] }),
    ).rejects.toThrow("ingress[0].from[0] is not on the host any more");
    await gone[Symbol.asyncDispose]();
});
