import { expect, test } from "vitest";
import { openStack } from "./driver.js";
import { answered, askMeanwhile, dig } from "./look-ups.js";
import { layTestBed } from "./test-bed.js";
import { inside, run } from "./traffic.js";

const bed = layTestBed();

test("resolver: each sandbox is answered by the networks it is in, at its gateway and at 127.0.0.11, over UDP and TCP", async () => {
    await using stack = await openStack(bed.host);
    const front = await stack.network("front", { subnet: ["172.20.0.0/24", "fd00:20::/64"] });
    const data = await stack.network("data", { subnet: "172.22.0.0/24", internal: true });
    const web = await stack.join("web", front);
    const api = await stack.join("api", front, { aliases: ["backend", "v1.backend"] });
    const apiData = await stack.endpoint("api-data", { sandbox: api.sandbox, network: data, aliases: ["reader"] });
    const db = await stack.join("db", data, { aliases: ["reader"] });
    await answered(web.place, {
        "@172.20.0.1 api": "172.20.0.3",
        "@127.0.0.11 api": "172.20.0.3",
        "@127.0.0.11 +tcp API": "172.20.0.3",
        "@172.20.0.1 +tcp api.front": "172.20.0.3",
        "@fd00:20::1 api AAAA": "fd00:20::3",
        "@fd00:20::1 +tcp api": "172.20.0.3",
        "@172.20.0.1 backend": "172.20.0.3",
        "@172.20.0.1 v1.backend": "172.20.0.3",
        [`@172.20.0.1 ${api.sandbox.outs.name}`]: "172.20.0.3",
        "@172.20.0.1 web": "172.20.0.2",
        "@172.20.0.1 -x 172.20.0.3": "api.front.",
        "@172.20.0.1 -x fd00:20::3": "api.front.",
        // Of a network that it is not in it learns nothing, whoever it asks.
        "@172.20.0.1 db": "NXDOMAIN",
        "@172.20.0.1 reader": "NXDOMAIN",
        "@172.20.0.1 nobody.front": "NXDOMAIN",
        "@172.22.0.1 db": "nobody",
    });
    await answered(api.place, {
        "@172.20.0.1 web": "172.20.0.2",
        "@172.20.0.1 db": "172.22.0.3",
        "@172.22.0.1 web": "172.20.0.2",
        "@172.22.0.1 api": "172.20.0.3 172.22.0.2",
        "@127.0.0.11 reader": "172.22.0.2 172.22.0.3",
    });
    // Nor is its own address all that who has an alias himself hears of it.
    expect((await run(api.place, "getent ahostsv4 reader | sort -u | grep -c STREAM")).trim()).toBe("2");
    await answered(db.place, {
        "@172.22.0.1 api": "172.22.0.2",
        "@127.0.0.11 api.data AAAA": "NOERROR",
        "@127.0.0.11 web": "NXDOMAIN",
        // Nothing leaves an internal network.
        "@127.0.0.11 example.com": "NXDOMAIN",
        "@127.0.0.11 -x 192.0.2.1": "NXDOMAIN",
    });
    const all = [front, data, web.sandbox, web.endpoint, api.sandbox, api.endpoint, apiData, db.sandbox, db.endpoint];
    for (const resource of all) expect(await resource.refresh()).toEqual([]);
    await apiData.delete();
    await answered(api.place, { "@127.0.0.11 db": "NXDOMAIN", "@127.0.0.11 web": "172.20.0.2" });
    await answered(db.place, { "@127.0.0.11 api": "NXDOMAIN", "@127.0.0.11 reader": "172.22.0.3" });
});

test("resolver: policies and closed hosts do not keep names away", async () => {
    await using stack = await openStack(bed.host);
    const shut = await stack.network("shut", { subnet: "172.20.0.0/24", defaultPolicy: "deny", hostAccess: false });
    const web = await stack.join("web", shut);
    const api = await stack.join("api", shut);
    await stack.firewallPolicy("quiet", { target: web.endpoint, egress: [], defaultAction: "drop" });
    await answered(web.place, { "@127.0.0.11 api": api.address, "@172.20.0.1 +tcp api": api.address });
});

test("resolver: other names are asked for where the sandbox, its networks or the host say, as they say it now", async () => {
    await using stack = await openStack(bed.host);
    const answering = async (address: string, name: string, answer: string) => {
        const words = `dnsmasq -k -C /dev/null --port=53 --bind-interfaces --listen-address=${address} --no-resolv --no-hosts --pid-file= --address=/${name}/${answer} --mx-host=nobody,mail.example,1`;
        return bed.host.spawn(words.split(" "));
    };
    await using _one = await answering("127.0.0.53", "host.example", "192.0.2.1");
    await using two = await answering("127.0.0.54", "new.example", "192.0.2.2");
    await using _three = await answering(bed.host.address, "own.example", "192.0.2.3");
    const old = (await bed.host.exec("cat /etc/resolv.conf")).stdout;
    await bed.host.exec("echo nameserver 127.0.0.53 >/etc/resolv.conf");
    const front = await stack.network("front", { subnet: "172.20.0.0/24" });
    const web = await stack.join("web", front);
    const own = await stack.sandbox("own", { dns: { servers: [bed.host.address] } });
    const ownFront = await stack.endpoint("own-front", { sandbox: own, network: front });
    await answered(web.place, { "@127.0.0.11 host.example": "192.0.2.1", "@127.0.0.11 own": ownFront.outs.address });
    await answered(inside(bed.host, own), { "@127.0.0.11 own.example": "192.0.2.3", "@127.0.0.11 web": web.address });
    await bed.host.exec("echo nameserver 127.0.0.54 >/etc/resolv.conf");
    await expect
        .poll(() => dig(web.place, "@127.0.0.11 new.example"), { timeout: 10_000, interval: 200 })
        .toEqual({ "@127.0.0.11 new.example": "192.0.2.2" });
    // The host's own resolver is restarted: sandboxes are answered meanwhile.
    await two[Symbol.asyncDispose]();
    await answered(web.place, { "@127.0.0.11 own": ownFront.outs.address });
    await using _again = await answering("127.0.0.54", "new.example", "192.0.2.4");
    const startedAt = performance.now();
    await expect
        .poll(() => dig(web.place, "@127.0.0.11 new.example"), { timeout: 10_000, interval: 50 })
        .toEqual({ "@127.0.0.11 new.example": "192.0.2.4" });
    console.log(`names of others ${((performance.now() - startedAt) / 1000).toFixed(1)} s after the host's resolver`);
    await front.update({ dns: { servers: [bed.host.address] } });
    await answered(web.place, {
        "@127.0.0.11 own.example": "192.0.2.3",
        // Names without a dot are asked for nowhere else, whatever the question is.
        "@127.0.0.11 nobody MX": "NXDOMAIN",
    });
    await answered({ machine: bed.host }, { [`@${bed.host.address} nobody MX`]: "NOERROR" });
    await bed.host.exec(["sh", "-c", 'printf %s "$1" >/etc/resolv.conf', "sh", old]);
});

test("resolver: while names come and go nobody is refused an answer", async () => {
    await using stack = await openStack(bed.host);
    const front = await stack.network("front", { subnet: "172.20.0.0/24" });
    const back = await stack.network("back", { subnet: "172.21.0.0/24" });
    const web = await stack.join("web", front);
    await stack.join("api", front);
    const { asked, wrong } = await askMeanwhile(web.place, "127.0.0.11", "api", async () => {
        for (let i = 0; i < 5; i++)
            await (await stack.join(`other-${i}`, front, { aliases: ["many"] })).endpoint.delete();
        // It sees more, then less: another process answers each time.
        const beside = { sandbox: web.sandbox, network: back, gatewayPriority: "never" };
        for (let i = 0; i < 3; i++) await (await stack.endpoint("web-back", beside)).delete();
    });
    expect(asked).toBeGreaterThan(50);
    expect(wrong).toEqual({});
});

test("resolver: what is killed, taken away or lost with the memory comes back", async () => {
    await using stack = await openStack(bed.host);
    const front = await stack.network("front", { subnet: "172.20.0.0/24" });
    const web = await stack.join("web", front);
    const names = { "@127.0.0.11 web": web.address };
    await bed.host.exec("kill -9 $(cat /run/linuxnet-dns/views/*/pid)");
    await expect.poll(() => dig(web.place, "@127.0.0.11 web"), { timeout: 10_000 }).toEqual(names);
    const stop =
        "for v in /run/linuxnet-dns/views/*; do p=$(cat $v/pid); rm -r $v; kill $p; done; while [ -e /run/linuxnet-dns ]; do rm -rf /run/linuxnet-dns; done";
    await bed.host.exec(stop);
    expect((await dig(web.place, "@127.0.0.11 web"))["@127.0.0.11 web"]).toBe("nobody");
    const drift = await web.sandbox.refresh();
    expect(drift).toEqual([expect.stringContaining("the resolver at 127.")]);
    expect(await web.endpoint.refresh()).toEqual([expect.stringContaining("file /run/linuxnet-dns/names/")]);
    await web.sandbox.update({ labels: { a: "b" } });
    await web.endpoint.update({ labels: { a: "b" } });
    await answered(web.place, names);
    await bed.host.exec(`${stop}; sh /var/lib/linuxnet/restore`);
    await answered(web.place, names);
});

test("resolver: a host without dnsmasq is told so before anything is made, and may have names in files or none", async () => {
    await bed.host.exec("mount --bind /dev/null $(command -v dnsmasq)");
    try {
        await using stack = await openStack(bed.host, { connection: { keepAliveMs: 9_999 } });
        await expect(stack.network("front", { subnet: "172.20.0.0/24" })).rejects.toThrow(
            'Network "front" on root@' +
                `${bed.host.address}: names of sandboxes need dnsmasq, which the host lacks. Install it`,
        );
        await stack.network("plain", { subnet: "172.21.0.0/24", dns: { mode: "none" } });
    } finally {
        await bed.host.exec("umount $(command -v dnsmasq || echo /usr/sbin/dnsmasq)");
    }
});
