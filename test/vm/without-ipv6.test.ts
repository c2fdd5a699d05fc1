import { expect, test } from "vitest";
import { createHost, snapshotHost } from "../../lab/index.js";
import { openStack, reconnect } from "../integration/driver.js";
import { ask, run, serve } from "../integration/traffic.js";

test("a kernel without IPv6 carries networks of IPv4, restores them by itself, and refuses IPv6 with what to do", async () => {
    await using host = await createHost({
        ...{ driver: "vm", kernelArguments: ["ipv6.disable=1"], onProgress: (text: string) => console.log(text) },
    });
    expect((await host.exec("ls /proc/sys/net")).stdout.split("\n")).not.toContain("ipv6");
    const before = await snapshotHost(host);
    {
        await using stack = await openStack(host);
        const front = await stack.network("front", { subnet: "172.20.0.0/24" });
        const back = await stack.network("back", { subnet: "172.21.0.0/24", internal: true });
        const [web, db] = [await stack.join("web", front), await stack.join("db", back)];
        const webBack = await stack.endpoint("web-back", { sandbox: web.sandbox, network: back });
        const published = await stack.portMapping("http", { target: web.endpoint, hostPort: 8080, targetPort: 80 });
        const policy = await stack.firewallPolicy("db", {
            target: db.endpoint,
            ingress: [{ action: "allow", from: webBack, ports: 5432 }],
        });
        const tunnel = await stack.overlayTunnel("far", {
            network: front,
            ...{ vni: 7, peers: [{ underlayAddress: "198.18.255.254", ipRange: "172.20.0.128/28" }] },
        });
        const all = [
            front,
            back,
            web.sandbox,
            web.endpoint,
            db.sandbox,
            db.endpoint,
            webBack,
            published,
            policy,
            tunnel,
        ];
        const expectAll = async () => {
            for (const resource of all) expect(await resource.refresh(), resource.name).toEqual([]);
            await using _web = await serve(web.place, "web", "tcp:80");
            await using _db = await serve(db.place, "db", "tcp:5432", "tcp:5433");
            const client = host.lab.client();
            const outside = `tcp ${host.address}:8080`;
            expect(await ask({ machine: client }, outside)).toEqual({ [outside]: `web to ${client.address}` });
            const [open, shut, out] = ["tcp 172.21.0.2:5432", "tcp 172.21.0.2:5433", `icmp ${client.address}`];
            const answers = { [open]: "db to 172.21.0.3", [shut]: "nothing", [out]: "reply" };
            expect(await ask(web.place, open, shut, out)).toEqual(answers);
            expect(await run(web.place, "getent hosts db")).toContain(db.address);
        };
        await expectAll();

        const off =
            "the host's kernel has no IPv6 (it was started with ipv6.disable=1). Start it without that, or leave IPv6 out.";
        await expect(front.update({ ipv6: true })).rejects.toThrow(off);
        await expect(stack.network("six", { ipv4: false })).rejects.toThrow(off);
        await front.update({ ipv6: undefined });

        await host.exec(`nft flush ruleset; ip -all netns del; for n in /sys/class/net/l[nt]*; do ip link del "\${n##*/}"; done
            for i in $(seq 500); do set -- /sys/class/net/le*; [ -e "$1" ] || break; sleep 0.02; done`);
        expect((await host.exec("sh /var/lib/linuxnet/restore")).stderr).toBe("");
        await expectAll();
    }
    await reconnect();
    expect(await snapshotHost(host)).toEqual(before);
});
