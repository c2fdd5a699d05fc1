import { expect, test } from "vitest";
import { createLab, snapshotHost } from "../../lab/index.js";
import { openStack, reconnect } from "./driver.js";
import { layFaults } from "./faults.js";
import { readHostState } from "./host-state.js";
import { rollDice, Walk } from "./walk.js";

/** `WALKS=500` is a soak; `WALK_SEED=7 WALKS=1` walks as walk 7 did. */
const walks = Number(process.env["WALKS"] ?? 5);
const firstSeed = Number(process.env["WALK_SEED"] ?? (process.env["WALKS"] === undefined ? 1 : Date.now() % 1e9));
const seeds = Array.from({ length: walks }, (_, i) => firstSeed + i);
const steps = 30;

test.each(seeds)(
    "walk %i: ends where a fresh create of the same program ends, and leaves nothing",
    { timeout: 120_000 },
    async (seed) => {
        await using lab = await createLab({ hosts: 2 });
        const [first, second] = lab.hosts;
        const before = await Promise.all([snapshotHost(first), snapshotHost(second)]);
        const dice = rollDice(seed);
        const faulty = await layFaults(first);
        const stack = await openStack(first);
        const walk = new Walk(first, stack, dice, faulty);
        try {
            await walk.start();
            for (let step = 0; step < steps; step++) await walk.step();
            await walk.refreshAndRepair();
            const fresh = await walk.createFresh(second);
            expect(await readHostState(first)).toEqual(await readHostState(second));
            if (dice.chance(0.5)) await walk.damage();
            await Promise.all([stack.destroyAll(), fresh.destroyAll()]);
            await faulty[Symbol.asyncDispose]();
            expect(await Promise.all([snapshotHost(first), snapshotHost(second)])).toEqual(before);
        } catch (error) {
            console.log(`walk ${seed} went wrong; again with WALK_SEED=${seed} WALKS=1\n${walk.log.join("\n")}`);
            throw error;
        } finally {
            await reconnect();
        }
    },
);
