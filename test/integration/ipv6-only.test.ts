import { expect, test } from "vitest";
import { linkLocalOf } from "../../provider/model/ipv6.js";
import { type Joined, openStack, type Resource } from "./driver.js";
import { flowLabel, ipv6Frame } from "./frame.js";
import { layTestBed } from "./test-bed.js";
import { answersTo, countFrames, type Place, run, sendFrames, serve } from "./traffic.js";

const bed = layTestBed();
const only = { ipv4: false } as const;
const six = { ...only, subnet: "FD00:30:0::/64" };

async function expectAnswers(place: Place, expected: Record<string, string>): Promise<void> {
    expect(await answersTo(place, expected)).toEqual(expected);
}

async function driftOf(...resources: readonly Resource[]): Promise<string[]> {
    return (await Promise.all(resources.map((resource) => resource.refresh()))).flat();
}

/** The IPv4 addresses and routes of a sandbox, its loopback's aside. */
const ipv4Of = ({ place }: Joined) =>
    run(place, "ip -4 -oneline address show scope global; ip -4 route show table all");

test("ipv6 only: a network, its addresses and its ways out have nothing of IPv4", async () => {
    await using stack = await openStack(bed.host);
    const net = await stack.network("six", six);
    expect(net.outs).toMatchObject({
        ...{ subnet: "fd00:30::/64", subnets: ["fd00:30::/64"], gateway: "fd00:30::1", gateways: ["fd00:30::1"] },
        ...{ ranges: ["fd00:30::/64"], ipv4: false },
    });
    const chosen = await stack.network("chosen", only);
    expect(chosen.outs.subnets).toEqual([expect.stringMatching(/^fd[0-9a-f:]+::\/64$/)]);
    const both = await stack.network("both", { subnet: ["172.20.0.0/24", "fd00:20::/64"] });
    const [web, api] = [await stack.join("web", net), await stack.join("api", net, { ipv6Address: "fd00:30::A1" })];
    const far = await stack.join("far", chosen);
    const other = await stack.join("other", both);
    expect(web.endpoint.outs).toMatchObject({
        ...{ address: "fd00:30::2", addresses: ["fd00:30::2"], ipv6Address: "fd00:30::2" },
        macAddress: expect.stringMatching(/^06(:[0-9a-f]{2}){5}$/),
    });
    expect(Object.keys(web.endpoint.outs)).not.toContain("ipv4Address");
    const third = await stack.join("third", net);
    expect([api.address, third.address]).toEqual(["fd00:30::a1", "fd00:30::3"]);

    const kernel = await bed.host.exec(`ip -4 -oneline address show dev ${net.outs.interfaceName}`);
    expect([kernel.stdout, await ipv4Of(web)]).toEqual(["", expect.not.stringContaining("dev six")]);
    await using _api = await serve(api.place, "api", "tcp6:80", "udp6:80");
    await using _far = await serve(far.place, "far", "tcp6:80");
    await using _other = await serve(other.place, "other", "tcp6:80");
    await using _host = await serve({ machine: bed.host }, "host", "tcp6:81");
    await using _client = await serve({ machine: bed.client }, "client", "tcp6:82", "udp6:82", "tcp:82");
    await expectAnswers(web.place, {
        [`tcp [${api.address}]:80`]: `api to ${web.address}`,
        [`udp [${api.address}]:80`]: `api to ${web.address}`,
        [`icmp ${linkLocalOf(api.endpoint.outs.macAddress)}%six`]: "reply",
        "icmp fd00:30::1": "reply",
        "tcp [fd00:30::1]:81": `host to ${web.address}`,
        [`tcp [${far.address}]:80`]: "nothing",
        [`tcp [${other.endpoint.outs.ipv6Address}]:80`]: "nothing",
        [`tcp [${bed.client.ipv6Address}]:82`]: `client to ${bed.host.ipv6Address}`,
        [`udp [${bed.client.ipv6Address}]:82`]: `client to ${bed.host.ipv6Address}`,
        [`tcp ${bed.client.address}:82`]: "unreachable",
    });
    // Beside a network of IPv4 in one sandbox, each family leaves by its own.
    const four = await stack.network("four", { subnet: "172.23.0.0/24" });
    const webFour = await stack.endpoint("web-four", { sandbox: web.sandbox, network: four });
    await expectAnswers(web.place, {
        [`tcp [${bed.client.ipv6Address}]:82`]: `client to ${bed.host.ipv6Address}`,
        [`tcp ${bed.client.address}:82`]: `client to ${bed.host.address}`,
    });
    await using _routes = await bed.routeOutside("fd00:30::/64");
    expect(await net.update({ masquerade: false, isolateEndpoints: true })).toBe("update");
    await expectAnswers(web.place, {
        [`tcp [${bed.client.ipv6Address}]:82`]: `client to ${web.address}`,
        [`tcp [${api.address}]:80`]: "nothing",
    });
    const all = [net, chosen, both, four, web.sandbox, web.endpoint, webFour, api.endpoint, third.endpoint];
    expect(await driftOf(...all)).toEqual([]);
});

test("ipv6 only: ports are published over IPv6, policies hold, and a port speaks as its own address only", async () => {
    await using stack = await openStack(bed.host);
    const net = await stack.network("six", six);
    const closed = await stack.network("closed", { ...only, subnet: "fd00:31::/64", defaultPolicy: "deny" });
    const [web, db] = [await stack.join("web", net), await stack.join("db", closed)];
    const evil = await stack.join("evil", net);
    await using _web = await serve(web.place, "web", "tcp6:80", "udp6:80");
    await using _db = await serve(db.place, "db", "tcp6:80");
    const target = web.endpoint;
    await stack.portMapping("http", { target, hostPort: 8080, targetPort: 80, protocol: ["tcp", "udp"] });
    const on = (hostAddress: string) =>
        stack.portMapping("at", { target, hostPort: 8081, targetPort: 80, hostAddress });
    await expect(on("127.0.0.1")).rejects.toThrow(
        'hostAddress 127.0.0.1 is IPv4, which network "six" of the target has not. Give an IPv6 address of the host, or leave the address out.',
    );
    await on(bed.host.ipv6Address);
    await using _routes = await bed.routeOutside("fd00:30::/64");
    const client = { machine: bed.client };
    const host6 = bed.host.ipv6Address;
    await expectAnswers(client, {
        [`tcp [${host6}]:8080`]: `web to ${bed.client.ipv6Address}`,
        [`udp [${host6}]:8080`]: `web to ${bed.client.ipv6Address}`,
        [`tcp [${host6}]:8081`]: `web to ${bed.client.ipv6Address}`,
        [`tcp ${bed.host.address}:8080`]: "refused",
        [`tcp [${web.address}]:80`]: "nothing",
    });
    await expectAnswers(evil.place, {
        [`tcp [${host6}]:8080`]: "web to fd00:30::1",
        [`tcp [${db.address}]:80`]: "nothing",
    });
    await stack.firewallPolicy("db", {
        target: db.endpoint,
        ingress: [
            { action: "allow", from: "0.0.0.0/0", ports: [80] },
            { action: "allow", from: web.endpoint, ports: [80] },
        ],
    });
    await expectAnswers(web.place, { [`tcp [${db.address}]:80`]: `db to ${web.address}` });
    await expectAnswers(evil.place, { [`tcp [${db.address}]:80`]: "nothing" });

    // Another source, and anything of IPv4, does not get past the port.
    const arrived = await countFrames(web.place, "six", `ip6 flowlabel ${flowLabel}`);
    const mac = evil.endpoint.outs.macAddress;
    const echo = (from: string) =>
        ipv6Frame(
            { from: mac, to: "333300000001" },
            { from, to: "ff02::1" },
            { next: 58, body: "8000 0000 0001 0001" },
        );
    await sendFrames(evil.place, "six", echo("fd00:30::77"));
    expect(await arrived()).toBe(0);
    await sendFrames(evil.place, "six", echo(evil.address));
    expect(await arrived()).toBe(1);
    const arp = await countFrames(web.place, "six", "ether type arp");
    await run(evil.place, "ip address add 10.9.9.9/24 dev six; ping -c1 -W1 10.9.9.8 >/dev/null 2>&1; :");
    expect(await arp()).toBe(0);
});

test("ipv6 only: the host brings it back by itself, a refresh finds what was taken away, an update mends it", async () => {
    await using stack = await openStack(bed.host);
    const net = await stack.network("six", six);
    const [web, api] = [await stack.join("web", net), await stack.join("api", net)];
    const all = [net, web.sandbox, web.endpoint, api.sandbox, api.endpoint];
    const { interfaceName } = net.outs;
    await bed.host.exec(`nft flush ruleset; ip netns del ${web.sandbox.outs.name}; ip link del ${interfaceName}
        for i in $(seq 100); do [ -e /sys/class/net/${web.endpoint.outs.hostInterface} ] || break; sleep 0.02; done`);
    expect((await bed.host.exec("sh /var/lib/linuxnet/restore")).stderr).toBe("");
    await api.endpoint.update({ labels: { again: "yes" } });
    expect(await driftOf(...all)).toEqual([]);
    await run(web.place, `ip -6 address del ${web.address}/64 dev six; ip -6 route del default; :`);
    await bed.host.exec(`ip -6 address del fd00:30::1/64 dev ${interfaceName}`);
    expect((await driftOf(net, web.endpoint, web.sandbox)).length).toBeGreaterThan(2);
    for (const resource of [net, web.endpoint, web.sandbox]) await resource.update({ labels: { mended: "yes" } });
    expect(await driftOf(...all)).toEqual([]);
    await expectAnswers(web.place, { [`icmp ${api.address}`]: "reply", [`icmp ${bed.client.ipv6Address}`]: "reply" });
});

test("ipv6 only: range, reserved addresses and exhaustion mean the same, and what does not fit is refused", async () => {
    await using stack = await openStack(bed.host);
    const small = { ...only, subnet: "fd00:32::/64", ipRange: "fd00:32::10-fd00:32::13", reserved: ["fd00:32::11"] };
    const net = await stack.network("small", { ...small, gateway: "FD00:32::FF" });
    const [a, b] = [await stack.join("a", net), await stack.join("b", net)];
    const outside = await stack.join("c", net, { ipv6Address: "fd00:32::99" });
    expect([a, b, outside].map(({ address }) => address)).toEqual(["fd00:32::10", "fd00:32::12", "fd00:32::99"]);
    const last = await stack.join("d", net);
    const cases: [() => Promise<unknown>, string][] = [
        [
            () => stack.join("e", net),
            'network "small" has no free address left in fd00:32::10-fd00:32::13: 4 are in use',
        ],
        [
            () => stack.join("f", net, { ipv4Address: "172.20.0.9" }),
            'network "small" has no IPv4. Leave ipv4Address out.',
        ],
        [
            () => stack.join("g", net, { ipv6Address: "fd00:32::12" }),
            'address fd00:32::12 is already used by endpoint "b-small" of stack test/dev. Choose another ipv6Address, or leave it out.',
        ],
        [() => stack.join("h", net, { ipv6Address: "fd00:32::" }), "address fd00:32:: is the first of fd00:32::/64"],
        [
            () => stack.join("i", net, { ipv6Address: "fd00:33::9" }),
            "address fd00:33::9 is outside subnet fd00:32::/64",
        ],
        [() => net.update({ gateway: "fd00:32::10" }), 'gateway fd00:32::10 is used by endpoint "a-small"'],
        [
            () => net.update({ gateway: "fd00:32::ff", reserved: "fd00:33::1" }),
            "reserved address fd00:33::1 is outside subnet fd00:32::/64",
        ],
        [() => stack.network("n", { ...only, subnet: "fd00:32::/48" }), 'overlaps fd00:32::/64 of network "small"'],
        [
            () => stack.network("o", { ...only, subnet: "fd00:34::/127" }),
            "has no room for endpoints. Use /126 or larger",
        ],
        [
            () =>
                stack.overlayTunnel("t", {
                    network: net,
                    vni: 9,
                    encryption: "ipsec",
                    key: "openssl-rand-base64-32-of-a-test",
                }),
            'network "small" has no IPv4, which segments with encryption need yet. Leave ipv4: false out there, or encryption here.',
        ],
    ];
    for (const [refused, message] of cases) await expect(refused()).rejects.toThrow(message);
    await net.update({ reserved: small.reserved });
    await last.endpoint.delete();
    expect((await stack.join("j", net)).address).toBe(last.address);
    // A family is taken off or put on by making the network anew.
    const bare = await stack.network("bare", only);
    expect(await bare.update({ ipv4: undefined })).toBe("replace");
    expect(bare.outs.subnets).toEqual([expect.stringMatching(/^10\.176\./)]);
    expect(await bare.update({ ipv4: true })).toBe("same");
    expect(await bare.update({ ipv4: false })).toBe("replace");
    expect(bare.outs.subnets).toEqual([expect.stringMatching(/^fd/)]);
});
