import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openStack, type Resource, type Stack } from "./driver.js";
import { caseKinds, layCases } from "./fault-cases.js";
import { type Fault, type FaultyHost, layFaults } from "./faults.js";
import { expectOneOf, readHostState } from "./host-state.js";
import { type Provider, type ProviderProcess, providerHere, startProvider } from "./provider-process.js";
import { layTestBed } from "./test-bed.js";

type Member = (typeof caseKinds)[number];

const all = process.env["FAULTS"] === "all";
const timeout = 600_000;
const bed = layTestBed();
const made = new Map<Member, Resource>();
let faulty: FaultyHost;
let stack: Stack;
let cases: Awaited<ReturnType<typeof layCases>>;

beforeAll(async () => {
    faulty = await layFaults(bed.host);
});

afterAll(async () => {
    await faulty[Symbol.asyncDispose]();
});

/** What the group hangs on, for the tests of one block. */
function layStack(start: () => Promise<Provider & Partial<AsyncDisposable>>): void {
    let provider: Awaited<ReturnType<typeof start>>;
    beforeAll(async () => {
        provider = await start();
        stack = await openStack(bed.host, { provider });
        cases = await layCases(stack);
    });
    afterAll(async () => {
        await faulty.clear();
        await stack.destroyAll();
        made.clear();
        await provider[Symbol.asyncDispose]?.();
    });
}

/** Creates those that are not there, all at once: one transaction. @returns what went wrong, by member. */
async function createAll(members: readonly Member[] = caseKinds): Promise<Partial<Record<Member, string>>> {
    const errors: Partial<Record<Member, string>> = {};
    const create = async (member: Member) => {
        if (!made.has(member)) made.set(member, await cases[member].create());
    };
    await Promise.all(
        members.map((member) =>
            create(member).catch((error: Error) => {
                errors[member] = error.message;
            }),
        ),
    );
    return errors;
}

async function deleteAll(): Promise<Partial<Record<Member, string>>> {
    const errors: Partial<Record<Member, string>> = {};
    const remove = async ([member, resource]: [Member, Resource]) => {
        await resource.delete();
        made.delete(member);
    };
    await Promise.all(
        [...made].map((entry) =>
            remove(entry).catch((error: Error) => {
                errors[entry[0]] = error.message;
            }),
        ),
    );
    return errors;
}

const variants: readonly (readonly [Fault, number])[] = [
    ["fails", 1],
    // The group and the group that looked first: then its members come one by one.
    ["fails", 2],
    ["kills before", 1],
    ["kills before", 2],
    ["kills after", 1],
    ["kills after", 2],
    ["kills the shell", 1],
    ["cuts", 1],
];

/** Some of several, in turn; with FAULTS=all every one. */
const choose = <T>(values: readonly T[], turn: number) =>
    all ? values : values.slice(turn % values.length).slice(0, 1);

describe("in this process", () => {
    layStack(async () => providerHere);

    test.each([
        ["create", createAll, deleteAll],
        ["delete", deleteAll, createAll],
    ] as const)(
        "group: a %s of six kinds at once, hit at any step, is done all the same",
        { timeout },
        async (name, work, goBack) => {
            if (name === "delete") expect(await createAll()).toEqual({});
            const before = await readHostState(bed.host);
            const steps = await faulty.countSteps(work);
            const after = await readHostState(bed.host);
            expect(await goBack()).toEqual({});
            let hits = 0;
            for (let step = 1; step <= steps; step++) {
                for (const [fault, transactions] of choose(variants, 3 * step)) {
                    const what = `${name}: step ${step} of ${steps} ${fault}, ${transactions} times`;
                    await faulty.inject(fault, step, transactions);
                    expect(await work(), what).toEqual({});
                    hits += await faulty.clear();
                    await expectOneOf(bed.host, what, { after });
                    expect(await goBack(), what).toEqual({});
                    await expectOneOf(bed.host, `${what}, and back`, { before });
                }
            }
            console.log(`group ${name}: ${steps} steps, ${hits} faults`);
            expect(hits).toBeGreaterThanOrEqual(steps);
            await deleteAll();
        },
    );

    test("group: a member that the kernel refuses at any of its steps fails alone, with its own error", {
        timeout,
    }, async () => {
        for (const [turn, member] of caseKinds.entries()) {
            const neighbours = caseKinds.filter((each) => each !== member);
            expect(await createAll(neighbours)).toEqual({});
            const without = await readHostState(bed.host);
            expect(await createAll([member])).toEqual({});
            const withIt = await readHostState(bed.host);
            const key = made.get(member)?.id.split(".")[0] ?? "";
            await deleteAll();
            const steps = await faulty.countSteps(() => createAll([member]), key);
            await deleteAll();
            expect(steps, member).toBeGreaterThan(0);
            for (const step of choose(
                Array.from({ length: steps }, (_, i) => i + 1),
                turn,
            )) {
                const what = `${member}: step ${step} of ${steps}`;
                await faulty.inject("fails", step, 99, key);
                const errors = await createAll();
                await faulty.clear();
                expect(Object.keys(errors), what).toEqual([member]);
                expect(errors[member], what).toMatch(
                    /failed: a fault was injected\. The host was put back as it was\./,
                );
                await expectOneOf(bed.host, what, { without });
                expect(await createAll(), what).toEqual({});
                await expectOneOf(bed.host, `${what}, and once more`, { withIt });
                expect(await deleteAll(), what).toEqual({});
            }
        }
    });

    test("group: of two members that want the same, one has it and the other is told who", async () => {
        const first = cases["port mapping"];
        const { target } = (await first.create().then(async (mapping) => {
            const outs = mapping.outs as unknown as { target: unknown };
            await mapping.delete();
            return outs;
        })) as { target: never };
        const publish = (name: string) => stack.portMapping(name, { target, hostPort: 5300, targetPort: 53 });
        const outcomes = await Promise.allSettled([publish("a"), publish("b"), stack.sandbox("bystander")]);
        const [, second, third] = outcomes;
        expect(outcomes.map(({ status }) => status)).toEqual(["fulfilled", "rejected", "fulfilled"]);
        expect(String((second as PromiseRejectedResult).reason.message)).toContain(
            'host port 5300/tcp is already published by port mapping "a" of stack test/dev. Choose another hostPort, or leave it out.',
        );
        for (const outcome of [third, outcomes[0]]) if (outcome?.status === "fulfilled") await outcome.value.delete();
    });
});

describe("in a process of its own", () => {
    let provider: ProviderProcess;
    layStack(async () => {
        provider = await startProvider(bed.host);
        return provider;
    });
    test("group: its provider killed at any step, the next run ends well", { timeout }, async () => {
        const before = await readHostState(bed.host);
        const steps = await faulty.countSteps(createAll);
        const after = await readHostState(bed.host);
        await deleteAll();
        let kills = 0;
        for (let step = 1; step <= steps; step += all ? 1 : 3) {
            const what = `step ${step} of ${steps}`;
            const paused = await faulty.pause(step);
            const outcome = createAll();
            // Those that come a moment later make a group of their own, and each group is shorter.
            const wasReached = await Promise.race([paused.reached(), outcome.then(() => false)]);
            if (wasReached) {
                kills++;
                await provider.kill();
                await paused.resume();
                expect(new Set(Object.values(await outcome)), what).toEqual(new Set(["the provider was killed"]));
            }
            await faulty.clear();
            expect(await cases.front.refresh(), what).toEqual([]);
            expect(await createAll(), what).toEqual({});
            await expectOneOf(bed.host, `${what}, and once more`, { after });
            expect(await deleteAll(), what).toEqual({});
            await expectOneOf(bed.host, `${what}, and back`, { before });
        }
        console.log(`group: ${kills} kills of the provider`);
        expect(kills).toBeGreaterThan(0);
    });
});
