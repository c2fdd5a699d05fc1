import { expect, test } from "vitest";
import { openStack } from "./driver.js";
import { type ProviderProcess, startProvider } from "./provider-process.js";
import { layTestBed } from "./test-bed.js";
import { ask } from "./traffic.js";

const bed = layTestBed();
const read = async (command: string) => (await bed.host.exec(command)).stdout;

/** Numbers from 0 up. */
const range = (count: number) => Array.from({ length: count }, (_, i) => i);

/** As two engines have them. */
async function twoProviders(): Promise<[ProviderProcess, ProviderProcess] & AsyncDisposable> {
    const both = await Promise.all([startProvider(bed.host), startProvider(bed.host)]);
    const dispose = async () => void (await Promise.all(both.map((each) => each[Symbol.asyncDispose]())));
    return Object.assign(both, { [Symbol.asyncDispose]: dispose });
}

/** How many endpoints and sandboxes there are in the kernel, and how many in the manifest. */
async function countObjects(): Promise<{ kernel: number[]; manifest: number[] }> {
    const counts = await read(`ls /sys/class/net | grep -c '^le'; ls /run/netns | wc -l
        cd /var/lib/linuxnet/objects 2>/dev/null; ls | grep -c '^le.*json'; ls | grep -c '^ls.*json'; :`);
    const [endpoints = 0, sandboxes = 0, ...manifest] = counts.split("\n").map(Number);
    return { kernel: [endpoints, sandboxes], manifest };
}

test("concurrency: 40 endpoints are created at once through one connection, each with its own address", async () => {
    await using stack = await openStack(bed.host);
    const network = await stack.network("front", { subnet: "172.20.0.0/24" });
    const joined = await Promise.all(range(40).map((i) => stack.join(`app-${i}`, network)));
    const addresses = joined.map(({ address }) => address);
    expect(new Set(addresses).size).toBe(40);
    expect(await countObjects()).toEqual({ kernel: [40, 40], manifest: [40, 40] });
    const answers = await ask({ machine: bed.host }, ...addresses.map((address) => `icmp ${address}`));
    expect(new Set(Object.values(answers))).toEqual(new Set(["reply"]));
    const drift = await Promise.all(joined.map(({ endpoint }) => endpoint.refresh()));
    expect(drift.flat()).toEqual([]);
    await Promise.all(joined.map(({ endpoint }) => endpoint.delete()));
    await Promise.all(joined.map(({ sandbox }) => sandbox.delete()));
    expect(await countObjects()).toEqual({ kernel: [0, 0], manifest: [0, 0] });
});

test("concurrency: runs of two stacks, each in a process of its own, work on one network at once and share no address", async () => {
    await using providers = await twoProviders();
    const [one, other] = providers;
    await using platform = await openStack(bed.host, { name: "platform" });
    const network = await platform.network("front", { subnet: ["172.20.0.0/24", "fd00:20::/64"], attachable: true });
    await using blue = await openStack(bed.host, { name: "blue", provider: one });
    await using green = await openStack(bed.host, { name: "green", provider: other });
    const [joined, chosen] = await Promise.all([
        Promise.all([blue, green].flatMap((stack) => range(12).map((i) => stack.join(`app-${i}`, network)))),
        Promise.all([blue, green].flatMap((stack) => range(3).map((i) => stack.network(`own-${i}`, { ipv6: true })))),
    ]);
    expect(new Set(joined.map(({ address }) => address)).size).toBe(24);
    expect(new Set(joined.map(({ endpoint }) => endpoint.outs.ipv6Address)).size).toBe(24);
    expect(new Set(chosen.flatMap(({ outs }) => outs.subnets)).size).toBe(12);
    expect(await countObjects()).toEqual({ kernel: [24, 24], manifest: [24, 24] });
    const both = await Promise.all([
        ...joined.slice(0, 12).map(({ endpoint }) => endpoint.delete()),
        ...joined.slice(12).map(({ endpoint }) => endpoint.update({ labels: { a: "b" } })),
    ]);
    expect(both.slice(12)).toEqual(range(12).map(() => "update"));
    expect(await countObjects()).toEqual({ kernel: [12, 24], manifest: [12, 24] });
    const answers = await ask({ machine: bed.host }, ...joined.slice(12).map(({ address }) => `icmp ${address}`));
    expect(new Set(Object.values(answers))).toEqual(new Set(["reply"]));
});

test("concurrency: bad resources among good ones fail alone, each with its own reason", async () => {
    await using stack = await openStack(bed.host);
    const network = await stack.network("front", { subnet: "172.20.0.0/24" });
    const sandboxes = await Promise.all(range(6).map((i) => stack.sandbox(`app-${i}`)));
    const attach = (i: number, args = {}) =>
        stack.endpoint(`app-${i}-front`, { sandbox: sandboxes[i], network, ...args });
    const outcomes = await Promise.allSettled([
        attach(0),
        attach(1, { ipv4Address: "172.20.0.1" }),
        attach(2),
        // The kernel's own refusals: it has no such key, and the name is taken inside.
        stack.sandbox("bad", { sysctls: { "net.ipv4.no_such_key": 1 } }),
        attach(3, { macAddress: "02:00:00:00:00:03" }),
        attach(4, { ipv4Address: "172.20.0.1" }),
    ]);
    const reasons = outcomes.map((outcome) => (outcome.status === "rejected" ? String(outcome.reason.message) : "ok"));
    expect(reasons[0]).toBe("ok");
    expect(reasons[1]).toContain("address 172.20.0.1 is the gateway");
    expect(reasons[2]).toBe("ok");
    expect(reasons[3]).toMatch(/^Sandbox "bad" on .*no_such_key.*The host was put back as it was/s);
    expect(reasons[4]).toBe("ok");
    expect(reasons[5]).toContain('Endpoint "app-4-front"');
    expect(await countObjects()).toEqual({ kernel: [3, 6], manifest: [3, 6] });
});
