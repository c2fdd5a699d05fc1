import { expect, test } from "vitest";
import { openStack, type Resource } from "./driver.js";
import { layTestBed } from "./test-bed.js";
import { answersTo, ask, countFrames, inside, run, sendFrames, serve } from "./traffic.js";

const bed = layTestBed();

/** The interface of the default route inside a sandbox; "none" without one. */
async function defaultInterface(sandbox: Resource<"sandbox">): Promise<string> {
    const { stdout } = await bed.host.exec("ip -json route show default", { sandbox: sandbox.outs.name });
    const routes: { dev: string }[] = JSON.parse(stdout || "[]");
    return routes.map(({ dev }) => dev).join(" ") || "none";
}

async function linksOf(sandbox: Resource<"sandbox">): Promise<{ ifname: string; address: string; flags: string[] }[]> {
    return JSON.parse((await bed.host.exec("ip -json link", { sandbox: sandbox.outs.name })).stdout);
}

test("sandbox: without endpoints it has its own loopback and nothing else", async () => {
    await using stack = await openStack(bed.host);
    const lonely = await stack.sandbox("lonely");
    const links = await linksOf(lonely);
    expect(links.map(({ ifname }) => ifname)).toEqual(["lo"]);
    expect(links[0]?.flags).toContain("UP");
    const expected = { "icmp 127.0.0.1": "reply", [`tcp ${bed.host.address}:22`]: "unreachable" };
    expect(await answersTo(inside(bed.host, lonely), expected)).toEqual(expected);
});

test("sandbox: its sysctls are set inside only, and change in place", async () => {
    await using stack = await openStack(bed.host);
    const key = "net.ipv4.ip_unprivileged_port_start";
    const web = await stack.sandbox("web", { sysctls: { [key]: 80 } });
    const read = () => run(inside(bed.host, web), ["sysctl", "-n", key]);
    expect(await read()).toBe("80");
    expect(await web.refresh()).toEqual([]);
    expect(await web.update({ sysctls: { [key]: 443 } })).toBe("update");
    expect(await read()).toBe("443");
    expect((await bed.host.exec(["sysctl", "-n", key])).stdout).toBe("1024");
});

test("endpoint: the default route goes by gatewayPriority, then by the network's name, never by internal ones", async () => {
    await using stack = await openStack(bed.host);
    const beta = await stack.network("beta", { subnet: "172.21.0.0/24" });
    const alpha = await stack.network("alpha", { subnet: "172.20.0.0/24" });
    const data = await stack.network("data", { subnet: "172.22.0.0/24", internal: true });
    const web = await stack.sandbox("web");
    const webBeta = await stack.endpoint("web-beta", { sandbox: web, network: beta });
    expect(await defaultInterface(web)).toBe("beta");
    const webAlpha = await stack.endpoint("web-alpha", { sandbox: web, network: alpha });
    await stack.endpoint("web-data", { sandbox: web, network: data, gatewayPriority: 100 });
    expect(await defaultInterface(web)).toBe("alpha");
    await webBeta.update({ gatewayPriority: 10 });
    expect(await defaultInterface(web)).toBe("beta");
    await webBeta.update({ gatewayPriority: "never" });
    expect(await defaultInterface(web)).toBe("alpha");
    await webAlpha.update({ gatewayPriority: -1 });
    expect(await defaultInterface(web)).toBe("alpha");
    await webAlpha.delete();
    expect(await defaultInterface(web)).toBe("none");
    await webBeta.update({ gatewayPriority: 0 });
    expect(await defaultInterface(web)).toBe("beta");
    for (const resource of [web, webBeta, beta]) expect(await resource.refresh()).toEqual([]);
});

test("endpoint: addresses are static or the lowest free one, and stay", async () => {
    await using stack = await openStack(bed.host);
    const network = await stack.network("front", { subnet: "172.20.0.0/29", reserved: ["172.20.0.3"] });
    const attach = async (name: string, args = {}) => {
        const sandbox = await stack.sandbox(name);
        return stack.endpoint(`${name}-front`, { sandbox, network, ...args });
    };
    const fixed = await attach("fixed", { ipv4Address: "172.20.0.4" });
    const first = await attach("first");
    const second = await attach("second");
    const third = await attach("third");
    const addresses = [fixed, first, second, third].map(({ outs }) => outs.address);
    expect(addresses).toEqual(["172.20.0.4", "172.20.0.2", "172.20.0.5", "172.20.0.6"]);
    await expect(attach("fourth")).rejects.toThrow('network "front" has no free address left in 172.20.0.0/29');
    await first.delete();
    expect(await second.update({ labels: { a: "b" } })).toBe("update");
    expect(second.outs.address).toBe("172.20.0.5");
    const again = await stack.endpoint("again", { sandbox: await stack.sandbox("again"), network });
    expect(again.outs.address).toBe("172.20.0.2");
    expect(await again.update({ ipv4Address: "172.20.0.3" })).toBe("update");
    const { stdout } = await bed.host.exec("ip -json -4 address show dev front", { sandbox: "again" });
    expect(JSON.parse(stdout)[0].addr_info.map(({ local }: { local: string }) => local)).toEqual(["172.20.0.3"]);
    expect(await ask({ machine: bed.host }, "icmp 172.20.0.3")).toEqual({ "icmp 172.20.0.3": "reply" });
    expect(await again.refresh()).toEqual([]);
});

test("endpoint: allocates from ipRange when the network has one", async () => {
    await using stack = await openStack(bed.host);
    const network = await stack.network("front", { subnet: "172.20.0.0/24", ipRange: "172.20.0.128/26" });
    const web = await stack.join("web", network);
    expect([network.outs.gateway, web.address]).toEqual(["172.20.0.128", "172.20.0.129"]);
});

test.each([
    ["172.21.0.9", "address 172.21.0.9 is outside subnet 172.20.0.0/24"],
    ["172.20.0.1", "address 172.20.0.1 is the gateway"],
    ["172.20.0.0", "address 172.20.0.0 is the first or last of 172.20.0.0/24"],
    ["172.20.0.10", 'address 172.20.0.10 is already used by endpoint "db-front" of stack test/dev'],
])("endpoint: address %s is refused: %s", async (ipv4Address, message) => {
    await using stack = await openStack(bed.host);
    const front = await stack.network("front", { subnet: "172.20.0.0/24" });
    await stack.join("db", front, { ipv4Address: "172.20.0.10" });
    await expect(stack.join("web", front, { ipv4Address })).rejects.toThrow(message);
});

test("endpoint: a sandbox is on a network once", async () => {
    await using stack = await openStack(bed.host);
    const front = await stack.network("front", { subnet: "172.20.0.0/24" });
    const { sandbox } = await stack.join("web", front);
    await expect(stack.endpoint("twin", { sandbox, network: front })).rejects.toThrow(
        /sandbox "web-[0-9a-f]{6}" is on network "front" already, by endpoint "web-front" of stack test\/dev/,
    );
});

test("endpoint: interface name and MAC address are chosen from the network and the address, or given", async () => {
    await using stack = await openStack(bed.host);
    const long = await stack.network("a-network-with-a-long-name", { subnet: "172.20.0.0/24" });
    const front = await stack.network("front", { subnet: "172.21.0.0/24" });
    const web = await stack.join("web", long);
    expect(web.endpoint.outs.interfaceName).toMatch(/^a-network--[0-9a-f]{4}$/);
    const given = { interfaceName: "eth0", macAddress: "02:00:00:00:00:77" };
    const second = await stack.endpoint("web-front", { sandbox: web.sandbox, network: front, ...given });
    const link = (await linksOf(web.sandbox)).find(({ ifname }) => ifname === "eth0");
    expect(link?.address).toBe("02:00:00:00:00:77");
    expect(await ask({ machine: bed.host }, "icmp 172.21.0.2")).toEqual({ "icmp 172.21.0.2": "reply" });
    expect(await second.update({ macAddress: "02:00:00:00:00:78" })).toBe("update");
    expect(await ask({ machine: bed.host }, "icmp 172.21.0.2")).toEqual({ "icmp 172.21.0.2": "reply" });
});

test.each([0, "never"] as const)(
    "endpoint: replies leave by the endpoint that the request came in by, gatewayPriority %s",
    async (gatewayPriority) => {
        await using stack = await openStack(bed.host);
        const front = await stack.network("front", { subnet: "172.20.0.0/24" });
        const back = await stack.network("back", { subnet: "172.21.0.0/24" });
        const web = await stack.join("web", front, { gatewayPriority: 10 });
        const webBack = await stack.endpoint("web-back", { sandbox: web.sandbox, network: back, gatewayPriority });
        expect(await defaultInterface(web.sandbox)).toBe("front");
        await stack.portMapping("front", { target: web.endpoint, hostPort: 8080, targetPort: 80 });
        await stack.portMapping("back", { target: webBack, hostPort: 8081, targetPort: 80, protocol: ["tcp", "udp"] });
        await using _web = await serve(web.place, "web", "tcp:80", `udp:80:${webBack.outs.address}`);
        const expected = {
            [`tcp ${bed.host.address}:8080`]: `web to ${bed.client.address}`,
            [`tcp ${bed.host.address}:8081`]: `web to ${bed.client.address}`,
            [`udp ${bed.host.address}:8081`]: `web to ${bed.client.address}`,
        };
        for (const strict of ["0", "1"]) {
            await run(web.place, `sysctl -qw net.ipv4.conf.all.rp_filter=${strict}`);
            expect(await answersTo({ machine: bed.client }, expected), `rp_filter ${strict}`).toEqual(expected);
        }
    },
);

test("endpoint: comes and goes while another one of the sandbox loses no packet", async () => {
    await using stack = await openStack(bed.host);
    const front = await stack.network("front", { subnet: "172.20.0.0/24" });
    const back = await stack.network("back", { subnet: "172.21.0.0/24" });
    const web = await stack.join("web", front);
    const api = await stack.join("api", front);
    const ping = run(web.place, `ping -q -i 0.02 -c 100 ${api.address}`);
    for (let i = 0; i < 3; i++) {
        const webBack = await stack.endpoint("web-back", { sandbox: web.sandbox, network: back });
        const expected = { "icmp 172.21.0.1": "reply" };
        if (i === 0) expect(await answersTo(web.place, expected)).toEqual(expected);
        await webBack.delete();
    }
    expect(await ping).toContain(" 0% packet loss");
    expect((await linksOf(web.sandbox)).map(({ ifname }) => ifname).sort()).toEqual(["front", "lo"]);
});

test("endpoint: a sandbox cannot speak as another address or MAC", async () => {
    await using stack = await openStack(bed.host);
    const front = await stack.network("front", { subnet: "172.20.0.0/24" });
    const evil = await stack.join("evil", front);
    const api = await stack.join("api", front);
    const victim = await stack.join("victim", front);
    await run(evil.place, `ip address add ${victim.address}/24 dev front; ip address add 172.20.0.77/24 dev front`);
    const own = { [`icmp ${api.address}`]: "reply", "icmp 172.20.0.1": "reply" };
    expect(await answersTo(evil.place, own)).toEqual(own);
    const spoofed = {
        [`icmp ${api.address} from 172.20.0.77`]: "nothing",
        [`icmp ${api.address} from ${victim.address}`]: "nothing",
        [`icmp 172.20.0.1 from ${victim.address}`]: "nothing",
        [`icmp ${bed.client.address} from 172.20.0.77`]: "nothing",
    };
    expect(await answersTo(evil.place, spoofed)).toEqual(spoofed);
    const ownMac = evil.endpoint.outs.macAddress;
    await run(evil.place, "ip link set dev front address 02:00:00:00:00:99");
    const silent = { [`icmp ${api.address}`]: "nothing" };
    expect(await answersTo(evil.place, silent)).toEqual(silent);
    await run(evil.place, `ip link set dev front address ${ownMac}`);
    expect(await answersTo(evil.place, own)).toEqual(own);
});

test("endpoint: frames that are not its own IPv4 and ARP do not pass", async () => {
    await using stack = await openStack(bed.host);
    const front = await stack.network("front", { subnet: "172.20.0.0/24" });
    const evil = await stack.join("evil", front);
    const api = await stack.join("api", front);
    const mac = evil.endpoint.outs.macAddress;
    const hex = (address: string) => address.split(".").map((byte) => Number(byte).toString(16).padStart(2, "0"));
    const everybody = "ffffffffffff";
    const own = hex(evil.address).join("");
    const ipv4 = (source: string) => {
        const words = `4500001c000040004011${source}ffffffff`.match(/.{4}/g) ?? [];
        const sum = words.reduce((total, word) => total + Number.parseInt(word, 16), 0);
        // The header's checksum (RFC 791): br_netfilter drops a wrong one.
        const checksum = (~((sum & 0xffff) + (sum >> 16)) & 0xffff).toString(16).padStart(4, "0");
        return `4500001c 00004000 4011 ${checksum} ${source} ffffffff 0035 0035 0008 0000`;
    };
    const arp = (source: string) => `0001 0800 0604 0001 ${mac} ${source} 000000000000 ${hex(api.address).join("")}`;
    const frames: Record<string, string> = {
        "802.1Q": `${everybody} ${mac} 8100 0005 0800 ${ipv4(own)}`,
        "802.1Q, untagged by priority": `${everybody} ${mac} 8100 0000 0800 ${ipv4(own)}`,
        "IPv6 from a link-local address": `333300000001 ${mac} 86dd 6000000000083aff fe80${"0".repeat(27)}1 ff02${"0".repeat(27)}1 8000`,
        "an unknown ethertype": `${everybody} ${mac} 88b5 00`,
        "802.3 with a length": `${everybody} ${mac} 0026 4242`,
        "another MAC": `${everybody} 020000000099 0800 ${ipv4(own)}`,
        "another IPv4 source": `${everybody} ${mac} 0800 ${ipv4(hex("172.20.0.77").join(""))}`,
        "no IPv4 source (DHCP)": `${everybody} ${mac} 0800 ${ipv4("00000000")}`,
        "ARP as the gateway": `${everybody} ${mac} 0806 ${arp(hex("172.20.0.1").join(""))}`,
        "ARP probe without sender": `${everybody} ${mac} 0806 ${arp("00000000")}`,
    };
    const arrived = await countFrames(api.place, "front", `ether saddr { ${mac}, 02:00:00:00:00:99 }`);
    const counts: Record<string, number> = {};
    for (const [name, frame] of Object.entries(frames)) {
        const before = await arrived();
        await sendFrames(evil.place, "front", frame, frame, frame);
        counts[name] = (await arrived()) - before;
    }
    expect(counts).toEqual(Object.fromEntries(Object.keys(frames).map((name) => [name, 0])));
    const before = await arrived();
    await sendFrames(
        evil.place,
        "front",
        `${everybody} ${mac} 0800 ${ipv4(own)}`,
        `${everybody} ${mac} 0806 ${arp(own)}`,
    );
    expect((await arrived()) - before).toBeGreaterThanOrEqual(2);
    const { stdout } = await bed.host.exec("ip -json neigh show dev front", { sandbox: api.sandbox.outs.name });
    for (const entry of JSON.parse(stdout)) if (entry.dst === "172.20.0.1") expect(entry.lladdr).not.toBe(mac);
});

test("endpoint: connections from and to its address end with it, others go on", async () => {
    await using stack = await openStack(bed.host);
    const net = await stack.network("net", { subnet: "172.20.0.0/24" });
    const web = await stack.join("web", net);
    const other = await stack.join("other", net);
    await bed.host.exec(["ping", "-c1", "-W2", web.address]);
    await bed.host.exec(["ping", "-c1", "-W2", net.outs.gateway], { sandbox: web.sandbox.outs.name });
    await bed.host.exec(["ping", "-c1", "-W2", other.address]);
    const flows = async (filter: string, address: string) =>
        (await bed.host.exec(["conntrack", "-L", filter, address])).stdout.trim().split("\n").filter(Boolean).length;
    expect([await flows("-s", web.address), await flows("-r", web.address)]).toEqual([1, 1]);
    await web.endpoint.delete();
    expect([await flows("-s", web.address), await flows("-r", web.address)]).toEqual([0, 0]);
    expect(await flows("-r", other.address)).toBe(1);
});
