import { expect, test, vi } from "vitest";
import { createLab, type LabHost, type LabMachine } from "../../lab/index.js";
import { openStack, reconnect, type Stack } from "./driver.js";
import { answered } from "./look-ups.js";
import { laySegment } from "./segment.js";
import { answersTo, run, serve } from "./traffic.js";

/** Every rule of others, with what ufw keeps in its files. */
async function rules(host: LabHost): Promise<string> {
    const { stdout } = await host.exec(
        "for t in $(nft list tables | sed 's/^table //; s/ /:/' | grep -v ':linuxnet$'); do nft -s list table ${t%%:*} ${t#*:}; done; " +
            // nft shows no comments of iptables.
            "if nft list chain ip filter DOCKER-USER >/dev/null 2>&1; then iptables-nft -S; fi; " +
            "if grep -qsx filter /proc/net/ip_tables_names; then iptables-legacy -S; fi; " +
            "if grep -qsx filter /proc/net/ip6_tables_names; then ip6tables-legacy -S; fi; cat /etc/ufw/user*.rules",
        { check: false },
    );
    return stdout.replace(/ +/g, " ");
}

/** The lines that `after` has and `before` has not, in order. */
function linesAdded(before: string, after: string): string[] {
    const old = before.split("\n");
    return after.split("\n").flatMap((line) => {
        const at = old.indexOf(line);
        if (at >= 0) old.splice(at, 1);
        return at >= 0 || line.trim() === "" ? [] : [line.trim()];
    });
}

const marked = "-m comment --comment linuxnet";
const office = `nft -f - <<'END'
table inet office {
    chain fwd_all {
        type filter hook forward priority 0; policy drop;
        tcp dport 9 accept comment "theirs"
    }
}
END`;

test.each([
    {
        firewall: "Docker's chain for users",
        make: "iptables-nft -P FORWARD DROP; iptables-nft -N DOCKER-USER; iptables-nft -A DOCKER-USER -j RETURN; iptables-nft -A FORWARD -j DOCKER-USER",
        adds: [
            'iifname "ln*" oifname "eth0" counter accept',
            'iifname "ln*" ct state related,established counter accept',
            'oifname "ln*" counter accept',
            `-A DOCKER-USER -i ln+ -o eth0 ${marked} -j ACCEPT`,
            `-A DOCKER-USER -i ln+ -m conntrack --ctstate RELATED,ESTABLISHED ${marked} -j ACCEPT`,
            `-A DOCKER-USER -o ln+ ${marked} -j ACCEPT`,
        ],
        reload: "iptables-nft -F DOCKER-USER; iptables-nft -A DOCKER-USER -j RETURN",
        loses: [
            "the exception for our networks in iptables-nft (DOCKER-USER: -o ln+ -j ACCEPT) is missing",
            "the exception for our networks in iptables-nft (DOCKER-USER: -i ln+ -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT) is missing",
            "the exception for our networks in iptables-nft (DOCKER-USER: -i ln+ -o eth0 -j ACCEPT) is missing",
        ],
    },
    {
        firewall: "ufw",
        make: "ufw allow 22/tcp; ufw --force enable",
        adds: [
            'iifname "ln*" ip daddr 127.64.0.0/10 counter accept',
            // IPv4, IPv6.
            ...Array.from({ length: 2 }, () => [
                'oifname "ln*" counter accept',
                'iifname "ln*" oifname "eth0" counter accept',
            ]).flat(),
            "### tuple ### allow any any 127.64.0.0/10 any 0.0.0.0/0 in_ln+ comment=6c696e75786e6574",
            "-A ufw-user-input -i ln+ -d 127.64.0.0/10 -j ACCEPT",
            "### tuple ### route:allow any any 0.0.0.0/0 any 0.0.0.0/0 out_ln+ comment=6c696e75786e6574",
            "-A ufw-user-forward -o ln+ -j ACCEPT",
            "### tuple ### route:allow any any 0.0.0.0/0 any 0.0.0.0/0 in_ln+!out_eth0 comment=6c696e75786e6574",
            "-A ufw-user-forward -i ln+ -o eth0 -j ACCEPT",
            "### tuple ### route:allow any any ::/0 any ::/0 out_ln+ comment=6c696e75786e6574",
            "-A ufw6-user-forward -o ln+ -j ACCEPT",
            "### tuple ### route:allow any any ::/0 any ::/0 in_ln+!out_eth0 comment=6c696e75786e6574",
            "-A ufw6-user-forward -i ln+ -o eth0 -j ACCEPT",
        ],
        reload: "ufw --force reset; ufw allow 22/tcp; ufw --force enable",
        loses: [
            "the exception for our networks in ufw (input: allow in on ln+ to 127.64.0.0/10) is missing",
            "the exception for our networks in ufw (route: route allow out on ln+) is missing",
            "the exception for our networks in ufw (route: route allow in on ln+ out on eth0) is missing",
        ],
    },
    {
        firewall: "an nft table of somebody",
        make: office,
        adds: [
            'iifname "ln*" oifname "eth0" accept comment "linuxnet"',
            'iifname "ln*" ct state established,related accept comment "linuxnet"',
            'oifname "ln*" accept comment "linuxnet"',
        ],
        reload: `nft delete table inet office; ${office}`,
        loses: [
            'the exception for our networks in nft (inet office fwd_all: oifname "ln*" accept) is missing',
            'the exception for our networks in nft (inet office fwd_all: iifname "ln*" ct state established,related accept) is missing',
            'the exception for our networks in nft (inet office fwd_all: iifname "ln*" oifname "eth0" accept) is missing',
        ],
    },
    {
        firewall: "legacy iptables",
        make: "iptables-legacy -P FORWARD DROP",
        adds: [
            `-A FORWARD -i ln+ -o eth0 ${marked} -j ACCEPT`,
            `-A FORWARD -i ln+ -m conntrack --ctstate RELATED,ESTABLISHED ${marked} -j ACCEPT`,
            `-A FORWARD -o ln+ ${marked} -j ACCEPT`,
        ],
        reload: "iptables-legacy -F FORWARD",
        loses: [
            "the exception for our networks in iptables-legacy (FORWARD: -o ln+ -j ACCEPT) is missing",
            "the exception for our networks in iptables-legacy (FORWARD: -i ln+ -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT) is missing",
            "the exception for our networks in iptables-legacy (FORWARD: -i ln+ -o eth0 -j ACCEPT) is missing",
        ],
    },
])(
    "cooperate: $firewall gets an exception, and is to the byte as before without",
    async ({ make, adds, reload, loses }) => {
        await using lab = await createLab({ hosts: 1 });
        const [host] = lab.hosts;
        await host.exec(make);
        await reconnect();
        const before = await rules(host);
        const added = async () => linesAdded(before, await rules(host));
        const log = vi.spyOn(console, "log").mockReturnValue();
        {
            await using stack = await openStack(host, { host: { cooperate: true } });
            // Nothing that nobody needs yet.
            expect(await rules(host)).toBe(before);
            await using asking = await layOut(stack, host, lab.client());
            expect([await asking.answers(), await added()]).toEqual([asking.everybody, adds]);
            expect(linesAdded(await rules(host), before)).toEqual([]);
            expect(log.mock.calls.filter(([line]) => String(line).includes("firewall of a host"))).toEqual([]);
            // Not one more for another network.
            await stack.network("back", { subnet: "172.21.0.0/24" });
            expect(await added()).toEqual(adds);
            // That firewall is loaded anew: seen, and written again.
            expect(await stack.host.refresh()).toEqual([]);
            await host.exec(reload);
            expect([await asking.answers(), await stack.host.refresh()]).toEqual([asking.nobody, loses]);
            expect(await stack.host.update({})).toBe("update");
            expect([await asking.answers(), await added()]).toEqual([asking.everybody, adds]);
            // Taken out of the program, and put in again.
            expect(await stack.host.update({ cooperate: undefined })).toBe("update");
            expect([await asking.answers(), await rules(host)]).toEqual([asking.nobody, before]);
            expect(await stack.host.update({ cooperate: true })).toBe("update");
            expect([await asking.answers(), await added()]).toEqual([asking.everybody, adds]);
        }
        expect(await rules(host)).toBe(before);
        log.mockRestore();
    },
);

/** A sandbox with a published port; it and the client outside ask each other. */
async function layOut(stack: Stack, host: LabHost, client: LabMachine) {
    const front = await stack.network("front", { subnet: "172.20.0.0/24" });
    const web = await stack.join("web", front);
    await stack.portMapping("http", { target: web.endpoint, hostPort: 8080, targetPort: 80 });
    const servers = [await serve(web.place, "web", "tcp:80"), await serve({ machine: client }, "client", "tcp:7000")];
    return {
        everybody: [`web to ${client.address}`, `client to ${host.address}`],
        nobody: ["nothing", "nothing"],
        async answers() {
            const answers = [
                answersTo({ machine: client }, { [`tcp ${host.address}:8080`]: "" }),
                answersTo(web.place, { [`tcp ${client.address}:7000`]: "" }),
            ];
            return (await Promise.all(answers)).flatMap((each) => Object.values(each));
        },
        async [Symbol.asyncDispose]() {
            for (const server of servers) await server[Symbol.asyncDispose]();
        },
    };
}

test("cooperate: a firewall that comes later is found by a refresh; a tunnel's port is opened to its peers alone", async () => {
    await using lab = await createLab({ hosts: 1 });
    const [host] = lab.hosts;
    const client = lab.client();
    await reconnect();
    await using stack = await openStack(host, { host: { cooperate: true } });
    await using asking = await layOut(stack, host, client);
    const tunnels = await stack.network("segment", { subnet: "172.23.0.0/24" });
    await stack.overlayTunnel("mesh", {
        network: tunnels,
        vni: 7,
        peers: [{ underlayAddress: client.address, ipRange: "172.23.0.128/25" }],
    });
    await stack.overlayTunnel("mesh6", {
        network: await stack.network("segment6", { subnet: "172.24.0.0/24" }),
        vni: 8,
        peers: [{ underlayAddress: client.ipv6Address, ipRange: "172.24.0.128/25" }],
    });
    expect([await asking.answers(), await stack.host.refresh()]).toEqual([asking.everybody, []]);
    await host.exec(`${office}
        nft -f - <<'END'
add chain inet office input { type filter hook input priority 0; policy drop; }
add rule inet office input ct state established,related accept
add rule inet office input iif lo accept
add rule inet office input tcp dport 22 accept
END`);
    const before = await rules(host);
    await reconnect();
    expect(await asking.answers()).toEqual(asking.nobody);
    expect(await stack.host.refresh()).toHaveLength(8);
    await stack.host.update({});
    expect(await asking.answers()).toEqual(asking.everybody);
    expect(linesAdded(before, await rules(host)).sort()).toEqual(
        [
            'iifname "ln*" ct state established,related accept comment "linuxnet"',
            'iifname "ln*" ip daddr 127.64.0.0/10 accept comment "linuxnet"',
            'iifname "ln*" oifname "eth0" accept comment "linuxnet"',
            `ip saddr ${client.address} udp dport 4789 accept comment "linuxnet"`,
            `ip6 saddr ${client.ipv6Address} udp dport 4789 accept comment "linuxnet"`,
            'iifname "lt*" ip daddr 127.64.0.0/10 accept comment "linuxnet"',
            'oifname "ln*" accept comment "linuxnet"',
            'oifname "lt*" accept comment "linuxnet"',
        ].sort(),
    );
    // At boot it is written again, when that firewall has been loaded.
    const withOurs = await rules(host);
    await host.exec(`nft delete table inet linuxnet; nft flush chain inet office fwd_all
        nft 'add rule inet office fwd_all tcp dport 9 accept comment "theirs"'; sh /var/lib/linuxnet/restore`);
    expect(linesAdded(before, await rules(host)).sort()).toEqual(linesAdded(before, withOurs).sort());
    expect(await asking.answers()).toEqual(asking.everybody);
    await stack.destroyAll();
    expect(await rules(host)).toBe(before);
});

const closing = (tool: string) => `${tool} -A INPUT -i lo -j ACCEPT; ${tool} -A INPUT -p tcp --dport 22 -j ACCEPT
    ${tool} -A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
    ${tool.startsWith("ip6") ? `${tool} -A INPUT -p ipv6-icmp -j ACCEPT` : ":"}; ${tool} -P INPUT DROP; ${tool} -P FORWARD DROP`;
const opening = (tool: string) => `${tool} -P INPUT ACCEPT; ${tool} -P FORWARD ACCEPT; ${tool} -F`;

test("cooperate: names and IPv6 work where firewalls let nobody in or through, and these are as before without", async () => {
    await using lab = await createLab({ hosts: 1 });
    const [host] = lab.hosts;
    const client = lab.client();
    await using _server = await serve({ machine: client }, "client", "tcp:7000", "tcp6:7000");
    for (const [make, undo] of [
        [
            `${closing("iptables-nft")}; ${closing("ip6tables-nft")}`,
            `${opening("iptables-nft")}; ${opening("ip6tables-nft")}`,
        ],
        [
            `${closing("iptables-legacy")}; ${closing("ip6tables-legacy")}`,
            `${opening("iptables-legacy")}; ${opening("ip6tables-legacy")}`,
        ],
        ["ufw allow 22/tcp; ufw --force enable", "ufw --force reset; nft flush ruleset"],
    ] as const) {
        await host.exec(make);
        await reconnect();
        const before = await rules(host);
        {
            await using stack = await openStack(host, { host: { cooperate: true } });
            const front = await stack.network("front", { subnet: ["172.20.0.0/24", "fd00:20::/64"] });
            const web = await stack.join("web", front);
            const ways = ["@172.20.0.1", "@172.20.0.1 +tcp", "@fd00:20::1", "@fd00:20::1 +tcp"];
            const answers = ways.map((way) => run(web.place, `dig +short +tries=3 +time=5 web ${way}`));
            expect((await Promise.all(answers)).map((answer) => answer.trim())).toEqual(ways.map(() => web.address));
            const outside = {
                [`tcp ${client.address}:7000`]: `client to ${host.address}`,
                [`tcp [${client.ipv6Address}]:7000`]: `client to ${host.ipv6Address}`,
            };
            expect(await answersTo(web.place, outside)).toEqual(outside);
            expect(await stack.host.refresh()).toEqual([]);
        }
        expect(await rules(host)).toBe(before);
        await host.exec(undo);
    }
});

test("cooperate: hosts of a segment that let nobody in ask each other for names", async () => {
    await using lab = await createLab({ hosts: 2 });
    const closed = `${office}
        nft 'add chain inet office input { type filter hook input priority 0; policy drop; }; add rule inet office input ct state established accept
        add rule inet office input iif lo accept; add rule inet office input tcp dport 22 accept'`;
    for (const host of lab.hosts) await host.exec(closed);
    await reconnect();
    const before = await Promise.all(lab.hosts.map(rules));
    const ends = await laySegment(lab.hosts, [["web"], ["db"]], { prefix: "10.90", host: { cooperate: true } });
    const [web, db] = [ends[0]?.joined["web"], ends[1]?.joined["db"]];
    if (web === undefined || db === undefined) throw new Error("The sandboxes are there.");
    await answered(web.place, { "@10.90.1.1 db": db.address, "@127.0.0.11 +tcp db": db.address });
    await answered(db.place, { "@10.90.2.1 web": web.address });
    for (const { stack } of ends) await stack.destroyAll();
    expect(await Promise.all(lab.hosts.map(rules))).toEqual(before);
});

test("cooperate: a firewall that nobody else may write to is refused with the command, and nothing stays", async () => {
    await using lab = await createLab({ hosts: 1 });
    const [host] = lab.hosts;
    // A table that belongs to one process (nft(8), flags owner), as firewalld 2 has its own.
    await using _owner = await host.spawn([
        ...["sh", "-c"],
        `{ echo 'add table inet owned { flags owner; }'
           echo 'add chain inet owned all_of_it { type filter hook forward priority 0; policy drop; }'
           sleep 100; } | nft -i`,
    ]);
    await expect.poll(async () => (await host.exec("nft list chains")).stdout).toContain("all_of_it");
    await reconnect();
    await using stack = await openStack(host, { host: { cooperate: true } });
    const before = (await host.exec("nft list ruleset")).stdout;
    await expect(stack.network("front", { subnet: "172.20.0.0/24" })).rejects.toThrow(
        /Operation not permitted.* Type `nft 'insert rule inet owned all_of_it oifname "ln\*" accept'` on the host, or take cooperate out of its Host. The host was put back as it was/,
    );
    expect((await host.exec("nft list ruleset")).stdout).toBe(before);
});
