import { afterAll, beforeAll, expect, test } from "vitest";
import { createHost, type LabHost, type LabProcess, snapshotHost } from "../../lab/index.js";
import { holdLock, waitForWaiter } from "../integration/host-lock.js";
import { expectNoProvider, makeScript, type Project, printed, type Run } from "./project.js";

/** Twenty resources in four waves: hosts, networks and sandboxes, endpoints, and what hangs on them. */
const program = `
const host = new linuxnet.Host("edge", { connection: values.connection });
const networks = [1, 2, 3].map((i) => new linuxnet.Network("net-" + i, { host, subnet: "172.2" + i + ".0.0/24" }));
for (const i of [1, 2, 3, 4, 5]) {
    const box = new linuxnet.Sandbox("box-" + i, { host });
    const [first] = [networks[i % 3], networks[(i + 1) % 3]].map((network) => box.connect(network));
    if (i === 1) new linuxnet.PortMapping("http", { target: first, hostPort: 8080, targetPort: 80 });
    if (i === 2) new linuxnet.FirewallPolicy("closed", { target: first, ingress: [] });
}
`;

let host: LabHost;

beforeAll(async () => {
    host = await createHost();
});

afterAll(async () => {
    await host?.[Symbol.asyncDispose]();
});

/** Starts `pulumi up` and stops it in its middle: something is made, something waits. */
async function upToTheMiddle(project: Project): Promise<{ run: Run; lock: LabProcess }> {
    // As soon as the first transaction is through.
    const lock = await holdLock(host, "until [ -e /var/lib/linuxnet/generation ]; do :; done");
    const run = project.start("up", "--yes", "--skip-preview", "--stack", "test");
    await lock.waitFor("held", 60_000);
    await waitForWaiter(host);
    return { run, lock };
}

/**
 * Every operation waits, so the engine comes to rest. A SIGKILL while it writes its state file leaves half a file, which
 * no provider can mend.
 */
async function stateIsWritten(project: Project): Promise<void> {
    const read = () => project.exportState().catch(() => "half written");
    let last = "";
    await expect
        .poll(
            async () => {
                const before = last;
                last = await read();
                return last === before && last !== "half written";
            },
            { timeout: 60_000 },
        )
        .toBe(true);
}

/** How many objects the manifest lists. */
async function objectsOnHost(): Promise<number> {
    return Number(
        (await host.exec("ls /var/lib/linuxnet/objects | grep json | grep -cv base", { check: false })).stdout,
    );
}

function resourcesIn(state: string): { readonly type: string }[] {
    const { resources = [] } = JSON.parse(state).deployment;
    return resources.filter(({ type }: { type: string }) => type.startsWith("pulumi-nodejs:dynamic/"));
}

test.each([
    {
        ending: "one Ctrl-C",
        end: async (run: Run, lock: LabProcess) => {
            process.kill(-run.pid, "SIGINT");
            await printed(run, "^C received; cancelling");
            await lock.stop();
        },
    },
    {
        ending: "two Ctrl-C",
        end: async (run: Run, lock: LabProcess) => {
            process.kill(-run.pid, "SIGINT");
            await printed(run, "^C received; cancelling");
            process.kill(-run.pid, "SIGINT");
            await run.ended;
            await lock.stop();
        },
    },
    {
        ending: "SIGKILL",
        end: async (run: Run, lock: LabProcess) => {
            process.kill(run.pid, "SIGKILL");
            await run.ended;
            await lock.stop();
        },
    },
])("interruption: after $ending, cancel, up and destroy leave the host as before", async ({ ending, end }) => {
    const before = await snapshotHost(host);
    await using project = await makeScript(program, { connection: host.connection });
    const { run, lock } = await upToTheMiddle(project);
    await stateIsWritten(project);
    await end(run, lock);
    expect(await run.ended).not.toBe(0);
    await expectNoProvider(project);
    const made = resourcesIn(await project.exportState()).length;
    expect(made).toBeGreaterThan(0);
    expect(made).toBeLessThan(21);
    // Creates that ran when the first Ctrl-C came have finished and are known.
    if (ending === "one Ctrl-C") expect(await objectsOnHost()).toBe(made - 1);

    await project.pulumi("cancel", "--yes", "--stack", "test");
    const up = await project.pulumi("up", "--yes", "--skip-preview", "--stack", "test");
    expect(up).not.toMatch(/error/i);
    expect(resourcesIn(await project.exportState())).toHaveLength(21);
    expect(await objectsOnHost()).toBe(20);
    await project.pulumi("preview", "--expect-no-changes", "--stack", "test");
    await project.pulumi("destroy", "--yes", "--skip-preview", "--stack", "test");
    expect(await snapshotHost(host)).toEqual(before);
});

test("interruption: a provider that has only checked a preview ends itself when its engine is killed", async () => {
    // The program goes on for ever, and with it the preview.
    const endless = `new linuxnet.Host("edge", { connection: values.connection }); setInterval(() => {}, 1000);`;
    await using project = await makeScript(endless, { connection: host.connection });
    const run = project.start("preview", "--stack", "test");
    await printed(run, "edge");
    const providers = () => project.processes().filter((line) => line.includes("dynamic-provider"));
    expect(providers()).toHaveLength(1);
    process.kill(run.pid, "SIGKILL");
    expect(await run.ended).toBe("SIGKILL");
    await expect.poll(providers, { timeout: 15_000 }).toEqual([]);
});
