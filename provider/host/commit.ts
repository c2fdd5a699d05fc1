import { randomBytes } from "node:crypto";
import { type Item, observe } from "../kernel/item.js";
import type { BaseObject, HostObject } from "../model/object.js";
import { Refusal } from "../model/refusal.js";
import type { HostFacts, World } from "../model/world.js";
import { describeFailure, parseListeners, TransactionFailed } from "./failure.js";
import { parseManifest, renderFragment } from "./manifest.js";
import { parseSections } from "./sections.js";
import type { Session } from "./session.js";
import { mayBeOurs, refuseListeners, refuseTaken } from "./taken.js";
import { exits, renderTransaction } from "./transaction.js";
import { differenceAfter } from "./verify.js";

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

interface Pending {
    readonly operation: Operation;
    readonly resolve: (world: World) => void;
    readonly reject: (error: unknown) => void;
}

/** Large groups make long locks; others wait no longer than for this many objects. */
const maximumGroup = 64;
const maximumTries = 8;

/**
 * Applies operations on one host; those that come while one is applied share the next transaction.
 * @throws Refusal | TransactionFailed | ConnectionError through the promise of each operation
 */
export function createCommitter(session: Session, meaning: Meaning): (operation: Operation) => Promise<World> {
    const pending: Pending[] = [];
    let draining = false;

    /** Restore texts that differ from what the host has; after a repair all that say something are written. */
    function fragmentsOf(keys: Iterable<string>, world: World, worldAfter: World, all: boolean): Map<string, string> {
        const fragments = new Map<string, string>();
        for (const key of keys) {
            const isThere = key === "base" ? worldAfter.base !== undefined : worldAfter.objects.has(key);
            if (!isThere) continue;
            const text = renderFragment(meaning.itemsOf([key], worldAfter));
            if ((all && text !== "") || text !== renderFragment(meaning.itemsOf([key], world)))
                fragments.set(key, text);
        }
        return fragments;
    }

    /** The kernel took every line and shows something else: looked into as any failure. */
    function refuseDifference(touched: readonly Item[], stdout: string): void {
        const differences = differenceAfter(touched, stdout);
        if (differences.length === 0) return;
        throw new TransactionFailed(
            `the kernel accepted the change but shows something else: ${differences.join("; ")}. Run \`pulumi up --refresh\`.`,
        );
    }

    /** Applies operations together. @throws as `commit`; a group that fails is for the caller to take apart. */
    async function apply(
        operations: readonly Operation[],
        repair: boolean,
        waivedPorts = new Set<string>(),
    ): Promise<void> {
        const busyPorts = new Set<number>();
        for (let attempt = 0; attempt < maximumTries; attempt++) {
            const { world, generation, isUnfinished } = session.manifest;
            let worldAfter = world;
            const changed = new Set<string>();
            for (const operation of operations) {
                const change = operation.decide(worldAfter, { ...session.facts, busyPorts });
                for (const key of change.keys()) changed.add(key);
                worldAfter = worldAfter.with(change);
            }
            const base = worldAfter.objects.size === 0 ? undefined : (world.base ?? meaning.buildBase(session.facts));
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
                before = observe(ours, await session.look(ours));
                if (session.manifest.generation !== generation) continue;
            }
            const generationAfter = randomBytes(6).toString("hex");
            const rendered = renderTransaction({
                before,
                after,
                worldBefore: world,
                worldAfter,
                changed,
                fragments: fragmentsOf(keys, world, worldAfter, repair),
                generationBefore: generation,
                generationAfter,
                owner: operations
                    .map((operation) => operation.owner)
                    .slice(0, 3)
                    .join(", "),
                lockTimeoutMs: session.connection.lockTimeoutMs,
                waivedPorts,
            });
            if (rendered.isEmpty && sameObjects(changed, world, worldAfter) && !isUnfinished) return;
            const result = await session.run(rendered.script);
            const sections = parseSections(result.stdout);
            switch (result.exitCode) {
                case exits.done:
                    session.manifest = {
                        world: worldAfter,
                        generation: worldAfter.objects.size === 0 ? "0" : generationAfter,
                        isUnfinished: false,
                    };
                    refuseDifference(rendered.touched, result.stdout);
                    return;
                case exits.stale:
                    session.manifest = parseManifest(sections);
                    continue;
                case exits.locked:
                    throw new Error(
                        `the host has been locked for ${session.connection.lockTimeoutMs / 1000} s by ${sections.get("locked")?.trim()}. ` +
                            "Wait for it to finish, or raise connection.lockTimeoutMs.",
                    );
                case exits.taken: {
                    const listeners = parseListeners(sections.get("listening") ?? "");
                    const isNews = listeners.some(({ port }) => !busyPorts.has(port));
                    for (const { port } of listeners) busyPorts.add(port);
                    // A port that the program left open is chosen anew, however many are busy.
                    if (isNews) {
                        attempt--;
                        continue;
                    }
                    refuseListeners(listeners, after);
                    if (listeners.length === 0) refuseTaken(sections.get("taken")?.trim() ?? "", repair);
                    for (const { protocol, port } of listeners) waivedPorts.add(`${protocol} ${port}`);
                    if (listeners.length === 0) repair = true;
                    continue;
                }
                default:
                    throw new TransactionFailed(describeFailure(result, rendered));
            }
        }
        throw new Error("other programs change the host faster than this one can. Try again.");
    }

    /**
     * A refusal may rest on an old manifest, a failure on a kernel that drifted: each is looked into once, and what
     * drifted is repaired on the way.
     */
    async function applyOrRepair(operations: readonly Operation[]): Promise<void> {
        const repair = operations.some((operation) => operation.repair);
        const { generation } = session.manifest;
        try {
            await apply(operations, repair);
        } catch (error) {
            if (error instanceof TransactionFailed && !repair) return apply(operations, true);
            if (!(error instanceof Refusal) || session.manifest.generation !== generation) throw error;
            await session.look([]);
            if (session.manifest.generation === generation) throw error;
            await apply(operations, repair);
        }
    }

    /** A group that fails is taken apart, so that one bad operation never fails its neighbours. */
    async function settle(group: readonly Pending[]): Promise<void> {
        try {
            await applyOrRepair(group.map(({ operation }) => operation));
            for (const { resolve } of group) resolve(session.manifest.world);
        } catch (error) {
            if (group.length === 1) group[0]?.reject(error);
            else for (const member of group) await settle([alone(member, error)]);
        }
    }

    async function drain(): Promise<void> {
        while (pending.length > 0) await settle(pending.splice(0, maximumGroup));
        draining = false;
    }

    return (operation) =>
        new Promise((resolve, reject) => {
            pending.push({ operation, resolve, reject });
            if (!draining) {
                draining = true;
                setImmediate(() => void drain());
            }
        });
}

/** A member of a failed group on its own; when the kernel was the reason, it is looked at. */
function alone(member: Pending, error: unknown): Pending {
    const repair = member.operation.repair || error instanceof TransactionFailed;
    return { ...member, operation: { ...member.operation, repair } };
}

function sameObjects(keys: Iterable<string>, before: World, after: World): boolean {
    return [...keys].every((key) => JSON.stringify(before.objects.get(key)) === JSON.stringify(after.objects.get(key)));
}
