import { expect, test, vi } from "vitest";
import { openStack, reconnect } from "./driver.js";
import { layTestBed } from "./test-bed.js";
import { answersTo, run, serve } from "./traffic.js";

const bed = layTestBed();

const dropping = (family: string, table: string, chain: string) =>
    `nft 'add table ${family} ${table}; add chain ${family} ${table} ${chain} { type filter hook forward priority 0; policy drop; }'`;

/** As ufw 0.36 loads them for forwarding, `ufw route allow ... on ln+` writes to the last chain. */
const ufw = `iptables-nft-restore <<'END'
*filter
:FORWARD DROP
:ufw-before-forward -
:ufw-user-forward -
-A FORWARD -j ufw-before-forward
-A ufw-before-forward -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A ufw-before-forward -p icmp -m icmp --icmp-type 8 -j ACCEPT
-A ufw-before-forward -j ufw-user-forward
COMMIT
END`;

/** As firewalld 1.3 loads them, shortened: no policy drops, the last rule of a chain rejects. */
const firewalld = `nft -f - <<'END'
table inet firewalld {
    chain filter_FWD_public {
    }
    chain filter_FORWARD_ZONES {
        goto filter_FWD_public
    }
    chain filter_FORWARD {
        type filter hook forward priority filter + 10; policy accept;
        ct state { established, related } accept
        iifname "lo" accept
        jump filter_FORWARD_ZONES
        reject with icmpx admin-prohibited
    }
}
END`;

const emptyFilter = "iptables-nft -F; iptables-nft -X; nft delete table ip filter";

test.each([
    {
        firewall: "Docker (table ip filter, policy drop in FORWARD)",
        make: "iptables-nft -P FORWARD DROP; iptables-nft -N DOCKER-USER; iptables-nft -A FORWARD -j DOCKER-USER",
        says: "iptables -I DOCKER-USER -o ln+ -j ACCEPT; iptables -I DOCKER-USER -i ln+ -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT; iptables -I DOCKER-USER -i ln+ -o eth0 -j ACCEPT",
        undo: emptyFilter,
    },
    {
        firewall: "ufw (table ip filter, policy drop in FORWARD)",
        make: ufw,
        says: "ufw route allow out on ln+; ufw route allow in on ln+ out on eth0",
        // What ufw makes of it.
        means: "iptables-nft -A ufw-user-forward -o ln+ -j ACCEPT; iptables-nft -A ufw-user-forward -i ln+ -o eth0 -j ACCEPT",
        undo: emptyFilter,
    },
    {
        firewall: "firewalld (table inet firewalld, reject at the end of filter_FORWARD)",
        make: firewalld,
        says: "firewall-cmd --permanent --zone=trusted --add-interface=ln+ && firewall-cmd --reload",
        // What firewalld makes of it.
        means: `nft add chain inet firewalld filter_FWD_trusted; nft add rule inet firewalld filter_FWD_trusted accept
            for side in iifname oifname; do nft insert rule inet firewalld filter_FORWARD_ZONES $side '"ln*"' goto filter_FWD_trusted; done`,
        undo: "nft delete table inet firewalld",
    },
    {
        firewall: "another firewall (table inet office, policy drop in fwd_all)",
        make: dropping("inet", "office", "fwd_all"),
        says: `nft 'insert rule inet office fwd_all oifname "ln*" accept'; nft 'insert rule inet office fwd_all iifname "ln*" ct state established,related accept'; nft 'insert rule inet office fwd_all iifname "ln*" oifname "eth0" accept'`,
        undo: "nft delete table inet office",
    },
    {
        firewall: "another firewall (iptables-legacy, policy drop in FORWARD)",
        make: "iptables-legacy -P FORWARD DROP",
        says: "iptables-legacy -I FORWARD -o ln+ -j ACCEPT; iptables-legacy -I FORWARD -i ln+ -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT; iptables-legacy -I FORWARD -i ln+ -o eth0 -j ACCEPT",
        undo: "iptables-legacy -F; iptables-legacy -P FORWARD ACCEPT",
    },
    {
        firewall: "another firewall (table ip6 filter, policy drop in FORWARD)",
        isIpv6: true,
        make: "ip6tables-nft -P FORWARD DROP",
        says: "ip6tables -I FORWARD -o ln+ -j ACCEPT; ip6tables -I FORWARD -i ln+ -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT; ip6tables -I FORWARD -i ln+ -o eth0 -j ACCEPT",
        undo: "ip6tables-nft -F; nft delete table ip6 filter",
    },
    {
        firewall: "another firewall (ip6tables-legacy, policy drop in FORWARD)",
        isIpv6: true,
        make: "ip6tables-legacy -P FORWARD DROP",
        says: "ip6tables-legacy -I FORWARD -o ln+ -j ACCEPT; ip6tables-legacy -I FORWARD -i ln+ -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT; ip6tables-legacy -I FORWARD -i ln+ -o eth0 -j ACCEPT",
        undo: "ip6tables-legacy -F; ip6tables-legacy -P FORWARD ACCEPT",
    },
    {
        // Docker 27 and later look after both.
        firewall: "Docker (table ip filter, policy drop in FORWARD; table ip6 filter, policy drop in FORWARD)",
        isIpv6: true,
        make: ["iptables-nft", "ip6tables-nft"]
            .map((tool) => `${tool} -P FORWARD DROP; ${tool} -N DOCKER-USER; ${tool} -A FORWARD -j DOCKER-USER`)
            .join("; "),
        says: ["iptables", "ip6tables"]
            .map(
                (tool) =>
                    `${tool} -I DOCKER-USER -o ln+ -j ACCEPT; ${tool} -I DOCKER-USER -i ln+ -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT; ${tool} -I DOCKER-USER -i ln+ -o eth0 -j ACCEPT`,
            )
            .join("; "),
        undo: `${emptyFilter}; ip6tables-nft -F; ip6tables-nft -X; nft delete table ip6 filter`,
    },
])("other firewalls: $firewall is named once a run, with the command that helps", async (each) => {
    const log = vi.spyOn(console, "log").mockReturnValue();
    const warnings = () =>
        log.mock.calls.map(([line]) => String(line)).filter((line) => line.includes("firewall of a host"));
    await bed.host.exec(each.make);
    await using _ = { [Symbol.asyncDispose]: async () => void (await bed.host.exec(each.undo)) };
    await reconnect();
    await using stack = await openStack(bed.host);
    const before = stack.host;
    const front = await stack.network("front", { subnet: "172.20.0.0/24", ipv6: each.isIpv6 });
    await stack.network("back", { subnet: "172.21.0.0/24" });
    const web = await stack.join("web", front);
    await stack.portMapping("http", { target: web.endpoint, hostPort: 8080, targetPort: 80 });
    await expect
        .poll(warnings)
        .toEqual([
            `${each.firewall} drops what sandboxes send and what is published: a packet has to pass every firewall of a host. To let it pass, run there: ${each.says}`,
        ]);
    log.mockRestore();
    await using _server = await serve(web.place, "web", "tcp:80", "tcp6:80");
    const [host, client] = each.isIpv6
        ? [`[${bed.host.ipv6Address}]`, bed.client.ipv6Address]
        : [bed.host.address, bed.client.address];
    const question = { [`tcp ${host}:8080`]: "" };
    const asked = async () => Object.values(await answersTo({ machine: bed.client }, question));
    expect(await asked()).not.toEqual([`web to ${client}`]);
    await bed.host.exec(each.means ?? each.says);
    expect(await asked()).toEqual([`web to ${client}`]);
    expect(before.outs.machineId).toBe(bed.host.machineId);
});

test("other firewalls: what lets ours pass, or drops nothing, is not spoken of", async () => {
    const log = vi.spyOn(console, "log").mockReturnValue();
    await bed.host.exec(`${dropping("inet", "office", "fwd_all")}; nft insert rule inet office fwd_all oifname '"ln*"' accept
        nft add table ip quiet; nft 'add chain ip quiet all { type filter hook forward priority 5; policy accept; }'
        nft add rule ip quiet all ip saddr 192.0.2.1 drop
        nft 'add chain inet office input { type filter hook input priority 0; policy drop; }'
        nft add rule inet office input ct state established,related accept; nft add rule inet office input iif lo accept
        nft add rule inet office input tcp dport 22 accept; nft add rule inet office input ip protocol icmp accept`);
    await reconnect();
    {
        await using stack = await openStack(bed.host);
        const front = await stack.network("front", { subnet: "172.20.0.0/24", dns: { mode: "hosts" } });
        const silent = log.mock.calls.filter(([line]) => String(line).includes("firewall of a host"));
        expect(silent).toEqual([]);
        // A tunnel needs the host itself.
        const peers = [{ underlayAddress: bed.client.address, ipRange: "172.20.0.128/25" }];
        await stack.overlayTunnel("mesh", { network: front, vni: 7, peers });
        await expect
            .poll(() => log.mock.calls.map(([line]) => String(line)))
            .toContainEqual(
                "another firewall (table inet office, policy drop in input) drops what other hosts send to the tunnel (UDP port 4789): " +
                    "a packet has to pass every firewall of a host. To let it pass, run there: " +
                    "nft 'insert rule inet office input udp dport 4789 accept'",
            );
    }
    log.mockRestore();
    await bed.host.exec("nft delete table inet office; nft delete table ip quiet; rm -f /run/xtables.lock");
});

/** A host that lets in nobody but ssh. */
const closing = (tool: string) => `${tool} -A INPUT -i lo -j ACCEPT; ${tool} -A INPUT -p tcp --dport 22 -j ACCEPT
    ${tool} -A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
    ${tool} -A INPUT -p ${tool.startsWith("ip6") ? "ipv6-icmp" : "icmp"} -j ACCEPT; ${tool} -P INPUT DROP`;
const closingNft = `nft -f - <<'END'
table inet office {
    chain input {
        type filter hook input priority 0; policy drop;
        ct state established,related accept
        iif lo accept
        tcp dport 22 accept
        meta l4proto { icmp, ipv6-icmp } accept
    }
}
END`;
const byIptables = (tool: string, range: string) => `${tool} -I INPUT -i ln+ -d ${range} -j ACCEPT`;
const opening = (tool: string) => `${tool} -P INPUT ACCEPT; ${tool} -F; ${tool} -X`;
const [range, range6] = ["127.64.0.0/10", "fd53:7a1c:9e0b::/48"];

test("other firewalls: one that drops what sandboxes ask for names is named with its rule, and the command that helps", async () => {
    const log = vi.spyOn(console, "log").mockReturnValue();
    await using _lock = { [Symbol.asyncDispose]: async () => void (await bed.host.exec("rm -f /run/xtables.lock")) };
    await using stack = await openStack(bed.host);
    const front = await stack.network("front", { subnet: ["172.20.0.0/24", "fd00:20::/64"] });
    const web = await stack.join("web", front);
    const asked = async (patience: string) => {
        const ways = ["@172.20.0.1", "@172.20.0.1 +tcp", "@fd00:20::1", "@fd00:20::1 +tcp"];
        const answers = ways.map((way) => run(web.place, `dig +short ${patience} web ${way} 2>&1 || :`));
        return (await Promise.all(answers)).map((answer) => (answer.trim() === web.address ? "answer" : "nothing"));
    };
    const [yes, no] = ["answer", "nothing"];
    for (const { make, found, says, undo, before = [no, no, no, no] } of [
        {
            make: closing("iptables-nft"),
            found: "table ip filter, policy drop in INPUT",
            says: byIptables("iptables", range),
            undo: `${opening("iptables-nft")}; nft delete table ip filter`,
            before: [no, no, yes, yes],
        },
        {
            make: closing("ip6tables-nft"),
            found: "table ip6 filter, policy drop in INPUT",
            says: byIptables("ip6tables", range6),
            undo: `${opening("ip6tables-nft")}; nft delete table ip6 filter`,
            before: [yes, yes, no, no],
        },
        {
            make: `${closing("iptables-legacy")}; ${closing("ip6tables-legacy")}`,
            found: "iptables-legacy, policy drop in INPUT; ip6tables-legacy, policy drop in INPUT",
            says: `${byIptables("iptables-legacy", range)}; ${byIptables("ip6tables-legacy", range6)}`,
            undo: `${opening("iptables-legacy")}; ${opening("ip6tables-legacy")}`,
        },
        {
            make: closingNft,
            found: "table inet office, policy drop in input",
            says: `nft 'insert rule inet office input iifname "ln*" ip daddr ${range} accept'; nft 'insert rule inet office input iifname "ln*" ip6 daddr ${range6} accept'`,
            undo: "nft delete table inet office",
        },
        {
            // Nothing is closed, but nobody comes from outside to 127.0.0.0/8.
            make: "iptables-nft -A INPUT -d 127.0.0.0/8 ! -i lo -j REJECT",
            found: 'table ip filter, rule iifname != "lo" ip daddr 127.0.0.0/8 counter reject in INPUT',
            says: byIptables("iptables", range),
            undo: `${opening("iptables-nft")}; nft delete table ip filter`,
            before: [no, no, yes, yes],
        },
        {
            make: "nft 'add table inet office; add chain inet office input { type filter hook input priority 0; }; add rule inet office input iif != lo ip daddr 127.0.0.0/8 drop'",
            found: 'table inet office, rule iif != "lo" ip daddr 127.0.0.0/8 drop in input',
            says: `nft 'insert rule inet office input iifname "ln*" ip daddr ${range} accept'`,
            undo: "nft delete table inet office",
            before: [no, no, yes, yes],
        },
    ]) {
        await bed.host.exec(make);
        await using _ = { [Symbol.asyncDispose]: async () => void (await bed.host.exec(undo)) };
        await reconnect();
        log.mockClear();
        await front.update({ labels: { found } });
        await expect
            .poll(() =>
                log.mock.calls.map(([line]) => String(line)).filter((line) => line.includes("firewall of a host")),
            )
            .toEqual([
                `another firewall (${found}) drops what sandboxes ask for names: a packet has to pass every firewall of a host. To let it pass, run there: ${says}`,
            ]);
        expect(await asked("+tries=1 +time=1"), found).toEqual(before);
        await bed.host.exec(says);
        expect(await asked("+tries=3 +time=5"), found).toEqual([yes, yes, yes, yes]);
        await reconnect();
        log.mockClear();
        await front.update({ labels: { found: "mended" } });
        expect(
            log.mock.calls.map(([line]) => String(line)).filter((line) => line.includes("firewall of a host")),
        ).toEqual([]);
    }
    log.mockRestore();
});
