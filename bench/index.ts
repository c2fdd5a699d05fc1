import { cpus, release } from "node:os";
import { Command, Option } from "commander";
import { benchAnswers } from "./answers/section.js";
import { type DirectTimes, measureDirect } from "./direct.js";
import { type EngineTimes, measureEngine } from "./engine.js";
import { measureEntry } from "./entry.js";
import { type Goal, renderGoals } from "./goals.js";
import { measureGrowth } from "./growth.js";
import { benchNames } from "./names/section.js";
import { measureOperations, type OperationCost, type Verb } from "./operations.js";
import { benchOverlay } from "./overlay/section.js";
import { measurePeers } from "./peers/compare.js";
import { type Crowded, measureCrowded } from "./ports/crowded.js";
import { measurePolicies, type PolicyCost } from "./ports/policies.js";
import { measurePublishing, type PublishTimes } from "./ports/publish.js";
import { renderCrowded, renderPolicies, renderPublishing } from "./ports/tables.js";
import type { KindName } from "./provider-calls.js";
import { type Options, say, title } from "./report.js";
import { benchScale } from "./scale/section.js";
import { renderDirect, renderEngine, renderOperations } from "./tables.js";

const sections = [
    "entry",
    "operations",
    "growth",
    "ports",
    "direct",
    "engine",
    "overlay",
    "scale",
    "names",
    "answers",
] as const;
type Section = (typeof sections)[number];

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

async function benchPorts({ quick, peers }: Options): Promise<Goal[]> {
    title("Ports of one sandbox, published and removed, in turns with Docker and netavark");
    const publishing = await measurePublishing(
        quick ? [1, 10] : [1, 10, 100, 500],
        peers ? Number.POSITIVE_INFINITY : 100,
    );
    say(renderPublishing(publishing));
    title("The first packet through the last of many mappings, beside the only one of another host, in turns");
    const crowded = await measureCrowded(quick ? [1, 100] : [1, 100, 1000, 10_000], quick ? 500 : 3000);
    say(renderCrowded(crowded));
    title("The first packet past policies, beside a host with one policy of one member, in turns");
    const policies = await measurePolicies(
        quick ? [10, 100] : [10, 100, 1000, 10_000],
        quick ? [20] : [500],
        quick ? 500 : 3000,
    );
    say(renderPolicies(policies));
    return portGoals(publishing.rows, crowded, policies);
}

function portGoals(rows: readonly PublishTimes[], crowded: Crowded, policies: readonly PolicyCost[]): Goal[] {
    const hundred = (name: string) => rows.find((row) => row.name === name && row.count === 100)?.ratio?.[0];
    const times = (name: string): Goal[] => {
        const ratio = hundred(name);
        if (ratio === undefined) return [];
        return [{ title: `100 ports beside ${name}`, measured: 1 / ratio, limit: 1 / 100, unit: "x" }];
    };
    const last = crowded.latencies.at(-1);
    const { count, createRatio, deleteRatio } = crowded.oneMore;
    const others = policies.filter(({ what }) => what !== "members").at(-1);
    return [
        ...times("Docker"),
        ...times("Docker, userland-proxy off"),
        ...(last?.packets ?? []).map(
            ({ protocol, ratio }): Goal => ({
                ...{ title: `the last of ${count} mappings / the only one, ${protocol}`, limit: 1.1, unit: "x" },
                measured: ratio,
            }),
        ),
        ...(typeof crowded.throughput === "string"
            ? []
            : [
                  {
                      ...{ title: "plain routed forwarding / through a mapping", limit: 1 / 0.95, unit: "x" as const },
                      measured: 1 / crowded.throughput.ratio,
                  },
              ]),
        { title: `one port more at ${count} / at 10, create`, measured: createRatio, limit: 1.2, unit: "x" },
        { title: `one port more at ${count} / at 10, delete`, measured: deleteRatio, limit: 1.2, unit: "x" },
        ...(others === undefined
            ? []
            : [
                  {
                      ...{ title: `past a policy, ${others.count} on other endpoints / none`, limit: 1.1 },
                      ...{ measured: others.packet.ratio, unit: "x" as const },
                  },
              ]),
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
    if (isWanted("ports")) goals.push(...(await benchPorts(options)));
    if (isWanted("direct")) goals.push(...(await benchDirect(options)));
    if (isWanted("engine")) goals.push(...(await benchEngine(options)));
    if (isWanted("overlay")) goals.push(...(await benchOverlay(options)));
    if (isWanted("scale")) goals.push(...(await benchScale(options)));
    if (isWanted("names")) goals.push(...(await benchNames(options)));
    if (isWanted("answers")) goals.push(...(await benchAnswers()));
    title("Done");
    say(renderGoals(goals));
}

new Command("npm run bench --")
    .description("Measures this project beside the engine's own cost and what others take; see docs/benchmarks.md.")
    .argument("[sections...]", `what to measure: ${sections.join(", ")} (default: all)`)
    .addOption(new Option("--quick", "small numbers, a minute"))
    .addOption(new Option("--large", "also 1,000 endpoints through the engine, without checkpoints"))
    .addOption(new Option("--hosts <numbers>", "how many hosts the section scale has, in turn (default: 2,5,10,20,50)"))
    .addOption(
        new Option("--vm", "the section overlay also with both ciphers, in virtual machines, which takes minutes"),
    )
    .addOption(
        new Option("--peers", "Ansible also with 200 endpoints and netavark with 500 ports, which takes minutes"),
    )
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
