import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { createHost, type LabHost, snapshotHost } from "../../lab/index.js";
import { connectionTo, openUsing } from "../integration/host-connection.js";
import { expectNoProvider, makeScript, type Project } from "./project.js";

const program = `
const host = new linuxnet.Host("edge", { connection: values.connection });
const front = new linuxnet.Network("front", { host, subnet: "172.20.0.0/24" });
new linuxnet.FirewallPolicy("closed", { target: host, ingress: values.ingress }, { dependsOn: front });
`;

let host: LabHost;
beforeAll(async () => {
    host = await createHost();
});
afterAll(() => host[Symbol.asyncDispose]());

const make = (confirmTimeoutMs: number, ingress: readonly object[]): Promise<Project> =>
    makeScript(program, { connection: { ...host.connection, dialTimeoutMs: 4000, confirmTimeoutMs }, ingress });

const rules = async () => (await host.exec("nft list ruleset")).stdout;
const hasHostRules = async () => (await rules()).includes("chain host_ingress");

async function logIn(): Promise<void> {
    await using shell = await openUsing(connectionTo(host));
    expect((await shell.run("id -u", { timeoutMs: 10_000 })).stdout).toBe("0\n");
}

test("lock-out: a policy that drops ssh fails with what to do, and the host is as before", async () => {
    const before = await snapshotHost(host);
    await using project = await make(20_000, []);
    const run = project.start("up", "--yes", "--skip-preview", "--stack", "test");
    expect(await run.ended).not.toBe(0);
    const said = run.output().replace(/\s+/g, " ");
    expect(said).toContain(
        `FirewallPolicy "closed" on root@${host.address}: with this change a new connection to the host`,
    );
    expect(said).toMatch(
        /is as before\. Let its policies allow what a login needs from where Pulumi runs: ingress: \[\{ action: "allow", from: "[\d.]+", ports: 22 \}\]/,
    );
    expect(await hasHostRules()).toBe(false);
    await logIn();

    await project.pulumi("destroy", "--yes", "--skip-preview", "--stack", "test");
    expect(await snapshotHost(host)).toEqual(before);
});

test.each(["engine and provider", "provider"])(
    "lock-out: with %s killed right after the apply the host takes it back",
    async (what) => {
        const before = await snapshotHost(host);
        await using project = await make(3000, []);
        const run = project.start("up", "--yes", "--skip-preview", "--stack", "test");
        await expect.poll(hasHostRules, { timeout: 60_000, interval: 20 }).toBe(true);
        const providers = project.processes().filter((line) => line.includes("dynamic-provider"));
        expect(providers).toHaveLength(1);
        if (what !== "provider") process.kill(run.pid, "SIGKILL");
        for (const line of providers) process.kill(Number.parseInt(line, 10), "SIGKILL");
        expect(await run.ended).not.toBe(0);
        await expect.poll(hasHostRules, { timeout: 10_000 }).toBe(false);
        await logIn();
        await expectNoProvider(project);

        await project.pulumi("cancel", "--yes", "--stack", "test");
        const values = { connection: host.connection, ingress: [{ action: "allow", ports: [22] }] };
        writeFileSync(join(project.folder, "values.json"), JSON.stringify(values));
        await project.pulumi("up", "--yes", "--skip-preview", "--stack", "test");
        expect(await hasHostRules()).toBe(true);
        await project.pulumi("preview", "--expect-no-changes", "--stack", "test");
        await project.pulumi("destroy", "--yes", "--skip-preview", "--stack", "test");
        expect(await snapshotHost(host)).toEqual(before);
    },
);
