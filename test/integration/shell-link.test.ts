import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, expect, test } from "vitest";
import { createHost, type LabHost } from "../../lab/index.js";
import { openShell } from "../../provider/host/open-shell.js";
import { openSession } from "../../provider/host/session.js";
import { ConnectionError } from "../../provider/host/shell.js";
import { type ConnectionChanges, connectionTo, openUsing, refusalOf } from "./host-connection.js";
import { openRelay, type Relay } from "./relay.js";

const within = { timeoutMs: 30_000 };
const transports = ["ssh2", "openssh"] as const;

let host: LabHost;
const warnings: string[] = [];
const noteWarning = ({ message }: Error) => void warnings.push(message);

beforeAll(async () => {
    process.on("warning", noteWarning);
    host = await createHost();
    // Many logins at once are cut here, and sshd counts the half done ones.
    await host.exec(`{ echo MaxStartups 500; cat /etc/ssh/sshd_config; } >/run/many.conf
        /usr/sbin/sshd -p 2222 -f /run/many.conf`);
});

afterAll(async () => {
    process.off("warning", noteWarning);
    await host[Symbol.asyncDispose]();
    // Among them MaxListenersExceededWarning. An `error` event that nobody hears fails the run by itself.
    expect(warnings).toEqual([]);
});

const over = (relay: Relay, changes: ConnectionChanges = {}) =>
    connectionTo(host, { host: "127.0.0.1", port: relay.port, ...changes });

const stages = 24;
const numbers = (count: number) => Array.from({ length: count }, (_, index) => index);

/** What the server sends until there is a shell, cut into stages: the greeting, the key exchange, the login, the shell. */
async function planStages(transport: (typeof transports)[number]): Promise<number[]> {
    const totals = [];
    for (const _ of numbers(3)) {
        await using relay = await openRelay(host, {}, 2222);
        await using _shell = await openUsing(over(relay, { transport }));
        totals.push(relay.bytesFromServer);
    }
    // The lengths of a login differ by some bytes, and on a busy machine more has come by the time that it is looked at.
    const total = Math.min(...totals);
    return numbers(stages).map((stage) => 1 + Math.floor((stage * (total - 50)) / (stages - 1)));
}

test.each(transports)(
    "link: over %s, a server that dies at any stage of the login is an error, and no more",
    async (transport) => {
        const plan = await planStages(transport);
        const outcomes = await Promise.all(
            plan.map(async (bytes) => {
                await using relay = await openRelay(host, { cutAfterBytes: bytes }, 2222);
                return await openShell(over(relay, { transport })).then(
                    (shell) => shell.close(),
                    (error: unknown) => error,
                );
            }),
        );
        for (const error of outcomes) {
            expect(error).toBeInstanceOf(ConnectionError);
            const { message, mayHeal } = error as ConnectionError;
            expect(message).toMatch(
                /^root@127\.0\.0\.1:\d+: .*(ended the connection|closed the|the connection broke|there was no shell)/,
            );
            expect(mayHeal).toBe(true);
        }
    },
);

test.each(transports)(
    "link: over %s, a server that falls silent at any stage costs the dial limit",
    async (transport) => {
        const plan = await planStages(transport);
        const outcomes = await Promise.all(
            plan.map(async (bytes) => {
                await using relay = await openRelay(host, { silentAfterBytes: bytes }, 2222);
                return await refusalOf(over(relay, { transport, dialTimeoutMs: 4000 }));
            }),
        );
        for (const { message, mayHeal } of outcomes) {
            expect(message).toMatch(/ 4 s[ .]/);
            expect(message).toContain("connection.dialTimeoutMs");
            expect(mayHeal).toBe(true);
        }
    },
);

test.each(transports)(
    "link: over %s, 300 scripts and 20 lost connections leave no listener behind",
    async (transport) => {
        await using relay = await openRelay(host);
        const session = await openSession(over(relay, { transport }));
        const results = await Promise.all(numbers(300).map((index) => session.run(`echo ${index}`)));
        expect(results.map(({ stdout }) => stdout)).toEqual(numbers(300).map((index) => `${index}\n`));
        const listeners = () => process.eventNames().reduce((sum, name) => sum + process.listenerCount(name), 0);
        const before = listeners();
        for (const round of numbers(20)) {
            const running = session.run("sleep 5; echo late");
            await sleep(30);
            relay.cut();
            await expect(running).rejects.toThrow(/before a script had ended\. Run the same command again\.$/);
            expect((await session.run(`echo ${round}`)).stdout).toBe(`${round}\n`);
        }
        session.close();
        expect(relay.connections).toBe(21);
        expect(listeners()).toBeLessThanOrEqual(before);
    },
);

test.each(transports)(
    "link: over %s, a connection lost while nothing runs is made anew for the next script",
    async (transport) => {
        await using relay = await openRelay(host);
        const session = await openSession(over(relay, { transport }));
        for (const round of numbers(3)) {
            relay.cut();
            await sleep(200);
            expect((await session.run(`echo ${round}`)).stdout).toBe(`${round}\n`);
        }
        expect(relay.connections).toBe(4);
        session.close();
    },
);

test.each(transports)(
    "link: over %s, a shell works at a distance of 200 ms, with a round trip for each script",
    async (transport) => {
        await using relay = await openRelay(host, { delayMs: 100 });
        await using shell = await openUsing(over(relay, { transport }));
        const scripts = numbers(50).map((index) =>
            shell.run(`head -c 20000 /dev/zero | tr '\\0' x; echo ${index}`, within),
        );
        const results = await Promise.all(scripts);
        expect(results.map(({ stdout }) => stdout.slice(20_000))).toEqual(numbers(50).map((index) => `${index}\n`));
        expect(relay.connections).toBe(1);
    },
);

test.each(transports)(
    "link: over %s, a login refused at once is final, however long a booting machine is waited for",
    async (transport) => {
        await using relay = await openRelay(host);
        const error = await refusalOf(over(relay, { transport, user: "nobody-here", waitMs: 60_000 }));
        expect(error.message).toMatch(/no credential was accepted .*authorized_keys of nobody-here\.$/);
        expect(relay.connections).toBe(1);
    },
);

test.each(transports)(
    "link: over %s, a machine seen booting gets its keys after its sshd, and is waited for",
    async (transport) => {
        const port = transport === "ssh2" ? 2401 : 2402;
        const keys = `/run/keys-${port}`;
        const opening = openUsing(connectionTo(host, { transport, port, waitMs: 30_000 }));
        await sleep(500);
        await host.exec(`sed 's|^AuthorizedKeysFile.*|AuthorizedKeysFile ${keys}|; s/^LogLevel.*/LogLevel VERBOSE/' /etc/ssh/sshd_config >${keys}.conf
        /usr/sbin/sshd -p ${port} -f ${keys}.conf -E ${keys}.log`);
        await expect
            .poll(async () => (await host.exec(`grep -c 'authenticating user' ${keys}.log || true`)).stdout.trim(), {
                timeout: 20_000,
            })
            .not.toBe("0");
        await host.exec(`cp /etc/ssh/authorized_keys/root ${keys}`);
        await using shell = await opening;
        expect((await shell.run("id -u", within)).stdout).toBe("0\n");
    },
);

test.each(transports)(
    "link: over %s, a door that closes is knocked at a few times, not for minutes",
    async (transport) => {
        await using relay = await openRelay(host, { cutAfterBytes: 1 });
        const error = await refusalOf(over(relay, { transport }));
        expect(error.message).toMatch(/MaxStartups, banned addresses\)\. It was tried for \d+ s\.$/);
        expect(relay.connections).toBeGreaterThan(2);
        expect(relay.connections).toBeLessThan(8);
    },
);
