import { expect, test } from "vitest";
import { snapshotHost } from "../../lab/index.js";
import { setBridgeNetfilter } from "./bridge-netfilter.js";
import { openStack, reconnect, type Stack } from "./driver.js";
import { layTestBed } from "./test-bed.js";
import { answersTo, ask, inside, serve } from "./traffic.js";

const bed = layTestBed();
const read = async (command: string) => (await bed.host.exec(command)).stdout;

/** Whether a bridge has carrier follows from its ports, and shows a moment later. */
function withoutCarrier<T>(shown: T): T {
    const text = JSON.stringify(shown).replace(/"operstate":"[A-Z]+",?|,?"(NO-CARRIER|LOWER_UP|linkdown)"/g, "");
    return JSON.parse(text.replace(/"flags":\[,/g, '"flags":['));
}

/** Something of others on the host; what is left after the test must be as it was made. */
async function others(make: string, remove: string): Promise<AsyncDisposable> {
    await bed.host.exec(make);
    await reconnect();
    // What a test before left is not this one's.
    const before = withoutCarrier(await snapshotHost(bed.host));
    return {
        async [Symbol.asyncDispose]() {
            await reconnect();
            const after = withoutCarrier(await snapshotHost(bed.host));
            await bed.host.exec(remove);
            await reconnect();
            expect(after).toEqual(before);
        },
    };
}

/** A namespace made by hand, with an address, a route, a switch and a process in it. */
const namespace = `ip netns add web && ip -n web link set lo up && ip -n web link add own type bridge
    ip -n web link set own addrgenmode none && ip -n web address add 192.0.2.1/24 dev own && ip -n web link set own up
    ip netns exec web sh -c 'echo 61 >/proc/sys/net/ipv4/ip_default_ttl'`;
const bridge =
    "ip link add br-app type bridge && ip link set br-app addrgenmode none && ip link set br-app up && ip address add 10.5.0.1/24 dev br-app";

async function reach(stack: Stack, sandbox: Awaited<ReturnType<Stack["sandbox"]>>) {
    const front = await stack.network("front", { subnet: "172.20.0.0/24" });
    const joined = await stack.endpoint("web-front", { sandbox, network: front });
    await stack.portMapping("http", { target: joined, hostPort: 8080, targetPort: 80 });
    await stack.firewallPolicy("open", { target: joined, ingress: [{ action: "allow", ports: [80] }] });
    await using _server = await serve(inside(bed.host, sandbox), "web", "tcp:80");
    const answers = await answersTo({ machine: bed.client }, { [`tcp ${bed.host.address}:8080`]: "" });
    expect(Object.values(answers)).toEqual([`web to ${bed.client.address}`]);
    for (const resource of [front, joined, sandbox]) expect(await resource.refresh()).toEqual([]);
}

test.each([
    ["namespace", { namespace: "web" }],
    ["adopt", { name: "web", adopt: true }],
])("foreign namespace, %s: is joined, used, and given back untouched", async (_by, args) => {
    await using _others = await others(namespace, "ip netns del web");
    const inode = await read("stat -c %i /run/netns/web");
    const before = await read("ip -n web -j addr; ip -n web -j route show table all; ip -n web -j rule");
    {
        await using stack = await openStack(bed.host);
        const sysctls = { "net.ipv4.ip_default_ttl": "77" };
        const sandbox = await stack.sandbox("web", { ...args, sysctls });
        expect(sandbox.outs).toMatchObject({ name: "web", namespace: "/run/netns/web" });
        await reach(stack, sandbox);
        const ttl = () => read("ip netns exec web cat /proc/sys/net/ipv4/ip_default_ttl");
        expect(await ttl()).toBe("77");
        expect(await sandbox.update({ sysctls: {} })).toBe("update");
        expect(await ttl()).toBe("61");
        await sandbox.update({ sysctls });
    }
    expect(await read("stat -c %i /run/netns/web")).toBe(inode);
    expect(await read("ip -n web -j addr; ip -n web -j route show table all; ip -n web -j rule")).toBe(before);
});

test("foreign namespace: its own default route stays, and replies leave by the endpoint all the same", async () => {
    const routed = `${namespace}; ip -n web route add default via 192.0.2.254`;
    await using _others = await others(routed, "ip netns del web");
    await using stack = await openStack(bed.host);
    await reach(stack, await stack.sandbox("web", { namespace: "/var/run/netns/web" }));
    expect(await read("ip -n web route show default")).toContain("via 192.0.2.254 dev own");
});

test("foreign namespace: a default route that comes later is never replaced", async () => {
    await using _others = await others(namespace, "ip netns del web; ip netns del late 2>/dev/null || :");
    await using stack = await openStack(bed.host);
    const sandbox = await stack.sandbox("web", { namespace: "web" });
    const front = await stack.network("front", { subnet: "172.20.0.0/24" });
    await bed.host.exec("ip -n web route add default via 192.0.2.254");
    await expect(stack.endpoint("web-front", { sandbox, network: front })).rejects.toThrow("File exists");
    expect(await read("ip -n web route show default")).toContain("via 192.0.2.254 dev own");
    await stack.endpoint("web-front", { sandbox, network: front, gatewayPriority: "never" });
    await bed.host.exec("ip -n web route del default");
});

test("foreign namespace: is refused without adopt, and when it is not there; a lost one is reported, never made", async () => {
    const stack = await openStack(bed.host);
    await expect(stack.sandbox("web", { namespace: "nowhere" })).rejects.toThrow(
        'there is no network namespace "nowhere" on the host to join.',
    );
    await bed.host.exec(namespace);
    await expect(stack.sandbox("web", { name: "web" })).rejects.toThrow(
        'join it with namespace: "web", or take it over with adopt: true.',
    );
    const sandbox = await stack.sandbox("web", { namespace: "web" });
    await bed.host.exec("ip netns del web");
    expect(await sandbox.refresh()).toEqual(["network namespace web (not of this provider) is missing"]);
    await expect(sandbox.update({})).rejects.toThrow("It was never of this provider: bring it back");
    await stack.destroyAll();
    expect(await read("ip netns list")).toBe("");
});

test.each([
    ["by its subnet", {}],
    ["by its name", { interfaceName: "br-app" }],
])("foreign bridge, adopted %s: is a network like any other, and given back untouched", async (_by, args) => {
    await using _others = await others(
        `${bridge}; ip link add vm type veth peer name guest; ip link set vm addrgenmode none; ip link set guest addrgenmode none; ip link set vm master br-app up; ip link set guest up`,
        "ip link del br-app; ip link del vm",
    );
    await using stack = await openStack(bed.host);
    const network = await stack.network("app", { subnet: "10.5.0.0/24", adopt: true, ...args });
    expect(network.outs).toMatchObject({ interfaceName: "br-app", gateway: "10.5.0.1" });
    const web = await stack.join("web", network);
    const api = await stack.join("api", network);
    await stack.portMapping("http", { target: web.endpoint, hostPort: 8080, targetPort: 80 });
    await stack.firewallPolicy("closed", { target: api.endpoint, ingress: [] });
    await using _server = await serve(web.place, "web", "tcp:80");
    await using _api = await serve(api.place, "api", "tcp:80");
    const answers = await answersTo({ machine: bed.client }, { [`tcp ${bed.host.address}:8080`]: "" });
    expect(Object.values(answers)).toEqual([`web to ${bed.client.address}`]);
    // On one bridge, out of the host, and to itself by the published port.
    expect(await ask(web.place, `tcp ${api.address}:80`, `icmp ${bed.client.address}`, "icmp 10.5.0.1")).toEqual({
        [`tcp ${api.address}:80`]: "nothing",
        [`icmp ${bed.client.address}`]: "reply",
        "icmp 10.5.0.1": "reply",
    });
    expect(Object.values(await ask(web.place, `tcp ${bed.host.address}:8080`))[0]).toContain("web to");
    for (const resource of [network, web.endpoint]) expect(await resource.refresh()).toEqual([]);
    await bed.host.exec(
        "ip link set br-app type bridge nf_call_iptables 0; echo 0 >/proc/sys/net/ipv4/conf/br-app/forwarding",
    );
    expect(await stack.host.refresh()).toEqual(["sysctl net/ipv4/conf/br-app/forwarding: value is 0, not 1"]);
    expect(await network.refresh()).toEqual([
        "options of br-app: options is nf_call_iptables 0 nf_call_ip6tables 1, not nf_call_iptables 1 nf_call_ip6tables 1",
    ]);
    for (const resource of [stack.host, network]) {
        expect(await resource.update({})).toBe("update");
        expect(await resource.refresh()).toEqual([]);
    }
});

const plugged = `ip netns add box && ip link add veth-box type veth peer name eth0 netns box
    ip link set veth-box addrgenmode none; ip link set veth-box master br-app up; ip -n box link set lo up; ip -n box link set eth0 addrgenmode none
    ip -n box address add 10.5.0.20/24 dev eth0; ip -n box link set eth0 up; ip -n box route add default via 10.5.0.1`;

test("foreign interface: one between an adopted namespace and bridge is published, guarded, and given back untouched", async () => {
    await using _others = await others(`${bridge}\n${plugged}`, "ip netns del box; ip link del br-app");
    const before = await read(
        "ip -n box -j -d addr; ip -n box -j route show table all; ip -n box -j rule; bridge -d -j link",
    );
    {
        await using stack = await openStack(bed.host);
        const network = await stack.network("app", { subnet: "10.5.0.0/24", adopt: true });
        const sandbox = await stack.sandbox("box", { namespace: "box" });
        const args = { sandbox, network, adopt: true };
        await expect(stack.endpoint("box-app", { ...args, macAddress: "02:00:00:00:00:09" })).rejects.toThrow(
            /it cannot adopt interface eth0: macAddress is .* there and 02:00:00:00:00:09 here/,
        );
        const endpoint = await stack.endpoint("box-app", args);
        expect(endpoint.outs).toMatchObject({ address: "10.5.0.20", interfaceName: "eth0", hostInterface: "veth-box" });
        await expect(endpoint.update({ ipv4Address: "10.5.0.21" })).rejects.toThrow("which is never changed");
        await endpoint.update({ ipv4Address: undefined });
        await stack.portMapping("http", { target: endpoint, hostPort: 8080, targetPort: 80 });
        await stack.firewallPolicy("open", { target: endpoint, ingress: [{ action: "allow", ports: [80] }] });
        const other = await stack.join("other", network);
        await using _server = await serve(inside(bed.host, sandbox), "box", "tcp:80", "tcp:81");
        const answers = await answersTo({ machine: bed.client }, { [`tcp ${bed.host.address}:8080`]: "" });
        expect(Object.values(answers)).toEqual([`box to ${bed.client.address}`]);
        expect(await ask(other.place, "tcp 10.5.0.20:80", "tcp 10.5.0.20:81")).toMatchObject({
            "tcp 10.5.0.20:80": expect.stringContaining("box to"),
            "tcp 10.5.0.20:81": "nothing",
        });
        // Its own published port, through the bridge and back.
        expect(Object.values(await ask(inside(bed.host, sandbox), `tcp ${bed.host.address}:8080`))[0]).toContain(
            "box to",
        );
        expect(await endpoint.refresh()).toEqual([]);
        await bed.host.exec("ip link set veth-box nomaster");
        expect(await endpoint.refresh()).toContain(
            "interface veth-box on bridge br-app (not of this provider) is missing",
        );
        await bed.host.exec("ip link set veth-box master br-app");
        expect(await endpoint.update({})).toBe("update");
        expect(await endpoint.refresh()).toEqual([]);
    }
    const after = await read(
        "ip -n box -j -d addr; ip -n box -j route show table all; ip -n box -j rule; bridge -d -j link",
    );
    expect(after).toBe(before);
});

test("foreign things: what is missing at boot is named by the restore script, and ours is put back when it is there", async () => {
    await bed.host.exec(`${bridge}\n${namespace}`);
    await reconnect();
    await using _clean = {
        [Symbol.asyncDispose]: async () => void (await bed.host.exec("ip netns del web; ip link del br-app")),
    };
    await using stack = await openStack(bed.host);
    const network = await stack.network("app", { subnet: "10.5.0.0/24", adopt: true });
    const sandbox = await stack.sandbox("web", { namespace: "web" });
    const endpoint = await stack.endpoint("web-app", { sandbox, network });
    const other = await stack.join("other", network);
    const all = [network, sandbox, endpoint, other.sandbox, other.endpoint];
    const drift = async () => (await Promise.all(all.map((resource) => resource.refresh()))).flat();
    await expect(stack.overlayTunnel("far", { network, vni: 7, peers: [] })).rejects.toThrow(
        'network "app" is on bridge br-app of others. A tunnel needs a network with a bridge of its own.',
    );

    // As after a reboot: all is gone but the manifest, and others come later.
    await bed.host.exec(`ip netns del web; ip netns del ${other.sandbox.outs.name}; ip link del br-app
        while ip -br link | grep -qE '^le[0-9a-f]{12}'; do :; done
        nft flush ruleset; rm -rf /run/linuxnet`);
    const early = await bed.host.exec("sh /var/lib/linuxnet/restore");
    for (const what of ["network namespace web", "bridge br-app"])
        expect(early.stderr).toContain(`linuxnet: ${what} is not on the host any more. It was never of this provider`);
    expect(await read("ip netns list")).not.toMatch(/^web/m);

    await bed.host.exec(`${bridge}\n${namespace}`);
    const late = await bed.host.exec("sh /var/lib/linuxnet/restore");
    expect(late.stderr).toBe("");
    expect(await drift()).toEqual([]);
    expect(await ask(inside(bed.host, sandbox), `icmp ${other.address}`)).toEqual({
        [`icmp ${other.address}`]: "reply",
    });
    // Once more, on a host where all is well.
    expect((await bed.host.exec("sh /var/lib/linuxnet/restore")).stderr).toBe("");
    expect(await drift()).toEqual([]);
});

test("foreign bridge, existing: is used as it is, and nothing of it is changed", async () => {
    await using _others = await others(
        `${bridge}; echo 1 >/proc/sys/net/ipv4/conf/br-app/forwarding`,
        "ip link del br-app",
    );
    const about = async () => {
        const [link] = JSON.parse(await read("ip -j -d addr show dev br-app"));
        const { nf_call_iptables, nf_call_ip6tables, forward_delay, stp_state } = link.linkinfo.info_data;
        const switches = await read(
            "cd /proc/sys/net/ipv4/conf/br-app && cat forwarding route_localnet send_redirects",
        );
        const { address, mtu, ifalias, addr_info } = link;
        return {
            address,
            mtu,
            ifalias,
            addr_info,
            nf_call_iptables,
            nf_call_ip6tables,
            forward_delay,
            stp_state,
            switches,
        };
    };
    const before = await about();
    {
        await using stack = await openStack(bed.host);
        const lan = await stack.network("lan", { subnet: "10.5.0.0/24", existing: true, interfaceName: "br-app" });
        const sandbox = await stack.sandbox("web");
        await expect(stack.endpoint("web-lan", { sandbox, network: lan })).rejects.toThrow(
            "Give ipv4Address, or give the network an ipRange that is yours.",
        );
        expect(await lan.update({ ipRange: "10.5.0.64/26" })).toBe("update");
        const web = await stack.endpoint("web-lan", { sandbox, network: lan });
        expect(web.outs.address).toBe("10.5.0.64");
        await stack.portMapping("http", { target: web, hostPort: 8080, targetPort: 80 });
        await expect(stack.firewallPolicy("closed", { target: web, ingress: [] })).rejects.toThrow(
            'network "lan" uses bridge br-app of others as it is, where policies have no effect',
        );
        await using _server = await serve(inside(bed.host, sandbox), "web", "tcp:80");
        const answers = await answersTo({ machine: bed.client }, { [`tcp ${bed.host.address}:8080`]: "" });
        expect(Object.values(answers)).toEqual([`web to ${bed.client.address}`]);
        expect(await about()).toEqual(before);
        for (const resource of [lan, web]) expect(await resource.refresh()).toEqual([]);
    }
    expect(await about()).toEqual(before);
});

/** A machine of others with an interface on a bridge of others. */
const plug = (name: string, bridgeName: string, number: number) =>
    `ip netns add ${name}; ip link add veth-${name} type veth peer name eth0 netns ${name}; ip link set veth-${name} master ${bridgeName} up
    ip -n ${name} link set eth0 up; ip -n ${name} address add 10.5.0.${number}/24 dev eth0; ip -n ${name} address add fd00:5::${number}/64 dev eth0 nodad`;

test("foreign bridge: its ports send each other what they like where bridges are filtered, and no router comes of it", async () => {
    await using _netfilter = await setBridgeNetfilter(bed.host, "1");
    await bed.host.exec(`${bridge}; ${plug("vm1", "br-app", 11)}; ${plug("vm2", "br-app", 12)}
        ip netns add far; ip link add veth-far type veth peer name eth0 netns far; ip link set veth-far up
        ip address add 10.9.0.1/24 dev veth-far; ip -n far address add 10.9.0.2/24 dev eth0; ip -n far link set eth0 up
        ip -n far route add default via 10.9.0.1; ip -n vm1 route add default via 10.5.0.1
        ip address add fd00:5::1/64 dev br-app nodad; ip -6 route add default via fd00:5::fe dev br-app metric 4096
        ip address add fd00:9::1/64 dev veth-far nodad; ip -n far address add fd00:9::2/64 dev eth0 nodad
        ip -n far -6 route add default via fd00:9::1; ip -n vm1 -6 route add default via fd00:5::1`);
    await reconnect();
    const remove = "for n in vm1 vm2 far; do ip netns del $n; done; ip link del br-app";
    await using _others = { [Symbol.asyncDispose]: async () => void (await bed.host.exec(remove)) };
    const at = (sandbox: string) => ({ machine: bed.host, sandbox });
    await using _vm2 = await serve(at("vm2"), "vm2", "tcp:80", "udp:80", "tcp6:80");
    await using _far = await serve(at("far"), "far", "tcp:80", "tcp6:80");
    await using stack = await openStack(bed.host);
    await stack.network("front", { subnet: "172.20.0.0/24", ipv6: true });
    const questions = {
        "tcp 10.5.0.12:80": "vm2 to 10.5.0.11",
        "udp 10.5.0.12:80": "vm2 to 10.5.0.11",
        "icmp 10.5.0.12": "reply",
        "tcp [fd00:5::12]:80": "vm2 to fd00:5::11",
        "icmp fd00:5::12": "reply",
        "tcp 10.9.0.2:80": "nothing",
        "tcp [fd00:9::2]:80": "nothing",
    };
    expect(await answersTo(at("vm1"), questions)).toEqual(questions);
    expect(await stack.host.refresh()).toEqual([]);
});

const networks = [
    ["docker0", "172.17.0.1/16", " of Docker"],
    ["br-0123456789ab", "172.18.0.1/16", " of Docker"],
    ["virbr0", "192.168.122.1/24", " of libvirt"],
    ["podman0", "10.88.0.1/16", " of Podman"],
    ["incusbr0", "10.80.0.1/24", " of Incus or LXD"],
    ["br-app", "10.5.0.1/24", ""],
] as const;

test.each(networks)(
    "foreign bridge: a subnet of %s is refused with its owner and what to do",
    async (name, address, owner) => {
        const subnet = address.replace(/\.1\//, ".0/").replace("122.0/", "122.0/");
        await using _others = await others(
            `ip link add ${name} type bridge && ip link set ${name} addrgenmode none && ip link set ${name} up && ip address add ${address} dev ${name}`,
            `ip link del ${name}`,
        );
        await using stack = await openStack(bed.host);
        const message = `subnet ${subnet} overlaps ${address} of the host's interface ${name}${owner}. Choose another subnet, use that bridge as it is (existing: true, interfaceName: "${name}")`;
        const refusal = await stack.network("front", { subnet }).catch((error) => error.message);
        expect(refusal).toContain(message);
        expect(refusal.endsWith(owner === "" ? ", or take it over with adopt: true." : ").")).toBe(true);
        if (owner !== "") {
            await expect(stack.network("front", { subnet, adopt: true })).rejects.toThrow(
                `it cannot adopt bridge ${name}${owner}, which goes on changing it. Use it as it is: existing: true`,
            );
        }
    },
);

test("foreign bridge: what differs, is no bridge, or is the way out, is refused", async () => {
    await using _others = await others(
        `${bridge}; ip link add plain type veth peer name other`,
        "ip link del br-app; ip link del plain",
    );
    await using stack = await openStack(bed.host);
    const args = { subnet: "10.5.0.0/24", adopt: true };
    await expect(stack.network("app", { ...args, gateway: "10.5.0.9", mtu: 1400 })).rejects.toThrow(
        "it cannot use bridge br-app: gateway is 10.5.0.1 there and 10.5.0.9 here; mtu is 1500 there and 1400 here.",
    );
    await expect(stack.network("app", { ...args, interfaceName: "plain" })).rejects.toThrow(
        "interfaceName: plain is no bridge but a veth interface.",
    );
    await expect(stack.network("app", { ...args, interfaceName: "gone" })).rejects.toThrow(
        "interfaceName: gone is not on the host.",
    );
    const way = await read("ip route show default");
    await bed.host.exec(`ip route add default via 10.5.0.7 dev br-app metric 1`);
    await reconnect();
    await expect(stack.network("app", args)).rejects.toThrow("the host's default route leaves by it.");
    await bed.host.exec("ip route del default via 10.5.0.7 dev br-app metric 1");
    expect(await read("ip route show default")).toBe(way);
    await reconnect();
});
