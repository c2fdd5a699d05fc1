import { afterAll, beforeAll, expect, test } from "vitest";
import { createHost, type LabHost, snapshotHost } from "../../lab/index.js";
import { expectNoProvider, makeScript, type Project, type Run } from "./project.js";

/** Thirty objects and their host, in four waves. */
const program = `
const host = new linuxnet.Host("edge", { connection: values.connection });
const networks = [1, 2, 3, 4].map((i) => new linuxnet.Network("net-" + i, { host, subnet: "172.2" + i + ".0.0/24" }));
for (let i = 0; i < 8; i++) {
    const box = new linuxnet.Sandbox("box-" + i, { host });
    const [first] = [networks[i % 4], networks[(i + 1) % 4]].map((network) => box.connect(network));
    if (i === 1) new linuxnet.PortMapping("http", { target: first, hostPort: 8080, targetPort: 80 });
    if (i === 2) new linuxnet.FirewallPolicy("closed", { target: first, ingress: [] });
}
`;
const objects = 30;

let host: LabHost;

beforeAll(async () => {
    host = await createHost();
});

afterAll(() => host?.[Symbol.asyncDispose]());

async function countObjects(): Promise<number> {
    return Number(
        (await host.exec("ls /var/lib/linuxnet/objects | grep json | grep -cv base", { check: false })).stdout,
    );
}

/** Interfaces and namespaces of ours in the kernel. */
async function countInKernel(): Promise<readonly number[]> {
    const { stdout } = await host.exec(
        'for p in ln le; do ls /sys/class/net | grep -cE "^$p[0-9a-f]{12}$"; done; ls /run/netns | wc -l',
        { check: false },
    );
    return stdout.split("\n").map(Number);
}

/** Kills the engine, and its provider if asked to, as soon as the host's objects are as many as that. */
async function killAt(project: Project, run: Run, isTime: (count: number) => boolean, withProvider: boolean) {
    let providers: string[] = [];
    // There may be as many from the run before: then as soon as it has a provider.
    while (!isTime(await countObjects()) || providers.length === 0) {
        if ((await Promise.race([run.ended, "runs"])) !== "runs")
            throw new Error(`It ended by itself:\n${run.output()}`);
        providers = project.processes().filter((line) => line.includes("dynamic-provider"));
    }
    process.kill(run.pid, "SIGKILL");
    if (withProvider) for (const line of providers) process.kill(Number.parseInt(line, 10), "SIGKILL");
    await run.ended;
    await expectNoProvider(project);
    await project.pulumi("cancel", "--yes", "--stack", "test");
}

async function resourcesInState(project: Project): Promise<number> {
    const { resources = [] } = JSON.parse(await project.exportState()).deployment;
    return resources.filter(({ type }: { type: string }) => type.startsWith("pulumi-nodejs:dynamic/")).length;
}

test("checkpoints: a run without them that is killed again and again loses nothing", { timeout: 900_000 }, async () => {
    const before = await snapshotHost(host);
    await using project = await makeScript(
        program,
        { connection: host.connection },
        { environment: { PULUMI_EXPERIMENTAL: "true", PULUMI_SKIP_CHECKPOINTS: "true" } },
    );
    const start = (verb: string) => project.start(verb, "--yes", "--skip-preview", "--stack", "test");
    // Left to itself only where what was made shows that it has begun to work: before, it is Pulumi's alone, which stays for good.
    for (const [count, withProvider] of [
        [1, false],
        [10, true],
        [20, true],
        [27, true],
    ] as const) {
        await killAt(project, start("up"), (made) => made >= count, withProvider);
        // Nobody has written down what was made, but the host.
        expect(await resourcesInState(project)).toBe(0);
        expect(await countObjects()).toBeGreaterThanOrEqual(count);
    }
    await project.pulumi("up", "--yes", "--skip-preview", "--stack", "test");
    expect(await resourcesInState(project)).toBe(objects + 1);
    expect(await countObjects()).toBe(objects);
    expect(await countInKernel()).toEqual([4, 16, 8]);
    await project.pulumi("preview", "--expect-no-changes", "--stack", "test");
    await project.pulumi("refresh", "--yes", "--skip-preview", "--expect-no-changes", "--stack", "test");

    await killAt(project, start("destroy"), (left) => left <= 20, true);
    // The state still lists what is gone.
    expect(await resourcesInState(project)).toBe(objects + 1);
    await project.pulumi("destroy", "--yes", "--skip-preview", "--stack", "test");
    expect(await resourcesInState(project)).toBe(0);
    expect(await snapshotHost(host)).toEqual(before);
});
