import { expect, test } from "vitest";
import { createHost, snapshotHost } from "../../lab/index.js";
import { openStack, reconnect } from "./driver.js";
import { readHostState } from "./host-state.js";
import { layTestBed } from "./test-bed.js";
import { answersTo, ask, run, serve, talk } from "./traffic.js";

const bed = layTestBed();
const read = async (command: string) => (await bed.host.exec(command)).stdout;

test("ownership: stacks with the same logical names live side by side, and one goes without the other", async () => {
    await using dev = await openStack(bed.host, { name: "dev" });
    await using prod = await openStack(bed.host, { name: "prod" });
    const networks = [
        await dev.network("front", { subnet: "172.20.0.0/24" }),
        await prod.network("front", { subnet: "172.21.0.0/24" }),
    ] as const;
    const [web, api] = [await dev.join("web", networks[0]), await dev.join("api", networks[0])];
    const [prodWeb, prodApi] = [await prod.join("web", networks[1]), await prod.join("api", networks[1])];
    await dev.portMapping("http", { target: api.endpoint, targetPort: 80, hostPort: 8080 });
    await prod.portMapping("http", { target: prodApi.endpoint, targetPort: 80, hostPort: 8081 });
    await prod.firewallPolicy("closed", { target: prodApi.endpoint, ingress: [{ action: "allow", ports: [80] }] });
    await using _api = await serve(api.place, "dev", "tcp:80");
    await using _prodApi = await serve(prodApi.place, "prod", "tcp:80");
    await using connection = await talk(prodWeb.place, `tcp ${prodApi.address}:80`);
    const both = { [`tcp ${bed.host.address}:8080`]: "", [`tcp ${bed.host.address}:8081`]: "" };
    const answers = await answersTo({ machine: bed.client }, both);
    expect(Object.values(answers)).toEqual([`dev to ${bed.client.address}`, `prod to ${bed.client.address}`]);
    const closed = { [`tcp ${prodApi.address}:80`]: "nothing" };
    expect(await answersTo(web.place, closed)).toEqual(closed);
    await dev.destroyAll();
    await connection.next();
    const left = {
        [`tcp ${bed.host.address}:8080`]: "refused",
        [`tcp ${bed.host.address}:8081`]: `prod to ${bed.client.address}`,
    };
    expect(await answersTo({ machine: bed.client }, left)).toEqual(left);
    for (const resource of [networks[1], prodWeb.sandbox, prodWeb.endpoint])
        expect(await resource.refresh()).toEqual([]);
});

test("ownership: an attachable network takes endpoints of another stack, and stays while they are there", async () => {
    await using platform = await openStack(bed.host, { name: "platform" });
    await using team = await openStack(bed.host, { name: "team" });
    const shared = await platform.network("shared", { subnet: "172.20.0.0/24" });
    const registry = await platform.join("registry", shared);
    await using _registry = await serve(registry.place, "registry", "tcp:80");
    const sandbox = await team.sandbox("app");
    await expect(team.endpoint("app-shared", { sandbox, network: shared })).rejects.toThrow(
        'network "shared" of stack test/platform is not attachable. Set attachable: true on it.',
    );
    expect(await shared.update({ attachable: true })).toBe("update");
    const endpoint = await team.endpoint("app-shared", { sandbox, network: shared });
    const question = `tcp ${registry.address}:80`;
    const app = { machine: bed.host, sandbox: sandbox.outs.name };
    expect(await ask(app, question)).toEqual({ [question]: `registry to ${endpoint.outs.address}` });
    await registry.endpoint.delete();
    await expect(shared.delete()).rejects.toThrow('it is still used by endpoint "app-shared" of stack test/team');
    // Closed to newcomers, not to those that are in.
    expect(await shared.update({ attachable: false })).toBe("update");
    expect(await ask(app, "icmp 172.20.0.1")).toEqual({ "icmp 172.20.0.1": "reply" });
    expect(await endpoint.update({ labels: { a: "b" } })).toBe("update");
    await endpoint.delete();
    await shared.delete();
});

test("ownership: stacks of one name in two projects are two stacks", async () => {
    await using platform = await openStack(bed.host, { project: "platform" });
    await using team = await openStack(bed.host, { project: "team" });
    const network = await platform.network("front", { subnet: "172.20.0.0/24" });
    const sandbox = await team.sandbox("app");
    await expect(team.endpoint("app-front", { sandbox, network })).rejects.toThrow("is not attachable");
});

test("ownership: a namespace of somebody else is refused and left alone", async () => {
    await using stack = await openStack(bed.host);
    await bed.host.exec("ip netns add taken && ip -n taken link add here type bridge");
    const before = await read("ip -n taken -json link; ls -i /run/netns");
    await expect(stack.sandbox("web", { name: "taken" })).rejects.toThrow(
        'network namespace "taken" exists on the host already and is not of this provider. Choose another name',
    );
    expect(await read("ip -n taken -json link; ls -i /run/netns")).toBe(before);
    const mine = await stack.sandbox("web", { name: "mine" });
    await expect(stack.sandbox("twin", { name: "mine" })).rejects.toThrow(
        'the namespace name "mine" is already used by sandbox "web" of stack test/dev',
    );
    expect(await mine.refresh()).toEqual([]);
    await mine.delete();
    expect(await read("ip -n taken -json link; ls -i /run/netns")).toBe(before);
    await bed.host.exec("ip netns del taken");
});

test("ownership: tables, chains and rules of others stay as they are, to the byte", async () => {
    const foreign = `table ip filter {
    chain FORWARD { type filter hook forward priority 0; policy accept; ip saddr 192.0.2.1 counter packets 7 bytes 700 drop; }
    chain DOCKER { }
}
table ip nat {
    chain PREROUTING { type nat hook prerouting priority -100; tcp dport 9999 dnat to 192.0.2.7:80; }
}
table inet firewalld { set trusted { type ipv4_addr; flags interval; elements = { 192.0.2.0/24 } } }
table bridge filter { chain own { type filter hook forward priority 0; ether type 0x88b5 drop; } }`
        .replace(/ \{ (?=type|set|tcp)/g, " {\n")
        .replace(/; /g, ";\n")
        .replace(/ \}$/gm, "\n}");
    await bed.host.exec("nft -f -", { stdin: foreign });
    const list = () =>
        read(
            "nft -a list table ip filter; nft -a list table ip nat; nft -a list table inet firewalld; nft -a list table bridge filter",
        );
    const before = await list();
    const whole = await read("nft -a list ruleset");
    {
        await using stack = await openStack(bed.host);
        const front = await stack.network("front", { subnet: "172.20.0.0/24" });
        const web = await stack.join("web", front);
        await stack.portMapping("http", { target: web.endpoint, hostPort: 8080, targetPort: 80 });
        await stack.firewallPolicy("closed", { target: web.endpoint, ingress: [] });
        expect(await list()).toBe(before);
        await bed.host.exec("nft delete table inet linuxnet; nft delete table bridge linuxnet");
        expect(await web.endpoint.refresh()).not.toEqual([]);
        for (const resource of [stack.host, front, web.endpoint]) await resource.update({});
        expect(await web.endpoint.refresh()).toEqual([]);
        expect(await list()).toBe(before);
    }
    expect(await list()).toBe(before);
    expect(await read("nft -a list ruleset")).toBe(whole);
    await bed.host.exec(
        "nft delete table ip filter; nft delete table ip nat; nft delete table inet firewalld; nft delete table bridge filter",
    );
});

test.each([
    ["0", "nothing"],
    ["1", "unreachable"],
])(
    "ownership: forwarding that was %s comes back, and others' packets are forwarded as before",
    async (value, transit) => {
        const key = "/proc/sys/net/ipv4/conf/eth0/forwarding";
        const old = await read(`cat ${key}`);
        await bed.host.exec(
            `echo ${value} >${key}; echo 0 >/proc/sys/net/ipv4/conf/eth0/send_redirects; echo 0 >/proc/sys/net/ipv4/conf/all/send_redirects`,
        );
        await reconnect();
        // The lab's router answers for what it does not know.
        const beyond = { "icmp 203.0.113.9": transit };
        await using _route = await bed.routeOutside("203.0.113.0/24");
        expect(await answersTo({ machine: bed.client }, beyond)).toEqual(beyond);
        {
            await using stack = await openStack(bed.host);
            const front = await stack.network("front", { subnet: "172.20.0.0/24" });
            const web = await stack.join("web", front);
            expect(await read(`cat ${key}`)).toBe("1");
            expect(await ask(web.place, `icmp ${bed.client.address}`)).toEqual({
                [`icmp ${bed.client.address}`]: "reply",
            });
            expect(await answersTo({ machine: bed.client }, beyond)).toEqual(beyond);
        }
        expect(await read(`cat ${key}`)).toBe(value);
        await bed.host.exec(
            `echo ${old} >${key}; echo 1 >/proc/sys/net/ipv4/conf/eth0/send_redirects; echo 1 >/proc/sys/net/ipv4/conf/all/send_redirects`,
        );
        await reconnect();
    },
);

test.each([
    ["an uplink that is gone by the last delete", "ip link del up0", {}],
    ["a switch that somebody wrote meanwhile", "sysctl -qw net.ipv4.conf.up0.forwarding=0", { up0: "0" }],
    ["a host that was made a router meanwhile", "sysctl -qw net.ipv4.ip_forward=1", { up0: "1", eth0: "1" }],
])("ownership: %s is left as it is", async (_what, event, expected) => {
    await using host = await createHost();
    await host.exec("sysctl -qw net.ipv4.ip_forward=0; ip link add up0 type bridge");
    {
        await using stack = await openStack(host);
        const front = await stack.network("front", { subnet: "172.20.0.0/24" });
        await host.exec(event);
        // The next operations, a repair among them, go on; what was written over is theirs to be told of.
        await host.exec("nft flush chain inet linuxnet forward");
        await stack.host.refresh();
        if (!("up0" in expected)) expect(await stack.host.update({})).toBe("update");
        await stack.join("web", front);
    }
    for (const [name, value] of Object.entries(expected))
        expect((await host.exec(`cat /proc/sys/net/ipv4/conf/${name}/forwarding`)).stdout).toBe(value);
});

test("ownership: interfaces and manifest tell whose they are, and no secrets", async () => {
    await using stack = await openStack(bed.host, { name: "prod" });
    const front = await stack.network("front", { subnet: "172.20.0.0/24", labels: { team: "blue" } });
    const web = await stack.join("web", front);
    const alias = async (name: string) => JSON.parse(await read(`ip -json link show dev ${name}`))[0].ifalias;
    expect(await alias(front.outs.interfaceName)).toBe("linuxnet network front (prod)");
    expect(await alias(web.endpoint.outs.hostInterface)).toBe("linuxnet endpoint web-front (prod)");
    const manifest = await read("cat /var/lib/linuxnet/objects/*.json");
    expect(manifest).toContain('"team":"blue"');
    expect(manifest).not.toContain("PRIVATE KEY");
    expect(await read("ls /var/lib/linuxnet/objects | grep -c json")).toBe("4");
    await run(web.place, "true");
});

test("ownership: /run/netns goes with the last object only where no others are in it, and need not be there", async () => {
    await using host = await createHost();
    // `ip netns add` makes it; a lab's host has it from the start.
    await host.exec("[ ! -e /run/netns ] || rmdir /run/netns");
    const before = await snapshotHost(host);
    {
        await using stack = await openStack(host);
        await stack.network("front", { subnet: "172.20.0.0/24" });
    }
    expect(await snapshotHost(host)).toEqual(before);
    {
        await using stack = await openStack(host);
        await stack.sandbox("web");
        await host.exec("ip netns add theirs");
    }
    expect((await host.exec("ip netns")).stdout).toBe("theirs");
    await host.exec("ip netns del theirs && umount /run/netns && rmdir /run/netns");
    expect(await snapshotHost(host)).toEqual(before);
});

test("ownership: what the last object put back is found again by the next first one, in one run", async () => {
    await using stack = await openStack(bed.host);
    const before = await snapshotHost(bed.host);
    const front = await stack.network("front", { subnet: "172.20.0.0/24" });
    const state = await readHostState(bed.host);
    // A run that finds it all there, takes it out and makes it anew.
    await reconnect();
    await front.delete();
    expect(await snapshotHost(bed.host)).toEqual(before);
    await stack.network("front", { subnet: "172.20.0.0/24" });
    expect(await readHostState(bed.host)).toEqual(state);
});
