import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { createHost, type LabHost, snapshotHost } from "../../lab/index.js";
import { restoreVersion } from "../../provider/kernel/restore.js";
import { openStack, reconnect } from "./driver.js";

/** What the documentation gives to hosts without systemd; these here have none. */
const [, documented = ""] =
    /```sh\n(.*restore)\n```/.exec(readFileSync(join(__dirname, "../../docs/host.md"), "utf8")) ?? [];

/** All that a reboot takes away; /var/lib/linuxnet stays. */
async function forgetAsByReboot(host: LabHost): Promise<void> {
    await host.exec(`
        for n in $(ip netns | cut -d' ' -f1); do ip netns del $n; done
        for l in $(ip -br link | grep -oE '^l[nt][0-9a-f]{12}'); do ip link del $l; done
        while ip -br link | grep -qE '^le[0-9a-f]{12}'; do :; done
        nft flush ruleset
        rm -rf /run/linuxnet
        echo 0 >/proc/sys/net/ipv4/conf/eth0/forwarding`);
}

test("restore: the host rebuilds everything by itself, and nothing is done twice", async () => {
    await using host = await createHost();
    const before = await snapshotHost(host);
    {
        await using stack = await openStack(host);
        const front = await stack.network("front", { subnet: "172.20.0.0/24" });
        const back = await stack.network("back", { subnet: "172.21.0.0/24", internal: true, mtu: 1400 });
        const web = await stack.sandbox("web", { sysctls: { "net.ipv4.ip_unprivileged_port_start": "80" } });
        const webFront = await stack.endpoint("web-front", { sandbox: web, network: front });
        const webBack = await stack.endpoint("web-back", { sandbox: web, network: back });
        const db = await stack.join("db", back, { ipv4Address: "172.21.0.10" });
        const http = await stack.portMapping("http", { target: webFront, hostPort: 8080, targetPort: 80 });
        const policy = await stack.firewallPolicy("db", {
            target: db.endpoint,
            ingress: [{ action: "allow", from: [webBack], ports: [5432] }],
        });
        const peers = [{ underlayAddress: "198.18.255.254", ipRange: "172.20.0.128/28" }];
        const tunnel = await stack.overlayTunnel("far", { network: front, vni: 7, peers });
        const all = [front, back, web, webFront, webBack, db.sandbox, db.endpoint, http, policy, tunnel];
        const drift = async () => (await Promise.all(all.map((resource) => resource.refresh()))).flat();
        expect(await drift()).toEqual([]);

        await forgetAsByReboot(host);
        expect((await drift()).length).toBeGreaterThan(20);
        const { stdout, stderr } = await host.exec(documented);
        expect(stdout).toMatch(/^linuxnet: restored 10 objects/);
        expect(stderr).toBe("");
        expect(await drift()).toEqual([]);

        // On a host where all is well it changes nothing, and after a firewall's flush it brings the tables back.
        const links = await host.exec("ip -br link");
        await host.exec("nft flush ruleset");
        expect((await host.exec(`busybox ${documented}`)).stderr).toBe("");
        expect(await drift()).toEqual([]);
        expect(await host.exec("ip -br link")).toEqual(links);
        await using server = await host.spawn("nc -lk -p 80", { sandbox: "web" });
        expect(server).toBeDefined();
        await expect.poll(() => host.lab.probe(host.lab.client(), host, 8080)).toBe("open");
    }
    expect(await snapshotHost(host)).toEqual(before);
});

test("restore: what a power cut left of a transaction is never used, and stops nobody", async () => {
    await using host = await createHost();
    const before = await snapshotHost(host);
    {
        await using stack = await openStack(host);
        const front = await stack.network("front", { subnet: "172.20.0.0/24" });
        // A transaction that was preparing, the token not yet written, one of two files not yet renamed or removed.
        await forgetAsByReboot(host);
        await host.exec(`cd /var/lib/linuxnet
            : >generation
            printf '{"schemaVersion":1,"kind":"sandbox","ke' >new/lsghost.json
            printf '04 ip - netns add half' >new/lsghost.restore
            printf '04 ip - netns add gone\n' >objects/lsgone.restore`);
        await reconnect();
        expect((await host.exec("sh /var/lib/linuxnet/restore")).stdout).toMatch(/^linuxnet: restored 2 objects/);
        expect(await front.refresh()).toEqual([]);
        await using web = await stack.join("web", front);
        expect(await web.endpoint.refresh()).toEqual([]);
        expect((await host.exec("ip netns; ls /var/lib/linuxnet/objects /var/lib/linuxnet/new")).stdout).not.toMatch(
            /half|gone\b(?!\.restore)|ghost/,
        );
        expect((await host.exec("cat /var/lib/linuxnet/generation")).stdout).toMatch(/^[0-9a-f]{12}$/);
    }
    expect(await snapshotHost(host)).toEqual(before);
});

test("restore: a newer provider brings its script with its next operation, an older one leaves it", async () => {
    await using host = await createHost();
    await using stack = await openStack(host);
    const front = await stack.network("front", { subnet: "172.20.0.0/24" });
    const readScript = async () => (await host.exec("cat /var/lib/linuxnet/restore")).stdout;
    const current = await readScript();
    const rewrite = async (version: number, script: string) => {
        const [, line] =
            /"restoreVersion":(\d+)/.exec((await host.exec("cat /var/lib/linuxnet/objects/base.json")).stdout) ?? [];
        await host.exec(
            `sed -i 's/"restoreVersion":${line}/"restoreVersion":${version}/' /var/lib/linuxnet/objects/base.json
            cat >/var/lib/linuxnet/restore`,
            { stdin: script },
        );
        await reconnect();
    };
    await rewrite(1, "#!/bin/sh\necho an old one\n");
    expect(await front.refresh()).toEqual([]);
    const [web] = await Promise.all([stack.sandbox("web"), stack.sandbox("api")]);
    expect(await readScript()).toBe(current);

    const later = current.replace(/linuxnet-restore \d+/, "linuxnet-restore 99");
    await rewrite(99, later);
    await web.delete();
    expect(await front.refresh()).toEqual([]);
    expect(await readScript()).toBe(later);
    await rewrite(restoreVersion, current.slice(0, 500));
    expect(await stack.host.refresh()).toEqual([`file /var/lib/linuxnet/restore: version is 0, not ${restoreVersion}`]);
    expect(await stack.host.update({})).toBe("update");
    expect(await readScript()).toBe(current);
});

test("restore: 300 endpoints come back in one pass", { timeout: 300_000 }, async () => {
    await using host = await createHost();
    await using stack = await openStack(host);
    const front = await stack.network("front", { subnet: "172.20.0.0/22" });
    const joined = await Promise.all(Array.from({ length: 300 }, (_, i) => stack.join(`s${i}`, front)));
    await forgetAsByReboot(host);
    const started = performance.now();
    const { stdout, stderr } = await host.exec("sh /var/lib/linuxnet/restore", { timeoutMs: 180_000 });
    console.log(`300 endpoints: ${((performance.now() - started) / 1000).toFixed(1)} s; ${stdout}`);
    expect(stderr).toBe("");
    expect(stdout).toMatch(/^linuxnet: restored 602 objects/);
    await reconnect();
    const drifts = await Promise.all(
        joined.flatMap(({ sandbox, endpoint }) => [sandbox.refresh(), endpoint.refresh()]),
    );
    expect(drifts.flat()).toEqual([]);
    await Promise.all(joined.map((each) => each[Symbol.asyncDispose]()));
});
