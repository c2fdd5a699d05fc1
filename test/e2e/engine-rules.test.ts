import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { execa } from "execa";
import * as linuxnet from "pulumi-linuxnet";
import { expect, test } from "vitest";
import { generateKeyPair } from "../../lab/key-pair.js";
import { holdLock, waitForWaiter } from "../integration/host-lock.js";
import { layTestBed } from "../integration/test-bed.js";
import { expectNoProvider, makeScript, type Project, printed } from "./project.js";

const bed = layTestBed();

/** One of each kind that needs another. */
function layout(connection: linuxnet.ConnectionArgs, subnet = "172.20.0.0/24", network: object = {}) {
    const edge = new linuxnet.Host("edge", { connection });
    const front = new linuxnet.Network("front", { host: edge, subnet, ...network });
    const web = new linuxnet.Sandbox("web", { host: edge });
    const api = new linuxnet.Sandbox("api", { host: edge });
    const webFront = web.connect(front);
    const apiFront = api.connect(front);
    new linuxnet.PortMapping("http", { target: webFront, hostPort: 8080, targetPort: 80 });
    new linuxnet.FirewallPolicy("api-access", {
        target: apiFront,
        ingress: [{ action: "allow", from: [webFront], protocol: "tcp", ports: [8000] }],
    });
    return { address: webFront.address };
}
const resourceCount = 8;

test("rule 1: a changed connection is an update that runs nothing, and is used from then on", async () => {
    const { connection } = bed.host;
    await using stack = await bed.lab.up(() => layout(connection));
    // Nobody listens there, and still all is well.
    const closed = await stack.update(() => layout({ ...connection, port: 1 }));
    expect(closed.changes).toEqual({ same: 1, update: resourceCount });
    await expect(stack.refresh()).rejects.toThrow("port 1 refuses connections");

    const key = generateKeyPair();
    await bed.host.exec("cd /etc/ssh/authorized_keys; mv root old; cat >root", { stdin: `${key.public}\n` });
    const rotated = () => layout({ ...connection, privateKey: key.private });
    expect((await stack.preview(rotated)).changes).toEqual({ same: 1, update: resourceCount });
    expect((await stack.update(rotated)).changes).toEqual({ same: 1, update: resourceCount });
    expect((await stack.refresh()).changes).toEqual({ same: resourceCount + 1 });
    expect((await stack.preview()).changes).toEqual({ same: resourceCount + 1 });
    await stack.destroy();
    await bed.host.exec("cd /etc/ssh/authorized_keys; mv old root");
    await bed.expectAsBefore();
});

test("rule 2: the provider ends at SIGINT, and no run leaves one behind", async () => {
    await using project = await makeScript(
        `const host = new linuxnet.Host("edge", { connection: values.connection });
        new linuxnet.Sandbox("box", { host });`,
        { connection: bed.host.connection },
    );
    const steps = [["up", "--yes", "--skip-preview"], ["preview"], ["refresh", "--yes", "--skip-preview"]];
    for (const step of steps) {
        await project.pulumi(...step, "--stack", "test");
        expect(project.processes()).toEqual([]);
    }
    // Also with an operation under way.
    await using lock = await holdLock(bed.host);
    await lock.waitFor("held");
    const run = project.start("destroy", "--yes", "--skip-preview", "--stack", "test");
    await printed(run, "Sandbox box deleting");
    const provider = () => project.processes().filter((line) => line.includes("dynamic-provider"));
    await expect.poll(provider, { timeout: 30_000 }).toHaveLength(1);
    process.kill(Number.parseInt(provider()[0] ?? "", 10), "SIGINT");
    await expectNoProvider(project);
    expect(await run.ended).not.toBe(0);
    await lock.stop();
    await project.pulumi("destroy", "--yes", "--skip-preview", "--stack", "test");
    await bed.expectAsBefore();
});

test("rule 3: an error from any handler is one message without a stack trace, and the run ends", async () => {
    const { connection, address } = bed.host;
    const failure = async (run: Promise<unknown>) => {
        const text = await run.then(
            () => "It did not fail.",
            (error: Error) => error.message,
        );
        expect(text).not.toMatch(/^ *at .*:\d+/m);
        return text.split(/^Diagnostics:$/m)[1]?.split(/^(Outputs|Resources):$/m)[0] ?? text;
    };
    await using stack = await bed.lab.up(() => layout(connection));
    const front = `Network "front" on root@${address}`;
    const inUpdate = await failure(stack.update(() => layout(connection, "172.20.0.0/24", { gateway: "172.29.0.1" })));
    expect(inUpdate).toContain(
        `error: ${front}: gateway 172.29.0.1 is outside subnet 172.20.0.0/24. Choose one inside.\n`,
    );
    const inCheck = await failure(stack.update(() => layout(connection, "172.20.0.1/24")));
    expect(inCheck).toContain(': Network "front": subnet: "172.20.0.1/24" has bits set behind its prefix');
    const inCreate = await failure(
        stack.update(() => {
            new linuxnet.Host("second", { connection: { ...connection, port: 1, waitMs: 0 } });
            return layout(connection);
        }),
    );
    expect(inCreate).toContain(`error: Host "second" on root@${address}:1: port 1 refuses connections.`);

    await stack.update(() => layout({ ...connection, port: 1 }));
    const refused = "port 1 refuses connections. Check that sshd runs there, and connection.port.";
    const inRead = await failure(stack.refresh());
    expect(inRead).toContain(`    error: ${front}:1: ${refused}\n`);
    // Pulumi repeats it on the stack.
    expect(inRead).toContain(`\n    ${front}:1: ${refused}\n`);
    expect(await failure(stack.destroy())).toContain(
        `    error: PortMapping "http" on root@${address}:1: ${refused} If the machine is gone for good, delete with LINUXNET_DELETE_UNREACHABLE=true`,
    );
    await stack.update(() => layout(connection));
});

/** Starts an up that waits for the host's lock, kills the engine, and lets the host finish what it was sent. */
async function killInCreate(project: Project): Promise<void> {
    await using lock = await holdLock(bed.host);
    await lock.waitFor("held");
    const run = project.start("up", "--yes", "--skip-preview", "--stack", "test");
    await waitForWaiter(bed.host);
    process.kill(run.pid, "SIGKILL");
    await run.ended;
    await lock.stop();
    await expectNoProvider(project);
    await expect
        .poll(() => bed.host.exec("ls /var/lib/linuxnet/objects", { check: false }))
        .toMatchObject({ exitCode: 0 });
    await project.pulumi("cancel", "--yes", "--stack", "test");
}

test("rule 4: up finishes what a killed create has made, and deleting the Host sweeps it", async () => {
    await using project = await makeScript(
        `const host = new linuxnet.Host("edge", { connection: values.connection });
        const front = new linuxnet.Network("front", { host, subnet: "172.20.0.0/24" });
        new linuxnet.Sandbox("web", { host }).connect(front);`,
        { connection: bed.host.connection },
    );
    const stateOf = async () => JSON.parse(await project.exportState()).deployment;
    await killInCreate(project);
    // The host has objects of which the state knows only that they were begun.
    expect((await bed.host.exec("ip netns list")).stdout).toContain("web-");
    expect((await stateOf()).pending_operations.length).toBeGreaterThan(0);
    await project.pulumi("refresh", "--yes", "--skip-preview", "--clear-pending-creates", "--stack", "test");
    expect((await stateOf()).pending_operations ?? []).toEqual([]);
    await project.pulumi("up", "--yes", "--skip-preview", "--stack", "test");
    await project.pulumi("preview", "--expect-no-changes", "--stack", "test");
    expect((await bed.host.exec("ls /var/lib/linuxnet/objects | grep json | grep -cv base")).stdout).toBe("3");
    await project.pulumi("destroy", "--yes", "--skip-preview", "--stack", "test");
    await bed.expectAsBefore();

    await killInCreate(project);
    await project.pulumi("destroy", "--yes", "--skip-preview", "--stack", "test");
    await bed.expectAsBefore();
});

test("rule 5: private key and sudo password are in clear nowhere", async () => {
    const password = "correct horse battery";
    const hash = (await execa("openssl", ["passwd", "-6", "-stdin"], { input: password })).stdout;
    await bed.host.exec(`useradd -m -d /run/lab/asked -s /bin/sh -p '${hash}' asked
        cp /etc/ssh/authorized_keys/root /etc/ssh/authorized_keys/asked
        mkdir -p /etc/sudoers.d; echo 'asked ALL=(ALL) ALL' >/etc/sudoers.d/asked; chmod 440 /etc/sudoers.d/asked`);
    const connection = { ...bed.host.connection, user: "asked", sudo: { password } };
    await using project = await makeScript(
        `const host = new linuxnet.Host("edge", { connection: values.connection });
        const front = new linuxnet.Network("front", { host, subnet: "172.20.0.0/24" });
        const web = new linuxnet.Sandbox("web", { host });
        module.exports = { of: host.connection, endpoint: web.connect(front).connection, all: host, ssh: host.commandConnection };`,
        { connection },
    );
    // The body of the key, and the password: also as they stand in JSON.
    const secrets = [connection.privateKey.split("\n")[2] ?? "", password];
    expect(secrets[0]).toHaveLength(70);
    const expectHidden = (text: string) => {
        for (const secret of secrets) expect(text.includes(secret), text.slice(0, 2000)).toBe(false);
    };
    expectHidden(await project.pulumi("preview", "--diff", "--stack", "test"));
    // Not with --debug or --logtostderr: the engine and the Node SDK print there what they send, of every package.
    expectHidden(await project.pulumi("up", "--yes", "--diff", "--stack", "test"));
    expectHidden(await project.exportState());
    // Code in state would be old code one day; what is there is a constant (packaging.test.ts has its text).
    expect(await project.exportState()).not.toMatch(/function|=> *\{/);
    expectHidden(await project.pulumi("stack", "output", "--json", "--stack", "test"));
    expectHidden((await bed.host.exec("cat /var/lib/linuxnet/objects/* /run/linuxnet/*; ps -e -o args=")).stdout);
    expect(await project.exportState("--show-secrets")).toContain(password);
    // A changed connection is shown without its values, and so is an error of it.
    writeFileSync(join(project.folder, "values.json"), JSON.stringify({ connection: { ...connection, port: 1 } }));
    expectHidden(await project.pulumi("up", "--yes", "--diff", "--stack", "test"));
    const refused = project.start("refresh", "--yes", "--diff", "--stack", "test");
    expect(await refused.ended).not.toBe(0);
    expectHidden(refused.output());
    writeFileSync(join(project.folder, "values.json"), JSON.stringify({ connection }));
    await project.pulumi("up", "--yes", "--skip-preview", "--stack", "test");
    await project.pulumi("destroy", "--yes", "--skip-preview", "--stack", "test");
    await bed.expectAsBefore();
});

test("rule 6: a network under live endpoints is replaced in one up, in the right order", async () => {
    const { connection } = bed.host;
    await using stack = await bed.lab.up(() => layout(connection));
    const moved = () => layout(connection, "172.21.0.0/24");
    // Host, sandboxes and stack stay; what is published and allowed follows in place.
    const changes = { replace: 3, same: 4, update: 2 };
    expect((await stack.preview(moved)).changes).toEqual(changes);
    const run = await stack.update(moved);
    expect(run.changes).toEqual(changes);
    const order = ["api-front deleted", "front deleted", "front created", "api-front created"].map((step) => {
        const [name = "", verb = ""] = step.split(" ");
        return run.stdout.search(new RegExp(` ${name} ${verb} (original|replacement)`));
    });
    expect(order).toEqual([...order].sort((a, b) => a - b));
    expect(order[0]).toBeGreaterThan(0);
    expect(stack.outputs.address).toMatch(/^172\.21\.0\./);
    await bed.host.exec("ping -c 1 -W 2 172.21.0.1", { sandbox: "web" });
    expect((await stack.preview()).changes).toEqual({ same: resourceCount + 1 });
});
