import { hostname, userInfo } from "node:os";
import { afterAll, beforeAll, expect, test } from "vitest";
import { createHost, type LabHost } from "../../lab/index.js";
import { openStack, reconnect, type Stack } from "../integration/driver.js";
import { type FaultyHost, layFaults, type Pause } from "../integration/faults.js";
import { makeScript, printed } from "./project.js";

let host: LabHost;
let faulty: FaultyHost;
let shop: Stack;

beforeAll(async () => {
    host = await createHost();
    faulty = await layFaults(host);
    shop = await openStack(host, { project: "shop", name: "dev" });
});

afterAll(async () => {
    await shop?.destroyAll();
    await reconnect();
    await host?.[Symbol.asyncDispose]();
});

/** Another stack's transaction that stops in its middle, with the host's lock. */
async function holdLock(name: string): Promise<{ paused: Pause; ended: Promise<unknown> }> {
    const paused = await faulty.pause(1);
    const ended = shop.sandbox(name);
    await paused.reached();
    return { paused, ended };
}

const holder = (name: string) => `by sandbox "${name}" of stack shop/dev (${userInfo().username}@${hostname()})`;
const up = ["up", "--yes", "--skip-preview", "--stack", "test"];
const program = `
const host = new linuxnet.Host("edge", { connection: values.connection });
new linuxnet.Sandbox("web", { host });
`;

test("lock: a resource that waits says for whom, and goes on when its turn has come", async () => {
    await using project = await makeScript(program, { connection: host.connection });
    const { paused, ended } = await holdLock("slow");
    const run = project.start(...up);
    await printed(run, "waits for the host's lock, held for ");
    const line = run
        .output()
        .split("\n")
        .find((text) => text.includes("waits for"));
    expect(line).toContain("linuxnet:Sandbox web");
    expect(line).toContain(holder("slow"));
    await paused.resume();
    expect(await run.ended).toBe(0);
    await ended;
    await project.pulumi("destroy", "--yes", "--skip-preview", "--stack", "test");
});

test("lock: after lockTimeoutMs the resource fails with the holder's name, and nothing was done", async () => {
    await using project = await makeScript(program, { connection: { ...host.connection, lockTimeoutMs: 3000 } });
    const { paused, ended } = await holdLock("slower");
    const run = project.start(...up);
    expect(await run.ended.finally(paused.resume)).not.toBe(0);
    expect(run.output()).toMatch(/Sandbox "web" on \S+: the host's lock was not free within 3 s: held for \d+ s /);
    expect(run.output()).toContain(`${holder("slower")}. Wait for it to finish, or raise connection.lockTimeoutMs.`);
    await ended;
    expect((await host.exec("ls /run/netns")).stdout).not.toContain("web-");
    await project.pulumi(...up);
    await project.pulumi("destroy", "--yes", "--skip-preview", "--stack", "test");
});
