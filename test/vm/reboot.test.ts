import { expect, test } from "vitest";
import { createHost, type LabHost, snapshotHost } from "../../lab/index.js";
import { openStack, reconnect, type Stack } from "../integration/driver.js";
import { ask, inside, serve } from "../integration/traffic.js";

/** Two networks, a published server, a policy and a tunnel: an object of each kind. */
async function layOut(stack: Stack) {
    const front = await stack.network("front", { subnet: "172.20.0.0/24" });
    const back = await stack.network("back", { subnet: "172.21.0.0/24", internal: true, mtu: 1400 });
    const web = await stack.sandbox("web", { sysctls: { "net.ipv4.ip_unprivileged_port_start": "80" } });
    const webFront = await stack.endpoint("web-front", { sandbox: web, network: front });
    const webBack = await stack.endpoint("web-back", { sandbox: web, network: back });
    const db = await stack.join("db", back, { ipv4Address: "172.21.0.10" });
    const other = await stack.join("other", back);
    const http = await stack.portMapping("http", { target: webFront, hostPort: 8080, targetPort: 80 });
    const policy = await stack.firewallPolicy("db", {
        target: db.endpoint,
        ingress: [{ action: "allow", from: [webBack], ports: [5432] }],
    });
    const peers = [{ underlayAddress: "198.18.255.254", ipRange: "172.20.0.128/28" }];
    const tunnel = await stack.overlayTunnel("far", { network: front, vni: 7, peers });
    const all = [front, back, web, webFront, webBack, db.sandbox, db.endpoint, http, policy, tunnel];
    return { web, webFront, db, other, all: [...all, other.sandbox, other.endpoint] };
}

/** What belongs to no object: forwarding on the uplink, the module's global switches, and our bridges' own. */
const readSwitches =
    "cd /proc/sys/net; grep . ipv4/conf/*/forwarding bridge/*; grep . /sys/class/net/ln*/bridge/nf_call_iptables";

const showUnit = (host: LabHost) =>
    host.exec("systemctl show -p ActiveState,SubState,Result,UnitFileState linuxnet-restore.service");

const succeeded = "Result=success\nActiveState=active\nSubState=exited\nUnitFileState=enabled";

test("reboot: the host rebuilds everything before sshd answers, without Pulumi, and nothing is left behind", async () => {
    await using host = await createHost({ driver: "vm", onProgress: (text) => console.log(text) });
    // Its configuration begins with "flush ruleset": the host's own tables come first, at boot too.
    await host.exec("systemctl enable --now nftables.service");
    const before = await snapshotHost(host);
    {
        await using stack = await openStack(host);
        const { web, db, other, all } = await layOut(stack);
        const drift = async () => {
            const drifts = await Promise.all(all.map(async (each) => [each.name, await each.refresh()] as const));
            return drifts.filter(([, found]) => found.length > 0);
        };
        const traffic = async () => {
            await using _ = await serve(inside(host, web), "web", "tcp:80");
            await using _db = await serve(db.place, "db", "tcp:5432");
            return {
                ...(await ask({ machine: host.lab.client() }, `tcp ${host.address}:8080`)),
                ...(await ask(inside(host, web), `tcp ${db.address}:5432`, `icmp ${host.lab.client().address}`)),
                ...(await ask(other.place, `tcp ${db.address}:5432 from ${other.address}`)),
            };
        };
        expect(await drift()).toEqual([]);
        const expected = await traffic();
        expect(expected).toEqual({
            [`tcp ${host.address}:8080`]: `web to ${host.lab.client().address}`,
            [`tcp ${db.address}:5432`]: expect.stringMatching(/^db to 172\.21\.0\./),
            [`icmp ${host.lab.client().address}`]: "reply",
            [`tcp ${db.address}:5432 from ${other.address}`]: "nothing",
        });
        expect((await showUnit(host)).stdout).toBe(succeeded);
        const switches = (await host.exec(readSwitches)).stdout;

        await host.exec("systemctl restart nftables.service");
        expect(await drift()).toEqual([]);

        for (const powerCut of [false, true]) {
            await host.reboot({ powerCut });
            expect((await showUnit(host)).stdout).toBe(succeeded);
            const { stdout: journal } = await host.exec(
                "journalctl -b -o short-monotonic --no-pager -u linuxnet-restore.service",
            );
            expect((await host.exec(readSwitches)).stdout).toBe(switches);
            expect(journal).toMatch(/linuxnet: restored 12 objects, \d+ nft statements, \d+ ip commands/);
            expect(await traffic()).toEqual(expected);
            await reconnect();
            expect(await drift()).toEqual([]);
        }
        await host.exec("systemctl reload nftables.service");
        expect(await drift()).toEqual([]);
    }
    expect(await snapshotHost(host)).toEqual(before);
    expect((await showUnit(host)).stdout).toBe("Result=success\nActiveState=inactive\nSubState=dead\nUnitFileState=");
});
