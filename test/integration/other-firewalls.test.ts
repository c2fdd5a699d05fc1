import { expect, test, vi } from "vitest";
import { openStack, reconnect } from "./driver.js";
import { layTestBed } from "./test-bed.js";
import { answersTo, serve } from "./traffic.js";

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
])("other firewalls: $firewall is named once a run, with the command that helps", async (each) => {
    const log = vi.spyOn(console, "log").mockReturnValue();
    const warnings = () =>
        log.mock.calls.map(([line]) => String(line)).filter((line) => line.includes("firewall of a host"));
    await bed.host.exec(each.make);
    await using _ = { [Symbol.asyncDispose]: async () => void (await bed.host.exec(each.undo)) };
    await reconnect();
    await using stack = await openStack(bed.host);
    const before = stack.host;
    const front = await stack.network("front", { subnet: "172.20.0.0/24" });
    await stack.network("back", { subnet: "172.21.0.0/24" });
    const web = await stack.join("web", front);
    await stack.portMapping("http", { target: web.endpoint, hostPort: 8080, targetPort: 80 });
    await expect
        .poll(warnings)
        .toEqual([
            `${each.firewall} drops what sandboxes send and what is published: a packet has to pass every firewall of a host. To let it pass, run there: ${each.says}`,
        ]);
    log.mockRestore();
    await using _server = await serve(web.place, "web", "tcp:80");
    const question = { [`tcp ${bed.host.address}:8080`]: "" };
    const asked = async () => Object.values(await answersTo({ machine: bed.client }, question));
    expect(await asked()).not.toEqual([`web to ${bed.client.address}`]);
    await bed.host.exec(each.means ?? each.says);
    expect(await asked()).toEqual([`web to ${bed.client.address}`]);
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
        const front = await stack.network("front", { subnet: "172.20.0.0/24" });
        const silent = log.mock.calls.filter(([line]) => String(line).includes("firewall of a host"));
        expect(silent).toEqual([]);
        // Only a tunnel needs the host itself.
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
