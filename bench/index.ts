import { cpus, release } from "node:os";
import { Command, Option } from "commander";
import { type DirectTimes, measureDirect } from "./direct.js";
import { type EngineTimes, measureEngine } from "./engine.js";
import { measureEntry } from "./entry.js";
import { type Goal, renderGoals } from "./goals.js";
import { measureGrowth } from "./growth.js";
import { load } from "./measure.js";
import { measureOperations, type OperationCost, type Verb } from "./operations.js";
import { measurePeers } from "./peers/compare.js";
import type { KindName } from "./provider-calls.js";
import { renderDirect, renderEngine, renderOperations } from "./tables.js";

const sections = ["entry", "operations", "growth", "direct", "engine"] as const;
type Section = (typeof sections)[number];

interface Options {
    readonly quick?: boolean;
    readonly large?: boolean;
    readonly peers?: boolean;
}

const say = (text: string) => process.stdout.write(`${text}\n`);
const startedAt = Date.now();

function title(text: string): void {
    const seconds = ((Date.now() - startedAt) / 1000).toFixed(0);
    say(`\n${text}  [${seconds} s, load ${load()}]`);
}

function benchEntry(): Goal[] {
    title("Loading, milliseconds in a fresh process");
    const { entryMs, firstCheckMs, firstOperationMs } = measureEntry();
    say(`  entry ${entryMs.toFixed(1)}, first check ${firstCheckMs.toFixed(1)}, ssh ${firstOperationMs.toFixed(1)}`);
    return [{ title: "the provider's entry loads", measured: entryMs, limit: 50, unit: "ms" }];
}

async function benchOperations({ quick }: Options): Promise<Goal[]> {
    title("Operations on one host over ssh, below the engine");
    const rows = await measureOperations(quick ? [1, 20] : [1, 20, 100, 500]);
    say(renderOperations(rows));
    return operationGoals(rows);
}

function operationGoals(rows: readonly OperationCost[]): Goal[] {
    const of = (kind: KindName, verb: Verb, count: number) =>
        rows.find((row) => row.kind === kind && row.verb === verb && row.count === count)?.cost;
    const warm = (kind: KindName, title: string, limit: number): Goal[] =>
        (["create", "update", "delete"] as const).map((verb) => ({
            ...{ title: `one warm ${title}, ${verb}`, limit, unit: "ms" as const },
            measured: of(kind, verb, 1)?.wallMs ?? Number.NaN,
        }));
    const trips = rows.filter((row) => row.count === 1 && row.verb !== "observe").map(({ cost }) => cost.roundTrips);
    const look = of("endpoint", "observe", 500);
    return [
        { title: "round trips of one warm operation", measured: Math.max(...trips), limit: 1, unit: "trips" },
        ...warm("endpoint", "endpoint", 12),
        ...warm("portMapping", "port mapping", 6),
        ...(look === undefined
            ? []
            : [{ title: "observing 500 endpoints", measured: look.wallMs, limit: 150, unit: "ms" as const }]),
    ];
}

async function benchGrowth({ quick }: Options): Promise<Goal[]> {
    const many = quick ? 100 : 1000;
    title(`One more endpoint on a host with 1, and on a host with ${many}, in turns`);
    const { createMs, deleteMs, createRatio, deleteRatio } = await measureGrowth(many);
    const line = (name: string, [few, crowded]: readonly [number, number], ratio: number) =>
        say(`  ${name}: ${few.toFixed(1)} ms, ${crowded.toFixed(1)} ms, ratio ${ratio.toFixed(2)}`);
    line("create", createMs, createRatio);
    line("delete", deleteMs, deleteRatio);
    return [
        { title: `endpoint ${many} / endpoint 1, create`, measured: createRatio, limit: 1.2, unit: "x" },
        { title: `endpoint ${many} / endpoint 1, delete`, measured: deleteRatio, limit: 1.2, unit: "x" },
    ];
}

async function benchDirect({ quick }: Options): Promise<Goal[]> {
    title("Endpoints with their sandboxes below the engine, beside one script over an open ssh connection, in turns");
    const rows: DirectTimes[] = await measureDirect(quick ? [20] : [20, 100, 200], quick ? 1 : 3);
    say(renderDirect(rows));
    const last = rows.at(-1);
    if (last === undefined) return [];
    const { count, ours, plain } = last;
    const against = (verb: "create" | "delete", limit: number): Goal => ({
        ...{ title: `${count} endpoints, ${verb}, beside the script as usually written`, limit, unit: "x" },
        measured: ours[verb] / plain[verb],
    });
    return [against("create", 1.3), against("delete", 1)];
}

async function benchEngine({ quick, large, peers }: Options): Promise<Goal[]> {
    title("Through the engine, in turns with resources that do nothing, and what others take");
    const counts = quick ? [20] : [20, 100, 200];
    const others = quick && !peers ? [] : await measurePeers(counts, peers ? Number.POSITIVE_INFINITY : 100);
    const rows: EngineTimes[] = [];
    for (const count of counts) rows.push(await measureEngine(count, { rounds: count < 100 ? 2 : 1 }));
    if (large) rows.push(await measureEngine(1000, { hasCheckpoints: false }));
    say(renderEngine(rows, others));
    return rows
        .filter(({ count }) => count >= 200)
        .flatMap(({ count, ratio }) => [
            { title: `up of ${count} endpoints beside the engine's floor`, measured: ratio.up, limit: 1.15, unit: "x" },
            { title: `empty up of ${count}`, measured: ratio.emptyUp, limit: 1.05, unit: "x" },
        ]);
}

async function bench(wanted: readonly Section[], options: Options): Promise<void> {
    const kernel = release().split("-")[0];
    say(`${cpus().length} cores, Linux ${kernel}, Node ${process.version}, ${new Date().toISOString().slice(0, 10)}`);
    const goals: Goal[] = [];
    const isWanted = (section: Section) => wanted.length === 0 || wanted.includes(section);
    if (isWanted("entry")) goals.push(...benchEntry());
    if (isWanted("operations")) goals.push(...(await benchOperations(options)));
    if (isWanted("growth")) goals.push(...(await benchGrowth(options)));
    if (isWanted("direct")) goals.push(...(await benchDirect(options)));
    if (isWanted("engine")) goals.push(...(await benchEngine(options)));
    title("Done");
    say(renderGoals(goals));
}

new Command("npm run bench --")
    .description("Measures this project beside the engine's own cost and what others take; see docs/benchmarks.md.")
    .argument("[sections...]", `what to measure: ${sections.join(", ")} (default: all)`)
    .addOption(new Option("--quick", "small numbers, a minute"))
    .addOption(new Option("--large", "also 1,000 endpoints through the engine, without checkpoints"))
    .addOption(new Option("--peers", "Ansible also with 200 endpoints, which takes minutes"))
    .action(async (wanted: string[], options: Options) => {
        const unknown = wanted.find((section) => !(sections as readonly string[]).includes(section));
        if (unknown !== undefined) throw new Error(`${unknown} is none of ${sections.join(", ")}`);
        await bench(wanted as Section[], options);
    })
    .parseAsync()
    .catch((error: unknown) => {
        console.error(error);
        process.exitCode = 1;
    });
