import { randomBytes } from "node:crypto";
import { type Item, observe } from "../kernel/item.js";
import { isEqual } from "../model/equal.js";
import { Refusal } from "../model/refusal.js";
import type { World } from "../model/world.js";
import { confirmChange, confirmTimeoutOf } from "./confirmation.js";
import { draft, type Meaning, type Operation } from "./draft.js";
import {
    describeFailure,
    describeLacking,
    HostBusy,
    parseAnswers,
    parseListeners,
    TransactionFailed,
} from "./failure.js";
import { describeHolder, describeOwner } from "./lock-owner.js";
import { fragmentPath, keyPath, type Manifest, parseManifest } from "./manifest.js";
import { parseSections } from "./sections.js";
import type { Session } from "./session.js";
import { ConnectionError } from "./shell.js";
import { mayBeOurs, refuseAnswering, refuseListeners, refuseTaken } from "./taken.js";
import { exits, renderTransaction } from "./transaction.js";
import { differenceAfter } from "./verify.js";

type State = Pick<Manifest, "generation" | "identity">;

interface Pending {
    readonly operation: Operation;
    readonly resolve: (world: World) => void;
    readonly reject: (error: unknown) => void;
}

/** Large groups make long locks; others wait no longer than for this many objects. */
const maximumGroup = 64;
/** Longer than transactions take: who waits longer is told why. */
const patienceMs = 2000;

/**
 * Applies operations on one host; those that come while one is applied share the next transaction.
 * @throws Refusal | TransactionFailed | HostBusy | ConnectionError through the promise of each operation
 */
export function createCommitter(session: Session, meaning: Meaning): (operation: Operation) => Promise<World> {
    const pending: Pending[] = [];
    let draining = false;

    /** The kernel took every line and shows something else: looked into as any failure. */
    function refuseDifference(touched: readonly Item[], stdout: string): void {
        const differences = differenceAfter(touched, stdout);
        if (differences.length === 0) return;
        throw new TransactionFailed(
            `the kernel accepted the change but shows something else: ${differences.join("; ")}. Run \`pulumi up --refresh\`.`,
        );
    }

    /** Applies operations together. @throws as `commit`; a group that fails is for the caller to take apart. */
    async function apply(operations: readonly Operation[], repair: boolean): Promise<void> {
        const { lockTimeoutMs } = session.connection;
        const waivedPorts = new Set<string>();
        const busyPorts = new Set<number>();
        const answering = new Map<string, Set<string>>();
        const owner = describeOwner(operations.map((operation) => operation.owner));
        const until = Date.now() + lockTimeoutMs;
        let lockWaitMs = Math.min(patienceMs, lockTimeoutMs);
        for (;;) {
            const { world, generation, isUnfinished, identity } = session.manifest;
            const own = identity === undefined ? {} : { identity };
            const facts = { ...session.facts, ...own, busyPorts, answering };
            const drafted = draft(operations, world, facts, meaning, repair);
            const { worldAfter, changed, after, fragments, keyFiles } = drafted;
            const leavesHost = drafted.leavesHost && identity !== undefined;
            let { before } = drafted;
            let isRebuildable = true;
            if (repair) {
                const ours = mayBeOurs(before, after);
                const snapshot = await session.look(ours);
                if (!isSameState(session.manifest, { generation, identity })) continue;
                before = observe(ours, snapshot);
                const files = [...[...fragments.keys()].map(fragmentPath), ...[...keyFiles.keys()].map(keyPath)];
                isRebuildable = files.every((path) => snapshot.paths.has(path));
            }
            const generationAfter = randomBytes(6).toString("hex");
            const rendered = renderTransaction({
                ...drafted,
                before,
                worldBefore: world,
                generationBefore: generation,
                generationAfter,
                identity,
                leavesHost,
                owner,
                lockWaitMs,
                waivedPorts,
                lacksIpv6: facts.lacksIpv6,
                confirmTimeoutMs: confirmTimeoutOf(session.connection),
            });
            const isSame = rendered.isEmpty && sameObjects(changed, world, worldAfter);
            if (isSame && isRebuildable && !isUnfinished && !leavesHost) return;
            const result = await session.run(rendered.script);
            const sections = parseSections(result.stdout);
            const leftMs = until - Date.now();
            switch (result.exitCode) {
                case exits.done:
                    session.manifest = {
                        world: worldAfter,
                        generation: worldAfter.objects.size === 0 ? "0" : generationAfter,
                        isUnfinished: false,
                        identity: leavesHost ? undefined : identity,
                    };
                    refuseDifference(rendered.touched, result.stdout);
                    return;
                case exits.unconfirmed: {
                    const stands = (manifest: Manifest) => sameObjects(changed, manifest.world, worldAfter);
                    session.manifest = await confirmChange(session, generationAfter, stands);
                    refuseDifference(rendered.touched, result.stdout);
                    return;
                }
                case exits.stale:
                    session.manifest = parseManifest(sections);
                    // Whoever was faster got something done, so in a crowd each has its turn; only time is a limit.
                    if (leftMs > 0) continue;
                    throw new HostBusy("other programs change the host faster than this one can. Try again.");
                case exits.locked: {
                    const holder = describeHolder(sections.get("locked"));
                    if (leftMs <= 0) {
                        throw new HostBusy(
                            `the host's lock was not free within ${lockTimeoutMs / 1000} s: ${holder}. ` +
                                "Wait for it to finish, or raise connection.lockTimeoutMs.",
                        );
                    }
                    operations[0]?.onWait?.(`waits for the host's lock, ${holder}`);
                    lockWaitMs = leftMs;
                    continue;
                }
                case exits.taken: {
                    const listeners = parseListeners(sections.get("listening") ?? "");
                    const answers = parseAnswers(sections.get("answering") ?? "");
                    const isNews =
                        listeners.some(({ port }) => !busyPorts.has(port)) ||
                        answers.some(({ dev, address }) => !answering.get(dev)?.has(address));
                    for (const { port } of listeners) busyPorts.add(port);
                    for (const { dev, address } of answers)
                        answering.set(dev, new Set([...(answering.get(dev) ?? []), address]));
                    // A port or address that the program left open is chosen anew, however many are busy.
                    if (isNews) continue;
                    refuseListeners(listeners, after);
                    refuseAnswering(answers, after);
                    if (listeners.length === 0) refuseTaken(sections.get("taken")?.trim() ?? "", repair);
                    for (const { protocol, port } of listeners) waivedPorts.add(`${protocol} ${port}`);
                    if (listeners.length === 0) repair = true;
                    continue;
                }
                case exits.lacking:
                    throw new Refusal(describeLacking(sections.get("lacking") ?? ""));
                default:
                    throw new TransactionFailed(describeFailure(result, rendered));
            }
        }
    }

    /**
     * A refusal may rest on an old manifest, a failure on a kernel that drifted: each is looked into once, and what
     * drifted is repaired on the way.
     */
    async function applyOrRepair(operations: readonly Operation[]): Promise<void> {
        const repair = operations.some((operation) => operation.repair);
        const { manifest } = session;
        try {
            await apply(operations, repair);
        } catch (error) {
            if (error instanceof TransactionFailed && !repair) return apply(operations, true);
            if (!(error instanceof Refusal) || !isSameState(manifest, session.manifest)) throw error;
            await session.look([]);
            if (isSameState(manifest, session.manifest)) throw error;
            await apply(operations, repair);
        }
    }

    /**
     * A group that fails is taken apart, so that one bad operation never fails its neighbours. A lost connection is dialled
     * once more: what the lost script did is in the manifest, and the operations are worked out from that.
     */
    async function settle(group: readonly Pending[], hasReconnected = false): Promise<void> {
        try {
            await applyOrRepair(group.map(({ operation }) => operation));
            for (const { resolve } of group) resolve(session.manifest.world);
        } catch (error) {
            const isOfTheHost = error instanceof ConnectionError || error instanceof HostBusy;
            if (error instanceof ConnectionError && error.mayHeal && !hasReconnected) await settle(group, true);
            else if (group.length === 1 || isOfTheHost) for (const { reject } of group) reject(error);
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

/** Nobody changed the objects, and the host neither booted nor became another one to its peers. */
function isSameState(a: State, b: State): boolean {
    return a.generation === b.generation && isEqual(a.identity, b.identity);
}

function sameObjects(keys: Iterable<string>, before: World, after: World): boolean {
    return [...keys].every((key) => JSON.stringify(before.objects.get(key)) === JSON.stringify(after.objects.get(key)));
}
