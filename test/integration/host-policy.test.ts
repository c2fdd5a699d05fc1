import { afterAll, beforeAll, expect, test } from "vitest";
import type { Props } from "../../provider/lifecycle.js";
import { openStack, type Stack } from "./driver.js";
import { type ConnectionChanges, connectionTo, openUsing } from "./host-connection.js";
import { startProvider } from "./provider-process.js";
import { openRelay } from "./relay.js";
import { layTestBed } from "./test-bed.js";
import { answersTo, run, serve, startTimeoutMs, talk } from "./traffic.js";

const bed = layTestBed(2);
const fromHost = () => ({ machine: bed.host });
const fromClient = () => ({ machine: bed.client });
/** A login that is not let in is given up soon; what is not confirmed goes back when the provider says so. */
const impatient = { dialTimeoutMs: 1500, confirmTimeoutMs: 20_000 };

async function layOut() {
    const stack = await openStack(bed.host);
    const hasty = await openStack(bed.host, { name: "hasty", connection: impatient });
    const back = await stack.network("back", { subnet: "172.21.0.0/24" });
    const api = await stack.join("api", back);
    await stack.portMapping("http", { target: api.endpoint, hostPort: 8080, targetPort: 80 });
    await using shell = await openUsing(connectionTo(bed.host));
    const { stdout } = await shell.run("echo $SSH_CONNECTION", { timeoutMs: 10_000 });
    return { stack, hasty, back, api, here: stdout.split(" ")[0] ?? "" };
}

let layout: Awaited<ReturnType<typeof layOut>>;
beforeAll(async () => {
    layout = await layOut();
});
afterAll(async () => {
    await layout.hasty.destroyAll();
    await layout.stack.destroyAll();
});

// What was made anew is listed elsewhere.
const listRules = "nft -s list ruleset | sed 's/elements = {//; s/[ ,}]*$//; s/^[\\t ]*//' | sort";
const look = `${listRules}
cd /var/lib/linuxnet && find . -type f ! -name generation | sort | xargs sha256sum
ls /run/linuxnet; cat /run/linuxnet/undo
ps -e -o args= | grep -c '[c]onfirm[.]' || :`;

/** Rules, manifest and restore files, and that nothing waits. */
const hostState = async () => (await bed.host.exec(look)).stdout;

/** A login from here, by a connection of its own, is let in. */
async function logIn(changes: ConnectionChanges = {}): Promise<void> {
    await using shell = await openUsing(connectionTo(bed.host, changes));
    expect((await shell.run("id -u", { timeoutMs: 10_000 })).stdout.trim()).toBe("0");
}

const hostChains = async () =>
    (await bed.host.exec("nft list chains inet | grep -o 'host_[a-z]*' || :")).stdout.trim().split("\n").join(" ");

const ssh = (more: Props = {}) => ({ action: "allow", ports: [22], ...more });
const declare = (stack: Stack, name: string, args: Props) =>
    stack.firewallPolicy(name, { target: stack.host, ...args });

test("host policy: ingress decides what reaches the host from outside and from its networks", async () => {
    const { stack, api, back } = layout;
    await using _server = await serve(fromHost(), "host", "tcp:80", "tcp:81", "tcp:82", "udp:80");
    await using _api = await serve(api.place, "api", "tcp:80");
    const host = bed.host.address;
    const rules = [
        ssh(),
        { action: "allow", from: "internal", ports: [80] },
        { action: "allow", from: [bed.client.address], ports: ["81", "80/udp"] },
        { action: "reject", from: [back], ports: [82] },
        { action: "allow", from: "external", protocol: "icmp" },
    ];
    await using policy = await declare(stack, "host", { ingress: rules });
    expect(await hostChains()).toBe("host_ingress");
    const outside = {
        [`tcp ${host}:80`]: "nothing",
        [`tcp ${host}:81`]: `host to ${bed.client.address}`,
        [`tcp ${host}:82`]: "nothing",
        [`udp ${host}:80`]: `host to ${bed.client.address}`,
        [`icmp ${host}`]: "reply",
        // Published ports go on to the endpoint: they are none of the host's own.
        [`tcp ${host}:8080`]: `api to ${bed.client.address}`,
    };
    expect(await answersTo(fromClient(), outside)).toEqual(outside);
    const sandbox = {
        ["tcp 172.21.0.1:80"]: `host to ${api.address}`,
        ["tcp 172.21.0.1:81"]: "nothing",
        ["tcp 172.21.0.1:82"]: "unreachable",
        ["icmp 172.21.0.1"]: "nothing",
    };
    expect(await answersTo(api.place, sandbox)).toEqual(sandbox);
    const itself = { ["tcp 127.0.0.1:82"]: "host to 127.0.0.1", [`tcp ${host}:82`]: `host to ${host}` };
    expect(await answersTo(fromHost(), itself)).toEqual(itself);
    expect(await policy.refresh()).toEqual([]);
    await policy.update({ defaultAction: "allow" });
    expect(await answersTo(fromClient(), { [`tcp ${host}:80`]: "" })).toEqual({
        [`tcp ${host}:80`]: `host to ${bed.client.address}`,
    });
});

test("host policy: egress decides what the host sends, and never shuts out who is let in", async () => {
    const { stack, api } = layout;
    await using _client = await serve(fromClient(), "client", "tcp:80", "tcp:81");
    await using _api = await serve(api.place, "api", "tcp:80");
    const egress = [{ action: "allow", to: [bed.client.address], ports: [80] }];
    await using policy = await declare(stack, "host", { egress });
    expect(await hostChains()).toBe("host_egress");
    await logIn();
    const client = bed.client.address;
    const first = {
        [`tcp ${client}:80`]: `client to ${bed.host.address}`,
        [`tcp ${client}:81`]: "nothing",
        [`tcp ${api.address}:80`]: "nothing",
        [`icmp ${client}`]: "nothing",
    };
    expect(await answersTo(fromHost(), first)).toEqual(first);
    await policy.update({ egress: [{ action: "allow", to: [api.endpoint] }], defaultAction: "reject" });
    const second = { [`tcp ${client}:80`]: "unreachable", [`tcp ${api.address}:80`]: "api to 172.21.0.1" };
    expect(await answersTo(fromHost(), second)).toEqual(second);
    await policy.update({ egress: [] });
    await logIn();
});

test("host policy: neighbour discovery passes whatever the rules say", async () => {
    const { stack } = layout;
    await using _policy = await declare(stack, "host", { ingress: [ssh()], egress: [] });
    const { stdout } = await bed.host.exec("ip -6 -o addr show scope link | grep -v ' l[no]' | head -1");
    const address = /inet6 ([0-9a-f:]+)/.exec(stdout)?.[1];
    const { stdout: links } = await bed.client.exec("ip -o -6 addr show scope link | head -1");
    const name = /^\d+: (\S+)/.exec(links)?.[1];
    await bed.client.exec(`ip -6 neigh flush dev ${name}`);
    const script = `require("net").connect(22, "${address}%${name}").on("data", (d) => { console.log(String(d)); process.exit(); })`;
    expect((await bed.client.exec([process.execPath, "-e", script])).stdout).toMatch(/^SSH-2.0/);
});

// IP protocol 50 without what encrypts it (RFC 4303): the socket sees what has passed the hooks.
const sendEsp = `perl -e 'socket($s, 2, 3, 50) && send($s, "x" x 64, 0, pack("S n C4 x8", 2, 0, split(/\\./, $ARGV[0]))) or die $!'`;
const hearEsp = `perl -e '$| = 1; socket($s, 2, 3, 50) or die $!; print "ready\\n"; recv($s, $_, 99, 0); print "esp\\n"'`;

test("host policy: a closed host answers its sandboxes' questions for names, and is an end of encrypted segments", async () => {
    const { stack, api } = layout;
    const answers = async () => {
        const dig = "dig +short +tries=1 +time=5 api";
        const ways = ["@172.21.0.1", "@172.21.0.1 +tcp", "@127.0.0.11"].map((way) => run(api.place, `${dig} ${way}`));
        return (await Promise.all(ways)).map((answer) => answer.trim());
    };
    const [host, client] = [bed.host.address, bed.client.address];
    await using _host = await serve(fromHost(), "host", "udp:51820", "udp:51821");
    await using _client = await serve(fromClient(), "client", "udp:7000");
    await using _policy = await declare(stack, "host", { ingress: [ssh()], egress: [] });
    expect(await answers()).toEqual(Array.from({ length: 3 }, () => api.address));

    // A kernel without WireGuard cannot be an end of such a segment: what its tunnel has in the ruleset, by hand.
    await run(fromHost(), "nft add element inet linuxnet wireguard_ports { 51820, 51822 }");
    const questions = { [`udp ${host}:51820`]: `host to ${client}`, [`udp ${host}:51821`]: "nothing" };
    expect(await answersTo(fromClient(), questions)).toEqual(questions);
    await using spoken = await talk(fromHost(), `udp ${client}:7000`, 51822);
    expect(await spoken.next()).toContain("client to");
    await run(fromHost(), "nft delete element inet linuxnet wireguard_ports { 51820, 51822 }");

    for (const [from, to, address] of [
        [fromHost(), fromClient(), client],
        [fromClient(), fromHost(), host],
    ] as const) {
        await using heard = await to.machine.spawn(hearEsp);
        await heard.waitFor("ready", startTimeoutMs);
        await run(from, `${sendEsp} ${address}`);
        await heard.waitFor("esp", startTimeoutMs);
        // So that the other way is no answer.
        await run(fromHost(), "conntrack -D -p 50");
    }
});

test("host policy: several compose by priority and name, with the strictest default", async () => {
    const { stack, hasty } = layout;
    await using _server = await serve(fromHost(), "host", "tcp:80", "tcp:81", "tcp:82");
    const host = bed.host.address;
    const client = `host to ${bed.client.address}`;
    const drop = { action: "drop", ports: [81] };
    await using _b = await declare(stack, "b", {
        ingress: [ssh(), { ...drop, action: "allow" }],
        defaultAction: "allow",
    });
    const answers = async (...expected: string[]) => {
        const all = Object.fromEntries(expected.map((answer, i) => [`tcp ${host}:${80 + i}`, answer]));
        expect(await answersTo(fromClient(), all)).toEqual(all);
    };
    await answers(client, client, client);
    // Of another stack.
    await using a = await declare(hasty, "a", { ingress: [drop], defaultAction: "reject", priority: 1 });
    await answers("unreachable", client, "unreachable");
    await a.update({ priority: 0 });
    await answers("unreachable", "nothing", "unreachable");
});

/** Policies that would shut us out, by what they say; rejects are found out at once. */
const lockOuts = (): Record<string, Props> => ({
    "drops all": { ingress: [], defaultAction: "drop" },
    "rejects all": { ingress: [] },
    "allows only what it serves": { ingress: [{ action: "allow", ports: [80, 443] }] },
    "lets in a wrong CIDR": { ingress: [ssh({ from: "203.0.113.0/24" })] },
    "lets in a bastion only": { ingress: [ssh({ from: bed.hosts[1]?.address })] },
    "lets in its networks only": { ingress: [ssh({ from: "internal" })] },
    "lets in a sandbox only": { ingress: [ssh({ from: layout.api.sandbox })] },
    "takes ssh for udp": { ingress: [{ action: "allow", ports: ["22/udp"] }] },
    "rejects ssh and allows all else": { ingress: [{ action: "reject", ports: ["20-23"] }, { action: "allow" }] },
    "drops us and allows all else": { ingress: [{ action: "drop", from: layout.here }, { action: "allow" }] },
    "rejects us beside allowing all that the host sends": { ingress: [], egress: [{ action: "allow" }] },
});

const messageOf = (work: Promise<unknown>) =>
    work.then(
        () => "done",
        (error: Error) => error.message,
    );

test("host policy: none can be created that shuts us out", async () => {
    const before = await hostState();
    for (const [what, args] of Object.entries(lockOuts())) {
        const message = await messageOf(declare(layout.hasty, "host", { defaultAction: "reject", ...args }));
        expect(message, what).toMatch(
            /^FirewallPolicy "host" on root@\S+: with this change a new connection to the host did not come through, so it does not stand: /,
        );
        expect(message, what).toContain("The host has taken the change back and is as before.");
        expect(message, what).toContain(`ingress: [{ action: "allow", from: "${layout.here}", ports: 22 }].`);
        expect(await hostState(), what).toBe(before);
        await logIn();
    }
});

const shut = { ingress: [], defaultAction: "reject" };

test("host policy: updates and deletes that shut us out change nothing, and what was bad may be mended", async () => {
    const { hasty } = layout;
    await using lets = await declare(hasty, "lets", { ingress: [ssh()], priority: -1 });
    await using closed = await declare(hasty, "closed", shut);
    const before = await hostState();
    for (const work of [
        () => lets.update({ ingress: [ssh({ from: "203.0.113.9" })] }),
        () => lets.update({ priority: 1, ingress: [ssh({ ports: [2222] })] }),
        () => closed.update({ ingress: [{ action: "reject" }], priority: -2 }),
        () => lets.delete(),
    ]) {
        expect(await messageOf(work())).toContain("The host has taken the change back and is as before.");
        expect(await hostState()).toBe(before);
        await logIn();
    }
    // The arguments of the failed updates are still the program's.
    await lets.update({ ingress: [ssh({ from: layout.here })], priority: -1 });
    await closed.update({ ingress: [], priority: 0 });
    expect(await hostChains()).toBe("host_ingress");
    await logIn();
    await closed.delete();
    await lets.delete();
    expect(await hostChains()).toBe("");
});

test("host policy: what leads to a peer of its rules is confirmed too", async () => {
    const { hasty } = layout;
    const net = await hasty.network("net", { subnet: "172.25.0.0/24" });
    await using box = await hasty.join("box", net);
    await using _lets = await declare(hasty, "lets", { ingress: [ssh({ from: [layout.here, box.endpoint] })] });
    await box.endpoint.update({ ipv4Address: "172.25.0.77" });
    const chain = await run(fromHost(), "nft list chain inet linuxnet host_ingress");
    expect(chain).toContain("ip saddr 172.25.0.77 tcp dport 22");
    await logIn();
});

test("host policy: of several operations of one run only the bad one fails", async () => {
    const { hasty } = layout;
    const outcomes = await Promise.allSettled([
        declare(hasty, "bad", { ingress: [{ action: "reject" }], priority: -5 }),
        declare(hasty, "good", { ingress: [ssh()] }),
        hasty.network("beside", { subnet: "172.26.0.0/24" }),
        layout.stack.network("of-another-stack", { subnet: "172.27.0.0/24" }),
    ]);
    expect(outcomes.map(({ status }) => status)).toEqual(["rejected", "fulfilled", "fulfilled", "fulfilled"]);
    await logIn();
    for (const outcome of outcomes) {
        if (outcome.status !== "fulfilled") continue;
        expect(await outcome.value.refresh()).toEqual([]);
        await outcome.value.delete();
    }
});

const keeper = "pgrep -f '[s]h -c r=/run/linuxnet'";

/** Resolves as soon as a change waits for its confirmation. */
async function waitForWindow(): Promise<void> {
    const counts = () => bed.host.exec(`k=$(${keeper}) && pgrep -P $k || :`).then(({ stdout }) => stdout);
    await expect.poll(counts, { timeout: 10_000 }).not.toBe("");
    expect(await hostChains()).toBe("host_ingress");
}

const waitForReturn = (before: string) => expect.poll(hostState, { timeout: 10_000 }).toBe(before);

test("host policy: the host takes it back by itself when the provider is killed, and the next run tries again", async () => {
    await using provider = await startProvider(bed.host);
    await using stack = await openStack(bed.host, {
        name: "killed",
        provider,
        connection: { confirmTimeoutMs: 2000 },
    });
    const before = await hostState();
    const failing = messageOf(declare(stack, "host", { ingress: [] }));
    await waitForWindow();
    await provider.kill();
    expect(await failing).toBe("the provider was killed");
    await waitForReturn(before);
    await logIn();
    await using policy = await declare(stack, "host", { ingress: [ssh()] });
    expect(await policy.refresh()).toEqual([]);
});

test("host policy: the host takes it back by itself when nothing passes any more", async () => {
    await using relay = await openRelay(bed.host);
    await using stack = await openStack(bed.host, {
        name: "silent",
        connection: {
            host: "127.0.0.1",
            port: relay.port,
            confirmTimeoutMs: 2000,
            dialTimeoutMs: 1500,
            keepAliveMs: 500,
        },
    });
    const before = await hostState();
    const failing = messageOf(declare(stack, "host", { ingress: [] }));
    await waitForWindow();
    relay.fallSilent();
    expect(await failing).toMatch(/The open connection was lost too; the host takes the change back by itself, 2 s /);
    await waitForReturn(before);
    await logIn();
    relay.recover();
});

test.each(["the process that waits", "the process that waits and the remote shell"])(
    "host policy: nothing is left when %s is killed in between",
    async (what) => {
        await using stack = await openStack(bed.host, { name: "hit", connection: { dialTimeoutMs: 2000 } });
        const before = await hostState();
        const failing = messageOf(declare(stack, "host", { ingress: [] }));
        await waitForWindow();
        await bed.host.exec(`kill -9 $(${keeper})`);
        if (what.endsWith("shell")) {
            await bed.host.exec("kill -9 $(pgrep -f '^sshd: root') || :");
            expect(await failing).toMatch(/open connection was lost too/);
            // Whoever has the lock next ends it; here the administrator at the console.
            await bed.host.exec("sh /var/lib/linuxnet/restore; rm /run/linuxnet/confirm.*");
        } else {
            expect(await failing).toMatch(/The host has taken the change back and is as before/);
        }
        await waitForReturn(before);
        await logIn();
    },
);

test("host policy: others wait until it is decided, and go on", async () => {
    const { stack } = layout;
    await using slow = await openStack(bed.host, { name: "slow", connection: { dialTimeoutMs: 2500 } });
    const failing = messageOf(declare(slow, "host", { ingress: [] }));
    await waitForWindow();
    await using beside = await stack.network("beside", { subnet: "172.26.0.0/24" });
    expect(await failing).toContain("is as before");
    expect(await beside.refresh()).toEqual([]);
    expect(await hostChains()).toBe("");
});

test("host policy: unconfirmed it does not outlive a reboot, confirmed it does", async () => {
    const { stack } = layout;
    await using slow = await openStack(bed.host, { name: "slow", connection: { dialTimeoutMs: 2000 } });
    const onDisk = async () => (await bed.host.exec(`${listRules}; cat /var/lib/linuxnet/objects/*`)).stdout;
    const before = await onDisk();
    const failing = messageOf(declare(slow, "host", { ingress: [] }));
    await waitForWindow();
    // What a reboot leaves: no process, nothing in /run, no rules.
    await bed.host.exec(`kill -9 $(${keeper}); rm -rf /run/linuxnet; nft flush ruleset`);
    await bed.host.exec("sh /var/lib/linuxnet/restore");
    expect(await failing).toContain("did not come through");
    expect(await onDisk()).toBe(before);
    await logIn();

    await using _policy = await declare(stack, "host", { ingress: [ssh()], egress: [{ action: "allow" }] });
    const confirmed = await hostState();
    await bed.host.exec("nft flush ruleset; sh /var/lib/linuxnet/restore");
    expect(await hostState()).toBe(confirmed);
    expect(await stack.host.refresh()).toEqual([]);
});

test("host policy: drift of its chains is told on the Host and repaired", async () => {
    const { stack } = layout;
    await using _policy = await declare(stack, "host", { ingress: [ssh()], egress: [{ action: "allow" }] });
    const before = await hostState();
    for (const [command, told] of [
        ["nft flush chain inet linuxnet host_ingress", /chain host_ingress/],
        ["nft flush chain inet linuxnet host_egress; nft delete chain inet linuxnet host_egress", /chain host_egress/],
        [
            `c=inet\\ linuxnet\\ host_egress; eval "nft flush chain $c; nft delete chain $c; nft add chain $c '{ type filter hook output priority 9; }'"`,
            /chain host_egress.*hangs on "filter output 9 accept", not on "filter output 10 accept"/,
        ],
    ] as const) {
        await bed.host.exec(command);
        expect(((await stack.host.refresh()) as string[]).join("; ")).toMatch(told);
        expect(await stack.host.update({})).toBe("update");
        expect(await hostState()).toBe(before);
    }
});

test("host policy: over the transport openssh the new connection is a login of its own", async () => {
    await using stack = await openStack(bed.host, {
        name: "openssh",
        connection: { ...impatient, transport: "openssh" },
    });
    const before = await hostState();
    expect(await messageOf(declare(stack, "host", shut))).toContain(
        "The host has taken the change back and is as before.",
    );
    expect(await hostState()).toBe(before);
    await using _policy = await declare(stack, "host", { ingress: [ssh()] });
    await logIn();
});

test("host policy: through a bastion the bastion's address is what has to be let in", async () => {
    const bastion = bed.hosts[1];
    if (bastion === undefined) throw new Error("There are two hosts.");
    const { sudo: _, ...hop } = bastion.connection;
    await using stack = await openStack(bed.host, {
        name: "inside",
        connection: { ...impatient, proxy: [hop] },
    });
    const ingress = (from: string) => [ssh({ from })];
    const before = await hostState();
    const message = await messageOf(declare(stack, "host", { ...shut, ingress: ingress(layout.here) }));
    expect(message).toContain(`from: "${bastion.address}", ports: 22`);
    expect(await hostState()).toBe(before);
    await using policy = await declare(stack, "host", { ...shut, ingress: ingress(bastion.address) });
    await expect(logIn({ dialTimeoutMs: 800 })).rejects.toThrow(/did not answer|does not answer|no route/);
    await policy.delete();
    await logIn();
});

test("host policy: over the transport local a new shell is the new connection", async () => {
    await using provider = await startProvider(bed.host);
    await using stack = await openStack(bed.host, {
        name: "local",
        provider,
        connection: { transport: "local", host: undefined, port: undefined, user: undefined },
    });
    await using policy = await declare(stack, "host", { ingress: [] });
    expect(await policy.refresh()).toEqual([]);
    await expect(logIn({ dialTimeoutMs: 800 })).rejects.toThrow(/did not answer|does not answer|no route/);
    await policy.delete();
    await logIn();
});
