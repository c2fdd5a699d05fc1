import { Endpoint, FirewallPolicy, Host, Network, OverlayTunnel, PortMapping, Sandbox } from "pulumi-linuxnet";
import { expect, test } from "vitest";
import { createHost, type LabConnection, type LabHost, snapshotHost } from "../../lab/index.js";
import { readHostState } from "../integration/host-state.js";
import { ask, serve } from "../integration/traffic.js";

/** Two networks, a published server, a policy and a tunnel: an object of each kind. */
function layOut(connection: LabConnection) {
    const host = new Host("edge", { connection });
    const front = new Network("front", { host, subnet: "172.20.0.0/24" });
    const back = new Network("back", { host, subnet: "172.21.0.0/24", internal: true, mtu: 1400 });
    const web = new Sandbox("web", { host, sysctls: { "net.ipv4.ip_unprivileged_port_start": 80 } });
    const webFront = new Endpoint("web-front", { sandbox: web, network: front });
    const webBack = new Endpoint("web-back", { sandbox: web, network: back });
    const db = new Sandbox("db", { host });
    const dbBack = new Endpoint("db-back", { sandbox: db, network: back, ipv4Address: "172.21.0.10" });
    const other = new Sandbox("other", { host });
    const otherBack = new Endpoint("other-back", { sandbox: other, network: back });
    new PortMapping("http", { target: webFront, hostPort: 8080, targetPort: 80 });
    new FirewallPolicy("db", { target: dbBack, ingress: [{ action: "allow", from: webBack, ports: 5432 }] });
    new OverlayTunnel("far", {
        network: front,
        vni: 7,
        peers: [{ underlayAddress: "198.18.255.254", ipRange: "172.20.0.128/28" }],
    });
    return { web: web.namespace, db: db.namespace, other: other.namespace, otherAddress: otherBack.address };
}

const resourceCount = 14;

const showUnit = async (host: LabHost) =>
    (await host.exec("systemctl show -p ActiveState,SubState,Result,UnitFileState linuxnet-restore.service")).stdout;

const succeeded = "Result=success\nActiveState=active\nSubState=exited\nUnitFileState=enabled";

/** What a service sees as /etc in a sandbox, as docs/names.md shows it. */
const namesIn = (namespace: string) => {
    const files = namespace.replace("/run/netns/", "/etc/netns/");
    return `BindReadOnlyPaths=${files}/resolv.conf:/etc/resolv.conf ${files}/hosts:/etc/hosts`;
};

/** A service of a user in a sandbox, as docs/host.md shows it. */
const serviceIn = (namespace: string) => `[Unit]
After=linuxnet-restore.service
[Service]
NetworkNamespacePath=${namespace}
${namesIn(namespace)}
ExecStartPre=/usr/bin/getent ahosts db
ExecStart=/usr/bin/env nc -lk -p 80
[Install]
WantedBy=multi-user.target
`;

test("reboot: everything answers again without Pulumi, a refresh is empty, and nothing is left behind", async () => {
    await using host = await createHost({ driver: "vm", onProgress: (text) => console.log(text) });
    // Its configuration begins with "flush ruleset": the host's own tables come first, at boot too.
    await host.exec("systemctl enable --now nftables.service");
    const before = await snapshotHost(host);
    const client = host.lab.client();
    {
        await using stack = await host.lab.up(() => layOut(host.connection));
        expect(stack.run.changes).toEqual({ create: resourceCount });
        const { web, db, other, otherAddress } = stack.outputs;
        const expectNoDrift = async () => {
            expect((await stack.refresh()).changes).toEqual({ same: resourceCount });
            expect((await stack.preview()).changes).toEqual({ same: resourceCount });
        };
        const traffic = async () => {
            await using _ = await serve({ machine: host, sandbox: db }, "db", "tcp:5432");
            const reached = `tcp 172.21.0.10:5432`;
            return {
                "8080": await host.lab.probe(client, host, 8080),
                ...(await ask({ machine: host, sandbox: web }, reached, `icmp ${client.address}`)),
                ...(await ask({ machine: host, sandbox: other }, `${reached} from ${otherAddress}`)),
            };
        };
        const expectNames = async (event: string) => {
            const since = performance.now();
            const look = () => host.exec("dig +short +tries=1 +time=1 @127.0.0.11 db || :", { sandbox: web });
            await expect.poll(async () => (await look()).stdout, { timeout: 60_000 }).toContain("172.21.0.10");
            console.log(`names answer ${((performance.now() - since) / 1000).toFixed(1)} s after ${event}`);
        };
        await host.exec("kill -9 $(cat /run/linuxnet-dns/views/*/pid)");
        await expectNames("kill -9");
        await host.exec("cat >/etc/systemd/system/web.service && systemctl enable --now web.service", {
            stdin: serviceIn(web),
        });
        const expected = await traffic();
        expect(expected).toEqual({
            "8080": "open",
            "tcp 172.21.0.10:5432": expect.stringMatching(/^db to 172\.21\.0\./),
            [`icmp ${client.address}`]: "reply",
            [`tcp 172.21.0.10:5432 from ${otherAddress}`]: "nothing",
        });
        expect(await showUnit(host)).toBe(succeeded);
        const state = await readHostState(host);

        for (const event of [
            "restart nftables.service",
            "reload nftables.service",
            "stop nftables.service",
            "start nftables.service",
            "start systemd-networkd.service",
            "restart systemd-networkd.service",
            "stop systemd-networkd.service systemd-networkd.socket",
        ]) {
            await host.exec(`systemctl ${event}`);
            if (event === "stop nftables.service") continue;
            await expect.poll(() => readHostState(host), { timeout: 60_000, message: event }).toEqual(state);
            expect(await showUnit(host), event).toBe(succeeded);
        }
        for (const powerCut of [false, true]) {
            const since = performance.now();
            await host.reboot({ powerCut });
            await expectNames("the host's sshd answers again");
            await expect.poll(() => host.lab.probe(client, host, 8080), { timeout: 60_000 }).toBe("open");
            const seconds = ((performance.now() - since) / 1000).toFixed(1);
            const { stdout: journal } = await host.exec(
                "journalctl -b -o short-monotonic --no-pager -u linuxnet-restore.service",
            );
            console.log(`answers ${seconds} s after ${powerCut ? "a power cut" : "a reboot"}\n${journal}`);
            expect(journal).toMatch(/linuxnet: restored \d+ objects, \d+ nft statements, \d+ ip commands/);
            expect(await showUnit(host)).toBe(succeeded);
            expect(await readHostState(host)).toEqual(state);
            expect(await traffic()).toEqual(expected);
            await expectNoDrift();
        }
        await host.exec("systemctl disable --now web.service; rm /etc/systemd/system/web.service");
    }
    expect(await snapshotHost(host)).toEqual(before);
    expect(await showUnit(host)).toBe("Result=success\nActiveState=inactive\nSubState=dead\nUnitFileState=");
});
