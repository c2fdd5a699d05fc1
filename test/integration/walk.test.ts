import { afterAll, expect, test } from "vitest";
import { createLab, snapshotHost } from "../../lab/index.js";
import { rollDice } from "../dice.js";
import { openStack } from "./driver.js";
import { layFaults } from "./faults.js";
import { readHostState } from "./host-state.js";
import { startProvider } from "./provider-process.js";
import { Walk } from "./walk.js";

/** `npm run soak` walks 500 times from a seed of its own; `WALK_SEED=7 WALKS=1` walks as walk 7 did. */
const walks = Number(process.env["WALKS"] ?? 20);
const firstSeed = Number(process.env["WALK_SEED"] ?? (process.env["WALKS"] === undefined ? 1 : Date.now() % 1e9));
const seeds = Array.from({ length: walks }, (_, i) => firstSeed + i);
const steps = 30;
const passed = { walks: 0, operations: 0, crashes: 0 };

afterAll(() => {
    console.log(
        `walks: ${passed.walks} of ${walks} from seed ${firstSeed} passed; ${passed.operations} operations, ${passed.crashes} faults and kills`,
    );
});

// Each has a provider and hosts of its own, and waits for them most of the time.
test.concurrent.each(seeds)(
    "walk %i: ends where a fresh create of the same program ends, and leaves nothing",
    { timeout: 300_000 },
    async (seed) => {
        await using lab = await createLab({ hosts: 2 });
        const [first, second] = lab.hosts;
        const before = await Promise.all([snapshotHost(first), snapshotHost(second)]);
        const dice = rollDice(seed);
        const faulty = await layFaults(first);
        await using provider = await startProvider(first);
        const stack = await openStack(first, { provider });
        const walk = new Walk(first, stack, dice, faulty, provider);
        try {
            await walk.start();
            for (let step = 0; step < steps; step++) await walk.step();
            await walk.refreshAndRepair();
            const fresh = await walk.createFresh(second);
            expect(await readHostState(first)).toEqual(await readHostState(second));
            if (dice.chance(0.5)) await walk.damage();
            await Promise.all([stack.destroyAll(), fresh.destroyAll()]);
            await faulty[Symbol.asyncDispose]();
            await provider.kill();
            expect(await Promise.all([snapshotHost(first), snapshotHost(second)])).toEqual(before);
        } catch (error) {
            const how = [...walk.log, String(error)].join("\n");
            console.log(`walk ${seed} went wrong; again with WALK_SEED=${seed} WALKS=1\n${how}`);
            throw error;
        }
        passed.walks++;
        passed.operations += walk.log.filter((line) => /^(create|update|delete|damage)/.test(line)).length;
        passed.crashes += walk.crashes;
    },
);
