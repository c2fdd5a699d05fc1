import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { execa } from "execa";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { createHost, type HostSnapshot, type LabHost, snapshotHost } from "../../lab/index.js";
import { generateKeyPair } from "../../lab/key-pair.js";
import { openStack, type Stack } from "./driver.js";
import { layTestBed } from "./test-bed.js";

const command = join(__dirname, "../../dist/cli/index.js");
const version: string = JSON.parse(readFileSync(join(__dirname, "../../package.json"), "utf8")).version;

const bed = layTestBed(2);
const home = mkdtempSync(join(tmpdir(), "linuxnet-cli-"));
let stack: Stack;
/** Interfaces of the endpoints web-front and web-data. */
let endpoint: string;
let veth: string;
let before: HostSnapshot;

/** The first host carries a small layout; the second one nothing. */
beforeAll(async () => {
    if (!existsSync(command)) throw new Error("The command is not built. Run `npm run build`.");
    writeFileSync(join(home, "key"), bed.host.connection.privateKey, { mode: 0o600 });
    stack = await openStack(bed.host, { name: "production" });
    const front = await stack.network("front", { subnet: "172.20.0.0/24" });
    const data = await stack.network("data", { subnet: "172.22.0.0/24", internal: true });
    const web = await stack.join("web", front);
    const webData = await stack.endpoint("web-data", { sandbox: web.sandbox, network: data });
    const db = await stack.join("db", data, { ipv4Address: "172.22.0.10", aliases: ["reader"] });
    await stack.portMapping("http", { target: web.endpoint, hostPort: 8080, targetPort: 80 });
    await stack.firewallPolicy("db-access", {
        target: db.endpoint,
        ingress: [{ action: "allow", from: [webData], protocol: "tcp", ports: [5432] }],
    });
    endpoint = web.endpoint.outs.hostInterface;
    veth = webData.outs.hostInterface;
});

afterAll(async () => {
    rmSync(home, { recursive: true });
    await stack?.destroyAll();
});

// Whatever a command finds, it changes nothing.
beforeEach(async () => {
    before = await snapshotHost(bed.host);
});
afterEach(async () => {
    expect(await snapshotHost(bed.host)).toEqual(before);
});

interface Options {
    /** @default the host's own */
    readonly hostKey?: string | undefined;
    readonly environment?: Readonly<Record<string, string>>;
}

/** Runs `linuxnet <words>` as a user would who has nothing but the key file. */
async function linuxnet(words: readonly string[], options: Options = {}) {
    const { PATH = "" } = process.env;
    const { stdout, stderr, exitCode } = await execa(process.execPath, [command, ...words], {
        env: { PATH, HOME: home, ...options.environment },
        extendEnv: false,
        reject: false,
    });
    return { stdout, stderr, exitCode };
}

/** Runs a command on a host of the lab. */
function ask(host: LabHost, words: readonly string[], options: Options = {}) {
    const { hostKey = host.connection.hostKey } = options;
    const login = ["--key", join(home, "key"), "--host-key", hostKey];
    return linuxnet([...words, `${host.connection.user}@${host.address}:22`, ...login], options);
}

/** The cells of the row that starts with a name. */
function row(table: string, ...start: string[]): string | undefined {
    const lines = table.split("\n").map((line) => line.trim().split(/\s{2,}/));
    return lines.find((cells) => start.every((cell, i) => cells[i] === cell))?.join(" | ");
}

const second = () => bed.hosts[1] as LabHost;

test("linuxnet: --help and --version explain and succeed, a wrong command is one sentence", async () => {
    expect(await linuxnet(["--version"])).toEqual({ stdout: version, stderr: "", exitCode: 0 });
    const { stdout, exitCode } = await linuxnet(["--help"]);
    expect({ stdout, exitCode }).toEqual({ stdout: expect.stringContaining("Examples:"), exitCode: 0 });
    for (const name of ["doctor", "inspect", "verify", "graph", "import"]) {
        expect((await linuxnet([name, "--help"])).stdout).toContain(`linuxnet ${name} --local`);
    }
    const wrong: Record<string, string[]> = {
        "linuxnet: unknown command 'inspct' (Did you mean inspect?)": ["inspct"],
        "linuxnet: Name one machine: user@host[:port], or --local for this one.": ["verify"],
        "linuxnet: unknown option '--jsn' (Did you mean --json?)": ["inspect", "--local", "--jsn"],
        'linuxnet: "a:b" is not a machine: user@host[:port] is expected.': ["doctor", "a:b"],
        'linuxnet: --format is "dot" or "mermaid", not "png".': ["graph", "--local", "--format", "png"],
        "linuxnet: port: must be a port, 1 to 65535 (got 70000).": ["inspect", "192.0.2.1:70000"],
    };
    for (const [stderr, words] of Object.entries(wrong)) {
        expect(await linuxnet(words)).toEqual({ stdout: "", stderr, exitCode: 2 });
    }
});

test("linuxnet: a wrong host key is one sentence that says what to give", async () => {
    const hostKey = generateKeyPair().public.trim();
    const { stdout, stderr, exitCode } = await ask(bed.host, ["inspect"], { hostKey });
    expect({ stdout, exitCode }).toEqual({ stdout: "", exitCode: 2 });
    expect(stderr).toMatch(/^linuxnet: root@[\d.]+: the host key is not the one in --host-key\..*$/);
    expect(stderr).toContain(`give --host-key "${bed.host.connection.hostKey.trim()}"`);
    const doctor = await ask(bed.host, ["doctor"], { hostKey });
    expect(doctor).toMatchObject({ stderr: "", exitCode: 1 });
    expect(row(doctor.stdout, "reachable", "problem")).toContain("the host key is not the one in --host-key");
});

test("linuxnet: a host never seen before is refused, and taken with --accept-new", async () => {
    const words = ["inspect", bed.host.address, "--key", join(home, "key")];
    expect(await linuxnet(words)).toMatchObject({
        exitCode: 2,
        stderr: expect.stringContaining("host key is unknown"),
    });
    expect(await linuxnet([...words, "--accept-new"])).toMatchObject({ exitCode: 0, stderr: "" });
    expect(await linuxnet(words)).toMatchObject({ exitCode: 0, stderr: "" });
});

test("doctor: a host with a layout is ready", async () => {
    const { stdout, stderr, exitCode } = await ask(bed.host, ["doctor"]);
    expect({ stderr, exitCode }, stdout).toEqual({ stderr: "", exitCode: 0 });
    const checks = stdout.split("\n").map((line) => line.split(/\s{2,}/)[0]);
    expect(checks).toEqual(
        expect.arrayContaining(["reachable", "root", "tools", "kernel", "nftables", "capabilities", "uplinks"]),
    );
    expect(stdout).not.toContain("problem");
    expect(row(stdout, "uplinks")).toContain("eth0 (MTU 1500)");
    expect(row(stdout, "carries")).toBe("carries | ok | 9 objects of test/production");
});

test("doctor: a user who is not root needs --sudo", async () => {
    await using host = await createHost({ sudoUser: true });
    writeFileSync(join(home, "deploy"), host.connection.privateKey, { mode: 0o600 });
    const words = ["doctor", `deploy@${host.address}`, "--key", join(home, "deploy")];
    const login = ["--host-key", host.connection.hostKey];
    const refused = await linuxnet([...words, ...login]);
    expect(refused.exitCode).toBe(1);
    expect(row(refused.stdout, "reachable")).toBe(`reachable | ok | deploy@${host.address}`);
    expect(row(refused.stdout, "root", "problem")).toMatch(/--sudo is not given\. Give it, or log in as root\.$/);
    const ready = await linuxnet([...words, ...login, "--sudo"]);
    expect(ready.exitCode).toBe(0);
    expect(row(ready.stdout, "root")).toBe("root | ok | by sudo");
});

test("doctor: a host without nft says which package to install", async () => {
    await using _ = await undoable(second(), 'mount --bind /dev/null "$(command -v nft)"', "umount /usr/sbin/nft");
    const { stdout, exitCode } = await ask(second(), ["doctor"]);
    expect(exitCode).toBe(1);
    expect(row(stdout, "tools")).toBe("tools | problem | missing: nft");
    expect(stdout).toContain("-> apt-get install nftables");
});

test("doctor: a host without dnsmasq says so, and that its networks need it where they do", async () => {
    const hide = 'mount --bind /dev/null "$(command -v dnsmasq)"';
    const undo = "umount $(awk '$2 ~ /.dnsmasq$/ { print $2 }' /proc/mounts)";
    for (const [host, result, found, exitCode] of [
        [second(), "warning", /^missing: dnsmasq; without it networks need dns: \{ mode: "hosts" \} or "none"$/, 0],
        [bed.host, "problem", /^missing: dnsmasq$/, 1],
    ] as const) {
        await using _ = await undoable(host, hide, undo);
        const doctor = await ask(host, ["doctor"]);
        expect(doctor.exitCode).toBe(exitCode);
        const [, ...cells] = row(doctor.stdout, "tools")?.split(" | ") ?? [];
        expect(cells).toEqual([result, expect.stringMatching(found)]);
        expect(doctor.stdout).toContain("-> apt-get install dnsmasq-base");
    }
});

const drop = (family: string, table: string, chain: string) =>
    `nft 'add table ${family} ${table}; add chain ${family} ${table} ${chain} { type filter hook forward priority 0; policy drop; }'`;

test.for([
    {
        firewall: "another firewall",
        make: drop("inet", "office", "fwd_all"),
        undo: "nft delete table inet office",
        problem: "another firewall (table inet office, policy drop in fwd_all)",
        remedy: [`nft 'insert rule inet office fwd_all oifname "ln*" accept'`],
        more: [`nft 'insert rule inet office fwd_all iifname "ln*" oifname "eth0" accept'`],
    },
    {
        firewall: "Docker",
        make: `${drop("ip", "filter", "FORWARD")}; nft add chain ip filter DOCKER-USER`,
        undo: "nft delete table ip filter",
        problem: "Docker (table ip filter, policy drop in FORWARD)",
        remedy: ["iptables -I DOCKER-USER -o ln+ -j ACCEPT"],
        more: ["iptables -I DOCKER-USER -i ln+ -o eth0 -j ACCEPT"],
    },
    {
        firewall: "ufw",
        make: `${drop("ip", "filter", "FORWARD")}; nft add chain ip filter ufw-before-forward`,
        undo: "nft delete table ip filter",
        problem: "ufw (table ip filter, policy drop in FORWARD)",
        remedy: ["ufw route allow out on ln+", "ufw route allow in on ln+ out on eth0"],
        more: [],
    },
    {
        firewall: "firewalld",
        make: `nft 'add table inet firewalld; add chain inet firewalld filter_FORWARD { type filter hook forward priority 10; }; add rule inet firewalld filter_FORWARD reject with icmpx admin-prohibited'`,
        undo: "nft delete table inet firewalld",
        problem: "firewalld (table inet firewalld, reject at the end of filter_FORWARD)",
        remedy: ["firewall-cmd --permanent --zone=trusted --add-interface=ln+ && firewall-cmd --reload"],
        more: [],
    },
    {
        firewall: "a host that lets nobody in",
        make: `nft 'add table inet office; add chain inet office input { type filter hook input priority 0; policy drop; }; add rule inet office input tcp dport 22 accept; add rule inet office input ct state established accept'`,
        undo: "nft delete table inet office",
        problem: "another firewall (table inet office, policy drop in input) drops what sandboxes ask for names",
        remedy: [`nft 'insert rule inet office input iifname "ln*" ip daddr 127.64.0.0/10 accept'`],
        more: [],
    },
])("doctor: names $firewall when it drops what ours needs, with the remedy", async (each) => {
    await using _ = await undoable(second(), each.make, each.undo);
    const { stdout, exitCode } = await ask(second(), ["doctor"]);
    expect(exitCode).toBe(1);
    expect(row(stdout, "other firewalls", "problem")).toContain(each.problem);
    for (const line of [...each.remedy, ...each.more]) expect(stdout).toContain(`-> ${line}\n`);
});

test("doctor: is content once the remedy for a foreign firewall was run", async () => {
    await using _ = await undoable(second(), drop("inet", "office", "fwd_all"), "nft delete table inet office");
    const { stdout } = await ask(second(), ["doctor"]);
    const remedy = stdout.split("\n").flatMap((line) => /-> (nft 'insert .*)/.exec(line)?.[1] ?? []);
    expect(remedy).toHaveLength(3);
    await second().exec(remedy.join("\n"));
    const after = await ask(second(), ["doctor"]);
    expect(after.exitCode).toBe(0);
    expect(row(after.stdout, "other firewalls")).toContain("lets the networks' bridges (ln*) pass");
});

test("doctor: warns about a program that listens on a published port", async () => {
    await using server = await bed.host.spawn(["nc", "-lk", "-p", "8080"]);
    await expect
        .poll(async () => (await ask(bed.host, ["doctor"])).stdout, { timeout: 10_000 })
        .toMatch(/nc[.a-z]* \(pid \d+\) listens on 8080\/tcp, which "http" of test\/production publishes/);
    expect(server).toBeDefined();
});

test("inspect: lists what the host carries, as tables and as JSON", async () => {
    const { stdout, exitCode } = await ask(bed.host, ["inspect"]);
    expect(exitCode).toBe(0);
    const stackName = "test/production";
    expect(row(stdout, stackName, "front")).toMatch(
        / 172.20.0.0\/24 \| 172.20.0.1 \| 1500 \| ln[0-9a-f]{12} \| front \| 1$/,
    );
    expect(row(stdout, stackName, "web")).toMatch(
        / web-[0-9a-f]{6} \| web \| server 172.20.0.1 \| as the host \| web-data, web-front$/,
    );
    expect(row(stdout, stackName, "db")).toMatch(/ db-[0-9a-f]{6} \| db \| server 172.22.0.1 \| nobody \| db-data$/);
    expect(row(stdout, stackName, "db-data")).toContain("db | data | reader | 172.22.0.10 | ");
    expect(row(stdout, stackName, "http")).toBe(`${stackName} | http | *:8080/tcp | web-front | 172.20.0.2:80`);
    expect(row(stdout, stackName, "db-access")).toContain("db-data | allow tcp 5432 from web-data: 0 packets");
    const json = JSON.parse((await ask(bed.host, ["inspect", "--json"])).stdout);
    expect(Object.keys(json)).toEqual([
        "schemaVersion",
        "host",
        "networks",
        "sandboxes",
        "endpoints",
        "ports",
        "policies",
        "tunnels",
    ]);
    expect(json.endpoints.find(({ name }: { name: string }) => name === "web-front")).toMatchObject({
        stack: stackName,
        kernelName: endpoint,
        sandbox: "web",
        network: "front",
        interfaceName: "front",
        ipv4Address: "172.20.0.2",
        aliases: [],
    });
    expect(json.networks).toMatchObject([
        { name: "data", dns: "server", domain: "data" },
        { name: "front", dns: "server", domain: "front" },
    ]);
    expect(json.sandboxes).toMatchObject([
        { hostname: "db", dns: { mode: "server", server: "172.22.0.1", otherNames: [] } },
        { hostname: "web", dns: { mode: "server", server: "172.20.0.1", otherNames: "host" } },
    ]);
    expect(json.policies).toMatchObject([
        { targets: ["db-data"], ingress: ["allow tcp 5432 from web-data"], egress: null, defaultAction: "drop" },
    ]);
    await bed.host.exec("ping -c2 -i0.01 -W1 172.22.0.10 || :");
    const counted = await ask(bed.host, ["inspect"]);
    expect(counted.stdout).toContain("drop all other ingress: 2 packets");
    const again = JSON.parse((await ask(bed.host, ["inspect", "--json"])).stdout);
    expect(again.policies).toMatchObject([{ ingressPackets: [0, 2], egressPackets: null }]);
});

test("inspect: an empty host carries nothing, and gets no machine id for being asked", async () => {
    await using _ = await undoable(second(), "mv /etc/machine-id /run/lab/machine-id", "mv /run/lab/machine-id /etc");
    for (const name of ["inspect", "verify"]) {
        const { stdout, exitCode } = await ask(second(), [name]);
        expect({ stdout, exitCode }).toEqual({
            stdout: `root@${second().address} carries nothing of pulumi-linuxnet.`,
            exitCode: 0,
        });
    }
    expect((await second().exec("ls /var/lib/linuxnet")).stdout).toBe("");
});

test("verify: a healthy host is confirmed; colours only when asked for", async () => {
    const plain = `root@${bed.host.address}: ok, 9 objects of test/production checked.`;
    expect(await ask(bed.host, ["verify"])).toEqual({ stdout: plain, stderr: "", exitCode: 0 });
    const coloured = await ask(bed.host, ["verify"], { environment: { FORCE_COLOR: "1" } });
    expect(coloured.stdout).toBe(plain.replace("ok", "\u001b[32mok\u001b[39m"));
    const environment = { FORCE_COLOR: "1", NO_COLOR: "1" };
    expect((await ask(bed.host, ["verify"], { environment })).stdout).toBe(plain);
});

test("graph: draws the layout for Graphviz and for Mermaid", async () => {
    const dot = (await ask(bed.host, ["graph"])).stdout;
    expect(dot).toMatch(/^digraph "root@[\d.]+" \{\n[\s\S]*\n\}$/);
    expect(dot).toContain(`${endpoint} [label="front\\n172.20.0.2", shape=box, style=rounded];`);
    expect(dot).toContain(`outside -> ${endpoint} [label="8080 to 80/tcp", color=blue, fontcolor=blue];`);
    expect(dot).toMatch(/le[0-9a-f]{12} -> le[0-9a-f]{12} \[label="tcp 5432", color=darkgreen/);
    const mermaid = (await ask(bed.host, ["graph", "--format", "mermaid"])).stdout;
    expect(mermaid).toMatch(/^---\ntitle: "root@[\d.]+"\n---\nflowchart LR\n/);
    expect(mermaid).toMatch(/ {4}subgraph ls[0-9a-f]{12}\["web"\]\n/);
    expect(mermaid).toContain(`outside ==>|"8080 to 80/tcp"| ${endpoint}`);
    expect(mermaid).toMatch(/le[0-9a-f]{12} -\.->\|"tcp 5432"\| le[0-9a-f]{12}/);
});

test("verify: without nft it cannot look, and says what to install", async () => {
    await using _ = await undoable(bed.host, 'mount --bind /dev/null "$(command -v nft)"', "umount /usr/sbin/nft");
    const { stdout, stderr, exitCode } = await ask(bed.host, ["verify"]);
    expect({ stdout, exitCode }).toEqual({ stdout: "", exitCode: 2 });
    expect(stderr).toMatch(/^linuxnet: the host has no nft\. Install it there: apt-get install nftables.*$/);
});

// The last one: it leaves the layout broken.
test("verify: a deleted veth is a difference, named by its endpoint", async () => {
    await bed.host.exec(["ip", "link", "del", veth]);
    before = await snapshotHost(bed.host);
    const { stdout, stderr, exitCode } = await ask(bed.host, ["verify"]);
    expect({ stderr, exitCode }).toEqual({ stderr: "", exitCode: 1 });
    expect(stdout).toMatch(
        new RegExp(`^Endpoint "web-data" of test/production\n  interface ${veth} \\(.* is missing$`, "m"),
    );
    expect(stdout).not.toContain('"web-front"');
    expect(stdout).toContain("Run `pulumi up --refresh` in test/production.");
});

/** Changes a host until the end of a test. */
async function undoable(host: LabHost, make: string, undo: string): Promise<AsyncDisposable> {
    await host.exec(make);
    return { [Symbol.asyncDispose]: async () => void (await host.exec(undo)) };
}
