import { expect, test } from "vitest";
import { createLab, type LabHost, snapshotHost } from "../../lab/index.js";
import { generateKeyPair } from "../../lab/key-pair.js";
import { ask, serve } from "../integration/traffic.js";
import { makeScript, type Project } from "./project.js";

/** 50 resources: a Host, 5 networks, 15 sandboxes with an endpoint each, 9 published ports, 5 policies. */
const program = `
const { connection, user, octet, port } = values;
const host = new linuxnet.Host("edge", { connection });
const count = (length, make) => Array.from({ length }, (_, i) => make(i));
const networks = count(5, (i) => new linuxnet.Network("net-" + i, { host, subnet: "172." + octet + "." + i + ".0/24" }));
const endpoints = count(15, (i) => new linuxnet.Sandbox("box-" + i, { host, name: user + "-" + i }).connect(networks[i % 5]));
count(9, (i) => new linuxnet.PortMapping("port-" + i, { target: endpoints[i], hostPort: port + i, targetPort: 80 }));
count(5, (i) => new linuxnet.FirewallPolicy("policy-" + i, {
    target: endpoints[10 + i],
    ingress: [{ action: "allow", from: endpoints[i], ports: 80 }],
}));
`;
const resourceCount = 50;

/** An account of its own that becomes root by sudo, and its key. */
async function connectionOf(host: LabHost, user: string) {
    const key = generateKeyPair();
    await host.exec(
        `useradd -m -d /run/lab/${user} -s /bin/sh -p '*' ${user}
        cat >/etc/ssh/authorized_keys/${user}
        mkdir -p /etc/sudoers.d; echo '${user} ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/${user}; chmod 440 /etc/sudoers.d/${user}`,
        { stdin: `${key.public}\n` },
    );
    return { ...host.connection, user, sudo: true, privateKey: key.private };
}

test("two users with two stacks of 50 resources work on one host at the same time, and one goes without the other", async () => {
    await using lab = await createLab();
    const [host] = lab.hosts;
    const connections = [await connectionOf(host, "alice"), await connectionOf(host, "bob")] as const;
    const before = await snapshotHost(host);
    const make = (connection: { user: string }, octet: number, port: number) =>
        makeScript(
            program,
            { connection, user: connection.user, octet, port },
            // The same names everywhere else: stacks of one name in two projects.
            { projectName: connection.user },
        );
    await using alice = await make(connections[0], 20, 8000);
    await using bob = await make(connections[1], 30, 9000);
    const both = (...args: readonly string[]) =>
        Promise.all([alice, bob].map((project: Project) => project.pulumi(...args, "--stack", "test")));
    for (const output of await both("up", "--yes", "--skip-preview")) {
        expect(output).toContain(`+ ${resourceCount + 1} created`);
    }
    await both("preview", "--expect-no-changes");

    const expectAnswers = async (answers: Readonly<Record<string, string>>) => {
        const questions = Object.keys(answers).map((port) => `tcp ${host.address}:${port}`);
        const given = await ask({ machine: lab.client() }, ...questions);
        for (const [port, answer] of Object.entries(answers))
            expect(given[`tcp ${host.address}:${port}`], port).toContain(answer);
    };
    await using _alice = await serve({ machine: host, sandbox: "alice-0" }, "alice", "tcp:80");
    await using _bob = await serve({ machine: host, sandbox: "bob-0" }, "bob", "tcp:80");
    await using _inner = await serve({ machine: host, sandbox: "bob-10" }, "inner", "tcp:80");
    await expectAnswers({ 8000: "alice to", 9000: "bob to" });

    await alice.pulumi("destroy", "--yes", "--skip-preview", "--stack", "test");
    await expectAnswers({ 8000: "refused", 9000: "bob to" });
    // 172.30.0.4 or another: the one of bob-10, by the policy for bob-0 only.
    const { stdout } = await host.exec("ip -4 -br addr show scope global", { sandbox: "bob-10" });
    const inner = `tcp ${/(172\.30\.\d+\.\d+)/.exec(stdout)?.[1]}:80`;
    expect((await ask({ machine: host, sandbox: "bob-0" }, inner))[inner]).toContain("inner to");
    expect((await ask({ machine: host, sandbox: "bob-5" }, inner))[inner]).toBe("nothing");
    await bob.pulumi("preview", "--refresh", "--expect-no-changes", "--stack", "test");
    await bob.pulumi("destroy", "--yes", "--skip-preview", "--stack", "test");
    expect(await snapshotHost(host)).toEqual(before);
});
