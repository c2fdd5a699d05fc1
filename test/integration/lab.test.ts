import { once } from "node:events";
import {
    chmodSync,
    cpSync,
    mkdirSync,
    mkdtempSync,
    readdirSync,
    readFileSync,
    rmSync,
    symlinkSync,
    writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { execa } from "execa";
import { afterAll, beforeAll, expect, test } from "vitest";
import { createHost, createLab, type LabExecError, type LabHost, snapshotHost } from "../../lab/index.js";
import { generateKeyPair, type KeyPair } from "../../lab/key-pair.js";
import { identifyProcess } from "../../lab/process-identity.js";
import { recordFolder } from "../../lab/record.js";

/** The lab as JavaScript, for programs of their own that get killed. */
const built = mkdtempSync(join(tmpdir(), "linuxnet-test-"));

beforeAll(() => {
    // A copy, because anybody can read it: one of the programs is not root's.
    const root = join(__dirname, "../..");
    chmodSync(built, 0o755);
    cpSync(join(root, "dist"), built, { recursive: true });
    symlinkSync(join(root, "node_modules"), join(built, "node_modules"));
});

afterAll(() => rmSync(built, { recursive: true }));

/** Starts a program that makes a lab and prints its hosts' addresses and link as JSON. */
async function startLabProgram(body = "") {
    const code = `const { createLab } = require("./lab/index.js");
        createLab({ hosts: 1 }).then(async (lab) => {
            const address = lab.hosts[0].address;
            const inside = (await lab.hosts[0].exec("readlink /proc/self/ns/net")).stdout;
            console.log(JSON.stringify({ address, inside }));
            ${body}
            setInterval(() => undefined, 1000);
        });`;
    const program = execa(process.execPath, ["-e", code], { cwd: built, reject: false });
    const line = await Promise.race([
        once(program.stdout, "data"),
        program.then(({ stderr }) => Promise.reject(stderr)),
    ]);
    return { program, pid: program.pid ?? 0, ...JSON.parse(String(line)) };
}

const linkTo = async (address: string): Promise<string> =>
    JSON.parse((await execa("ip", ["-json", "route", "get", address])).stdout)[0].dev;

const linkNames = () => readdirSync("/sys/class/net");

const recordsOf = (pid: number) => readdirSync(recordFolder).filter((name) => name.startsWith(`${pid}-`));

const childrenOf = (pid: number) =>
    readdirSync("/proc")
        .filter((name) => /^\d+$/.test(name))
        .filter((name) => {
            try {
                return readFileSync(`/proc/${name}/stat`, "utf8").split(") ")[1]?.split(" ")[1] === String(pid);
            } catch {
                return false;
            }
        });

/** Without the one that every host has. */
const sleepsIn = async (host: LabHost) => (await host.exec("ps -o args= -C sleep | grep -v infinity | sort")).stdout;

const processesIn = async (namespace: string) =>
    (
        await execa(`find /proc -maxdepth 3 -path '*/ns/net' -lname '${namespace}' 2>/dev/null`, {
            shell: true,
            reject: false,
        })
    ).stdout;

test("lab: hosts and the client reach each other over both families", async () => {
    await using lab = await createLab({ hosts: 2 });
    const [first, second] = lab.hosts;
    for (const [from, to] of [
        [first, second],
        [second, first],
        [lab.client(), first],
        [first, lab.client()],
    ] as const) {
        await from.exec(["ping", "-c1", "-W2", to.address]);
        await from.exec(["ping", "-c1", "-W2", to.ipv6Address]);
    }
});

test("lab: each host is a machine of its own", async () => {
    await using lab = await createLab({ hosts: 2 });
    const [first, second] = lab.hosts;
    const read = async (host: typeof first, command: string) => (await host.exec(command)).stdout;
    const own = readFileSync("/etc/machine-id", "utf8").trim();
    const ids = [await read(first, "cat /etc/machine-id"), await read(second, "cat /etc/machine-id")];
    expect(ids).toEqual([first.machineId, second.machineId]);
    expect(new Set([...ids, own]).size).toBe(3);
    expect(
        await read(first, "hostname; cat /etc/hostname; ls /sys/class/net; cat /proc/1/comm; ls /tmp /run/netns"),
    ).toBe("host-1\nhost-1\neth0\nlo\nsh\n/run/netns:\n\n/tmp:");
    await first.exec(
        "ip netns add db; nft add table inet own; echo 1 >/proc/sys/net/ipv4/ip_forward; touch /var/lib/linuxnet/x",
    );
    await first.exec("mkdir -p /etc/netns/db; touch /etc/netns/db/resolv.conf /etc/systemd/system/own.service");
    expect(
        await read(second, "ls /run/netns /var/lib/linuxnet; nft list tables; cat /proc/sys/net/ipv4/ip_forward"),
    ).toBe("/run/netns:\n\n/var/lib/linuxnet:\n0");
    await expect(execa("ls", ["/etc/systemd/system/own.service"])).rejects.toThrow("No such file");
});

test("lab: exec takes a shell text or an argv, and stdin", async () => {
    await using host = await createHost();
    expect(await host.exec("echo out; echo error >&2")).toEqual({ stdout: "out", stderr: "error", exitCode: 0 });
    expect((await host.exec(["printf", "%s|", "a b", "$HOME", "'"])).stdout).toBe("a b|$HOME|'|");
    expect((await host.exec("cat", { stdin: "text\nof two lines\n" })).stdout).toBe("text\nof two lines");
    expect((await host.exec("echo $HOME; ls -A ~")).stdout).toBe("/run/lab/home");
    expect(await host.exec("echo why >&2; exit 3", { check: false })).toEqual({
        stdout: "",
        stderr: "why",
        exitCode: 3,
    });
    expect((await host.exec("kill -TERM $$", { check: false })).exitCode).toBe(143);
});

test("lab: exec says what failed, where and why", async () => {
    await using host = await createHost();
    const failed = (await host.exec(["ip", "link", "show", "nope"]).catch((error) => error)) as LabExecError;
    expect(failed.message).toBe(
        'Command failed with exit code 1 in host-1: ip link show nope\nDevice "nope" does not exist.',
    );
    expect(failed).toMatchObject({
        name: "LabExecError",
        exitCode: 1,
        stderr: 'Device "nope" does not exist.',
        timedOut: false,
    });
    const slow = (await host
        .exec("sleep 60 & sleep 61; wait", { timeoutMs: 200 })
        .catch((error) => error)) as LabExecError;
    expect(slow.message).toContain("timed out after 200 ms in host-1: sleep 60");
    expect(await sleepsIn(host)).toBe("");
});

test("lab: exec finds a sandbox by full name, logical name, path or object", async () => {
    await using host = await createHost();
    await host.exec(
        "for name in db db-12ab3f web-0a1b2c twin-000001 twin-000002 far-away; do ip netns add $name; done",
    );
    const inside = async (sandbox: Parameters<typeof host.exec>[1]) =>
        (await host.exec("ip netns identify", sandbox)).stdout;
    expect(await inside({ sandbox: "db" })).toBe("db");
    expect(await inside({ sandbox: "db-12ab3f" })).toBe("db-12ab3f");
    expect(await inside({ sandbox: "web" })).toBe("web-0a1b2c");
    expect(await inside({ sandbox: "/run/netns/web-0a1b2c" })).toBe("web-0a1b2c");
    expect(await inside({ sandbox: { namespace: "/run/netns/web-0a1b2c", name: "other" } })).toBe("web-0a1b2c");
    expect(await inside({ sandbox: { name: "web" } })).toBe("web-0a1b2c");
    await expect(inside({ sandbox: "twin" })).rejects.toThrow(
        "several network namespaces are called twin: twin-000001 and",
    );
    await expect(inside({ sandbox: "far" })).rejects.toThrow(
        "no network namespace far or far-<6 hex>; there are: db db-12ab3f",
    );
    await expect(inside({ sandbox: "../x" })).rejects.toThrow('got "../x"');
});

test("lab: a probe tells open, closed, unreachable and silent ports apart", async () => {
    await using lab = await createLab({ hosts: 1 });
    const [host] = lab.hosts;
    const client = lab.client();
    await host.exec(["nft", "-f", "-"], {
        stdin: `table inet walls {
            chain in { type filter hook input priority 0;
                tcp dport 81 drop
                tcp dport 82 reject with icmpx host-unreachable
                udp dport 81 drop
            }
        }`,
    });
    await using server = await host.spawn([process.execPath, "-e", echoServers]);
    await server.waitFor("listening");
    expect(await lab.probe(client, host, 22)).toBe("open");
    expect(await lab.probe(client, host.ipv6Address, 22)).toBe("open");
    expect(await lab.probe(client, host, 80)).toBe("closed");
    expect(await lab.probe(client, host, 81, { timeoutMs: 200 })).toBe("timeout");
    expect(await lab.probe(client, host, 82)).toBe("unreachable");
    expect(await lab.probe(client, "203.0.113.1", 80)).toBe("unreachable");
    expect(await lab.probe(client, host, 53, { protocol: "udp" })).toBe("open");
    expect(await lab.probe(client, host, 54, { protocol: "udp" })).toBe("closed");
    expect(await lab.probe(client, host, 81, { protocol: "udp", timeoutMs: 200 })).toBe("timeout");
    await host.exec("ip netns add alone");
    expect(await lab.probe(host, host, 22, { sandbox: "alone" })).toBe("unreachable");
});

const echoServers = `const socket = require("node:dgram").createSocket("udp4");
    socket.on("message", (message, from) => socket.send(message, from.port, from.address));
    socket.bind(53, () => console.log("listening"));`;

test("lab: a spawned process ends with what it started when disposed", async () => {
    await using host = await createHost();
    {
        await using server = await host.spawn("echo started; sleep 1000 & sleep 1001; wait");
        expect(await server.waitFor(/start.d/)).toBe("started\n");
        await expect.poll(() => sleepsIn(host)).toBe("sleep 1000\nsleep 1001");
        expect(identifyProcess(server.pid)).toBeDefined();
        await expect(server.waitFor("never", 100)).rejects.toThrow(
            "Waiting for never in host-1: timed out after 100 ms",
        );
    }
    // Killed is not yet reaped: the first process of the host does that in its turn.
    await expect.poll(() => sleepsIn(host)).toBe("");
    await using brief = await host.spawn("echo gone");
    await expect(brief.waitFor("never")).rejects.toThrow("the process ended: echo gone\ngone");
});

test("lab: a host's connection logs in with the system's ssh client", async () => {
    await using host = await createHost();
    const { connection } = host;
    const folder = mkdtempSync(join(tmpdir(), "linuxnet-test-"));
    writeFileSync(join(folder, "key"), connection.privateKey, { mode: 0o600 });
    writeFileSync(join(folder, "known_hosts"), `${connection.host} ${connection.hostKey}\n`);
    const options = [
        "BatchMode=yes",
        "IdentitiesOnly=yes",
        "StrictHostKeyChecking=yes",
        `UserKnownHostsFile=${folder}/known_hosts`,
    ];
    const ssh = (key: string) =>
        execa("ssh", [
            ...["-F", "none", "-i", join(folder, key), "-p", String(connection.port)],
            ...options.flatMap((option) => ["-o", option]),
            ...[`${connection.user}@${connection.host}`, "cat /etc/machine-id; id -un; pwd"],
        ]);
    expect((await ssh("key")).stdout).toBe(`${host.machineId}\nroot\n/run/lab/home`);
    await expect(ssh("nokey")).rejects.toThrow("Permission denied (publickey)");
    rmSync(folder, { recursive: true });
});

test("lab: OpenSSH reads its keys, also those with a zero byte in front", async () => {
    const startsWithZero = (key: KeyPair) => Buffer.from(key.public.split(" ")[1] ?? "", "base64")[19] === 0;
    const keys = Array.from({ length: 5 }, generateKeyPair);
    while (!keys.some(startsWithZero)) keys.push(generateKeyPair());
    const folder = mkdtempSync(join(tmpdir(), "linuxnet-test-"));
    for (const key of [...keys.slice(0, 4), keys.find(startsWithZero) as KeyPair]) {
        writeFileSync(join(folder, "key"), key.private, { mode: 0o600 });
        expect((await execa("ssh-keygen", ["-y", "-f", join(folder, "key")])).stdout).toBe(key.public);
    }
    rmSync(folder, { recursive: true });
});

test("lab: sudoUser logs in as deploy, who may become root", async () => {
    await using host = await createHost({ sudoUser: true });
    expect(host.connection).toMatchObject({ user: "deploy", sudo: true });
    expect((await host.exec("su deploy -c 'id -un; sudo -n id -un'")).stdout).toBe("deploy\nroot");
});

test("lab: a snapshot is the same after what was changed is changed back", async () => {
    await using host = await createHost();
    const before = await snapshotHost(host);
    await host.exec(`ip netns add db
        ip link add br0 type bridge && ip address add 10.1.1.1/24 dev br0 && ip link set br0 up
        ip rule add from 10.1.1.0/24 table 77 && ip route add 10.9.0.0/16 via 10.1.1.2 table 77
        nft add table inet own && echo 1 >/proc/sys/net/ipv4/ip_forward && touch /var/lib/linuxnet/x
        mkdir -p /etc/netns/db && touch /etc/netns/db/hosts /etc/systemd/system/own.service`);
    const between = await snapshotHost(host);
    for (const key of Object.keys(before) as (keyof typeof before)[]) {
        if (key !== "ipsec") expect(between[key], key).not.toEqual(before[key]);
    }
    await host.exec(`ip netns delete db; ip link delete br0; ip rule delete from 10.1.1.0/24 table 77
        nft delete table inet own; echo 0 >/proc/sys/net/ipv4/ip_forward
        rm -r /var/lib/linuxnet/x /etc/netns /etc/systemd/system/own.service`);
    expect(await snapshotHost(host)).toEqual(before);
});

test("lab: the underlay's MTU is that of every link", async () => {
    await using lab = await createLab({ underlayMtu: 1400 });
    const [host] = lab.hosts;
    await lab.client().exec(["ping", "-c1", "-W2", "-M", "do", "-s", "1372", host.address]);
    await expect(lab.client().exec(["ping", "-c1", "-W2", "-M", "do", "-s", "1373", host.address])).rejects.toThrow(
        "message too long, mtu=1400",
    );
});

test("lab: disposing leaves nothing, also when done twice", async () => {
    const childrenBefore = childrenOf(process.pid);
    const lab = await createLab({ hosts: 2 });
    const link = await linkTo(lab.hosts[0].address);
    const inside = (await lab.hosts[0].exec("readlink /proc/self/ns/net")).stdout;
    expect(linkNames()).toContain(link);
    expect(recordsOf(process.pid)).toHaveLength(1);
    await lab.hosts[1][Symbol.asyncDispose]();
    expect(await lab.probe(lab.client(), lab.hosts[1], 22, { timeoutMs: 300 })).not.toBe("open");
    await Promise.all([lab[Symbol.asyncDispose](), lab[Symbol.asyncDispose]()]);
    await lab.hosts[0][Symbol.asyncDispose]();
    expect(linkNames()).not.toContain(link);
    expect(recordsOf(process.pid)).toEqual([]);
    expect(childrenOf(process.pid)).toEqual(childrenBefore);
    expect(await processesIn(inside)).toBe("");
});

test("lab: what a killed process left is gone, and its record with the next lab", async () => {
    const dead = await startLabProgram();
    const link = await linkTo(dead.address);
    dead.program.kill("SIGKILL");
    await dead.program;
    await expect.poll(() => linkNames()).not.toContain(link);
    expect(await processesIn(dead.inside)).toBe("");
    await using _ = await createHost();
    expect(recordsOf(dead.pid)).toEqual([]);
});

test("lab: the reaper kills a recorded process, but not another one under its id", async () => {
    const recorded = execa("sleep", ["1000"], { reject: false });
    const other = execa("sleep", ["1000"], { reject: false });
    await sleep(50);
    const folder = mkdtempSync(join(tmpdir(), "linuxnet-lab-"));
    const foreign = mkdtempSync(join(tmpdir(), "linuxnet-test-"));
    const record = {
        owner: { pid: process.pid, startTime: "1" },
        processes: [identifyProcess(recorded.pid ?? 0), { pid: other.pid, startTime: "1" }],
        folders: [folder, foreign],
    };
    const path = join(recordFolder, "0-test.json");
    mkdirSync(recordFolder, { recursive: true });
    writeFileSync(path, JSON.stringify(record));
    await using _ = await createHost();
    expect((await recorded).signal).toBe("SIGKILL");
    expect(identifyProcess(other.pid ?? 0)).toBeDefined();
    expect(readdirSync(recordFolder)).not.toContain("0-test.json");
    expect(readdirSync(tmpdir())).not.toContain(folder.split("/").at(-1));
    expect(readdirSync(foreign)).toEqual([]);
    other.kill();
    rmSync(foreign, { recursive: true });
});

test.each([
    { ending: "SIGTERM", signal: "SIGTERM", body: "", outcome: { signal: "SIGTERM" } },
    { ending: "SIGINT", signal: "SIGINT", body: "", outcome: { signal: "SIGINT" } },
    {
        ending: "a SIGTERM that it handles by disposing",
        signal: "SIGTERM",
        body: `process.on("SIGTERM", async () => {
            await lab.hosts[0].exec("true");
            await lab[Symbol.asyncDispose]();
            process.exit(7);
        });`,
        outcome: { exitCode: 7 },
    },
    {
        ending: "process.exit",
        signal: "SIGUSR2",
        body: 'process.on("SIGUSR2", () => process.exit(8));',
        outcome: { exitCode: 8 },
    },
] as const)("lab: a program that ends by $ending clears its lab", async ({ signal, body, outcome }) => {
    const ending = await startLabProgram(body);
    const link = await linkTo(ending.address);
    process.kill(ending.pid, signal);
    expect(await ending.program).toMatchObject(outcome);
    expect(recordsOf(ending.pid)).toEqual([]);
    await expect.poll(() => linkNames()).not.toContain(link);
});

test("lab: labs of several processes run side by side and do not see each other", async () => {
    const others = await Promise.all([startLabProgram(), startLabProgram()]);
    await using lab = await createLab();
    const addresses = [lab.hosts[0].address, ...others.map(({ address }) => address)];
    expect(new Set(addresses).size).toBe(3);
    for (const { address } of others) expect(await lab.probe(lab.client(), address, 22)).toBe("unreachable");
    for (const { program } of others) program.kill("SIGTERM");
    await Promise.all(others.map(({ program }) => program));
});

test("lab: refuses what it cannot make, by name", async () => {
    await expect(createLab({ driver: "docker" as "vm" })).rejects.toThrow(
        'driver: expected "netns" or "vm", got "docker".',
    );
    await expect(createLab({ hosts: 0 })).rejects.toThrow("hosts: expected a whole number from 1 to 243, got 0.");
    await expect(createLab({ underlayMtu: 576 })).rejects.toThrow("underlayMtu: expected a whole number from 1280");
    await expect(createLab({ driver: "netns", kernelArguments: ["quiet"] })).rejects.toThrow(
        'kernelArguments: hosts of driver "netns" have the kernel of this machine; set driver: "vm".',
    );
    const code = `require("./lab/index.js").createLab().catch((error) => console.log(error.message))`;
    const { stdout } = await execa(process.execPath, ["-e", code], { cwd: built, uid: 65_534, gid: 65_534 });
    expect(stdout).toContain("The lab needs root");
});

/** Runs JavaScript that sees the machine as `hide` (sh) has changed it, for itself alone. */
const withoutParts = async (hide: string, code: string) =>
    (
        await execa("unshare", ["--mount", "sh", "-c", `${hide}; exec "$0" -e "$1"`, process.execPath, code], {
            cwd: built,
        })
    ).stdout;

test("lab: driver vm says what is missing and how to install it, before anything is started", async () => {
    const hideQemu = "p=$(command -v qemu-system-x86_64) && mount --bind /dev/null $p";
    const make = `require("./lab/index.js").createLab({ driver: "vm" }).catch((error) => console.log(error.message))`;
    expect(await withoutParts(hideQemu, make)).toMatch(
        /needs tools .*qemu-system-x86_64 \(.* To install: apt-get install .*\bqemu-system-x86\b/,
    );
    const gather = `require("./lab/vm-parts.js").gatherVmParts({}, {}).catch((error) => console.log(error.message))`;
    expect(await withoutParts("mount -t tmpfs tmpfs /boot", gather)).toMatch(
        /^driver "vm" needs a kernel with 9p in \/boot .* To install: apt-get install .* linux-image-amd64$/,
    );
});

test("lab: up runs a program, and a lab destroys its stacks before its hosts go", async () => {
    const lab = await createLab();
    const link = await linkTo(lab.hosts[0].address);
    let linksAtDestroy: string[] = [];
    const stack = await lab.up(() => ({ port: 80, name: "web" }), {
        onOutput: (text) => {
            if (text.includes("Destroying")) linksAtDestroy = linkNames();
        },
    });
    expect(stack.outputs).toEqual({ port: 80, name: "web" });
    expect(stack.run.changes).toEqual({ create: 1 });
    expect((await stack.preview()).changes).toEqual({ same: 1 });
    await stack.update(() => ({ port: 81, name: "web" }));
    expect(stack.outputs.port).toBe(81);
    await lab[Symbol.asyncDispose]();
    expect(linksAtDestroy).toContain(link);
    await stack[Symbol.asyncDispose]();
    expect(linkNames()).not.toContain(link);
});

test("lab: a program that fails is reported with its own error, and its folder is removed", async () => {
    await using lab = await createLab();
    const folders = () =>
        recordsOf(process.pid).flatMap((name) => JSON.parse(readFileSync(join(recordFolder, name), "utf8")).folders);
    const program = () => {
        throw new Error("the program's own reason");
    };
    await expect(lab.up(program)).rejects.toThrow("the program's own reason");
    expect(folders()).toEqual([]);
});
