import { randomBytes } from "node:crypto";
import { type Item, keyOf, observe, typeOf } from "../kernel/item.js";
import { isEmpty, plan } from "../kernel/plan.js";
import type { Snapshot } from "../kernel/snapshot.js";
import { type Connection, describeConnection } from "../model/connection.js";
import type { BaseObject, HostObject } from "../model/object.js";
import { Refusal } from "../model/refusal.js";
import type { HostFacts, World } from "../model/world.js";
import { capabilitiesScript, factsScript, parseCapabilities, parseFacts } from "./facts.js";
import { describeFailure, isInTheWay, parseListeners, TransactionFailed } from "./failure.js";
import { type Manifest, parseManifest } from "./manifest.js";
import { openShell } from "./open-shell.js";
import { parseSections } from "./sections.js";
import { ConnectionError, type ScriptResult, type Shell } from "./shell.js";
import { parseSnapshot, snapshotScript } from "./snapshot.js";
import { exits, renderTransaction } from "./transaction.js";

/** What objects mean in the kernel; given by the layer above, because `host` knows no kinds. */
export interface Meaning {
    itemsOf(keys: Iterable<string>, world: World): Item[];
    affectedBy(keys: Iterable<string>, world: World): Set<string>;
    withParents(keys: Iterable<string>, world: World): Set<string>;
    buildBase(facts: HostFacts): BaseObject;
}

/** Objects to put, or to take out (`undefined`), worked out from the newest state of the host. */
export type Change = ReadonlyMap<string, HostObject | undefined>;

export interface Operation {
    /** `Endpoint "web" of stack dev`, shown to others who wait for the lock. */
    readonly owner: string;
    /** Look at the kernel first instead of trusting the manifest. */
    readonly repair: boolean;
    /** Pure; asked again when somebody else was faster. @throws Refusal */
    decide(world: World, facts: HostFacts): Change;
}

export interface Observation {
    readonly world: World;
    /** What differs between what the objects should have and what the kernel shows, in words; empty: nothing. */
    driftOf(key: string): readonly string[];
}

export interface Host {
    readonly connection: Connection;
    readonly facts: HostFacts;
    /** The newest known objects of all stacks. */
    world(): World;
    /** Applies an operation; concurrent ones share a transaction. @throws Refusal | TransactionFailed | ConnectionError */
    commit(operation: Operation): Promise<World>;
    /** Reads objects and kernel in one round trip, shared by all who ask at the same time. */
    observe(): Promise<Observation>;
    capabilities(): Promise<readonly string[]>;
    /** Scripts sent since the host was opened; each is one round trip. */
    roundTrips(): number;
    close(): void;
}

interface Pending {
    readonly operation: Operation;
    readonly resolve: (world: World) => void;
    readonly reject: (error: unknown) => void;
}

/** Large groups make long locks; others wait no longer than for this many objects. */
const maximumGroup = 64;
const maximumTries = 8;

/** @throws ConnectionError | Error when the host cannot be reached or lacks what is needed. */
export async function openHost(connection: Connection, meaning: Meaning): Promise<Host> {
    const opened = await openShell(connection);
    let shell: Promise<Shell> | undefined = Promise.resolve(opened);
    const hello = await opened.run(factsScript, { timeoutMs: connection.operationTimeoutMs });
    const facts = parseFacts(complete(hello, connection));
    let manifest: Manifest = parseManifest(parseSections(hello.stdout));
    const pending: Pending[] = [];
    let draining = false;
    let roundTrips = 1;

    async function run(script: string): Promise<ScriptResult> {
        const timeoutMs = connection.operationTimeoutMs + connection.lockTimeoutMs;
        try {
            shell ??= openShell(connection);
            roundTrips++;
            return await (await shell).run(script, { timeoutMs });
        } catch (error) {
            // The next operation dials again; what this one did is found out by looking.
            if (error instanceof ConnectionError) shell = undefined;
            throw error;
        }
    }

    async function look(items: readonly Item[]): Promise<Snapshot> {
        const stdout = complete(await run(snapshotScript(items)), connection);
        manifest = parseManifest(parseSections(stdout));
        return parseSnapshot(stdout);
    }

    /** Applies operations together. @throws as `commit`; a group that fails is for the caller to take apart. */
    async function apply(
        operations: readonly Operation[],
        repair: boolean,
        waivedPorts = new Set<number>(),
    ): Promise<void> {
        for (let attempt = 0; attempt < maximumTries; attempt++) {
            const { world, generation } = manifest;
            let worldAfter = world;
            const changed = new Set<string>();
            for (const operation of operations) {
                const change = operation.decide(worldAfter, facts);
                for (const key of change.keys()) changed.add(key);
                worldAfter = worldAfter.with(change);
            }
            const base = worldAfter.objects.size === 0 ? undefined : (world.base ?? meaning.buildBase(facts));
            worldAfter = worldAfter.withBase(base);
            let keys = new Set([...meaning.affectedBy(changed, world), ...meaning.affectedBy(changed, worldAfter)]);
            if (repair) {
                keys = new Set([...meaning.withParents(keys, world), ...meaning.withParents(keys, worldAfter)]);
            }
            if (repair || base !== world.base) keys.add("base");
            const after = meaning.itemsOf(keys, worldAfter);
            let before = meaning.itemsOf(keys, world);
            if (repair) {
                const ours = mayBeOurs(before, after);
                before = observe(ours, await look(ours));
                if (manifest.generation !== generation) continue;
            }
            const generationAfter = randomBytes(6).toString("hex");
            const rendered = renderTransaction({
                before,
                after,
                worldBefore: world,
                worldAfter,
                changed,
                generationBefore: generation,
                generationAfter,
                owner: operations
                    .map((operation) => operation.owner)
                    .slice(0, 3)
                    .join(", "),
                lockTimeoutMs: connection.lockTimeoutMs,
                waivedPorts,
            });
            if (rendered.isEmpty && sameObjects(changed, world, worldAfter)) return;
            const result = await run(rendered.script);
            const sections = parseSections(result.stdout);
            switch (result.exitCode) {
                case exits.done:
                    manifest = { world: worldAfter, generation: worldAfter.objects.size === 0 ? "0" : generationAfter };
                    verify(before, after, result.stdout);
                    return;
                case exits.stale:
                    manifest = parseManifest(sections);
                    continue;
                case exits.locked:
                    throw new Error(
                        `the host has been locked for ${connection.lockTimeoutMs / 1000} s by ${sections.get("locked")?.trim()}. ` +
                            "Wait for it to finish, or raise connection.lockTimeoutMs.",
                    );
                case exits.taken: {
                    const listeners = parseListeners(sections.get("listening") ?? "");
                    refuseListeners(listeners, after);
                    if (listeners.length === 0) refuseTaken(sections.get("taken")?.trim() ?? "", repair);
                    for (const { port } of listeners) waivedPorts.add(port);
                    if (listeners.length === 0) repair = true;
                    continue;
                }
                default:
                    throw new TransactionFailed(describeFailure(result, rendered));
            }
        }
        throw new Error("other programs change the host faster than this one can. Try again.");
    }

    /** A failed operation looks at the kernel and is planned again: what drifted is repaired on the way. */
    async function applyOrRepair(operations: readonly Operation[]): Promise<void> {
        const repair = operations.some((operation) => operation.repair);
        const generation = manifest.generation;
        try {
            await apply(operations, repair);
        } catch (error) {
            const isFresh = repair || (error instanceof Refusal && manifest.generation !== generation);
            if (isFresh || !(error instanceof TransactionFailed || error instanceof Refusal)) throw error;
            if (error instanceof Refusal) {
                await look([]);
                if (manifest.generation === generation) throw error;
                await apply(operations, false);
            } else {
                await apply(operations, true);
            }
        }
    }

    async function drain(): Promise<void> {
        draining = true;
        while (pending.length > 0) {
            const group = pending.splice(0, maximumGroup);
            try {
                await applyOrRepair(group.map(({ operation }) => operation));
                for (const { resolve } of group) resolve(manifest.world);
            } catch (error) {
                if (group.length === 1) group[0]?.reject(error);
                // One bad operation must not fail its neighbours: each on its own.
                else
                    for (const member of group)
                        await applyOrRepair([member.operation]).then(
                            () => member.resolve(manifest.world),
                            member.reject,
                        );
            }
        }
        draining = false;
    }

    let observing: Promise<Observation> | undefined;

    async function observeAll(): Promise<Observation> {
        // All reads of a refresh arrive within a moment and share one look.
        await new Promise((resolve) => setTimeout(resolve, 15));
        observing = undefined;
        let { world, generation } = manifest;
        let snapshot = await look(meaning.itemsOf(["base", ...world.objects.keys()], world));
        // Somebody changed the objects since: look at the new ones.
        while (manifest.generation !== generation) {
            ({ world, generation } = manifest);
            snapshot = await look(meaning.itemsOf(["base", ...world.objects.keys()], world));
        }
        return {
            world,
            driftOf(key) {
                const wanted = meaning.itemsOf(["base", key], world);
                return describeDifference(observe(wanted, snapshot), wanted);
            },
        };
    }

    return {
        connection,
        facts,
        world: () => manifest.world,
        commit: (operation) =>
            new Promise((resolve, reject) => {
                pending.push({ operation, resolve, reject });
                if (!draining) {
                    draining = true;
                    setImmediate(() => void drain());
                }
            }),
        observe: () => (observing ??= observeAll()),
        capabilities: async () => [...parseCapabilities((await run(capabilitiesScript)).stdout), ...facts.capabilities],
        roundTrips: () => roundTrips,
        close: () =>
            void shell?.then(
                (open) => open.close(),
                () => undefined,
            ),
    };
}

/** @throws ConnectionError when the script did not come to its end. */
function complete(result: ScriptResult, connection: Connection): string {
    if (result.stdout.includes("\n@@ end")) return result.stdout;
    const reason = result.stderr.trim().split("\n").slice(0, 3).join("; ") || `exit code ${result.exitCode}`;
    throw new ConnectionError(`${describeConnection(connection)} could not be read: ${reason}`, { mayHeal: true });
}

/** A namespace's name is the user's choice, so one that the manifest does not know is somebody else's. */
function mayBeOurs(before: readonly Item[], after: readonly Item[]): Item[] {
    const known = new Set(before.map(keyOf));
    return [...before, ...after.filter((item) => !known.has(keyOf(item)) && item.type !== "netns")];
}

function sameObjects(keys: Iterable<string>, before: World, after: World): boolean {
    return [...keys].every((key) => JSON.stringify(before.objects.get(key)) === JSON.stringify(after.objects.get(key)));
}

function refuseListeners(listeners: ReturnType<typeof parseListeners>, items: readonly Item[]): void {
    for (const item of items) {
        for (const claim of typeOf(item).claims?.(item) ?? []) {
            if (!("port" in claim)) continue;
            const holder = listeners.find(
                (listener) => listener.port === claim.port && isInTheWay(listener, claim.address),
            );
            if (holder === undefined) continue;
            throw new Refusal(
                `host port ${claim.port}/${claim.protocol} is in use by ${holder.process}, which listens on ${holder.address}. ` +
                    "Choose another hostPort, or stop it.",
            );
        }
    }
}

/** Interfaces are named by hashes: one that is there is a left-over of ours and is looked at. A namespace is not. */
function refuseTaken(what: string, repair: boolean): void {
    if (!repair && !what.startsWith("network namespace")) return;
    const advice = what.startsWith("network namespace")
        ? "Choose another name, or remove it (ip netns del)."
        : "Remove it by hand (ip link del).";
    throw new Refusal(`${what} exists on the host already and is not of this provider. ${advice}`);
}

const readBack = new Set<Item["type"]>(["netns", "bridge", "veth", "vxlan", "address", "route", "rule"]);

/** The read-back planned again: an empty plan is the proof. @throws Error that names the difference */
function verify(before: readonly Item[], after: readonly Item[], stdout: string): void {
    const snapshot = parseSnapshot(stdout);
    // What was touched in a namespace by other tools than ip alone is not read back.
    const isRead = (item: Item) =>
        readBack.has(item.type) && snapshot.namespaces.has(("netns" in item && item.netns) || "");
    const touched = plan(before, after).touched.filter(isRead);
    const differences = describeDifference(observe(touched, snapshot), touched);
    if (differences.length > 0) {
        throw new Error(
            `the kernel accepted the change but shows something else: ${differences.join("; ")}. Run \`pulumi up --refresh\`.`,
        );
    }
}

function describeDifference(actual: readonly Item[], wanted: readonly Item[]): string[] {
    if (isEmpty(plan(actual, wanted))) return [];
    const seen = new Map(actual.map((item) => [keyOf(item), item]));
    return wanted.flatMap((item) => {
        const found = seen.get(keyOf(item));
        if (found === undefined) return [`${keyOf(item)} is missing`];
        const changed = Object.entries(item).filter(([name, value]) => {
            return JSON.stringify((found as unknown as Record<string, unknown>)[name]) !== JSON.stringify(value);
        });
        return changed.map(([name, value]) => {
            const actualValue = JSON.stringify((found as unknown as Record<string, unknown>)[name]);
            return `${keyOf(item)}: ${name} is ${actualValue}, not ${JSON.stringify(value)}`;
        });
    });
}
