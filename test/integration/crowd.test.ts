import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { execa } from "execa";
import { afterAll, beforeAll, expect, test } from "vitest";
import { createLab, type Lab, type LabHost } from "../../lab/index.js";
import type { Props } from "../../provider/lifecycle.js";
import { openStack, type Stack } from "./driver.js";
import { connectionTo, openUsing } from "./host-connection.js";
import { openRelay } from "./relay.js";

const transports = ["ssh2", "openssh"] as const;
const hostCount = 20;
const folder = mkdtempSync(join(tmpdir(), "linuxnet-test-"));
const path = process.env["PATH"] ?? "";
const range = (count: number) => Array.from({ length: count }, (_, index) => index);

let lab: Lab;
let hosts: readonly LabHost[];
let bastion: LabHost;
const warnings: string[] = [];
const noteWarning = ({ message }: Error) => void warnings.push(message);

beforeAll(async () => {
    process.on("warning", noteWarning);
    lab = await createLab({ hosts: hostCount + 1 });
    const [first, ...others] = lab.hosts;
    if (first === undefined) throw new Error("no host");
    [bastion, hosts] = [first, others];
    // At their defaults: MaxStartups 10:30:100, MaxSessions 10.
    await bastion.exec(`sed 's/^LogLevel.*/LogLevel INFO/' /etc/ssh/sshd_config >/run/bastion.conf
        /usr/sbin/sshd -p 2222 -f /run/bastion.conf -E /run/bastion.log`);
}, 120_000);

afterAll(async () => {
    process.off("warning", noteWarning);
    process.env["PATH"] = path;
    rmSync(folder, { recursive: true });
    await lab[Symbol.asyncDispose]();
    expect(warnings).toEqual([]);
});

/** A second sshd of a host that takes one session a connection and counts logins. */
async function startNarrowSshd(host: LabHost, port: number): Promise<{ logins(): Promise<number> }> {
    const log = `/run/narrow-${port}.log`;
    await host.exec(`{ echo MaxSessions 1; sed 's/^LogLevel.*/LogLevel INFO/' /etc/ssh/sshd_config; } >/run/narrow.conf
        /usr/sbin/sshd -p ${port} -f /run/narrow.conf -E ${log}`);
    return { logins: async () => Number((await host.exec(`grep -c 'Accepted publickey' ${log} || :`)).stdout) };
}

/** Makes resources on stacks in turn, all at once. */
async function makeBoxes(stacks: readonly Stack[], count: number): Promise<void> {
    await Promise.all(range(count).map((index) => stacks[index % stacks.length]?.sandbox(`box-${index}`)));
}

const boxesOn = async (host: LabHost) => Number((await host.exec("ls /run/netns | wc -l")).stdout);

test.each(transports)(
    "crowd: over %s, 50 resources at once on a host with MaxSessions 1 are one login and one shell",
    async (transport) => {
        const [host] = hosts as [LabHost];
        const port = transport === "ssh2" ? 2301 : 2302;
        const { logins } = await startNarrowSshd(host, port);
        await using stack = await openStack(host, { connection: { port, transport } });
        const network = await stack.network("front", { subnet: "172.20.0.0/24" });
        await Promise.all(range(25).map((index) => stack.join(`app-${index}`, network)));
        expect(await boxesOn(host)).toBe(25);
        expect(await logins()).toBe(1);
        await stack.destroyAll();
        expect([await boxesOn(host), await logins()]).toEqual([0, 1]);
    },
);

/** Stacks on all hosts, their connections changed. */
async function openStacks(changes: (host: LabHost) => Props): Promise<AsyncDisposable & { stacks: Stack[] }> {
    const stacks = await Promise.all(hosts.map((host) => openStack(host, { connection: changes(host) })));
    return {
        stacks,
        [Symbol.asyncDispose]: async () => void (await Promise.all(stacks.map((stack) => stack.destroyAll()))),
    };
}

test.each(transports)("crowd: over %s, 50 resources on 20 hosts are made at once", async (transport) => {
    await using opened = await openStacks(() => ({ transport, keepAliveMs: 9000 }));
    await makeBoxes(opened.stacks, 50);
    const counts = await Promise.all(hosts.map(boxesOn));
    expect(counts).toEqual(range(hostCount).map((index) => (index < 10 ? 3 : 2)));
});

test("crowd: over ssh2, 50 resources on 20 hosts behind one bastion, whose sshd is at its defaults, are made at once", async () => {
    const { hostKey, privateKey } = bastion.connection;
    const proxy = [{ host: bastion.address, port: 2222, user: "root", hostKey, privateKey }];
    await using opened = await openStacks(() => ({ transport: "ssh2", proxy }));
    await makeBoxes(opened.stacks, 50);
    expect((await Promise.all(hosts.map(boxesOn))).reduce((sum, count) => sum + count)).toBe(50);
    const { stdout } = await bastion.exec(
        "grep -c 'Accepted publickey' /run/bastion.log; grep -c MaxStartups /run/bastion.log || :",
    );
    const [logins, drops] = stdout.split("\n").map(Number);
    console.log(`crowd: ${logins} logins at the bastion; sshd told ${drops} times of MaxStartups`);
    expect(logins).toBe(hostCount);
});

test("crowd: over openssh, 20 hosts behind one bastion of ~/.ssh/config are reached at once", async () => {
    const [key, known, config] = ["key", "known_hosts", "config"].map((name) => join(folder, name)) as [
        string,
        string,
        string,
    ];
    writeFileSync(key, bastion.connection.privateKey, { mode: 0o600 });
    writeFileSync(known, `[${bastion.address}]:2222 ${bastion.connection.hostKey}\n`);
    writeFileSync(
        config,
        `Host bastion
            HostName ${bastion.address}
            Port 2222
            User root
            IdentityFile ${key}
            StrictHostKeyChecking yes
            UserKnownHostsFile ${known}
        Host 198.*
            ProxyJump bastion\n`,
    );
    // ssh looks for ~/.ssh/config in the home of the account, whatever $HOME says: -F stands for it here.
    const { stdout: ssh } = await execa("which", ["ssh"]);
    writeFileSync(join(folder, "ssh"), `#!/bin/sh\nexec ${ssh} -F ${config} "$@"\n`);
    chmodSync(join(folder, "ssh"), 0o755);
    process.env["PATH"] = `${folder}:${path}`;
    const answers = await Promise.all(
        hosts.map(async (host) => {
            await using shell = await openUsing(connectionTo(host, { transport: "openssh" }));
            return (await shell.run("echo $SSH_CONNECTION", { timeoutMs: 30_000 })).stdout.split(" ")[0];
        }),
    );
    process.env["PATH"] = path;
    expect(answers).toEqual(range(hostCount).map(() => bastion.address));
});

test.each(transports)(
    "crowd: over %s, 20 resources are made and taken away at a distance of 200 ms",
    async (transport) => {
        const [, host] = hosts as [LabHost, LabHost];
        await using relay = await openRelay(host, { delayMs: 100 });
        await using stack = await openStack(host, { connection: { host: "127.0.0.1", port: relay.port, transport } });
        const network = await stack.network("front", { subnet: "172.20.0.0/24" });
        await Promise.all(range(9).map((index) => stack.join(`app-${index}`, network)));
        expect(await boxesOn(host)).toBe(9);
        await stack.destroyAll();
        expect(await boxesOn(host)).toBe(0);
        expect(relay.connections).toBe(1);
    },
);

/** Folders that a script may want to write to or run from. */
test.each([
    ["/tmp and /var/tmp are noexec", "mount -t tmpfs -o noexec tmpfs /tmp; mount -t tmpfs -o noexec tmpfs /var/tmp"],
    [
        "/tmp and /var/tmp are full",
        `for folder in /tmp /var/tmp; do
            mount -t tmpfs -o size=4k tmpfs $folder; head -c 100000 /dev/zero >$folder/fill 2>/dev/null; ! echo x >$folder/more
        done 2>/dev/null`,
    ],
    ["/tmp and /var/tmp may not be written", "mount -t tmpfs -o ro tmpfs /tmp; mount -t tmpfs -o ro tmpfs /var/tmp"],
])("crowd: a host works where %s", async (_name, command) => {
    const [, , host] = hosts as [LabHost, LabHost, LabHost];
    await host.exec(command);
    try {
        for (const transport of transports) {
            await using stack = await openStack(host, { connection: { transport, keepAliveMs: 8000 } });
            const network = await stack.network("front", { subnet: "172.20.0.0/24" });
            const { endpoint } = await stack.join("web", network);
            await stack.portMapping("http", { target: endpoint, hostPort: 8080, targetPort: 80 });
            expect(await endpoint.refresh()).toEqual([]);
            await stack.destroyAll();
            expect(await boxesOn(host)).toBe(0);
        }
    } finally {
        await host.exec("umount /tmp /var/tmp");
    }
});
