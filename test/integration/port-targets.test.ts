import { expect, test } from "vitest";
import { openStack, type Resource, type Stack } from "./driver.js";
import { layTestBed } from "./test-bed.js";
import { answersTo, ask, countFrames, type Place, sendSctpInit, serve, type Talk, talk, tally } from "./traffic.js";

const bed = layTestBed();
const subnet = "172.20.0.0/24";
const fromClient = () => ({ machine: bed.client });

interface Server extends AsyncDisposable {
    readonly endpoint: Resource<"endpoint">;
    readonly place: Place;
}

/** Sandboxes on one network that answer with their names on 80 and 81, tcp and udp. */
async function layServers(stack: Stack, ...names: string[]): Promise<Server[]> {
    const front = await stack.network("front", { subnet });
    return Promise.all(
        names.map(async (name) => {
            const { endpoint, place } = await stack.join(name, front);
            const server = await serve(place, name, "tcp:80", "udp:80", "tcp:81", "udp:81");
            return { endpoint, place, [Symbol.asyncDispose]: () => server.stop() };
        }),
    );
}

const who = (answer: string) => answer.split(" to ")[0] ?? "";
const byServer = (counts: Record<string, number>) =>
    Object.fromEntries(Object.entries(counts).map(([answer, count]) => [who(answer), count]));
const askMany = async (protocol: string, count: number) =>
    byServer(await tally(fromClient(), `${protocol} ${bed.host.address}:8080`, bed.client.address, count));

test("several targets: new connections are dealt out evenly, or by weight, to each target's own port", async () => {
    await using stack = await openStack(bed.host);
    const [blue, green] = (await layServers(stack, "blue", "green")) as [Server, Server];
    await using _blue = blue;
    await using _green = green;
    const mapping = await stack.portMapping("web", {
        target: [blue.endpoint, { endpoint: green.endpoint, port: 81 }],
        targetPort: 80,
        hostPort: 8080,
        protocol: ["tcp", "udp"],
    });
    const { bindings } = mapping.outs as unknown as { bindings: { targetAddress: string; targetPort: number }[] };
    expect(bindings.map(({ targetAddress, targetPort }) => `${targetAddress}:${targetPort}`)).toEqual([
        `${blue.endpoint.outs.address}:80`,
        `${green.endpoint.outs.address}:81`,
        `${blue.endpoint.outs.address}:80`,
        `${green.endpoint.outs.address}:81`,
    ]);
    expect(await askMany("tcp", 12)).toEqual({ blue: 6, green: 6 });
    expect(await askMany("udp", 12)).toEqual({ blue: 6, green: 6 });
    // The host and a target itself have their turns too, and the client's address arrives.
    const inTurn = Object.keys(await tally({ machine: bed.host }, "tcp 127.0.0.1:8080", "127.0.0.1", 4)).sort();
    expect(inTurn).toEqual(["blue to 172.20.0.1", "green to 172.20.0.1"]);
    const own = await tally(blue.place, `udp ${bed.host.address}:8080`, blue.endpoint.outs.address, 4);
    expect(byServer(own)).toEqual({ blue: 2, green: 2 });
    const outside = await tally(fromClient(), `tcp ${bed.host.address}:8080`, bed.client.address, 2);
    expect(Object.keys(outside).sort()).toEqual([`blue to ${bed.client.address}`, `green to ${bed.client.address}`]);

    const weighted = [
        { endpoint: blue.endpoint, weight: 20 },
        { endpoint: green.endpoint, weight: 40 },
    ];
    expect(await mapping.update({ target: weighted })).toBe("update");
    expect(await askMany("tcp", 12)).toEqual({ blue: 4, green: 8 });
    expect(await mapping.update({ target: [blue.endpoint, { endpoint: green.endpoint, weight: 0 }] })).toBe("update");
    expect(await askMany("tcp", 4)).toEqual({ blue: 4 });
    expect(await mapping.update({ target: green.endpoint })).toBe("update");
    expect(await askMany("udp", 4)).toEqual({ green: 4 });
    expect(await mapping.refresh()).toEqual([]);
});

test("several targets: each port of a range has its turns, and drift in them is repaired", async () => {
    await using stack = await openStack(bed.host);
    const [blue, green] = (await layServers(stack, "blue", "green")) as [Server, Server];
    await using _blue = blue;
    await using _green = green;
    const target = [blue.endpoint, green.endpoint];
    const mapping = await stack.portMapping("web", { target, targetPort: "80-81", hostPort: "8080-8081" });
    expect(await askMany("tcp", 4)).toEqual({ blue: 2, green: 2 });
    const second = await tally(fromClient(), `tcp ${bed.host.address}:8081`, bed.client.address, 4);
    expect(byServer(second)).toEqual({ blue: 2, green: 2 });
    await bed.host.exec("nft -j list table inet linuxnet >/dev/null && nft list table inet linuxnet");
    const chains = (await bed.host.exec("nft list chains inet | grep -oE 'lp[0-9a-f]{12}_tcp_8[01]'")).stdout;
    const [first] = chains.trim().split("\n");
    await bed.host.exec(`nft flush chain inet linuxnet ${first}`);
    expect(await mapping.refresh()).toEqual([
        `chain ${first} of table inet linuxnet: has other rules than this version writes`,
    ]);
    expect(await mapping.update({})).toBe("update");
    expect(await askMany("tcp", 4)).toEqual({ blue: 2, green: 2 });
});

/** Conversations with everybody: at least one with each of the names. */
async function talkToAll(protocol: string, names: readonly string[], sourcePort: number): Promise<Map<string, Talk>> {
    const talks = new Map<string, Talk>();
    for (let i = 0; i < names.length; i++) {
        const one = await talk(fromClient(), `${protocol} ${bed.host.address}:8080`, sourcePort + i);
        talks.set(who((await one.next()).split("\n").at(-1) ?? ""), one);
    }
    expect([...talks.keys()].sort()).toEqual([...names].sort());
    return talks;
}

const answering = async (talks: Map<string, Talk>, name: string) =>
    who((await talks.get(name)?.next())?.split("\n").at(-1) ?? "");
const stop = (...talks: Map<string, Talk>[]) =>
    Promise.all(talks.flatMap((all) => [...all.values()].map((one) => one[Symbol.asyncDispose]())));

test("several targets: one that leaves takes no flow of the others along", async () => {
    await using stack = await openStack(bed.host);
    const names = ["blue", "green", "red"];
    const servers = await layServers(stack, ...names);
    const [blue, green, red] = servers as [Server, Server, Server];
    const mapping = await stack.portMapping("web", {
        target: [blue.endpoint, green.endpoint, red.endpoint],
        targetPort: 80,
        hostPort: 8080,
        protocol: ["tcp", "udp"],
    });
    const udp = await talkToAll("udp", names, 41000);
    const tcp = await talkToAll("tcp", names, 0);
    expect(await mapping.update({ target: [blue.endpoint, red.endpoint] })).toBe("update");
    // udp goes to somebody else at once, tcp goes on until it ends; those of the others feel nothing.
    expect(["blue", "red"]).toContain(await answering(udp, "green"));
    expect(await answering(tcp, "green")).toBe("green");
    for (const name of ["blue", "red"]) {
        expect([await answering(udp, name), await answering(tcp, name)]).toEqual([name, name]);
        for (const talks of [udp, tcp])
            expect(new Set(talks.get(name)?.output().trim().split("\n").map(who)).size).toBe(1);
    }
    expect(await askMany("tcp", 4)).toEqual({ blue: 2, red: 2 });
    // One that comes takes nothing either.
    expect(await mapping.update({ target: [green.endpoint, blue.endpoint, red.endpoint] })).toBe("update");
    expect([await answering(udp, "blue"), await answering(tcp, "red")]).toEqual(["blue", "red"]);
    // An endpoint that goes alone leaves the mapping to the others; back again, it has its turns.
    await red.endpoint.delete();
    expect([await answering(udp, "blue"), await answering(tcp, "blue")]).toEqual(["blue", "blue"]);
    expect(await askMany("tcp", 4)).toEqual({ green: 2, blue: 2 });
    expect(await mapping.update({ existingFlows: "cut", target: [green.endpoint, blue.endpoint] })).toBe("update");
    expect(await answering(tcp, "blue")).toBe("blue");
    expect(await mapping.update({ target: green.endpoint })).toBe("update");
    await expect.poll(() => tcp.get("blue")?.output() ?? "").toMatch(/closed|error/);
    expect(await answering(udp, "blue")).toBe("green");
    await stop(udp, tcp);
    for (const server of servers) await server[Symbol.asyncDispose]();
});

test('existing flows: udp may "drain" and tcp be "cut", when the target changes and when the mapping goes', async () => {
    await using stack = await openStack(bed.host);
    const [blue, green] = (await layServers(stack, "blue", "green")) as [Server, Server];
    await using _blue = blue;
    await using _green = green;
    const declare = (protocol: string, hostPort: number, existingFlows: string) =>
        stack.portMapping(protocol, { target: blue.endpoint, targetPort: 80, hostPort, protocol, existingFlows });
    const udp = await declare("udp", 8080, "drain");
    const tcp = await declare("tcp", 8080, "cut");
    await using flow = await talk(fromClient(), `udp ${bed.host.address}:8080`, 42000);
    await using ended = await talk(fromClient(), `tcp ${bed.host.address}:8080`);
    await udp.update({ target: green.endpoint });
    await tcp.update({ target: green.endpoint });
    await expect.poll(() => ended.output()).toMatch(/closed|error/);
    expect(await flow.next()).toContain("blue to");
    expect(await askMany("udp", 2)).toEqual({ green: 2 });
    await using last = await talk(fromClient(), `tcp ${bed.host.address}:8080`);
    await tcp.delete();
    await udp.delete();
    await expect.poll(() => last.output()).toMatch(/closed|error/);
    expect(await flow.next()).toContain("blue to");
    const gone = { [`tcp ${bed.host.address}:8080`]: "refused", [`udp ${bed.host.address}:8080`]: "refused" };
    expect(await answersTo(fromClient(), gone)).toEqual(gone);
});

test("ports: Compose's short and long form publish each port in its way, and free ones stay", async () => {
    await using stack = await openStack(bed.host);
    const [web, other] = (await layServers(stack, "web", "other")) as [Server, Server];
    await using _web = web;
    await using _other = other;
    const mapping = await stack.portMapping("ports", {
        target: web.endpoint,
        ports: [
            "8080:80",
            "8080:81/udp",
            "127.0.0.1:8080:81",
            "9000-9001:80-81",
            81,
            { target: 80, published: "9100-9109", host_ip: bed.host.address },
            { targetPort: 80, protocol: ["tcp", "udp"] },
        ],
    });
    const outs = mapping.outs as unknown as { hostPort: number; bindings: Record<string, unknown>[] };
    const list = outs.bindings.map(
        ({ protocol, hostAddress, hostPort, targetPort }) => `${hostAddress}:${hostPort}:${targetPort}/${protocol}`,
    );
    expect(list).toEqual([
        "0.0.0.0:8080:80/tcp",
        "0.0.0.0:8080:81/udp",
        "127.0.0.1:8080:81/tcp",
        "0.0.0.0:9000:80/tcp",
        "0.0.0.0:9001:81/tcp",
        "0.0.0.0:20000:81/tcp",
        `${bed.host.address}:9100:80/tcp`,
        "0.0.0.0:20001:80/tcp",
        "0.0.0.0:20001:80/udp",
    ]);
    const at = bed.host.address;
    const questions = [8080, 9000, 9001, 20000, 9100, 20001].map((port) => `tcp ${at}:${port}`);
    const answers = await ask(fromClient(), ...questions, `udp ${at}:8080`, `udp ${at}:20001`, `tcp ${at}:9101`);
    const { [`tcp ${at}:9101`]: closed, ...open } = answers;
    expect(closed).toBe("refused");
    expect(new Set(Object.values(open))).toEqual(new Set([`web to ${bed.client.address}`]));
    // An address of its own goes before every address, in one stack; of another stack it would take connections away.
    await using _special = await serve(web.place, "special", "tcp:82");
    const shadow = { target: web.endpoint, targetPort: 82, hostPort: 8080, hostAddress: at };
    const specific = await stack.portMapping("specific", shadow);
    expect(await ask(fromClient(), `tcp ${at}:8080`)).toEqual({
        [`tcp ${at}:8080`]: `special to ${bed.client.address}`,
    });
    await specific.delete();
    await using prod = await openStack(bed.host, { name: "prod" });
    const taken = `host port 8080/tcp is already published by port mapping "ports" of stack test/dev`;
    await expect(prod.portMapping("theirs", shadow)).rejects.toThrow(taken);
    await expect(stack.portMapping("again", { target: web.endpoint, ports: ["80:80", "9000:81"] })).rejects.toThrow(
        'host port 9000-9001/tcp is already published by port mapping "ports" of stack test/dev',
    );
    // One out, one changed, the others untouched; what was chosen stays.
    const fewer = ["8080:80", "127.0.0.1:8080:80", 81, { targetPort: 80, protocol: ["tcp", "udp"] }];
    expect(await mapping.update({ ports: fewer, target: [web.endpoint, other.endpoint] })).toBe("update");
    const ports = (mapping.outs as unknown as { bindings: { hostPort: number }[] }).bindings;
    expect([...new Set(ports.map(({ hostPort }) => hostPort))]).toEqual([8080, 20000, 20001]);
    const spread = await tally({ machine: bed.host }, "tcp 127.0.0.1:8080", "127.0.0.1", 4);
    expect(byServer(spread)).toEqual({ web: 2, other: 2 });
    expect(await mapping.refresh()).toEqual([]);
});

test("sctp: the first packet of an association reaches its target, of several in turn", async () => {
    await using stack = await openStack(bed.host);
    const [blue, green] = (await layServers(stack, "blue", "green")) as [Server, Server];
    await using _blue = blue;
    await using _green = green;
    const mapping = await stack.portMapping("signalling", {
        target: blue.endpoint,
        hostPort: 2905,
        targetPort: 3905,
        protocol: "sctp",
    });
    const match = `ip saddr ${bed.client.address} sctp dport 3905`;
    const counts = await Promise.all([blue, green].map(({ place }) => countFrames(place, "front", match)));
    const arrived = () => Promise.all(counts.map((count) => count()));
    await sendSctpInit(fromClient(), bed.host.address, 2905, 50000);
    await sendSctpInit(fromClient(), bed.host.address, 2906, 50001);
    await expect.poll(arrived).toEqual([1, 0]);
    expect(await mapping.update({ target: [blue.endpoint, green.endpoint] })).toBe("update");
    for (const port of [50010, 50011]) await sendSctpInit(fromClient(), bed.host.address, 2905, port);
    await expect.poll(arrived).toEqual([2, 1]);
    for (const { place } of [blue, green]) {
        await bed.host.exec("nft delete table netdev watch", { sandbox: place.sandbox });
    }
});
