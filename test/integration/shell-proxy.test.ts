import { type AddressInfo, createServer, type Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, expect, test } from "vitest";
import { createLab, type Lab, type LabHost } from "../../lab/index.js";
import { generateKeyPair } from "../../lab/key-pair.js";
import { openShell } from "../../provider/host/open-shell.js";
import type { ConnectionError } from "../../provider/host/shell.js";
import type { Hop } from "../../provider/model/connection.js";
import { type ConnectionChanges, connectionTo, openUsing, refusalOf } from "./host-connection.js";

const within = { timeoutMs: 20_000 };

let lab: Lab;
let host: LabHost;
let first: LabHost;
let second: LabHost;

beforeAll(async () => {
    lab = await createLab({ hosts: 3 });
    [host, first, second] = lab.hosts as [LabHost, LabHost, LabHost];
    // Nobody but the second bastion reaches the sshd on port 2222 of the host, nobody but the first the second one's.
    for (const [machine, bastion] of [
        [host, second],
        [second, first],
    ] as const)
        await machine.exec(`sed 's/^LogLevel.*/MaxSessions 1/' /etc/ssh/sshd_config >/run/inner.conf
            /usr/sbin/sshd -p 2222 -f /run/inner.conf
            nft 'table inet guard { chain in { type filter hook input priority 0; tcp dport 2222 ip saddr != ${bastion.address} drop; }; }'`);
});

afterAll(() => lab[Symbol.asyncDispose]());

function hop(machine: LabHost, changes: ConnectionChanges = {}): Hop {
    const { transport, sudo, waitMs, lockTimeoutMs, operationTimeoutMs, proxy, ...login } = connectionTo(
        machine,
        changes,
    );
    return login;
}

const through = (...proxy: Hop[]) => connectionTo(host, { proxy });
const chain = () => connectionTo(host, { port: 2222, proxy: [hop(first), hop(second, { port: 2222 })] });

/** Logins that a machine serves, with a shell or without. */
const loginsOn = async (machine: LabHost) =>
    (await machine.exec("ps -e -o args= | grep -c '^sshd: root' || true")).stdout.trim();

test("proxy: one bastion, each with its own key and host key", async () => {
    await using shell = await openUsing(through(hop(first)));
    const { stdout } = await shell.run("id -u; echo $SSH_CONNECTION", within);
    expect(stdout).toMatch(new RegExp(`^0\n${first.address} `));
});

test("proxy: two bastions, the first hop first, when there is no other way", async () => {
    expect((await refusalOf(connectionTo(host, { port: 2222, dialTimeoutMs: 500 }))).message).toContain(
        "did not answer",
    );
    await using shell = await openUsing(chain());
    const { stdout } = await shell.run("echo $SSH_CONNECTION", within);
    expect(stdout.split(" ")[0]).toBe(second.address);
    expect([await loginsOn(first), await loginsOn(second)]).not.toContain("0");
    const long = await shell.run("head -c 5000000 /dev/zero | tr '\\0' x", within);
    expect(long.stdout.length).toBe(5_000_000);
});

test("proxy: closing the shell, or a refusal at the end of the way, closes all logins", async () => {
    const allClosed = async () => {
        await expect.poll(async () => Promise.all([host, first, second].map(loginsOn))).toEqual(["0", "0", "0"]);
    };
    await allClosed();
    const shell = await openShell(chain());
    shell.close();
    shell.close();
    await allClosed();
    for (const changes of [
        { hostKey: [generateKeyPair().public.trim()] },
        { privateKey: undefined, privateKeyFile: "/nonexistent/key" },
        { privateKey: generateKeyPair().private },
        { user: "nobody-here" },
    ])
        await refusalOf({ ...chain(), ...changes } as ReturnType<typeof chain>);
    await allClosed();
});

test("proxy: the keys of the environment are meant for the host alone", async () => {
    process.env["LINUXNET_SSH_PRIVATE_KEY"] = host.connection.privateKey;
    try {
        await using shell = await openUsing(connectionTo(host, { privateKey: "nonsense", proxy: [hop(first)] }));
        expect((await shell.run("id -u", within)).stdout).toBe("0\n");
    } finally {
        delete process.env["LINUXNET_SSH_PRIVATE_KEY"];
    }
});

const strange = generateKeyPair();

test.each([
    [
        "a bastion's port without sshd",
        () => [hop(first, { port: 2299 })],
        / bastion root@\S+:2299: port 2299 refuses connections\. Check that sshd runs there, and connection\.proxy\.port\.$/,
        true,
    ],
    [
        "a second bastion that the first does not reach",
        () => [hop(first), hop(second, { port: 2299 })],
        / bastion 2 of 2 root@\S+:2299: the bastion before it does not get through to port 2299 \(Connection refused\)\. Check connection\.proxy\[1\]\.host and/,
        true,
    ],
    [
        "a bastion's host key that is not the one",
        () => [hop(first), hop(second, { hostKey: [strange.public.trim()] })],
        / bastion 2 of 2 root@\S+: the host key is not the one in connection\.proxy\[1\]\.hostKey\. /,
        false,
    ],
    [
        "a bastion that does not accept the key",
        () => [hop(first, { privateKey: strange.private })],
        / bastion root@\S+: no credential was accepted \(tried: connection\.proxy\.privateKey\)\./,
        false,
    ],
    [
        "a bastion's key file that is missing",
        () => [hop(first), hop(second, { privateKey: undefined, privateKeyFile: "/nonexistent/key" })],
        / bastion 2 of 2 root@\S+: key file \/nonexistent\/key does not exist\./,
        false,
    ],
] as const)("proxy: %s is refused, and named", async (_name, proxy, message, mayHeal) => {
    const error = await refusalOf(through(...proxy()));
    expect(error.message).toMatch(message);
    expect(error.message.startsWith(`root@${host.address}: `)).toBe(true);
    expect(error.message).not.toContain("\n");
    expect(error.mayHeal).toBe(mayHeal);
});

test("proxy: a host that the bastion does not reach, or may not, is told from its side", async () => {
    const refused = await refusalOf({ ...through(hop(first)), port: 2299 });
    expect(refused.message).toMatch(
        /^root@\S+:2299: the bastion before it does not get through to port 2299 \(Connection refused\)\. Check connection\.host/,
    );
    await first.exec(
        "{ echo AllowTcpForwarding no; cat /etc/ssh/sshd_config; } >/run/no.conf; /usr/sbin/sshd -p 2244 -f /run/no.conf",
    );
    const prohibited = await refusalOf(through(hop(first, { port: 2244 })));
    expect(prohibited.message).toMatch(
        /: the bastion before it forwards no connection to \S+ port 22 \(.*\)\. Check AllowTcpForwarding/,
    );
    expect(prohibited.mayHeal).toBe(false);
});

test("proxy: a bastion that is silent costs its own time limit", async () => {
    const sockets: Socket[] = [];
    const server = createServer((socket) => void sockets.push(socket.on("error", () => undefined)));
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const { port } = server.address() as AddressInfo;
    const error = await refusalOf(through(hop(first, { host: "127.0.0.1", port, dialTimeoutMs: 300 })));
    for (const socket of sockets) socket.destroy();
    server.close();
    expect(error.message).toMatch(
        / bastion root@127\.0\.0\.1:\d+: the host answered, but did not finish .* within 0\.3 s\. .*connection\.proxy\.dialTimeoutMs\.$/,
    );
});

test("proxy: a bastion that goes away in the middle is named, and the script ends its work", async () => {
    await host.exec("rm -f /run/finished");
    await using shell = await openUsing(chain());
    const running = shell
        .run("sleep 0.5; touch /run/finished", within)
        .catch((error: unknown) => error as ConnectionError);
    await sleep(200);
    await first.exec("kill -9 $(ps -e -o pid=,args= | sed -n 's/^ *\\([0-9]*\\) sshd: [a-z].*/\\1/p')");
    const error = (await running) as ConnectionError;
    expect(error.message).toMatch(
        new RegExp(
            `: the connection to the bastion root@${first.address} ended before a script had ended\\. Run the same`,
        ),
    );
    expect(error.mayHeal).toBe(true);
    await expect.poll(async () => (await host.exec("test -e /run/finished", { check: false })).exitCode).toBe(0);
});
