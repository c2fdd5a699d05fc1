import { expect, test } from "vitest";
import { createHost, snapshotHost } from "../../lab/index.js";
import { linkLocalOf } from "../../provider/model/ipv6.js";
import { packetsIn } from "./counters.js";
import { type Joined, openStack, type Resource, reconnect } from "./driver.js";
import { flowLabel, ipv6, ipv6Frame } from "./frame.js";
import { layTestBed } from "./test-bed.js";
import { answersTo, countFrames, type Place, run, sendFrames, serve } from "./traffic.js";

const bed = layTestBed();

const subnets = {
    front: ["172.20.0.0/24", "fd00:20::/64"],
    back: ["172.21.0.0/24", "FD00:21:0::/64"],
    data: ["fd00:22::/64", "172.22.0.0/24"],
};

const address6 = ({ endpoint }: Joined) => endpoint.outs.ipv6Address ?? "none";
const linkLocal = ({ endpoint }: Joined) => linkLocalOf(endpoint.outs.macAddress);

async function expectAnswers(place: Place, expected: Record<string, string>): Promise<void> {
    expect(await answersTo(place, expected)).toEqual(expected);
}

/** Names of resources and what is wrong with them; nothing when all is well. */
async function driftOf(...resources: readonly Resource[]): Promise<string[]> {
    return (await Promise.all(resources.map((resource) => resource.refresh()))).flat();
}

test("ipv6: networks of two families are closed to each other and to the outside as those of one are", async () => {
    await using stack = await openStack(bed.host);
    const front = await stack.network("front", { subnet: subnets.front });
    const back = await stack.network("back", { subnet: subnets.back });
    const data = await stack.network("data", { subnet: subnets.data, internal: true });
    expect(back.outs.subnets).toEqual(["172.21.0.0/24", "fd00:21::/64"]);
    expect(data.outs.gateways).toEqual(["172.22.0.1", "fd00:22::1"]);
    const web = await stack.join("web", front);
    const api = await stack.join("api", front);
    const worker = await stack.join("worker", back, { ipv6Address: "FD00:21::00AB" });
    const db = await stack.join("db", data);
    expect([web, worker, db].map(address6)).toEqual(["fd00:20::2", "fd00:21::ab", "fd00:22::2"]);
    await using _api = await serve(api.place, "api", "tcp6:80", "udp6:80", "tcp:80");
    await using _worker = await serve(worker.place, "worker", "tcp6:80");
    await using _db = await serve(db.place, "db", "tcp6:80");
    await using _host = await serve({ machine: bed.host }, "host", "tcp6:81");
    await using _client = await serve({ machine: bed.client }, "client", "tcp6:82", "udp6:82");
    await using _routes = await bed.routeOutside("fd00:20::/64", "fd00:21::/64", "fd00:22::/64");

    await expectAnswers(web.place, {
        [`tcp [${address6(api)}]:80`]: "api to fd00:20::2",
        [`udp [${address6(api)}]:80`]: "api to fd00:20::2",
        [`tcp ${api.address}:80`]: `api to ${web.address}`,
        [`icmp ${linkLocal(api)}%front`]: "reply",
        "icmp fd00:20::1": "reply",
        [`tcp [${address6(worker)}]:80`]: "nothing",
        [`tcp [${address6(db)}]:80`]: "nothing",
        "icmp fd00:21::1": "nothing",
        "tcp [fd00:20::1]:81": `host to ${address6(web)}`,
        [`tcp [${bed.client.ipv6Address}]:82`]: `client to ${bed.host.ipv6Address}`,
        [`udp [${bed.client.ipv6Address}]:82`]: `client to ${bed.host.ipv6Address}`,
        [`icmp ${bed.client.ipv6Address}`]: "reply",
    });
    await expectAnswers(db.place, {
        "icmp fd00:22::1": "reply",
        "tcp [fd00:22::1]:81": `host to ${address6(db)}`,
        [`tcp [${address6(web)}]:80`]: "unreachable",
        [`tcp [${bed.client.ipv6Address}]:82`]: "unreachable",
    });
    // Also when it makes itself a route.
    await run(db.place, "ip -6 route add default via fd00:22::1");
    await expectAnswers(db.place, {
        [`tcp [${address6(api)}]:80`]: "nothing",
        [`tcp [${bed.host.ipv6Address}]:81`]: "nothing",
        "icmp fd00:20::1": "nothing",
        [`tcp [${bed.client.ipv6Address}]:82`]: "nothing",
    });
    await expectAnswers(
        { machine: bed.client },
        {
            [`tcp [${address6(api)}]:80`]: "nothing",
            [`tcp [${address6(db)}]:80`]: "nothing",
            "icmp fd00:20::1": "nothing",
        },
    );
    await expectAnswers({ machine: bed.host }, { [`tcp [${address6(api)}]:80`]: "api to fd00:20::1" });
    expect(await driftOf(front, back, data, web.sandbox, web.endpoint, worker.endpoint, db.endpoint)).toEqual([]);

    expect(await front.update({ isolateEndpoints: true, masquerade: false })).toBe("update");
    await expectAnswers(web.place, {
        [`tcp [${address6(api)}]:80`]: "nothing",
        "icmp fd00:20::1": "reply",
        // Routed: the client knows the way back.
        [`tcp [${bed.client.ipv6Address}]:82`]: `client to ${address6(web)}`,
    });
});

test("ipv6: comes to a network in place, with a prefix of the host's own, and goes again", async () => {
    await using stack = await openStack(bed.host);
    const before = await snapshotHost(bed.host);
    const front = await stack.network("front", { subnet: "172.20.0.0/24" });
    const web = await stack.join("web", front);
    const api = await stack.join("api", front);
    const forwarding = () =>
        bed.host.exec("cat /proc/sys/net/ipv6/conf/all/forwarding").then(({ stdout }) => stdout.trim());
    expect(await forwarding()).toBe("0");
    expect(await front.update({ ipv6: true })).toBe("update");
    const [, subnet = ""] = front.outs.subnets;
    expect(subnet).toMatch(/^fd[0-9a-f]{2}:[0-9a-f]{1,4}:[0-9a-f]{1,4}::\/64$/);
    expect(await forwarding()).toBe("1");
    expect(await driftOf(front, web.sandbox, web.endpoint, api.endpoint)).toEqual([]);
    expect(address6(web)).toBe(subnet.replace("/64", "2"));
    await expectAnswers(web.place, { [`icmp ${address6(api)}`]: "reply", [`icmp ${bed.client.ipv6Address}`]: "reply" });
    expect(await front.update({ labels: { a: "b" } })).toBe("update");
    expect(front.outs.subnets[1]).toBe(subnet);
    // The same /64 again for the same host, and the next one beside it.
    const back = await stack.network("back", { subnet: "172.21.0.0/24", ipv6: true });
    expect(back.outs.subnets[1]).toBe(subnet.replace("::/64", ":1::/64"));
    await back.delete();
    expect(await front.update({ ipv6: undefined })).toBe("update");
    expect(front.outs.subnets).toEqual(["172.20.0.0/24"]);
    expect(await forwarding()).toBe("0");
    expect(await driftOf(front, web.sandbox, web.endpoint)).toEqual([]);
    await expectAnswers(web.place, { [`tcp [${subnet.replace("/64", "3")}]:80`]: "unreachable" });
    await stack.destroyAll();
    await using _again = await openStack(bed.host);
    expect(await snapshotHost(bed.host)).toEqual(before);
});

test("ipv6: an address is usable as soon as its endpoint is there", async () => {
    await using stack = await openStack(bed.host);
    const front = await stack.network("front", { subnet: subnets.front });
    const web = await stack.join("web", front);
    const { stdout } = await bed.host.exec("ip -6 -json address show dev front", { sandbox: web.sandbox.outs.name });
    const [{ addr_info }]: [{ addr_info: { local: string; tentative?: true; nodad?: true }[] }] = JSON.parse(stdout);
    expect(addr_info.map(({ local, tentative, nodad }) => ({ local, tentative, nodad }))).toEqual([
        { local: address6(web), tentative: undefined, nodad: true },
        { local: linkLocal(web), tentative: undefined, nodad: true },
    ]);
    const switches = "cd /proc/sys/net/ipv6/conf/front && cat accept_ra accept_redirects addr_gen_mode";
    expect((await run(web.place, switches)).split("\n")).toEqual(["0", "0", "1"]);
});

/** Counts the frames that match (nft) on all ports, before any of them is dropped, and what the host itself sends. */
async function watchFrames(matches: readonly string[]) {
    const counters = matches.map((match) => `${match} counter`).join("\n");
    const chain = (hook: string) => `chain ${hook} { type filter hook ${hook} priority -400\n${counters}\n}`;
    await bed.host.exec(`nft 'table bridge watch { ${chain("prerouting")}\n${chain("output")}\n}'`);
    return {
        async counts(): Promise<Record<string, number>> {
            const packets = await packetsIn(bed.host, "bridge watch");
            const both = matches.map((match, i) => [match, (packets[i] ?? 0) + (packets[i + matches.length] ?? 0)]);
            return Object.fromEntries(both);
        },
        async [Symbol.asyncDispose]() {
            await bed.host.exec("nft delete table bridge watch");
        },
    };
}

test("ipv6: fifty endpoints detect no duplicates, ask for no router and offer none, when they come and when they are restored", async () => {
    await using stack = await openStack(bed.host);
    const four = await stack.network("four", { subnet: "172.24.0.0/24" });
    const early = [await stack.join("early", four), await stack.join("late", four)];
    // An interface on a network of IPv4 has no address to report listeners from, and neither has its bridge (RFC 3810, 5.2.13).
    const older = early.map(({ endpoint }) => endpoint.outs.macAddress).join(", ");
    const unwanted = [
        "ip6 saddr :: icmpv6 type nd-neighbor-solicit",
        `iifname "le*" ether saddr != { ${older} } ip6 saddr ::`,
        "icmpv6 type nd-router-solicit",
        "icmpv6 type nd-router-advert",
    ];
    const fromEndpoints = 'iifname "le*" ether type ip6';
    await using watch = await watchFrames([...unwanted, fromEndpoints]);
    // In place, with ports that are there.
    expect(await four.update({ ipv6: true })).toBe("update");
    const both = await stack.network("both", { subnet: subnets.front });
    const six = await stack.network("six", { ipv4: false });
    const names = Array.from({ length: 48 }, (_, i) => `n${i}`);
    const all = await Promise.all(names.map((name, i) => stack.join(name, [both, six, four][i % 3] ?? both)));
    const tentative = [...early, ...all].map(
        ({ sandbox }) => `ip -n ${sandbox.outs.name} -6 -oneline address show tentative`,
    );
    const expectQuiet = async () => {
        expect((await bed.host.exec(tentative.join("; "))).stdout).toBe("");
        // Used at once, so frames are seen to be counted.
        const [first, , , fourth] = all;
        if (first === undefined || fourth === undefined) throw new Error("There are fifty.");
        await expectAnswers(first.place, { [`icmp ${address6(fourth)}`]: "reply" });
        const { [fromEndpoints]: seen, ...counts } = await watch.counts();
        expect(counts).toEqual(Object.fromEntries(unwanted.map((match) => [match, 0])));
        expect(seen).toBeGreaterThan(0);
    };
    await expectQuiet();
    await bed.host.exec(`nft delete table inet linuxnet; nft delete table bridge linuxnet
        ip -all netns del; for n in /sys/class/net/ln*; do ip link del "\${n##*/}" 2>/dev/null; done
        for i in $(seq 500); do set -- /sys/class/net/ln*; [ -e "$1" ] || break; sleep 0.02; done`);
    expect((await bed.host.exec("sh /var/lib/linuxnet/restore")).stderr).toBe("");
    await expectQuiet();
});

test("ipv6: replies leave by the endpoint that the request came in by, the rest by gatewayPriority", async () => {
    await using stack = await openStack(bed.host);
    const front = await stack.network("front", { subnet: subnets.front, masquerade: false });
    const back = await stack.network("back", { subnet: subnets.back, masquerade: false });
    const four = await stack.network("four", { subnet: "172.23.0.0/24" });
    const web = await stack.join("web", four, { gatewayPriority: 10 });
    const webFront = await stack.endpoint("web-front", { sandbox: web.sandbox, network: front });
    const webBack = await stack.endpoint("web-back", { sandbox: web.sandbox, network: back, gatewayPriority: 5 });
    const defaults = () => run(web.place, "ip -6 -json route show default").then((text) => JSON.parse(text)[0].dev);
    expect(await defaults()).toBe("back");
    await using _client = await serve({ machine: bed.client }, "client", "tcp6:82");
    await using _routes = await bed.routeOutside("fd00:20::/64", "fd00:21::/64");
    for (const { outs } of [webFront, webBack]) {
        const question = `tcp [${bed.client.ipv6Address}]:82 from ${outs.ipv6Address}`;
        await expectAnswers(web.place, { [question]: `client to ${outs.ipv6Address}` });
    }
    expect(await driftOf(web.sandbox, web.endpoint, webFront, webBack)).toEqual([]);
    await webBack.delete();
    expect(await defaults()).toBe("front");
});

function frame(mac: string, target: string, source: string, destination: string, next: 17 | 58, body: string): string {
    return ipv6Frame({ from: mac, to: target }, { from: source, to: destination }, { next, body });
}

/** A router advertisement (RFC 4861, 4.2) that offers itself as default router for half an hour. */
const advertisement = "8600 0000 4000 0708 00000000 00000000";

test("ipv6: a router that advertises itself on a bridge of others changes nothing in a sandbox", async () => {
    await bed.host.exec(`ip link add br-app type bridge && ip link set br-app addrgenmode none up
        ip address add 10.5.0.1/24 dev br-app; ip netns add router; ip link add router type veth peer name eth0 netns router
        ip link set router master br-app up; ip -n router link set eth0 up`);
    await reconnect();
    try {
        await using stack = await openStack(bed.host);
        const lan = await stack.network("lan", {
            ...{ subnet: "10.5.0.0/24", ipRange: "10.5.0.64/26", existing: true, interfaceName: "br-app" },
        });
        const [web, asking] = [await stack.join("web", lan), await stack.join("asking", lan)];
        await run(asking.place, "echo 1 >/proc/sys/net/ipv6/conf/lan/accept_ra");
        const prefix = `0304 40c0 00000e10 00000e10 00000000 ${ipv6("fd00:66::")}`;
        const offer = frame(
            ...(["020000000077", "333300000001", "fe80::77", "ff02::1"] as const),
            ...([58, `${advertisement} ${prefix}`] as const),
        );
        await sendFrames({ machine: bed.host, sandbox: "router" }, "eth0", offer);
        const learnt = async ({ place }: Joined) => {
            const shown = await run(place, "ip -6 -oneline address show dev lan; ip -6 route show dev lan");
            return [...shown.matchAll(/fd00:66::\/64|via fe80::77/g)].map(([found]) => found).sort();
        };
        await expect.poll(() => learnt(asking)).toEqual(["fd00:66::/64", "via fe80::77"]);
        expect(await learnt(web)).toEqual([]);
    } finally {
        await bed.host.exec("ip netns del router; ip link del router; ip link del br-app; :");
        await reconnect();
    }
});

test("ipv6: a sandbox speaks as itself only, and never as a router or a server of addresses", async () => {
    await using stack = await openStack(bed.host);
    const front = await stack.network("front", { subnet: subnets.front });
    const evil = await stack.join("evil", front);
    const api = await stack.join("api", front);
    const mac = evil.endpoint.outs.macAddress;
    const [own, local] = [address6(evil), linkLocal(evil)];
    const [everybody, all] = ["333300000001", "ff02::1"];
    const advert = (target: string) => `8800 0000 20000000 ${ipv6(target)}`;
    const echo = "8000 0000 0001 0001";
    const dhcpServer = "0223 0222 0010 0000 02 000001 00000000";
    const refused: Record<string, string> = {
        "another source": frame(mac, everybody, "fd00:20::77", all, 58, echo),
        "another link-local source": frame(mac, everybody, "fe80::77", all, 58, echo),
        "no source": frame(mac, everybody, "::", all, 58, echo),
        "another MAC": frame("020000000099", everybody, own, all, 58, echo),
        "a router advertisement": frame(mac, everybody, local, all, 58, advertisement),
        "a redirect": frame(mac, everybody, local, all, 58, `8900 0000 00000000 ${ipv6(own)} ${ipv6(own)}`),
        "an answer for the gateway": frame(mac, everybody, own, all, 58, advert("fd00:20::1")),
        "an answer for another endpoint": frame(mac, everybody, own, all, 58, advert(address6(api))),
        "a DHCPv6 server": frame(mac, everybody, local, all, 17, dhcpServer),
    };
    const arrived = await countFrames(api.place, "front", `ip6 flowlabel ${flowLabel}`);
    const counts: Record<string, number> = {};
    for (const [name, sent] of Object.entries(refused)) {
        const before = await arrived();
        await sendFrames(evil.place, "front", sent, sent, sent);
        counts[name] = (await arrived()) - before;
    }
    expect(counts).toEqual(Object.fromEntries(Object.keys(refused).map((name) => [name, 0])));
    const before = await arrived();
    await sendFrames(
        evil.place,
        "front",
        frame(mac, everybody, own, all, 58, echo),
        frame(mac, everybody, own, all, 58, advert(own)),
        frame(mac, everybody, local, all, 58, advert(local)),
    );
    expect((await arrived()) - before).toBeGreaterThanOrEqual(3);

    await run(evil.place, "ip -6 address add fd00:20::77/64 dev front nodad");
    await expectAnswers(evil.place, {
        [`icmp ${address6(api)} from ${own}`]: "reply",
        [`icmp ${address6(api)} from fd00:20::77`]: "nothing",
        [`icmp ${bed.client.ipv6Address} from fd00:20::77`]: "nothing",
    });
});

test("ipv6: a host keeps the route that a router advertised, and everything is as before at the end", async () => {
    const router = bed.client;
    const mac = (await router.exec("cat /sys/class/net/eth0/address")).stdout.trim();
    const hop = linkLocalOf(mac);
    const advertised = async () => {
        const { stdout } = await bed.host.exec("ip -6 -json route show default proto ra");
        return JSON.parse(stdout || "[]").map(({ gateway }: { gateway: string }) => gateway);
    };
    const send = () =>
        sendFrames({ machine: router }, "eth0", frame(mac, "333300000001", hop, "ff02::1", 58, advertisement));
    await send();
    await expect.poll(advertised).toEqual([hop]);
    const read = async () =>
        (await bed.host.exec("cd /proc/sys/net/ipv6/conf && cat eth0/accept_ra all/forwarding")).stdout.split("\n");
    expect(await read()).toEqual(["1", "0"]);
    await reconnect();
    {
        await using stack = await openStack(bed.host);
        const front = await stack.network("front", { subnet: subnets.front });
        expect(await read()).toEqual(["2", "1"]);
        expect(await advertised()).toEqual([hop]);
        // And goes on hearing the router.
        await bed.host.exec(`ip -6 route del default via ${hop} dev eth0`);
        await send();
        await expect.poll(advertised).toEqual([hop]);
        expect(await driftOf(front)).toEqual([]);
    }
    expect(await read()).toEqual(["1", "0"]);
    expect(await advertised()).toEqual([hop]);
    await bed.host.exec(`ip -6 route del default via ${hop} dev eth0`);
    await reconnect();
});

test("ipv6: a host that forwards for its networks does not forward for others", async () => {
    await bed.host.exec(`ip netns add far && ip link add up1 type veth peer name far0 netns far && ip link set up1 up &&
        ip -n far link set lo up && ip -n far link set far0 up && ip address add fd00:99::1/64 dev up1 nodad &&
        ip -n far address add fd00:99::2/64 dev far0 nodad && ip -n far -6 route add default via fd00:99::1`);
    await reconnect();
    try {
        await using stack = await openStack(bed.host);
        await stack.network("front", { subnet: subnets.front });
        await using _routes = await bed.routeOutside("fd00:99::/64");
        const far = { machine: bed.host, sandbox: "far" };
        await expectAnswers({ machine: bed.host }, { "icmp fd00:99::2": "reply" });
        await expectAnswers({ machine: bed.client }, { "icmp fd00:99::2": "nothing" });
        await expectAnswers(far, { [`icmp ${bed.client.ipv6Address}`]: "nothing" });
    } finally {
        await bed.host.exec(
            "ip netns del far; while [ -e /sys/class/net/up1 ]; do sleep 0.02; done; rmdir /run/netns/far 2>/dev/null; :",
        );
        await reconnect();
    }
});

test("ipv6: policies hold for it: references match all addresses, and no way leads past a deny", async () => {
    await using stack = await openStack(bed.host);
    const front = await stack.network("front", { subnet: subnets.front });
    const back = await stack.network("back", { subnet: subnets.back });
    const db = await stack.join("db", front);
    const api = await stack.join("api", front);
    const web = await stack.join("web", front);
    const worker = await stack.join("worker", back);
    await using _db = await serve(db.place, "db", "tcp6:80", "tcp6:81", "udp6:80");
    await using _web = await serve(web.place, "web", "tcp6:80");
    await stack.firewallPolicy("db", {
        target: db.endpoint,
        ingress: [
            { action: "allow", from: [api.endpoint, worker.sandbox], ports: [80] },
            { action: "allow", from: "FD00:20::1", ports: [81] },
            { action: "drop", from: "0.0.0.0/0" },
            { action: "allow", from: web.endpoint, protocol: "icmpv6" },
        ],
    });
    await stack.firewallPolicy("web", {
        target: web.endpoint,
        egress: [{ action: "drop", to: api.endpoint }],
        defaultAction: "allow",
    });
    const at = (port: number, address = address6(db)) => `tcp [${address}]:${port}`;
    const own = `${linkLocal(db)}%front`;
    await expectAnswers(api.place, {
        [at(80)]: `db to ${address6(api)}`,
        [at(80, own)]: `db to ${linkLocal(api)}%front`,
        [at(81)]: "nothing",
        [`udp [${address6(db)}]:80`]: "nothing",
        [`icmp ${address6(db)}`]: "nothing",
        "icmp ff02::1%front": "reply",
    });
    await expectAnswers(web.place, {
        [at(80)]: "nothing",
        [at(80, own)]: "nothing",
        [`icmp ${address6(db)}`]: "reply",
        [`icmp ${own}`]: "reply",
    });
    await expectAnswers(worker.place, { [at(80)]: `db to ${address6(worker)}`, [at(81)]: "nothing" });
    await expectAnswers(
        { machine: bed.host },
        {
            [at(80)]: "nothing",
            [at(80, `${linkLocal(db)}%${front.outs.interfaceName}`)]: "nothing",
            [at(81)]: "db to fd00:20::1",
        },
    );
    await expectAnswers(web.place, { [`tcp [${address6(api)}]:80`]: "nothing", "icmp fd00:20::1": "reply" });
    // A ping to all nodes reaches everybody but the guarded one.
    const arrived = await countFrames(db.place, "front", "icmpv6 type echo-request ip6 daddr ff02::1");
    await expectAnswers(web.place, { "icmp ff02::1%front": "reply" });
    expect(await arrived()).toBe(0);
});

test("ipv6: deny, hostAccess and directAccess mean the same, and without it nothing of it passes", async () => {
    await using stack = await openStack(bed.host);
    const closed = await stack.network("closed", { subnet: subnets.front, defaultPolicy: "deny" });
    const quiet = await stack.network("quiet", { subnet: subnets.back, hostAccess: false });
    const direct = await stack.network("direct", {
        subnet: ["172.23.0.0/24", "fd00:23::/64"],
        directAccess: true,
        masquerade: false,
    });
    const four = await stack.network("four", { subnet: "172.24.0.0/24" });
    const [web, api, db] = [
        await stack.join("web", closed),
        await stack.join("api", closed),
        await stack.join("db", closed),
    ];
    const still = await stack.join("still", quiet);
    const [open, shut] = [await stack.join("open", direct), await stack.join("shut", direct)];
    const [left, right] = [await stack.join("left", four), await stack.join("right", four)];
    await using _api = await serve(api.place, "api", "tcp6:80");
    await using _still = await serve(still.place, "still", "tcp6:80");
    await using _open = await serve(open.place, "open", "tcp6:80", "tcp6:81");
    await using _shut = await serve(shut.place, "shut", "tcp6:80");
    await using _right = await serve(right.place, "right", "tcp6:80");
    await using _host = await serve({ machine: bed.host }, "host", "tcp6:81");
    await using _client = await serve({ machine: bed.client }, "client", "tcp6:82");
    await using _routes = await bed.routeOutside("fd00:20::/64", "fd00:21::/64", "fd00:23::/64");
    await stack.firewallPolicy("api", {
        target: api.endpoint,
        ingress: [{ action: "allow", from: web.endpoint, ports: [80] }],
    });
    await stack.firewallPolicy("web", {
        target: web.endpoint,
        egress: [{ action: "allow", to: api.endpoint, protocol: "tcp" }],
    });
    await stack.firewallPolicy("open", {
        target: open.endpoint,
        ingress: [{ action: "allow", from: "::/0", ports: [80] }],
    });
    const refused = (...questions: string[]) => Object.fromEntries(questions.map((question) => [question, "nothing"]));
    const at = (joined: Joined, port = 80) => `tcp [${address6(joined)}]:${port}`;
    const outside = `tcp [${bed.client.ipv6Address}]:82`;

    await expectAnswers(web.place, {
        [at(api)]: `api to ${address6(web)}`,
        [`tcp [${linkLocal(api)}%closed]:80`]: `api to ${linkLocal(web)}%closed`,
        ...refused(at(open), outside, "tcp [fd00:20::1]:81", "icmp fd00:20::1", `icmp ${address6(api)}`),
    });
    await expectAnswers(
        db.place,
        refused(at(api), `tcp [${linkLocal(api)}%closed]:80`, outside, "tcp [fd00:20::1]:81"),
    );
    const link = closed.outs.interfaceName;
    await expectAnswers(
        { machine: bed.host },
        {
            ...refused(at(api), `icmp ${address6(db)}`, `icmp ${linkLocal(db)}%${link}`, at(still)),
            [at(shut)]: `shut to fd00:23::1`,
        },
    );
    await expectAnswers(still.place, {
        ...refused("tcp [fd00:21::1]:81", "icmp fd00:21::1"),
        [outside]: `client to ${bed.host.ipv6Address}`,
    });
    await expectAnswers(
        { machine: bed.client },
        { ...refused(at(api), at(still), at(shut), at(open, 81)), [at(open)]: `open to ${bed.client.ipv6Address}` },
    );
    await expectAnswers(open.place, { [outside]: `client to ${address6(open)}` });
    // Addresses of its own making lead nowhere on a network of IPv4.
    for (const [{ place }, end] of [
        [left, 1],
        [right, 2],
    ] as const)
        await run(
            place,
            `ip -6 address add fd00:24::${end}/64 dev four nodad && ip -6 address add fe80::${end}/64 dev four nodad`,
        );
    await bed.host.exec(`ip -6 address add fd00:24::9/64 dev ${four.outs.interfaceName} nodad`);
    await expectAnswers(left.place, refused("tcp [fd00:24::2]:80", "icmp fe80::2%four", "tcp [fd00:24::9]:81"));
    await bed.host.exec(`ip -6 address del fd00:24::9/64 dev ${four.outs.interfaceName}`);
});

test("ipv6: a host brings it back by itself, and a refresh finds what was taken away", async () => {
    await using stack = await openStack(bed.host);
    const front = await stack.network("front", { subnet: subnets.front });
    const back = await stack.network("back", { subnet: subnets.back });
    const web = await stack.join("web", front);
    const webBack = await stack.endpoint("web-back", { sandbox: web.sandbox, network: back });
    const api = await stack.join("api", front);
    const all = [front, back, web.sandbox, web.endpoint, webBack, api.sandbox, api.endpoint];
    const name = web.sandbox.outs.name;
    const link = front.outs.interfaceName;
    await bed.host.exec(`nft flush ruleset; ip netns del ${name}; ip link del ${link};
        echo 0 >/proc/sys/net/ipv6/conf/all/forwarding
        for i in $(seq 100); do [ -e /sys/class/net/${web.endpoint.outs.hostInterface} ] || break; sleep 0.02; done`);
    expect((await driftOf(...all)).length).toBeGreaterThan(10);
    expect((await bed.host.exec("sh /var/lib/linuxnet/restore")).stderr).toBe("");
    expect(await driftOf(web.sandbox, web.endpoint, webBack, front, back)).toEqual([]);
    // The bridge took its port along; what hangs on it is repaired by its own resource.
    await api.endpoint.update({ labels: { again: "yes" } });
    const expected = { [`icmp ${address6(api)}`]: "reply", [`icmp ${bed.client.ipv6Address}`]: "reply" };
    await expectAnswers(web.place, expected);

    await run(
        web.place,
        `ip -6 rule del from ${address6(web)}; ip -6 address del ${address6(web)}/64 dev front;
        ip -6 route del default; echo 1 >/proc/sys/net/ipv6/conf/front/accept_ra`,
    );
    await bed.host.exec(`ip -6 route del fd00:20::/64 dev ${link}; echo 0 >/proc/sys/net/ipv6/conf/all/forwarding`);
    const drift = await driftOf(web.endpoint, front, web.sandbox);
    expect(drift).toEqual(
        expect.arrayContaining([
            `address ${address6(web)}/64 on front in ${name} is missing`,
            `rule from ${address6(web)} lookup 1000 in ${name} is missing`,
            `sysctl net/ipv6/conf/front/accept_ra in ${name}: value is 1, not 0`,
            `address fd00:20::1/64 on ${link}: the route to fd00:20::/64 is gone`,
        ]),
    );
    for (const resource of [web.endpoint, web.sandbox, front]) await resource.update({ labels: { mended: "yes" } });
    expect(await driftOf(...all)).toEqual([]);
    await expectAnswers(web.place, expected);
});

test("ipv6: what does not fit is refused, with what to do", async () => {
    await using stack = await openStack(bed.host);
    const front = await stack.network("front", { subnet: subnets.front });
    const db = await stack.join("db", front, { ipv6Address: "fd00:20::9" });
    const four = await stack.network("four", { subnet: "172.23.0.0/24" });
    const outside = bed.host.ipv6Address.replace(/::.*/, "::/64");
    const network = (args: object) => stack.network("other", { subnet: ["172.24.0.0/24", "fd00:24::/64"], ...args });
    const cases: [() => Promise<unknown>, string][] = [
        [
            () => network({ subnet: ["172.24.0.0/24", "fd00:20::/48"] }),
            'subnet fd00:20::/48 overlaps fd00:20::/64 of network "front" of stack test/dev',
        ],
        [
            () => network({ subnet: ["172.24.0.0/24", outside] }),
            `subnet ${outside} overlaps ${outside} of the host's interface eth0`,
        ],
        [() => network({ subnet: ["172.24.0.0/24", "fe80::/64"] }), "is not for hosts: fe80::/10 is link-local"],
        [
            () => network({ subnet: ["172.24.0.0/24", "fd00:24::/125"] }),
            "subnet fd00:24::/125 has fewer addresses than 172.24.0.0/24. Use a /64.",
        ],
        [() => network({ mtu: 1279 }), "mtu 1279 is too small: IPv6 needs 1280 bytes (RFC 8200)"],
        [() => network({ gateway: ["172.24.0.1", "fd00:25::1"] }), "gateway fd00:25::1 is outside subnet fd00:24::/64"],
        [
            () => stack.join("a", front, { ipv6Address: "fd00:20::9" }),
            'ipv6Address fd00:20::9 is already used by endpoint "db-front" of stack test/dev',
        ],
        [
            () => stack.join("b", front, { ipv6Address: "fd00:20::1" }),
            'ipv6Address fd00:20::1 is the gateway of network "front"',
        ],
        [
            () => stack.join("c", front, { ipv6Address: "fd00:21::9" }),
            "ipv6Address fd00:21::9 is outside subnet fd00:20::/64",
        ],
        [
            () => stack.join("d", four, { ipv6Address: "fd00:20::9" }),
            'network "four" has no IPv6. Set ipv6: true on it',
        ],
    ];
    for (const [refused, message] of cases) await expect(refused()).rejects.toThrow(message);
    // The endpoint that follows by number finds its own taken.
    const twin = await stack.join("twin", front, { ipv4Address: "172.20.0.9" });
    expect(address6(twin)).toBe("fd00:20::100");
    expect(address6(db)).toBe("fd00:20::9");
});

/** Writes switches of a host of its own: written for all interfaces, it takes the host's addresses away. */
async function withSwitches(...values: readonly string[]) {
    const host = await createHost();
    const write = async (...switches: readonly string[]) => {
        const lines = switches.map((each) => each.split("="));
        await host.exec(
            lines.map(([key, value]) => `echo ${value} >/proc/sys/net/ipv6/conf/${key}/disable_ipv6`).join("; "),
        );
        await reconnect();
    };
    await write(...values);
    return { host, write, [Symbol.asyncDispose]: () => host[Symbol.asyncDispose]() };
}

test.each([
    ["by default", ["default=1"]],
    ["for all interfaces", ["all=1"]],
    ["for all interfaces but those to come", ["all=1", "default=0"]],
])("ipv6: a host where it is switched off %s carries networks of IPv4", async (_title, values) => {
    await using off = await withSwitches(...values);
    const { host } = off;
    const before = await snapshotHost(host);
    const client = host.lab.client();
    {
        await using stack = await openStack(host);
        const front = await stack.network("front", { subnet: "172.20.0.0/24" });
        const [web, db] = [await stack.join("web", front), await stack.join("db", front)];
        const published = await stack.portMapping("http", { target: web.endpoint, hostPort: 8080, targetPort: 80 });
        await using _web = await serve(web.place, "web", "tcp:80");
        await expectAnswers({ machine: client }, { [`tcp ${host.address}:8080`]: `web to ${client.address}` });
        await expectAnswers(db.place, { [`tcp ${web.address}:80`]: `web to ${db.address}` });
        expect(await run(db.place, "getent hosts web")).toContain(web.address);
        expect(await driftOf(front, web.sandbox, web.endpoint, db.endpoint, published)).toEqual([]);
        const sentence =
            "IPv6 is switched off on the host (net.ipv6.conf.default.disable_ipv6 or net.ipv6.conf.lo.disable_ipv6). Switch it on there";
        await expect(stack.network("both", { subnet: subnets.back })).rejects.toThrow(sentence);
        await expect(front.update({ ipv6: true })).rejects.toThrow(sentence);
    }
    await reconnect();
    expect(await snapshotHost(host)).toEqual(before);
});

test("ipv6: a network goes on over IPv4 while its host has IPv6 switched off, and has both again after", async () => {
    await using off = await withSwitches();
    const { host } = off;
    await using stack = await openStack(host);
    const front = await stack.network("front", { subnet: subnets.front });
    const [web, api] = [await stack.join("web", front), await stack.join("api", front)];
    await off.write("all=1");
    const four = { [`icmp ${api.address}`]: "reply", [`icmp ${host.lab.client().address}`]: "reply" };
    await expectAnswers(web.place, { ...four, "icmp fd00:20::1": "nothing" });
    const { interfaceName: link } = front.outs;
    const missing = [
        `address fe80::6c:acff:fe14:1/64 on ${link} is missing`,
        `address fd00:20::1/64 on ${link} is missing`,
    ];
    expect(await driftOf(front, web.endpoint)).toEqual(missing);
    // The last ping is in it for a while.
    await host.exec(`ip netns del ${web.sandbox.outs.name}
        for i in $(seq 1000); do [ -e /sys/class/net/${web.endpoint.outs.hostInterface} ] || break; sleep 0.02; done`);
    expect((await host.exec("sh /var/lib/linuxnet/restore")).stderr).toContain("IPv6 is disabled on this device");
    await expectAnswers(web.place, { ...four, "icmp fd00:20::1": "nothing" });
    await expect(front.update({ labels: { a: "b" } })).rejects.toThrow("Switch it on there, or leave IPv6 out.");
    // Who is new has IPv6 inside; what drifted is mended, and goes.
    const late = await stack.join("late", front);
    await expectAnswers(late.place, { [`icmp ${api.address}`]: "reply", [`icmp ${address6(api)}`]: "reply" });
    await run(late.place, "ip rule del priority 1000; ip address flush dev front");
    await late.endpoint.update({ labels: { a: "b" } });
    await run(late.place, "ip rule del priority 1000; ip address flush dev front");
    await late[Symbol.asyncDispose]();
    await off.write("all=0");
    expect((await host.exec("sh /var/lib/linuxnet/restore")).stderr).toBe("");
    expect(await driftOf(front, web.sandbox, web.endpoint, api.endpoint)).toEqual([]);
    const both = { ...four, "icmp fd00:20::1": "reply", [`icmp ${address6(api)}`]: "reply" };
    // Who was asked in vain a moment ago is asked again when the kernel takes his neighbour entry for too old.
    await expect.poll(() => answersTo(web.place, both), { timeout: 30_000 }).toEqual(both);
});
