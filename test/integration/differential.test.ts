import { afterAll, expect, test } from "vitest";
import { type Stage, stages } from "../../provider/evaluator/packet.js";
import { rollDice } from "../dice.js";
import { rollGround } from "../layouts.js";
import { allPaths } from "./expected-answer.js";
import { type LaidOut, withLayout } from "./laid-out.js";
import { layTestBed } from "./test-bed.js";

/** `npm run soak` sends 20,000; `PAIRS_SEED=7 PAIRS=1` lays out what was laid out as 7. */
const wanted = Number(process.env["PAIRS"] ?? 3200);
const firstSeed = Number(process.env["PAIRS_SEED"] ?? (process.env["PAIRS"] === undefined ? 1 : Date.now() % 1e9));
const rounds = 4;
const packetsEach = 100;
const layouts = Math.ceil(wanted / (rounds * packetsEach));
const seeds = Array.from({ length: layouts }, (_, i) => firstSeed + i);
const bed = layTestBed();

/** What was tried: packets, and of how many each stage decided, and how many took each kind of way. */
const seen = {
    pairs: 0,
    verdicts: new Map<string, number>(),
    stages: new Map<Stage, number>(),
    paths: new Map<string, number>(),
};
const count = <K>(counts: Map<K, number>, key: K, more = 1) => counts.set(key, (counts.get(key) ?? 0) + more);
const print = (counts: ReadonlyMap<string, number>) =>
    [...counts]
        .sort()
        .map(([name, number]) => `${name} ${number}`)
        .join(", ");

afterAll(() => {
    const { pairs, verdicts, stages, paths } = seen;
    const text = [verdicts, stages, paths].map((counts) => `  ${print(counts)}`).join("\n");
    console.log(`differential: ${pairs} packets in ${layouts} layouts from seed ${firstSeed}\n${text}`);
});

test.each(seeds)("differential: layout %i: evaluator and kernel agree on every packet", async (seed) => {
    const dice = rollDice(seed);
    await withLayout(bed, dice, rollGround(dice), async (layout) => {
        for (let round = 0; round < rounds; round++) {
            await layout.rollRules();
            // Connections go on, whatever the rules say now.
            const { count: established, ended } = await layout.askHeld();
            expect(ended, explain(seed, layout)).toEqual([]);
            count(seen.stages, "established", established);
            const disagreements = await layout.compare(layout.rollPackets(packetsEach), ({ said, path }) => {
                seen.pairs++;
                count(seen.paths, path);
                for (const { verdict, stage } of said) {
                    count(seen.verdicts, verdict);
                    count(seen.stages, stage);
                }
            });
            expect(disagreements.map(({ text }) => text).join("\n"), explain(seed, layout)).toBe("");
        }
    });
});

test("differential: each stage decided often, and each kind of way was taken", () => {
    const areRare = (counts: ReadonlyMap<string, number>, least: number) => (name: string) =>
        (counts.get(name) ?? 0) < Math.floor(least);
    expect(stages.filter(areRare(seen.stages, 8 * Math.floor(wanted / 3200)))).toEqual([]);
    expect(allPaths.filter(areRare(seen.paths, wanted / 3200))).toEqual([]);
});

test("differential: a rule that is broken behind the provider's back is found, and no longer when it is repaired", async () => {
    const dice = rollDice(1);
    const ground = rollGround(dice);
    const plain = ground.networks.map((each) => ({ ...each, args: { subnet: each.args["subnet"] } }));
    await withLayout(bed, dice, { ...ground, networks: plain }, async (layout) => {
        await layout.rollRules();
        const packets = layout.rollPackets(packetsEach);
        const compare = async () => (await layout.compare(packets)).map(({ said }) => said[0]?.reason ?? "");
        expect(await compare()).toEqual([]);
        // Networks are closed to each other.
        const { stdout } = await bed.host.exec("nft --handle list chain inet linuxnet closing");
        const [, handle] = /iifname @networks oifname @networks drop .*# handle (\d+)/.exec(stdout) ?? [];
        await bed.host.exec(`nft delete rule inet linuxnet closing handle ${handle}`);
        const found = await compare();
        expect(found.length).toBeGreaterThan(0);
        for (const reason of found) expect(reason).toMatch(/^network .* are closed to each other, and no policy/);
        expect(await layout.stack.host.refresh()).toHaveLength(1);
        await layout.stack.host.update({});
        expect(await compare()).toEqual([]);
    });
});

function explain(seed: number, layout: LaidOut): string {
    return `layout ${seed} disagrees; again with PAIRS_SEED=${seed} PAIRS=1\n${layout.print()}`;
}
