import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Props } from "../../provider/lifecycle.js";
import { openStack, type Resource, type Stack } from "./driver.js";
import { caseKinds, layCases } from "./fault-cases.js";
import { type Fault, type FaultyHost, layFaults } from "./faults.js";
import { expectOneOf, readHostState } from "./host-state.js";
import { type ProviderProcess, startProvider } from "./provider-process.js";
import { layTestBed } from "./test-bed.js";

/** What happens at a step, and in how many transactions: the first attempt only, or every one. */
type Variant = readonly [Fault | "kills the provider", number];

const ofTheScript = (["fails", "kills before", "kills after"] as const).flatMap((fault): Variant[] => [
    [fault, 1],
    [fault, 99],
]);
const ofTheConnection: readonly Variant[] = [
    ["kills the shell", 1],
    ["kills the provider", 1],
    ["cuts", 1],
];
/** What a script meets does not depend on what carries it; each carrier dies in its own way. */
const variantsOf = {
    ssh2: [...ofTheScript, ...ofTheConnection],
    openssh: ofTheConnection,
    local: ofTheConnection.slice(0, 2),
} as const;
const all = process.env["FAULTS"] === "all";

const bed = layTestBed();
const happened = new Map<string, number>();
const count = (what: string, times = 1) => void happened.set(what, (happened.get(what) ?? 0) + times);
let faulty: FaultyHost;
let turn = 0;

beforeAll(async () => {
    faulty = await layFaults(bed.host);
});

afterAll(async () => {
    await faulty[Symbol.asyncDispose]();
    const kills = [...happened].reduce((sum, [what, times]) => sum + (what.includes("kill") ? times : 0), 0);
    const kinds = [...happened].map(([what, times]) => `${what} ${times}`).sort();
    console.log(`faults: ${kills} kills in all; ${kinds.join(", ")}`);
});

describe.each(["ssh2", "openssh", "local"] as const)("over %s", (transport) => {
    let provider: ProviderProcess;
    let stack: Stack;
    let cases: Awaited<ReturnType<typeof layCases>>;

    beforeAll(async () => {
        provider = await startProvider(bed.host);
        stack = await openStack(bed.host, { provider, connection: { transport } });
        cases = await layCases(stack);
    });

    afterAll(async () => {
        await faulty.clear();
        await stack.destroyAll();
        await provider[Symbol.asyncDispose]();
    });

    /** With FAULTS=all every step meets every variant; else some steps of each operation meet one each, in turn. */
    function chooseVariants(steps: number): (readonly [number, Variant])[] {
        const variants = variantsOf[transport];
        const numbers = Array.from({ length: steps }, (_, i) => i + 1);
        if (all) return numbers.flatMap((step) => variants.map((variant) => [step, variant] as const));
        turn++;
        const due = numbers.filter((step) =>
            transport === "ssh2" ? (step + turn) % 2 === 0 || steps === 1 : step === 1 + (turn % steps),
        );
        return due.flatMap((step) =>
            variants
                .slice((turn + step) % variants.length)
                .slice(0, 1)
                .map((variant) => [step, variant] as const),
        );
    }

    async function strike([fault, transactions]: Variant, step: number, work: () => Promise<unknown>) {
        const attempt = () =>
            work().then(
                () => undefined,
                (reason: Error) => reason,
            );
        if (fault !== "kills the provider") {
            await faulty.inject(fault, step, transactions);
            const error = await attempt();
            return { error, times: await faulty.clear() };
        }
        const paused = await faulty.pause(step);
        const outcome = attempt();
        await paused.reached();
        await provider.kill();
        await paused.resume();
        const error = await outcome;
        return { error, times: await faulty.clear() };
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
        for (const [step, variant] of chooseVariants(steps)) {
            const [fault, transactions] = variant;
            const what = `${name}: step ${step} of ${steps} ${fault}, ${transactions} times`;
            const { error, times } = await strike(variant, step, work);
            expect(times, what).toBeGreaterThan(0);
            count(fault === "cuts" ? "kills the ssh daemon's children" : fault, times);
            // A killed shell puts nothing back; the next one who looks does.
            await cases.front.refresh();
            const state = await expectOneOf(bed.host, `${what} (${error?.message})`, { before, after });
            count(`host as ${state}`);
            if (fault === "kills the provider")
                expect([error?.message, state], what).toEqual(["the provider was killed", "after"]);
            else if (transactions === 1) expect([error, state], what).toEqual([undefined, "after"]);
            await settle();
            await expectOneOf(bed.host, `${what}, and once more`, { after });
            await goBack();
            await expectOneOf(bed.host, `${what}, and back`, { before });
        }
    }

    const timeout = 900_000;

    test.each(caseKinds)("%s: a create hit at any step leaves all or nothing", { timeout }, async (kind) => {
        let made: Resource | undefined;
        const work = async () => {
            made = await cases[kind].create();
        };
        await tryEachStep(
            `create ${kind} over ${transport}`,
            work,
            async () => {
                if (made === undefined) await work();
            },
            async () => {
                await made?.delete();
                made = undefined;
            },
        );
    });

    test.each(caseKinds)("%s: an update hit at any step leaves all or nothing", { timeout }, async (kind) => {
        const { create, changes } = cases[kind];
        await using made = await create();
        const old = Object.fromEntries(Object.keys(changes).map((key) => [key, (made.outs as unknown as Props)[key]]));
        await tryEachStep(
            `update ${kind} over ${transport}`,
            () => made.update(changes),
            () => made.update(changes),
            () => made.update(old),
        );
    });

    test.each(caseKinds)("%s: a delete hit at any step leaves all or nothing", { timeout }, async (kind) => {
        let made: Resource | undefined = await cases[kind].create();
        const work = async () => {
            await made?.delete();
            made = undefined;
        };
        await tryEachStep(`delete ${kind} over ${transport}`, work, work, async () => {
            made = await cases[kind].create();
        });
        await made?.delete();
    });
});
