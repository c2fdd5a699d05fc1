import { expect, test } from "vitest";
import { openStack, type Resource } from "./driver.js";
import { layTestBed } from "./test-bed.js";
import { answersTo, type Place, run, serve } from "./traffic.js";

const bed = layTestBed(2);

async function expectAnswers(place: Place, expected: Record<string, string>): Promise<void> {
    expect(await answersTo(place, expected)).toEqual(expected);
}

async function driftOf(...resources: readonly Resource[]): Promise<string[]> {
    return (await Promise.all(resources.map((resource) => resource.refresh()))).flat();
}

const ranges = ["fd00:30:0:1::/64", "fd00:30:0:2::/64"] as const;
const gateways = ["fd00:30:0:1::1", "fd00:30:0:2::1"] as const;

test("a segment of IPv6 alone over two hosts: endpoints, ports, policies and hosts reach each other over it", async () => {
    const [left, right] = bed.hosts;
    if (left === undefined || right === undefined) throw new Error("There are two.");
    const lay = async (own: 0 | 1) => {
        const [machine, other] = own === 0 ? [left, right] : [right, left];
        const stack = await openStack(machine);
        const net = await stack.network("mesh", {
            ...{ ipv4: false, subnet: "fd00:30::/56", ipRange: ranges[own], gateway: gateways[own] },
        });
        const peers = [{ underlayAddress: other.address, ipRange: ranges[own === 0 ? 1 : 0] }];
        const tunnel = await stack.overlayTunnel("mesh", { network: net, vni: 30, peers });
        const [web, db] = [await stack.join("web", net), await stack.join("db", net)];
        return { machine, stack, net, tunnel, web, db };
    };
    const [a, b] = [await lay(0), await lay(1)];
    await using _stacks = {
        async [Symbol.asyncDispose]() {
            for (const { stack } of [a, b]) await stack.destroyAll();
        },
    };
    expect([a.web.address, a.db.address, b.web.address]).toEqual([
        ...["fd00:30:0:1::", "fd00:30:0:1::2", "fd00:30:0:2::"],
    ]);
    await using _b = await serve(b.web.place, "b", "tcp6:80", "udp6:80");
    await using _a = await serve(a.web.place, "a", "tcp6:80");
    await using _c = await serve({ machine: bed.client }, "client", "tcp6:82");
    await a.stack.portMapping("http", { target: a.web.endpoint, hostPort: 8080, targetPort: 80 });
    const check = async () => {
        await expectAnswers(a.web.place, {
            [`tcp [${b.web.address}]:80`]: `b to ${a.web.address}`,
            [`udp [${b.web.address}]:80`]: `b to ${a.web.address}`,
            [`icmp ${gateways[1]}`]: "reply",
            [`icmp ${b.db.address}`]: "reply",
            [`tcp [${bed.client.ipv6Address}]:82`]: `client to ${a.machine.ipv6Address}`,
        });
        await expectAnswers(b.db.place, { [`tcp [${a.web.address}]:80`]: `a to ${b.db.address}` });
        await expectAnswers(a.machine === left ? { machine: left } : { machine: right }, {
            [`tcp [${b.web.address}]:80`]: `b to ${gateways[0]}`,
        });
        await expectAnswers(
            { machine: bed.client },
            { [`tcp [${left.ipv6Address}]:8080`]: `a to ${bed.client.ipv6Address}` },
        );
        for (const { net, tunnel, web, db } of [a, b])
            expect(await driftOf(net, tunnel, web.sandbox, web.endpoint, db.endpoint)).toEqual([]);
    };
    await check();
    // As large as the segment lets through, and no larger.
    const size = a.tunnel.outs.mtu - 48;
    const ping = (bytes: number) =>
        `ping -6 -c1 -W2 -M do -s ${bytes} ${b.web.address} >/dev/null 2>&1 && echo fits || echo large`;
    expect(await run(a.web.place, `${ping(size)}; ${ping(size + 1)}`)).toBe("fits\nlarge");
    // Hosts ask each other for names, open to their sandboxes or not.
    const far = await b.stack.join("far", b.net);
    const ask = () => run(a.db.place, `dig +nocookie +short @${gateways[0]} far AAAA`);
    expect(await ask()).toBe(far.address);
    for (const { net } of [a, b]) await net.update({ hostAccess: false });
    expect(await ask()).toBe(far.address);
    await b.stack.firewallPolicy("web", {
        target: b.web.endpoint,
        ingress: [{ action: "allow", from: `${a.db.address}/128`, ports: [80] }],
    });
    await expectAnswers(a.web.place, { [`tcp [${b.web.address}]:80`]: "nothing" });
    await expectAnswers(a.db.place, { [`tcp [${b.web.address}]:80`]: `b to ${a.db.address}` });
    await left.exec(
        `nft flush ruleset; ip link del ${a.tunnel.outs.interfaceName}; ip link del ${a.db.endpoint.outs.hostInterface}`,
    );
    expect((await left.exec("sh /var/lib/linuxnet/restore")).stderr).toBe("");
    await expectAnswers(a.db.place, { [`tcp [${b.web.address}]:80`]: `b to ${a.db.address}` });
    expect(await driftOf(a.net, a.tunnel, a.web.endpoint, a.db.endpoint)).toEqual([]);
});
