import { resolve } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { Command } from "commander";
import colors from "picocolors";
import type { HostSnapshot } from "../lab/index.js";
import { type Change, parseChange, renderCreated } from "./changes.js";
import { listeningPorts } from "./expected.js";
import { type LayoutOutputs, layoutShape, layoutWays, listKnockers } from "./layout.js";
import { countDoors, observeWays } from "./matrix.js";
import { phase, show } from "./phase.js";
import { makeThrowawayHost, type Place, useHost } from "./place.js";
import { runAsRoot } from "./root.js";
import { startServers } from "./servers.js";
import { createStack, type Stack } from "./stack.js";
import { renderDifferences, renderLegend, renderMatrix } from "./table.js";

/** The folder of Pulumi.yaml, seen from dist/demo. */
const repository = resolve(__dirname, "../..");

interface Options {
    readonly keep?: boolean;
    readonly host?: string;
    readonly key?: string;
}

/** @returns whether everything was as it should be */
async function demo({ host, key, keep = false }: Options, signal: AbortSignal): Promise<boolean> {
    const startedAt = Date.now();
    await using place = await (host === undefined
        ? phase("Make a throwaway host", makeThrowawayHost)
        : phase(`Log in to ${host}`, () => useHost(host, key)));
    show(place.title);
    const before = await place.snapshot();
    const stack = await createStack(repository, place.configure);
    let isRight = false;
    let isClean = false;
    try {
        isRight = await deploy(place, stack, keep, signal);
    } finally {
        isClean = await compareHost(before, place);
    }
    const seconds = ((Date.now() - startedAt) / 1000).toFixed(0);
    const verdict = isRight && isClean ? colors.green("All as expected") : colors.red("Not as expected");
    process.stdout.write(`\n${verdict}, in ${seconds} s.\n`);
    return isRight && isClean;
}

/** Whatever happens in between, what was made on the host is destroyed. */
async function deploy(place: Place, stack: Stack, keep: boolean, signal: AbortSignal): Promise<boolean> {
    try {
        const outputs = await bringUp(stack, signal);
        await using _servers = await phase("Start a server in every sandbox", () =>
            startServers(place.host, outputs.namespaces, listeningPorts),
        );
        const isRight = await showMatrix(place, outputs);
        const page = await phase(`Fetch ${outputs.url} from outside`, () =>
            place.outside.run(`curl -sS --max-time 5 ${outputs.url}`),
        );
        show(page);
        await phase("pulumi preview --expect-no-changes", () => stack.previewNothing({ signal }));
        if (keep) await keepUntilInterrupted(place, stack, outputs, signal);
        return isRight;
    } finally {
        await destroy(place, stack);
    }
}

async function destroy(place: Place, stack: Stack): Promise<void> {
    try {
        await phase("pulumi destroy", (note) => stack.destroy({ onLine: noteChanges(note) }));
    } catch (error) {
        // What knows how to remove it must stay as long as there is something to remove.
        if (!place.isThrowaway) show(`To try again, type: ${stack.typed("destroy")}`);
        if (!place.isThrowaway) throw error;
        show(colors.red((error as Error).message));
    }
    stack.remove();
}

async function bringUp(stack: Stack, signal: AbortSignal): Promise<LayoutOutputs> {
    const changes: Change[] = [];
    const outputs = await phase("pulumi up", async (note) => {
        await stack.up({ onLine: noteChanges(note, changes), signal });
        return (await stack.outputs()) as LayoutOutputs;
    });
    show(renderCreated(changes));
    return outputs;
}

function noteChanges(note: (text: string) => void, changes: Change[] = []): (line: string) => void {
    return (line) => {
        const change = parseChange(line);
        if (change === undefined) return;
        changes.push(change);
        note(`${change.kind} ${change.name} ${change.what}`);
    };
}

/** @returns whether everybody reaches exactly what is expected */
async function showMatrix(place: Place, outputs: LayoutOutputs): Promise<boolean> {
    const knockers = listKnockers(place, outputs);
    const title = `Try ${countDoors(knockers)} ways: every service, from every sandbox, the host and outside`;
    const observed = await phase(title, () => observeWays(knockers));
    const differences = renderDifferences(layoutWays, observed);
    show(renderMatrix(layoutShape, layoutWays, observed));
    show(renderLegend(layoutWays));
    show(`Open: ${layoutWays.length} expected, ${observed.length} observed, ${differences.length} differences.`);
    for (const difference of differences) show(colors.red(difference));
    return differences.length === 0;
}

async function keepUntilInterrupted(
    place: Place,
    stack: Stack,
    { url, namespaces }: LayoutOutputs,
    signal: AbortSignal,
): Promise<void> {
    const login = place.login(stack.folder);
    process.stdout.write(`
It stays as it is until you press Ctrl-C. To look around, from another terminal:
  curl ${url}
  ${login}
  ${login} ip netns exec ${namespaces["api-1"]} ip address
  ${login} nft list table inet linuxnet
  ${stack.typed("stack")}
`);
    await new Promise((stop) => signal.addEventListener("abort", stop));
    process.stdout.write("\n");
}

/** @returns whether the host is as it was */
async function compareHost(before: HostSnapshot, place: Place): Promise<boolean> {
    const after = await phase("Compare the host with what it was before", place.snapshot);
    const parts = Object.keys(before) as (keyof HostSnapshot)[];
    const changed = parts.filter((part) => !isDeepStrictEqual(before[part], after[part]));
    if (changed.length === 0) show("No difference in interfaces, routes, namespaces, firewall, sysctls and files.");
    for (const part of changed) {
        show(colors.red(`The host's ${part} are not what they were:`));
        show(`before: ${JSON.stringify(before[part])}\nafter:  ${JSON.stringify(after[part])}`);
    }
    return changed.length === 0;
}

const interruption = new Error("Interrupted.");

/** The first Ctrl-C ends the demo in good order, the second at once. */
function watchSignals(): AbortSignal {
    const controller = new AbortController();
    for (const name of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
        process.on(name, () => {
            if (controller.signal.aborted) process.exit(130);
            controller.abort(interruption);
        });
    }
    return controller.signal;
}

async function main(): Promise<number> {
    const program = new Command("npm run demo --")
        .description("Deploys the production layout, tries who reaches whom, and removes it again.")
        .option("--keep", "leave it up until Ctrl-C, to look around")
        .option("--host <user@machine[:port]>", "a Linux machine of your own instead of a throwaway host")
        .option("--key <file>", "the private key for it (default: the SSH agent, then ~/.ssh)")
        .parse();
    const options = program.opts<Options>();
    if (options.host === undefined && process.geteuid?.() !== 0) return runAsRoot();
    return (await demo(options, watchSignals())) ? 0 : 1;
}

main().then(
    (exitCode) => process.exit(exitCode),
    (error: Error) => {
        process.stderr.write(`${colors.red(error.message)}\n`);
        process.exit(error === interruption ? 130 : 1);
    },
);
