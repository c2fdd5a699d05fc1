import { afterAll, beforeAll, expect, test } from "vitest";
import type { LabProcess } from "../../lab/index.js";
import type { Joined } from "./driver.js";
import { type End, laySegment, seen } from "./segment.js";
import { layTestBed } from "./test-bed.js";
import { answersTo, ask, countFrames, type Place, serve, talk, tally } from "./traffic.js";

/*
 * One segment 10.90.0.0/16 over three hosts: a (10.90.1.0/24), b (10.90.2.0/24) and c (10.90.3.0/24).
 *   web and other on a; db and aux on b, which answer on 80 and 81, tcp and udp; app on c
 */
const bed = layTestBed(3);

let ends: [End, End, End];
const servers: LabProcess[] = [];

beforeAll(async () => {
    const names = [["web", "other"], ["db", "aux"], ["app"]];
    ends = (await laySegment(bed.hosts, names, { prefix: "10.90" })) as typeof ends;
    const ports = ["tcp:80", "udp:80", "tcp:81", "udp:81"];
    for (const name of ["db", "aux"]) servers.push(await serve(at(name).place, name, ...ports));
    servers.push(await serve(at("web").place, "web", ...ports));
});

afterAll(async () => {
    for (const server of servers) await server.stop();
    for (const { stack } of ends) await stack.destroyAll();
});

function at(name: string): Joined {
    const found = ends.map(({ joined }) => joined[name]).find((each) => each !== undefined);
    if (found === undefined) throw new Error(`there is no sandbox ${name}`);
    return found;
}

/** What everybody gets from a server's ports: places by name, each with the answers of `tcp 80`, `tcp 81`, `udp 80`, `icmp`. */
async function expectMatrix(server: string, rows: Record<string, [place: Place, ...answers: string[]]>) {
    const { address } = at(server);
    const questions = [`tcp ${address}:80`, `tcp ${address}:81`, `udp ${address}:80`, `icmp ${address}`];
    const seenBy = await Promise.all(
        Object.entries(rows).map(async ([name, [place, ...answers]]) => {
            const expected = Object.fromEntries(questions.map((question, i) => [question, answers[i] ?? "nothing"]));
            return [name, await answersTo(place, expected), expected] as const;
        }),
    );
    const table = (column: 1 | 2) => Object.fromEntries(seenBy.map((row) => [row[0], row[column]]));
    expect(table(1)).toEqual(table(2));
}

test("policy: rules about endpoints, networks and the whole segment judge who is on other hosts", async () => {
    const [a, b, c] = ends;
    const [web, other, aux, app] = ["web", "other", "aux", "app"].map(at) as [Joined, Joined, Joined, Joined];
    const to = (place: { address: string }) => `db to ${place.address}`;
    await using policy = await b.stack.firewallPolicy("db", {
        target: at("db").endpoint,
        ingress: [
            { action: "allow", from: [seen(web.endpoint), aux.endpoint], ports: 80 },
            { action: "allow", from: seen(c.network), ports: 81 },
            { action: "reject", from: seen(other.endpoint), protocol: "icmp" },
        ],
    });
    const rows = {
        web: [web.place, to(web)],
        other: [other.place, "nothing", "nothing", "nothing", "unreachable"],
        aux: [aux.place, to(aux)],
        app: [app.place, "nothing", to(app)],
        "host a": [a.place],
        "host c": [c.place, "nothing", "db to 10.90.3.1"],
    } as Record<string, [Place, ...string[]]>;
    await expectMatrix("db", rows);
    expect(await policy.refresh()).toEqual([]);

    // An own network is its part on this host; the segment is all of it.
    await policy.update({ ingress: [{ action: "allow", from: b.network }] });
    const all = (place: { address: string }) => [to(place), to(place), to(place), "reply"];
    await expectMatrix("db", { aux: [aux.place, ...all(aux)], web: [web.place], app: [app.place] });
    const segment = { kind: "overlay-network", networks: ends.map(({ network: { kind, id } }) => ({ kind, id })) };
    await policy.update({ ingress: [{ action: "allow", from: segment }] });
    const everybody = { aux, web, app };
    await expectMatrix(
        "db",
        Object.fromEntries(Object.entries(everybody).map(([name, each]) => [name, [each.place, ...all(each)]])),
    );
    expect(
        await policy.update({ ingress: undefined, egress: [{ action: "allow", to: seen(web.endpoint), ports: 80 }] }),
    ).toBe("update");
    const egress = { [`tcp ${web.address}:80`]: `web to ${at("db").address}`, [`tcp ${web.address}:81`]: "nothing" };
    expect(await answersTo(at("db").place, egress)).toEqual(egress);
});

test("policy: an endpoint that moves within its host is followed in place", async () => {
    const [a, b] = ends;
    await using web = await a.stack.join("mover", a.network, { ipv4Address: "10.90.1.50" });
    const rule = () => ({ ingress: [{ action: "allow", from: seen(web.endpoint), ports: 80 }] });
    await using policy = await b.stack.firewallPolicy("db", { target: at("db").endpoint, ...rule() });
    await expectMatrix("db", { before: [web.place, "db to 10.90.1.50"] });
    await web.endpoint.update({ ipv4Address: "10.90.1.51" });
    await expectMatrix("db", { between: [web.place] });
    expect(await policy.update(rule())).toBe("update");
    await expectMatrix("db", { after: [web.place, "db to 10.90.1.51"] });
});

test.each(["masquerade", "keep"])(
    "port: a host that does not run the target publishes it, sourceAddress %s",
    async (sourceAddress) => {
        const [a, b] = ends;
        const db = at("db");
        await using mapping = await a.stack.portMapping("db", {
            target: seen(db.endpoint),
            publishOn: a.stack.host,
            ...{ hostPort: 8080, targetPort: 80, protocol: ["tcp", "udp"], sourceAddress },
        });
        expect(mapping.outs).toMatchObject({
            hostPort: 8080,
            bindings: ["tcp", "udp"].map((protocol) => ({
                protocol,
                hostPort: 8080,
                targetAddress: db.address,
                targetPort: 80,
            })),
        });
        const gateway = "10.90.1.1";
        const kept = (address: string) => `db to ${sourceAddress === "keep" ? address : gateway}`;
        const published = a.machine.address;
        const expected: Record<string, [Place, string]> = {
            outside: [{ machine: bed.client }, kept(bed.client.address)],
            "a sandbox of a": [at("web").place, kept(at("web").address)],
            "the target itself": [db.place, `db to ${gateway}`],
            "a sandbox of b": [at("aux").place, `db to ${gateway}`],
            "a sandbox of c": [at("app").place, `db to ${gateway}`],
            "host a": [a.place, `db to ${gateway}`],
            "host b": [b.place, `db to ${gateway}`],
        };
        const answers = await Promise.all(
            Object.entries(expected).map(async ([name, [place, answer]]) => {
                const asked = Object.fromEntries(["tcp", "udp"].map((each) => [`${each} ${published}:8080`, answer]));
                return [name, await answersTo(place, asked), asked] as const;
            }),
        );
        expect(Object.fromEntries(answers.map(([name, got]) => [name, got]))).toEqual(
            Object.fromEntries(answers.map(([name, , wanted]) => [name, wanted])),
        );
        const local = { "tcp 127.0.0.1:8080": `db to ${gateway}`, "udp 127.0.0.1:8080": `db to ${gateway}` };
        expect(await answersTo(a.place, local)).toEqual(local);
        const many = await tally({ machine: bed.client }, `tcp ${published}:8080`, bed.client.address, 200);
        expect(many).toEqual({ [kept(bed.client.address)]: 200 });
        for (const resource of [mapping, a.tunnel, b.tunnel]) expect(await resource.refresh()).toEqual([]);
    },
);

test("port: targets on several hosts take turns by weight, and policies judge who is told to them", async () => {
    const [a, b] = ends;
    const [web, db] = ["web", "db"].map(at) as [Joined, Joined];
    await using mapping = await a.stack.portMapping("spread", {
        target: [web.endpoint, { endpoint: seen(db.endpoint), weight: 2 }],
        ...{ hostPort: 8081, targetPort: 80, protocol: ["tcp", "udp"] },
    });
    const published = `${a.machine.address}:8081`;
    const outside = { machine: bed.client };
    const share = async (protocol: string) => tally(outside, `${protocol} ${published}`, bed.client.address, 12);
    const turns = { [`web to ${bed.client.address}`]: 4, "db to 10.90.1.1": 8 };
    expect(await share("tcp")).toEqual(turns);
    expect(await share("udp")).toEqual(turns);

    // Masqueraded it is the publishing host that comes, which its network stands for.
    await mapping.update({ target: seen(db.endpoint), publishOn: a.stack.host });
    await using policy = await b.stack.firewallPolicy("db", {
        target: db.endpoint,
        ingress: [{ action: "allow", from: seen(a.network), ports: 80 }],
    });
    const open = { [`tcp ${published}`]: "db to 10.90.1.1" };
    const closed = { [`tcp ${published}`]: "nothing" };
    const kept = { [`tcp ${published}`]: `db to ${bed.client.address}` };
    const judged = async (...from: unknown[]) => {
        await policy.update({ ingress: [{ action: "allow", from, ports: 80 }] });
        return answersTo(outside, open);
    };
    expect(await judged(seen(a.network))).toEqual(open);
    expect(await judged(bed.client.address)).toEqual(closed);
    // With its own address it is somebody outside, whatever host it comes by.
    await mapping.update({ sourceAddress: "keep" });
    const segment = { kind: "overlay-network", networks: ends.map(({ network: { kind, id } }) => ({ kind, id })) };
    expect(await judged(seen(a.network), segment, "internal", "host")).toEqual(closed);
    for (const from of ["external", bed.client.address]) expect(await judged(from)).toEqual(kept);
    await policy.delete();

    // Connections that are there go on, or are the next target's at once: as with targets of this host.
    await using tcp = await talk(outside, `tcp ${published}`);
    await using udp = await talk(outside, `udp ${published}`);
    for (const each of [tcp, udp]) expect(await each.next()).toContain("db to");
    await mapping.update({ target: web.endpoint });
    expect(await tcp.next()).toContain("db to");
    expect(await udp.next()).toContain("web to");
});

test.each(["masquerade", "keep"])(
    "port: isolated endpoints of another host are published too, sourceAddress %s",
    async (sourceAddress) => {
        const [a, b] = ends;
        const options = { prefix: "10.91", name: "isolated", network: { isolateEndpoints: true }, tunnel: { vni: 91 } };
        const isolated = await laySegment([a.machine, b.machine], [["left"], ["right"]], options);
        const [left, right] = isolated as [End, End];
        await using _left = left.stack;
        await using _right = right.stack;
        const target = right.joined["right"] as Joined;
        await using _server = await serve(target.place, "right", "tcp:80");
        const ports = { hostPort: 8082, targetPort: 80, sourceAddress };
        await using _mapping = await left.stack.portMapping("right", {
            target: seen(target.endpoint),
            publishOn: left.stack.host,
            ...ports,
        });
        const published = `tcp ${a.machine.address}:8082`;
        const who = sourceAddress === "keep" ? bed.client.address : "10.91.1.1";
        expect(await ask({ machine: bed.client }, published)).toEqual({ [published]: `right to ${who}` });
        const direct = { [`tcp ${target.address}:80`]: "nothing" };
        expect(await answersTo((left.joined["left"] as Joined).place, direct)).toEqual(direct);
    },
);

test("a host of the segment speaks over it as itself, its endpoints and those outside only", async () => {
    const [a, b] = ends;
    const db = at("db");
    await using other = await b.stack.network("other", { subnet: "172.29.0.0/24" });
    await using aside = await b.stack.join("aside", other);
    await using _server = await serve(aside.place, "aside", "udp:80");
    const sources = {
        "a's own endpoint": [at("web").address, 1],
        "somebody outside": ["203.0.113.77", 1],
        "an endpoint of b": [at("aux").address, 0],
        "b's gateway": ["10.90.2.1", 0],
        "b's other network": [aside.address, 0],
        "b itself": [b.machine.address, 0],
    } as Record<string, [string, number]>;
    const tunnel = a.tunnel.outs.interfaceName;
    const lead = (verb: string, source: string, target: string) =>
        `ip addr ${verb} ${source}/32 dev lo; ip rule ${verb} priority 5 from ${source} lookup 77; ` +
        `ip route ${verb} ${target} via 10.90.2.0 dev ${tunnel} onlink table 77`;
    const send = async (source: string, target: string) => {
        await a.machine.exec(lead("add", source, target));
        await ask(a.place, `udp ${target}:80 from ${source}`);
        await a.machine.exec(lead("del", source, target));
    };
    const arrived: Record<string, number> = {};
    for (const [name, [source]] of Object.entries(sources)) {
        const count = await countFrames(db.place, "mesh", `ip saddr ${source} udp dport 80`);
        await send(source, db.address);
        arrived[name] = await count();
    }
    expect(arrived).toEqual(Object.fromEntries(Object.entries(sources).map(([name, [, count]]) => [name, count])));
    // Nor does it reach what is not of the segment.
    const beside = await countFrames(aside.place, "other", "udp dport 80");
    for (const source of ["203.0.113.77", at("web").address]) await send(source, aside.address);
    expect(await beside()).toBe(0);
});
