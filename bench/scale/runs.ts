import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createLab, type Lab, type LabHost, type LabStack, type LabStackRun } from "../../lab/index.js";
import { secondsOf } from "../measure.js";
import { askAllPairs, type Member, type PairAnswers } from "./all-pairs.js";
import { countEntries, type Entries, entriesMade } from "./entries.js";
import { declareSegment, type SegmentOutputs, type SegmentSize } from "./segment.js";
import { introduceHosts } from "./underlay-neighbours.js";
import type { ProviderCost } from "./witness.js";

/** One run of the engine. */
export interface ScaleRun {
    readonly name: string;
    readonly seconds: number;
    /** Resources by what was done with them: `{ create: 5, update: 2, same: 20 }`. */
    readonly changes: Readonly<Record<string, number>>;
    readonly provider: ProviderCost | undefined;
    readonly stateBytes: number;
}

/** A segment over so many hosts. */
export interface Scale {
    readonly hosts: number;
    readonly endpointsPerHost: number;
    readonly segments: number;
    readonly labSeconds: number;
    readonly hasCheckpoints: boolean;
    readonly runs: readonly ScaleRun[];
    /** What the segment added on the first host, and in one of its sandboxes. */
    readonly entries: Entries;
    readonly sandboxEntries: Entries;
    readonly pairs: PairAnswers;
}

export interface ScaleOptions {
    readonly endpointsPerHost?: number;
    readonly segments?: number;
    readonly hasCheckpoints?: boolean;
    /** Is told how far it is. */
    readonly say?: (text: string) => void;
}

/** `up`, one more endpoint, one more host, refresh and destroy of one segment, through the real engine. */
export async function measureScale(hosts: number, options: ScaleOptions = {}): Promise<Scale> {
    const { endpointsPerHost = 4, segments = 1, hasCheckpoints = true, say = () => undefined } = options;
    const folder = mkdtempSync(join(tmpdir(), "linuxnet-scale-"));
    const witness = join(folder, "providers");
    const startedAt = performance.now();
    const lab: Lab<number> = await createLab({ hosts: hosts + 1 });
    try {
        const labSeconds = (performance.now() - startedAt) / 1000;
        const environment = {
            NODE_OPTIONS: `--require=${join(__dirname, "witness.js")}`,
            LINUXNET_BENCH_WITNESS: witness,
            ...(hasCheckpoints ? {} : { PULUMI_EXPERIMENTAL: "true", PULUMI_SKIP_CHECKPOINTS: "true" }),
        };
        const size: SegmentSize = { hosts, endpointsPerHost, segments };
        await introduceHosts(lab.hosts);
        const first = lab.hosts[0] as LabHost;
        const before = await countEntries(first);
        const nothing: SegmentOutputs = { hosts: [], namespaces: [], addresses: [] };
        // The first run of a workspace makes it, and is not counted.
        await using stack = await lab.up<SegmentOutputs>(() => nothing, { projectName: "scale", environment });
        const runs: ScaleRun[] = [];
        const measure = async (name: string, work: () => Promise<LabStackRun>) => {
            let changes: LabStackRun["changes"] = {};
            const seconds = await secondsOf(async () => {
                changes = (await work()).changes;
            });
            const stateBytes = JSON.stringify(await stack.exportState()).length;
            runs.push({ name, seconds, changes, provider: lastCost(witness), stateBytes });
            say(
                `  ${hosts} hosts, ${endpointsPerHost} sandboxes each, ${segments} segments: ${name} ${seconds.toFixed(1)} s`,
            );
        };
        const update = (more: Partial<SegmentSize> = {}) =>
            stack.update(() => declareSegment(lab.hosts, { ...size, ...more }) as unknown as SegmentOutputs);
        await measure("up", () => update());
        const entries = entriesMade(before, await countEntries(first));
        const sandboxEntries = await countEntries(first, stack.outputs.namespaces[0]);
        const pairs = await askAllPairs(membersOf(lab.hosts, stack));
        await measure("up, nothing to do", () => update());
        await measure("up, one more endpoint", () => update({ further: 1 }));
        await measure("up, one more host", () => update({ further: 1, hosts: hosts + 1 }));
        await measure("refresh", () => stack.refresh());
        await measure("destroy", () => stack.destroy());
        const measured = { hosts, endpointsPerHost, segments, labSeconds, hasCheckpoints };
        return { ...measured, runs, entries, sandboxEntries, pairs };
    } finally {
        await lab[Symbol.asyncDispose]();
        rmSync(folder, { recursive: true, force: true });
    }
}

export function membersOf(machines: readonly LabHost[], { outputs }: Pick<LabStack<SegmentOutputs>, "outputs">) {
    return outputs.addresses.map((address, i): Member => {
        const machine = machines[outputs.hosts[i] ?? 0] as LabHost;
        return { machine, namespace: outputs.namespaces[i] ?? "", address };
    });
}

/** An `up` has a provider for the preview and one for the update, which ends last. */
function lastCost(witness: string): ProviderCost | undefined {
    try {
        return JSON.parse(readFileSync(witness, "utf8").trim().split("\n").at(-1) ?? "");
    } catch {
        return undefined;
    }
}
