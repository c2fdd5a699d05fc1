import { createServer, type Server } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, expect, test } from "vitest";
import { createHost, type LabHost } from "../../lab/index.js";
import { watchEngine } from "../../provider/host/engine-watch.js";
import { openShell } from "../../provider/host/open-shell.js";
import { ConnectionError } from "../../provider/host/shell.js";
import { connectionTo, openUsing } from "./host-connection.js";

const within = { timeoutMs: 20_000 };

const transports = ["ssh2", "openssh", "local"] as const;

let host: LabHost;

beforeAll(async () => {
    host = await createHost();
    await host.exec(`useradd -m -d /run/home-deploy -p '*' deploy; cp /etc/ssh/authorized_keys/root /etc/ssh/authorized_keys/deploy
        echo 'deploy ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/deploy; chmod 440 /etc/sudoers.d/deploy`);
});

afterAll(() => host[Symbol.asyncDispose]());

function failureOf(run: Promise<unknown>): Promise<ConnectionError> {
    return run.then(
        () => {
            throw new Error("The script was expected to fail.");
        },
        (error: unknown) => error as ConnectionError,
    );
}

async function waitFor(isTrue: () => Promise<boolean>): Promise<void> {
    for (const until = Date.now() + 5000; Date.now() < until; await sleep(20)) if (await isTrue()) return;
    throw new Error("It did not come true within 5 s.");
}

const exists = async (path: string) => (await host.exec(["test", "-e", path], { check: false })).exitCode === 0;

test.each([
    ["ssh2", "root", {}],
    ["ssh2", "sudo", { user: "deploy", sudo: true }],
    ["openssh", "root", {}],
    ["openssh", "sudo", { user: "deploy", sudo: true }],
] as const)(
    "shell: over %s as %s, sshd killed in the middle rejects all runs; the script ends its work, the queued one never starts",
    async (transport, _name, changes) => {
        await host.exec("rm -f /run/started /run/finished /run/queued");
        await using shell = await openUsing(connectionTo(host, { transport, ...changes }));
        const running = failureOf(
            shell.run("touch /run/started; sleep 0.5; echo into the void; echo x >&2; touch /run/finished", within),
        );
        const queued = failureOf(shell.run("touch /run/queued", within));
        await waitFor(() => exists("/run/started"));
        // The processes that serve a login are called `sshd: <user>...`.
        await host.exec("kill -9 $(ps -e -o pid=,args= | sed -n 's/^ *\\([0-9]*\\) sshd: [a-z].*/\\1/p')");
        for (const error of await Promise.all([running, queued])) {
            expect(error).toBeInstanceOf(ConnectionError);
            expect(error.message).toMatch(
                /^\w+@\S+: the host closed .* before a script had ended\. Run the same command again\.$/,
            );
            expect(error.mayHeal).toBe(true);
        }
        expect(await failureOf(shell.run("true", within))).toBeInstanceOf(ConnectionError);
        await waitFor(() => exists("/run/finished"));
        await sleep(300);
        expect(await exists("/run/queued")).toBe(false);
    },
);

test.each([
    ["ssh2", "the shell was killed by SIGKILL"],
    // ssh does not tell.
    ["openssh", "the host closed the shell"],
    ["local", "the shell was killed by SIGKILL"],
] as const)(
    "shell: over %s, a script that kills the shell itself is an error, not a hang",
    async (transport, reason) => {
        await using shell = await openUsing(connectionTo(host, { transport }));
        const error = await failureOf(shell.run("kill -9 $$", within));
        expect(error.message).toContain(`: ${reason} before a script had ended`);
    },
);

test.each(transports)("shell: over %s, a script past its deadline closes the connection", async (transport) => {
    await using shell = await openUsing(connectionTo(host, { transport }));
    const startedAt = Date.now();
    const slow = failureOf(shell.run("sleep 3", { timeoutMs: 300 }));
    const next = failureOf(shell.run("true", within));
    const error = await slow;
    expect(Date.now() - startedAt).toBeLessThan(2000);
    expect(error.message).toMatch(
        /: a script did not end within 0.3 s, so the connection was closed\. .*operationTimeoutMs\.$/,
    );
    expect(await next).toBe(error);
    expect(await failureOf(shell.run("true", within))).toBe(error);
});

test.each(transports)("shell: over %s, a deadline starts when the script before has ended", async (transport) => {
    await using shell = await openUsing(connectionTo(host, { transport }));
    const runs = Array.from({ length: 4 }, () => shell.run("sleep 0.2; echo ok", { timeoutMs: 700 }));
    expect((await Promise.all(runs)).map(({ stdout }) => stdout)).toEqual(["ok\n", "ok\n", "ok\n", "ok\n"]);
});

test.each(["ssh2", "openssh"] as const)(
    "shell: over %s, a host that falls silent is noticed by keep-alives",
    async (transport) => {
        await using silent = await createHost();
        await using shell = await openUsing(connectionTo(silent, { transport, keepAliveMs: 100 }));
        const running = failureOf(shell.run("sleep 20", within));
        await silent.exec("ip link set eth0 down");
        const error = await running;
        expect(error.message).toMatch(/: the host stopped answering before a script had ended/);
        expect(error.mayHeal).toBe(true);
    },
);

test("shell: close rejects what runs, leaves no socket open, and may come twice", async () => {
    const sockets = () => process.getActiveResourcesInfo().filter((name) => /TCP|Pipe|Process/.test(name)).length;
    const before = sockets();
    for (const transport of transports) {
        const shell = await openShell(connectionTo(host, { transport }));
        const running = failureOf(shell.run("sleep 0.2", within));
        shell.close();
        shell.close();
        expect((await running).message).toMatch(/closed by the program/);
    }
    await waitFor(async () => sockets() <= before);
    await waitFor(async () => (await host.exec("ps -e -o args= | grep -c '^sshd: root@' || true")).stdout === "0");
});

function listen(port = 0): Promise<Server> {
    return new Promise((resolve) => {
        const server = createServer((socket) => socket.destroy()).listen(port, "127.0.0.1", () => resolve(server));
    });
}

test("engine watch: tells once, about two seconds after the engine's port is closed", async () => {
    const server = await listen();
    const address = server.address();
    if (address === null || typeof address === "string") throw new Error("no port");
    let goneCount = 0;
    const stop = watchEngine(`127.0.0.1:${address.port}`, () => goneCount++);
    await sleep(1500);
    expect(goneCount).toBe(0);
    server.close();
    await waitFor(async () => goneCount > 0);
    await sleep(1200);
    expect(goneCount).toBe(1);
    stop();
});

test.each(["", "nonsense", "127.0.0.1:0", ":50051"])(
    "engine watch: without an engine (%j) it does nothing",
    async (address) => {
        const stop = watchEngine(address, () => expect.unreachable());
        stop();
    },
);
