import { afterAll, beforeAll, expect, test } from "vitest";
import type { Props } from "../../provider/lifecycle.js";
import { openStack, type Resource, type Stack } from "./driver.js";
import { type Fault, type FaultyHost, faults, layFaults } from "./faults.js";
import { expectOneOf, readHostState } from "./host-state.js";
import { layTestBed } from "./test-bed.js";

const bed = layTestBed();
let stack: Stack;
let faulty: FaultyHost;
let front: Resource<"network">;
let back: Resource<"network">;
let web: Resource<"sandbox">;
let webFront: Resource<"endpoint">;
const happened = { failures: 0, kills: 0, before: 0, after: 0 };

beforeAll(async () => {
    faulty = await layFaults(bed.host);
    stack = await openStack(bed.host);
    front = await stack.network("front", { subnet: "172.20.0.0/24", ipRange: "172.20.0.0/25" });
    back = await stack.network("back", { subnet: "172.21.0.0/24" });
    web = await stack.sandbox("web");
    webFront = await stack.endpoint("web-front", { sandbox: web, network: front });
});

afterAll(async () => {
    const { failures, kills, before, after } = happened;
    console.log(
        `faults: ${failures} steps failed, ${kills} shells killed; ${before} left the host as before, ${after} as after`,
    );
    await faulty.clear();
    await stack.destroyAll();
    await faulty[Symbol.asyncDispose]();
});

const peers = (range: string) => [{ underlayAddress: "198.18.255.254", ipRange: range }];

/** One resource of each kind that others depend on or that hangs on others, and what changes most of it in place. */
const cases: readonly (readonly [string, () => Promise<Resource>, () => Props])[] = [
    [
        "network",
        () => stack.network("alone", { subnet: "172.22.0.0/24", labels: { a: "b" } }),
        () => ({ mtu: 1400, internal: true, isolateEndpoints: true, gateway: "172.22.0.9" }),
    ],
    [
        "sandbox",
        () => stack.sandbox("alone", { sysctls: { "net.ipv4.ip_unprivileged_port_start": "80" } }),
        () => ({ sysctls: { "net.ipv4.ip_unprivileged_port_start": "90", "net.ipv4.ip_default_ttl": "32" } }),
    ],
    [
        "endpoint",
        () => stack.endpoint("web-back", { sandbox: web, network: back, gatewayPriority: 5 }),
        () => ({ ipv4Address: "172.21.0.77", macAddress: "02:00:00:00:00:77", gatewayPriority: -5 }),
    ],
    [
        "port mapping",
        () => stack.portMapping("dns", { target: webFront, hostPort: 5300, targetPort: 53, protocol: ["tcp", "udp"] }),
        () => ({ hostPort: 5301, targetPort: 54 }),
    ],
    [
        "firewall policy",
        () => stack.firewallPolicy("closed", { target: webFront, ingress: [{ action: "allow", ports: [80] }] }),
        () => ({ ingress: [{ action: "reject", from: [back] }], egress: [{ action: "allow", to: ["host"] }] }),
    ],
    [
        "overlay tunnel",
        () => stack.overlayTunnel("far", { network: front, vni: 7, peers: peers("172.20.0.128/29") }),
        () => ({ vni: 8, peers: peers("172.20.0.136/30"), mtu: 1400 }),
    ],
];

/** What happens, and in how many transactions: the first attempt only, or every one. */
const variants = faults.flatMap((fault) => [1, 99].map((transactions) => [fault, transactions] as const));
let turn = 0;

/** Each step meets one of the variants, in turn; with FAULTS=all it meets them all. */
function nextVariants(): readonly (readonly [Fault, number])[] {
    if (process.env["FAULTS"] === "all") return variants;
    turn = (turn + 5) % variants.length;
    return variants.slice(turn, turn + 1);
}

/** Makes each step go wrong in turn. `settle` does the work again where it was not done, `goBack` undoes it. */
async function tryEachStep(
    name: string,
    work: () => Promise<unknown>,
    settle: () => Promise<unknown>,
    goBack: () => Promise<unknown>,
): Promise<void> {
    const before = await readHostState(bed.host);
    const steps = await faulty.countSteps(work);
    const after = await readHostState(bed.host);
    await goBack();
    await expectOneOf(bed.host, `${name}, and back`, { before });
    expect(steps, name).toBeGreaterThan(0);
    for (let step = 1; step <= steps; step++) {
        for (const [fault, transactions] of nextVariants()) {
            const what = `${name}: step ${step} of ${steps} ${fault}, ${transactions} times`;
            await faulty.inject(fault, step, transactions);
            const error = await work().then(
                () => undefined,
                (reason: Error) => reason,
            );
            const count = await faulty.clear();
            happened[fault === "fails" ? "failures" : "kills"] += count;
            // A killed shell puts nothing back; the next one who looks does.
            await front.refresh();
            const state = await expectOneOf(bed.host, `${what} (${error?.message})`, { before, after });
            happened[state as "before" | "after"]++;
            if (transactions === 1) expect([error, state], what).toEqual([undefined, "after"]);
            await settle();
            await expectOneOf(bed.host, `${what}, and once more`, { after });
            await goBack();
            await expectOneOf(bed.host, `${what}, and back`, { before });
        }
    }
}

const timeout = 600_000;

test.each(cases)(
    "%s: a create that fails or dies at any step leaves all or nothing",
    { timeout },
    async (name, create) => {
        let made: Resource | undefined;
        const work = async () => {
            made = await create();
        };
        await tryEachStep(
            `create ${name}`,
            work,
            async () => {
                if (made === undefined) await work();
            },
            async () => {
                await made?.delete();
                made = undefined;
            },
        );
    },
);

test.each(cases)(
    "%s: an update that fails or dies at any step leaves all or nothing",
    { timeout },
    async (name, create, changes) => {
        await using made = await create();
        const old = Object.fromEntries(
            Object.keys(changes()).map((key) => [key, (made.outs as unknown as Props)[key]]),
        );
        await tryEachStep(
            `update ${name}`,
            () => made.update(changes()),
            () => made.update(changes()),
            () => made.update(old),
        );
    },
);

test.each(cases)(
    "%s: a delete that fails or dies at any step leaves all or nothing",
    { timeout },
    async (name, create) => {
        let made: Resource | undefined = await create();
        const work = async () => {
            await made?.delete();
            made = undefined;
        };
        await tryEachStep(`delete ${name}`, work, work, async () => {
            made = await create();
        });
        await made?.delete();
    },
);
