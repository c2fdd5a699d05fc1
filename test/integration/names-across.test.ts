import { expect, test } from "vitest";
import { packetsIn } from "./counters.js";
import { answered, answeredSoon, askMeanwhile, dig } from "./look-ups.js";
import { type End, laySegment } from "./segment.js";
import { layTestBed } from "./test-bed.js";
import { run } from "./traffic.js";

const bed = layTestBed(3);
const bothFamilies = { subnet: ["10.90.0.0/16", "fd00:90::/64"] };

const placeOf = (end: End | undefined, name: string) => {
    const joined = end?.joined[name];
    if (joined === undefined) throw new Error(`There is no sandbox ${name}.`);
    return joined.place;
};

const destroy = async (ends: readonly End[]) => {
    for (const { stack } of ends) await stack.destroyAll();
};

/** What leaves a host: questions inside the segment's packets, others, and all packets of the segment. */
async function watchQuestions({ machine }: End) {
    // The port of the inner datagram is 44 bytes behind the outer UDP header (VXLAN 8, Ethernet 14, IPv4 20, and 2 of UDP).
    const table = `table netdev questions {
    chain leaving {
        type filter hook egress device "eth0" priority 0; policy accept;
        udp dport 4789 @th,416,16 53 counter
        meta l4proto { tcp, udp } th dport { 53, 15104-15359 } counter
    }
}`;
    await machine.exec("nft -f -", { stdin: table });
    return {
        async read() {
            const [within = 0, open] = await packetsIn(machine, "netdev questions");
            return { within, open };
        },
        [Symbol.asyncDispose]: async () => void (await machine.exec("nft delete table netdev questions")),
    };
}

test("names across hosts: found by name, alias, domain and address, over UDP and TCP, as soon as they are there", async () => {
    const ends = await laySegment(bed.hosts, [["web"], ["db"], ["api"]], { prefix: "10.90", network: bothFamilies });
    const [a, b, c] = ends as [End, End, End];
    const web = placeOf(a, "web");
    const addressOf = (end: End, name: string) => end.joined[name]?.address ?? "";
    const [db, api] = [addressOf(b, "db"), addressOf(c, "api")];
    const db6 = b.joined["db"]?.endpoint.outs.ipv6Address ?? "";
    await using questions = await watchQuestions(a);
    await answeredSoon(web, {
        "@127.0.0.11 db": db,
        "@10.90.1.1 api": api,
        "@127.0.0.11 db.mesh": db,
        "@127.0.0.11 db AAAA": db6,
        "@127.0.0.11 +tcp db": db,
        "@127.0.0.11 +tcp api.mesh": api,
        "@127.0.0.11 +tcp api": api,
        [`@127.0.0.11 -x ${db}`]: "db.mesh.",
        [`@127.0.0.11 -x ${db6}`]: "db.mesh.",
        [`@127.0.0.11 -x ${api}`]: "api.mesh.",
        "@127.0.0.11 web": addressOf(a, "web"),
        "@127.0.0.11 nobody": "NXDOMAIN",
        "@127.0.0.11 +tcp nobody": "NXDOMAIN",
        "@127.0.0.11 nobody.mesh": "NXDOMAIN",
        "@127.0.0.11 -x 10.90.2.200": "NXDOMAIN",
        "@127.0.0.11 db MX": "NOERROR",
    });
    const exec = `ip netns exec ${a.joined["web"]?.sandbox.outs.name}`;
    const glibc = await a.machine.exec(
        `${exec} getent ahosts db; ${exec} getent hosts ${api}; ${exec} getent hosts nobody`,
        {
            check: false,
        },
    );
    expect(glibc.stdout).toContain(db);
    expect(glibc.stdout).toContain("api.mesh");
    expect(glibc.exitCode).toBe(2);
    const { within, open } = await questions.read();
    expect(within).toBeGreaterThan(10);
    expect(open).toBe(0);

    // They come and go with their endpoints, of whom the other hosts are not told.
    const extra = await b.stack.join("extra", b.network, { aliases: ["reader", "web"] });
    await answeredSoon(placeOf(c, "api"), { "@127.0.0.11 extra": extra.address, "@127.0.0.11 reader": extra.address });
    // What several hosts have under one name is what the own host has, and there all of it.
    const twin = await b.stack.join("twin", b.network, { aliases: ["reader"] });
    const both = [extra.address, twin.address].sort().join(" ");
    await answeredSoon(web, { "@127.0.0.11 web": addressOf(a, "web"), "@127.0.0.11 reader": both });
    await extra.endpoint.delete();
    await answered(web, { "@127.0.0.11 extra": "NXDOMAIN" });
    await answeredSoon(web, { "@127.0.0.11 reader": twin.address });

    // Long answers are too long for a datagram.
    const crowd = await Promise.all(
        Array.from({ length: 40 }, (_, i) => c.stack.join(`one-${i}`, c.network, { aliases: ["crowd"] })),
    );
    const all = crowd.map(({ address }) => address).sort();
    expect((await dig(web, "@127.0.0.11 crowd"))["@127.0.0.11 crowd"]?.split(" ").sort()).toEqual(all);

    // Only hosts of the segment are answered, and on another segment and another network of a host nothing is seen of this one.
    await answered(placeOf(b, "db"), { "@10.90.1.1 web": "nobody" });
    const others = await laySegment(bed.hosts.slice(0, 2), [["near"], ["far"]], {
        prefix: "10.91",
        name: "other",
        network: { dns: { domain: "other" }, name: "other" },
        tunnel: { vni: 91 },
    });
    const [near] = others as [End, End];
    const alone = await a.stack.join("alone", await a.stack.network("plain", { subnet: "172.20.0.0/24" }));
    await answered(alone.place, { "@127.0.0.11 db": "NXDOMAIN", "@127.0.0.11 near": "NXDOMAIN" });
    await answered(web, { "@127.0.0.11 far": "NXDOMAIN", "@127.0.0.11 near": "NXDOMAIN" });
    await answeredSoon(placeOf(near, "near"), {
        "@127.0.0.11 far": addressOf(others[1] as End, "far"),
        "@127.0.0.11 far.other": addressOf(others[1] as End, "far"),
        "@127.0.0.11 far AAAA": "NOERROR",
        "@127.0.0.11 db": "NXDOMAIN",
        "@127.0.0.11 web": "NXDOMAIN",
    });
    for (const { network, tunnel, joined } of [...ends, ...others])
        for (const one of [
            network,
            tunnel,
            ...Object.values(joined).flatMap(({ sandbox, endpoint }) => [sandbox, endpoint]),
        ])
            expect(await one.refresh()).toEqual([]);
    await destroy(others);
    await destroy(ends);
});

test("names across hosts: closed networks, policies and closed hosts keep no name away", async () => {
    const shut = { internal: true, isolateEndpoints: true, hostAccess: false, defaultPolicy: "deny" };
    const ends = await laySegment(bed.hosts.slice(0, 2), [["web"], ["db"]], { prefix: "10.92", network: shut });
    const [a, b] = ends as [End, End];
    const db = b.joined["db"];
    await a.stack.firewallPolicy("quiet", { target: a.joined["web"]?.endpoint, egress: [], defaultAction: "drop" });
    const ssh = { action: "allow", protocol: "tcp", ports: [22] };
    for (const { stack } of ends)
        await stack.firewallPolicy("closed", { target: stack.host, ingress: [ssh], egress: [] });
    await answeredSoon(placeOf(a, "web"), {
        "@127.0.0.11 db": db?.address ?? "",
        "@10.92.1.1 +tcp db": db?.address ?? "",
        "@127.0.0.11 nobody": "NXDOMAIN",
        "@127.0.0.11 example.com": "NXDOMAIN",
        [`@127.0.0.11 -x ${db?.address}`]: "db.mesh.",
    });
    await destroy(ends);
});

test("names across hosts: hosts come and go without a look-up lost, and one that is down keeps no name of others away", async () => {
    const ends = await laySegment(bed.hosts, [["web"], ["db"], ["api"]], {
        prefix: "10.93",
        tunnel: { peers: [] },
    });
    const [a, b, c] = ends as [End, End, End];
    const peer = ({ machine }: End) => ({
        underlayAddress: machine.address,
        ipRange: `10.93.${bed.hosts.indexOf(machine) + 1}.0/24`,
    });
    const web = placeOf(a, "web");
    const [db, api] = [b.joined["db"]?.address ?? "", c.joined["api"]?.address ?? ""];
    await answered(web, { "@127.0.0.11 db": "NXDOMAIN" });
    await a.tunnel.update({ peers: [peer(b)] });
    await b.tunnel.update({ peers: [peer(a)] });
    await answeredSoon(web, { "@127.0.0.11 db": db, "@127.0.0.11 api": "NXDOMAIN" });
    const { asked, wrong } = await askMeanwhile(web, "127.0.0.11", "db", async () => {
        await c.tunnel.update({ peers: [peer(a), peer(b)] });
        await a.tunnel.update({ peers: [peer(b), peer(c)] });
        await b.tunnel.update({ peers: [peer(a), peer(c)] });
        await answeredSoon(web, { "@127.0.0.11 api": api });
        await a.tunnel.update({ peers: [peer(b)] });
        await answered(web, { "@127.0.0.11 api": "NXDOMAIN" });
        await a.tunnel.update({ peers: [peer(b), peer(c)] });
        await answeredSoon(web, { "@127.0.0.11 api": api });
    });
    expect(asked).toBeGreaterThan(50);
    expect(wrong).toEqual({});

    await c.machine.exec("nft -f -", {
        stdin: "table inet down {\n chain in {\n type filter hook input priority -1; policy accept;\n udp dport 4789 drop\n }\n}\n",
    });
    const down = await askMeanwhile(web, "127.0.0.11", "db.mesh", async () => {
        await answeredSoon(web, {
            "@127.0.0.11 db": db,
            "@127.0.0.11 db AAAA": "NOERROR",
            "@127.0.0.11 +tcp db": db,
            "@127.0.0.11 api": "NXDOMAIN",
            "@127.0.0.11 nobody": "NXDOMAIN",
        });
    });
    expect(down.wrong).toEqual({});
    await c.machine.exec("nft delete table inet down");
    await answeredSoon(web, { "@127.0.0.11 api": api });

    // What is killed comes back, and what memory has lost.
    await a.machine.exec("kill -9 $(cat /run/linuxnet-dns/views/*/pid)");
    await answeredSoon(web, { "@127.0.0.11 db": db });
    await destroy(ends);
    expect((await run({ machine: a.machine }, "ls /run")).includes("linuxnet-dns")).toBe(false);
});
