import { readFileSync, writeFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, expect, test } from "vitest";
import { openStack } from "./driver.js";
import { layTestBed } from "./test-bed.js";
import { answersTo, ask, run, serve, talk } from "./traffic.js";

const bed = layTestBed();

/** web serves on front; api and worker ask; db is on another network. */
async function layOut() {
    const stack = await openStack(bed.host);
    const front = await stack.network("front", { subnet: ["172.20.0.0/24", "fd00:20::/64"], ipv6: true });
    const back = await stack.network("back", { subnet: "172.21.0.0/24" });
    const web = await stack.join("web", front);
    const api = await stack.join("api", front);
    const worker = await stack.join("worker", front);
    const db = await stack.join("db", back);
    const server = await serve(web.place, "web", "tcp:80", "tcp6:80", "tcp:81", "udp:80");
    return { stack, web, api, worker, db, server };
}

let layout: Awaited<ReturnType<typeof layOut>>;
beforeAll(async () => {
    layout = await layOut();
});
afterAll(async () => {
    await layout.server.stop();
    await layout.stack.destroyAll();
});

/** How many of some connections after each other get an answer. */
async function count(place: (typeof layout)["api"]["place"], target: string, times: number): Promise<number> {
    const script = `
const net = require("node:net");
const once = () => new Promise((resolve) => {
    const socket = net.connect(80, "${target}").on("error", () => resolve(0)).on("data", () => { socket.destroy(); resolve(1); });
    socket.on("connect", () => socket.write("?"));
    setTimeout(() => { socket.destroy(); resolve(0); }, 500);
});
Promise.all(Array.from({ length: ${times} }, once)).then((all) => { console.log(all.reduce((a, b) => a + b)); process.exit(0); });`;
    return Number(await run(place, [process.execPath, "-e", script]));
}

/** Packets of the named counters of the host, by what they count. */
async function counters(): Promise<Record<string, number>> {
    const { stdout } = await bed.host.exec("nft -j list counters table inet linuxnet");
    const entries: { counter?: { name: string; comment?: string; packets: number } }[] = JSON.parse(stdout).nftables;
    return Object.fromEntries(
        entries.flatMap(({ counter }) =>
            counter === undefined
                ? []
                : [[counter.comment ?? counter.name.replace(/le[0-9a-f]{12}/, "le"), counter.packets]],
        ),
    );
}

/** What a sandbox is told by ICMP, and about which of its packets: `port-unreachable udp`; and `reset` by tcp. */
async function watchRefusals(place: (typeof layout)["api"]["place"]): Promise<() => Promise<string[]>> {
    // The packet that is refused begins 8 bytes behind the ICMP header; its protocol is its tenth byte (RFC 792, RFC 791).
    const about = "icmp code . @th,136,8";
    await run(
        place,
        `nft -f - <<'END'
table inet watch
delete table inet watch
table inet watch {
    set told { typeof ${about}; size 100; flags dynamic; }
    set resets { type inet_service; size 100; flags dynamic; }
    chain in {
        type filter hook input priority -200; policy accept;
        icmp type destination-unreachable update @told { ${about} }
        tcp flags & rst == rst update @resets { tcp sport }
    }
}
END`,
    );
    const protocols: Record<number, string> = { 1: "icmp", 6: "tcp", 17: "udp" };
    return async () => {
        const { nftables } = JSON.parse(await run(place, "nft -j list table inet watch; nft delete table inet watch"));
        const sets: { set?: { name: string; elem?: { concat: [string, number] }[] } }[] = nftables;
        const elementsOf = (name: string) => sets.find(({ set }) => set?.name === name)?.set?.elem ?? [];
        const told = elementsOf("told").map(({ concat: [code, protocol] }) => `${code} ${protocols[protocol]}`);
        return [...told, ...elementsOf("resets").map(() => "reset")].sort();
    };
}

test("firewall rule: rejectWith says how, also to the host and across networks", async () => {
    const { stack, web, api, db } = layout;
    await using policy = await stack.firewallPolicy("web", {
        target: web.endpoint,
        ingress: [],
        defaultAction: "drop",
    });
    // Linux gives up a connection over any of them; what a socket of udp says of some is nothing (tcp(7), ip(7)).
    const of = (code: string) => [`${code} icmp`, `${code} tcp`, `${code} udp`];
    const words: Record<string, { told: string[]; tcp: string }> = {
        "tcp-reset": { told: ["port-unreachable icmp", "port-unreachable udp", "reset"], tcp: "refused" },
        "port-unreachable": { told: of("port-unreachable"), tcp: "refused" },
        "host-unreachable": { told: of("host-unreachable"), tcp: "unreachable" },
        "no-route": { told: of("net-unreachable"), tcp: "unreachable" },
        "admin-prohibited": { told: of("admin-prohibited"), tcp: "unreachable" },
    };
    // Else a host sends six ICMP errors to a peer, then one a second (icmp(7), icmp_ratelimit).
    await bed.host.exec("sysctl -q net.ipv4.icmp_ratelimit=0");
    const question = `tcp ${web.address}:80`;
    for (const [rejectWith, { told, tcp }] of Object.entries(words)) {
        await policy.update({ ingress: [{ action: "reject", rejectWith }] });
        const toldToApi = await watchRefusals(api.place);
        const [fromApi, fromHost, fromDb] = await Promise.all([
            ask(api.place, question, `udp ${web.address}:80`, `icmp ${web.address}`),
            ask({ machine: bed.host }, question),
            ask(db.place, question),
        ]);
        expect(await toldToApi(), rejectWith).toEqual(told);
        expect([fromApi[question], fromHost[question], fromDb[question]], rejectWith).toEqual([tcp, tcp, tcp]);
    }
});

test("firewall rule: icmpTypes are told apart", async () => {
    const { stack, web, api } = layout;
    await using policy = await stack.firewallPolicy("web", {
        target: web.endpoint,
        ingress: [{ action: "allow", icmpTypes: ["echo-request"] }],
    });
    const answers = { [`icmp ${web.address}`]: "reply", [`tcp ${web.address}:80`]: "nothing" };
    expect(await answersTo(api.place, answers)).toEqual(answers);
    await policy.update({ ingress: [{ action: "allow", protocol: "icmp", icmpTypes: [13, "timestamp-reply"] }] });
    const closed = { [`icmp ${web.address}`]: "nothing" };
    expect(await answersTo(api.place, closed)).toEqual(closed);
    await policy.update({ ingress: [{ action: "allow", icmpTypes: [13, 8] }] });
    const web6 = web.endpoint.outs.ipv6Address;
    const open = { [`icmp ${web.address}`]: "reply", [`icmp ${web6}`]: "nothing" };
    expect(await answersTo(api.place, open)).toEqual(open);
    await policy.update({ ingress: [{ action: "allow", protocol: "icmpv6", icmpTypes: ["echo-request", 200] }] });
    const open6 = { [`icmp ${web.address}`]: "nothing", [`icmp ${web6}`]: "reply" };
    expect(await answersTo(api.place, open6)).toEqual(open6);
    expect(await policy.refresh()).toEqual([]);
});

test("firewall rule: a rate is kept over all sources or for each, and over other changes of the policy", async () => {
    const { stack, web, api, worker } = layout;
    const rule = (limit: object) => ({ action: "allow", ports: [80], limit });
    await using policy = await stack.firewallPolicy("web", {
        target: web.endpoint,
        ingress: [rule({ rate: "4/hour" })],
    });
    expect(await count(api.place, web.address, 6)).toBe(4);
    expect(await count(worker.place, web.address, 2)).toBe(0);
    // The first packets of the others come again after a second (RFC 6298) and are beyond the limit too.
    await policy.update({ ingress: [rule({ rate: "4/hour" }), { action: "allow", ports: [81] }] });
    expect(await count(api.place, web.address, 2)).toBe(0);
    await policy.update({ ingress: [rule({ rate: "1/hour", burst: 3, perSource: true })] });
    const [fromApi, fromWorker] = await Promise.all([
        count(api.place, web.address, 5),
        count(worker.place, web.address, 5),
    ]);
    expect([fromApi, fromWorker]).toEqual([3, 3]);
    const web6 = String(web.endpoint.outs.ipv6Address);
    // Sources of one /64 are one.
    expect(await count(api.place, web6, 5)).toBe(3);
    expect(await count(worker.place, web6, 1)).toBe(0);
    expect(await policy.refresh()).toEqual([]);
});

test("firewall rule: so many connections at a time, also when the policy changes meanwhile", async () => {
    const { stack, web, api, worker } = layout;
    await using policy = await stack.firewallPolicy("web", {
        target: web.endpoint,
        ingress: [{ action: "allow", ports: [80], limit: { connections: 2, perSource: true } }],
    });
    const question = `tcp ${web.address}:80`;
    const first = await talk(api.place, question);
    await using second = await talk(api.place, question);
    expect(await ask(api.place, question)).toEqual({ [question]: "nothing" });
    await policy.update({ priority: 5, labels: { a: "b" } });
    expect(await ask(api.place, question)).toEqual({ [question]: "nothing" });
    await second.next();
    expect(await ask(worker.place, question)).toEqual({ [question]: `web to ${worker.address}` });
    await first[Symbol.asyncDispose]();
    await expect.poll(async () => (await ask(api.place, question))[question], { timeout: 10_000 }).toContain("web to");
});

test("firewall rule: counts what it matched under its description, over changes of the policy", async () => {
    const { stack, web, api, worker } = layout;
    const rule = (description: string, ports: number[], from: unknown) => ({
        action: "allow",
        description,
        ports,
        from,
    });
    const longest = "x".repeat(120);
    await using policy = await stack.firewallPolicy("web", {
        target: web.endpoint,
        ingress: [rule("the API", [80], api.endpoint)],
    });
    const ofApi = () => ask(api.place, `tcp ${web.address}:80`);
    await ofApi();
    await ofApi();
    await ask(worker.place, `udp ${web.address}:80`);
    expect(await counters()).toEqual({ "the API": 2, count_le_ingress: 1 });
    // Its place changes, and it counts on.
    await policy.update({ ingress: [rule(longest, [81], "any"), rule("the API", [80], api.endpoint)] });
    await ofApi();
    await ask(worker.place, `tcp ${web.address}:81`);
    expect(await counters()).toEqual({ [longest.slice(0, 118)]: 1, "the API": 3, count_le_ingress: 1 });
    await policy.delete();
    expect(await counters()).toEqual({});
});

test("firewall rule: protects the host itself in the same ways", async () => {
    const { stack, api, worker } = layout;
    await using _server = await serve({ machine: bed.host }, "host", "tcp:80", "udp:80");
    const limit = { rate: "2/hour", perSource: true };
    await using policy = await stack.firewallPolicy("host", {
        target: stack.host,
        ingress: [
            // As tight as can be and still confirmed by a new connection.
            { action: "allow", ports: [22], limit: { rate: "1000/hour", connections: 1000, perSource: true } },
            { action: "allow", from: "internal", ports: [80], limit, description: "twice" },
            { action: "reject", protocol: "tcp", rejectWith: "tcp-reset", log: true },
        ],
    });
    const gateway = "172.20.0.1";
    expect(await Promise.all([count(api.place, gateway, 4), count(worker.place, gateway, 3)])).toEqual([2, 2]);
    const refused = { [`tcp ${gateway}:80`]: "refused", [`udp ${gateway}:80`]: "nothing" };
    expect(await answersTo(api.place, refused)).toEqual(refused);
    expect(await policy.refresh()).toEqual([]);
    await policy.update({ ingress: [{ action: "allow", ports: [22] }] });
    const counted = await counters();
    expect(counted).not.toHaveProperty("twice");
    await policy.delete();
    expect(await counters()).toEqual({});
});

test("firewall rule: log writes a prefix to the kernel's log, and never more than its limit", async () => {
    const { stack, web, api } = layout;
    // The kernel keeps the log to the machine's own namespace unless it is told otherwise (nf_log_all_netns).
    const key = "/proc/sys/net/netfilter/nf_log_all_netns";
    const before = readFileSync(key, "utf8");
    writeFileSync(key, "1");
    await using _switch = { [Symbol.asyncDispose]: async () => writeFileSync(key, before) };
    const mark = `mark${process.pid}`;
    await using policy = await stack.firewallPolicy(mark, {
        target: web.endpoint,
        ingress: [
            { action: "allow", ports: [80], log: true },
            { action: "drop", protocol: "udp", log: `${mark} "$x"; ` },
        ],
    });
    const answers = { [`tcp ${web.address}:80`]: `web to ${api.address}`, [`udp ${web.address}:80`]: "nothing" };
    expect(await answersTo(api.place, answers)).toEqual(answers);
    const logged = async () => (await bed.host.exec(`dmesg | grep -F ${mark} || :`)).stdout.trim().split("\n");
    const lines = await logged();
    expect(lines).toHaveLength(2);
    expect(lines[0]).toMatch(
        new RegExp(`linuxnet ${mark}: IN=\\S+ OUT=.* SRC=${api.address} DST=${web.address} .*PROTO=TCP`),
    );
    expect(lines[1]).toContain(`${mark}   x ; IN=`);
    // 500 packets at once are no more than the limit's beginning, and the rule does what it does all the same.
    const flood = `const s = require("dgram").createSocket("udp4"); let left = 500;
        for (let i = 0; i < 500; i++) s.send("?", 80, "${web.address}", () => { if (--left === 0) s.close(); });`;
    await run(api.place, [process.execPath, "-e", flood]);
    await sleep(100);
    const more = (await logged()).length - lines.length;
    expect(more).toBeGreaterThan(5);
    expect(more).toBeLessThan(100);
    expect(await policy.refresh()).toEqual([]);
});
