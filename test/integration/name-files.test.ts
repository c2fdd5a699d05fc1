import { expect, test } from "vitest";
import { openStack, type Resource } from "./driver.js";
import { layTestBed } from "./test-bed.js";

const bed = layTestBed();

/** Runs a command as users do: with the sandbox's files in place of the host's. */
async function within(sandbox: Resource<"sandbox">, command: string, check = true) {
    const words = ["ip", "netns", "exec", sandbox.outs.name, "sh", "-c", command];
    return bed.host.exec(words, { check });
}

/** What glibc finds for each name: its addresses, or nothing. */
async function lookUp(sandbox: Resource<"sandbox">, ...names: string[]): Promise<Record<string, string>> {
    const script = names.map(
        (name) => `echo "${name}=$(getent ahosts ${name} | awk '/STREAM/ {print $1}' | sort | xargs)"`,
    );
    const { stdout } = await within(sandbox, script.join("\n"));
    const found = stdout.trimEnd().split("\n");
    return Object.fromEntries(
        found.map((line) => [line.slice(0, line.indexOf("=")), line.slice(line.indexOf("=") + 1)]),
    );
}

const read = async (path: string) => (await bed.host.exec(["cat", path])).stdout;
const lines = (text: string) => text.split("\n").filter((line) => !/^(#.*| *)$/.test(line));
const resolverOf = async (sandbox: Resource<"sandbox">) =>
    lines(await read(`/etc/netns/${sandbox.outs.name}/resolv.conf`));
const hosts = { dns: { mode: "hosts" } };

test("names in files: a sandbox finds those on its networks, by name, alias and domain, and nobody else", async () => {
    await using stack = await openStack(bed.host);
    const front = await stack.network("front", { subnet: ["172.20.0.0/24", "fd00:20::/64"], internal: true, ...hosts });
    const back = await stack.network("back", {
        subnet: "172.21.0.0/24",
        internal: true,
        dns: { mode: "hosts", domain: "data.example" },
    });
    const web = await stack.join("web", front);
    const api = await stack.join("api", front, { aliases: ["app", "api.internal"] });
    await stack.endpoint("api-back", { sandbox: api.sandbox, network: back, aliases: ["reader"] });
    const db = await stack.join("db", back);
    expect(await lookUp(web.sandbox, "web", "api", "api.front", "app", "api.internal", "db", "reader")).toEqual({
        web: "172.20.0.2 fd00:20::2",
        api: "172.20.0.3 fd00:20::3",
        "api.front": "172.20.0.3 fd00:20::3",
        app: "172.20.0.3 fd00:20::3",
        "api.internal": "172.20.0.3 fd00:20::3",
        db: "",
        reader: "",
    });
    expect(await lookUp(db.sandbox, "api", "reader", "reader.data.example", "app", "db.data.example", "web")).toEqual({
        api: "172.21.0.2",
        reader: "172.21.0.2",
        "reader.data.example": "172.21.0.2",
        app: "",
        "db.data.example": "172.21.0.3",
        web: "",
    });
    expect(await lookUp(api.sandbox, "web", "db")).toEqual({ web: "172.20.0.2 fd00:20::2", db: "172.21.0.3" });
    const reverse = await within(web.sandbox, "getent hosts 172.20.0.3; getent hosts fd00:20::3");
    expect(reverse.stdout.split("\n").map((line) => line.split(/ +/)[1])).toEqual(["api.front", "api.front"]);
    for (const { sandbox } of [web, api, db]) expect(await sandbox.refresh()).toEqual([]);

    // Several with one alias are all answered; a name goes with its endpoint, and changes with its sandbox.
    await api.endpoint.update({ aliases: ["all"] });
    await web.endpoint.update({ aliases: ["all"] });
    const { all = "", app } = await lookUp(api.sandbox, "all", "app");
    expect(all.split(" ").sort()).toEqual(["172.20.0.2", "172.20.0.3", "fd00:20::2", "fd00:20::3"]);
    expect(app).toBe("");
    await api.sandbox.update({ hostname: "gateway" });
    expect(await lookUp(web.sandbox, "gateway", "api")).toEqual({ gateway: "172.20.0.3 fd00:20::3", api: "" });
    await back.update({ dns: { mode: "hosts", domain: "other.example" } });
    expect(await lookUp(api.sandbox, "db.other.example", "db.data.example")).toMatchObject({ "db.data.example": "" });
    await web.endpoint.delete();
    expect(await lookUp(api.sandbox, "web", "all")).toEqual({ web: "", all: "172.20.0.3 fd00:20::3" });
});

test("names in files: further names, the host's own, and whom the sandbox asks for all others", async () => {
    await using stack = await openStack(bed.host);
    const settings = {
        mode: "hosts",
        servers: ["192.0.2.53", "2001:db8::53"],
        search: "corp.example",
        options: "ndots:2",
    };
    const extraHosts = { registry: "192.0.2.80", mirror: "192.0.2.81" };
    const front = await stack.network("front", { subnet: "172.20.0.0/24", dns: settings, extraHosts });
    const inner = await stack.network("inner", { subnet: "172.21.0.0/24", internal: true, ...hosts });
    const web = await stack.sandbox("web", { extraHosts: { mirror: "host-gateway" } });
    const webFront = await stack.endpoint("web-front", { sandbox: web, network: front });
    const db = await stack.join("db", inner);
    const all = ["registry", "mirror", "host.docker.internal", "host.linuxnet.internal"] as const;
    expect(await lookUp(web, ...all)).toEqual({
        registry: "192.0.2.80",
        mirror: "172.20.0.1",
        "host.docker.internal": "172.20.0.1",
        "host.linuxnet.internal": "172.20.0.1",
    });
    expect(await resolverOf(web)).toEqual([
        "nameserver 192.0.2.53",
        "nameserver 2001:db8::53",
        "search corp.example",
        "options ndots:2",
    ]);
    expect(await resolverOf(db.sandbox)).toEqual([]);
    const alone = await stack.sandbox("alone", { extraHosts: { registry: "192.0.2.90" } });
    expect(await lookUp(alone, "registry")).toEqual({ registry: "192.0.2.90" });

    // What the host asks itself; where that is a resolver of its own, whom that one asks.
    const own = await read("/etc/resolv.conf");
    await bed.host.exec(`printf 'nameserver 192.0.2.1\\nnameserver 192.0.2.2\\noptions rotate\\n' >/etc/resolv.conf`);
    await front.update({ dns: hosts.dns });
    expect(await resolverOf(web)).toEqual(["nameserver 192.0.2.1", "nameserver 192.0.2.2"]);
    await bed.host.exec(`printf 'nameserver 127.0.0.53\\noptions edns0\\n' >/etc/resolv.conf
        mkdir -p /run/systemd/resolve && printf 'nameserver 192.0.2.7\\nsearch .\\n' >/run/systemd/resolve/resolv.conf`);
    // A refresh sees that the host asks others now.
    const stale = `file /etc/netns/${web.outs.name}/resolv.conf: names other servers than those that the host asks`;
    expect(await web.refresh()).toEqual([stale]);
    await webFront.update({ aliases: ["shop"] });
    expect(await lookUp(web, "shop")).toEqual({ shop: "172.20.0.2" });
    expect(await web.update({})).toBe("update");
    expect(await resolverOf(web)).toEqual(["nameserver 192.0.2.7"]);
    expect(await web.refresh()).toEqual([]);
    await front.update({ dns: { ...hosts.dns, search: "corp.example" } });
    expect(await resolverOf(web)).toEqual(["nameserver 192.0.2.7", "search corp.example"]);
    expect(await web.refresh()).toEqual([]);
    await bed.host.exec("rm -r /run/systemd");
    await bed.host.exec("cat >/etc/resolv.conf", { stdin: `${own}\n` });

    await web.update({ dns: { mode: "none" } });
    expect((await bed.host.exec("ls /etc/netns")).stdout).not.toContain("web");
});

test("names in files: programs that run see every change, and look-ups of others never fail meanwhile", async () => {
    await using stack = await openStack(bed.host);
    const front = await stack.network("front", { subnet: "172.20.0.0/22", internal: true, ...hosts });
    const web = await stack.join("web", front);
    // Names that fill several blocks of the file, so that a change in front of one would move it from one to another.
    const longNames = Array.from({ length: 60 }, (_, i) => `${"n".repeat(60)}.${"m".repeat(60)}.r${i}`);
    await web.endpoint.update({ aliases: longNames });
    const db = await stack.join("db", front, { ipv4Address: "172.20.0.200" });
    const loop = `i=0; ok=0; bad=0
        while [ ! -e /run/stop ]; do
            if [ "$(getent hosts db)" ]; then ok=$((ok + 1)); else bad=$((bad + 1)); fi
            if [ "$(getent hosts late)" ]; then touch /run/seen; fi
        done
        echo "$ok $bad"`;
    const running = within(web.sandbox, loop);
    for (const round of [1, 2, 3, 4, 5]) {
        await using other = await stack.join(`other${round}`, front, { aliases: longNames.slice(round) });
        await other.sandbox.update({ hostname: `renamed-${round}` });
        await db.endpoint.update({ aliases: [`db${"x".repeat(round)}`] });
        await web.endpoint.update({ aliases: longNames.slice(0, 10 * round) });
    }
    await using _ = await stack.join("late", front);
    await expect.poll(async () => (await bed.host.exec("ls /run/seen", { check: false })).exitCode).toBe(0);
    await bed.host.exec("touch /run/stop");
    const [ok, bad] = (await running).stdout.trim().split(" ").map(Number);
    await bed.host.exec("rm /run/stop /run/seen");
    expect(ok).toBeGreaterThan(20);
    expect(bad).toBe(0);
});

test("names in files: what somebody wrote there is named as drift and put right; a file that was there stays", async () => {
    await using stack = await openStack(bed.host);
    const front = await stack.network("front", { subnet: "172.20.0.0/24", ...hosts });
    const web = await stack.join("web", front);
    const folder = `/etc/netns/${web.sandbox.outs.name}`;
    await bed.host.exec(
        `echo '10.9.9.9 db' >>${folder}/hosts; rm ${folder}/resolv.conf; sed -i '/^172.20.0.2 /d' ${folder}/hosts`,
    );
    expect(await web.sandbox.refresh()).toEqual([
        `file ${folder}/hosts: has no line "172.20.0.2 web.front web ${web.sandbox.outs.name}.front ${web.sandbox.outs.name}"`,
        `file ${folder}/hosts: has a line "10.9.9.9 db"`,
        `file ${folder}/resolv.conf is missing`,
    ]);
    expect(await web.sandbox.update({})).toBe("update");
    expect(await web.sandbox.refresh()).toEqual([]);
    expect(await lookUp(web.sandbox, "web", "db")).toEqual({ web: "172.20.0.2", db: "" });

    // A namespace of others with a configuration of its own.
    await bed.host.exec(
        "ip netns add vpn && mkdir -p /etc/netns/vpn && echo 'nameserver 192.0.2.9' >/etc/netns/vpn/resolv.conf",
    );
    const vpn = await stack.sandbox("vpn", { namespace: "vpn" });
    await expect(stack.endpoint("vpn-front", { sandbox: vpn, network: front })).rejects.toThrow(
        'the file "/etc/netns/vpn/resolv.conf" exists on the host already and is not of this provider. It stays as it is with dns: { mode: "none" } on the sandbox; to have the names of its networks there, remove it.',
    );
    await vpn.update({ dns: { mode: "none" } });
    await using joined = await stack.endpoint("vpn-front", { sandbox: vpn, network: front });
    expect(await lookUp(web.sandbox, "vpn")).toEqual({ vpn: joined.outs.address });
    expect((await bed.host.exec("ls /etc/netns/vpn")).stdout).toBe("resolv.conf");
    await joined.delete();
    await vpn.delete();
    expect(await read("/etc/netns/vpn/resolv.conf")).toBe("nameserver 192.0.2.9");
    await bed.host.exec("ip netns del vpn && rm -r /etc/netns/vpn");
});
