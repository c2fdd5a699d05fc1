import { randomBytes } from "node:crypto";
import { makeIdentity, parseIdentity, printIdentity } from "../kernel/identity.js";
import { type Item, observe } from "../kernel/item.js";
import type { Snapshot } from "../kernel/snapshot.js";
import type { Connection } from "../model/connection.js";
import type { HostIdentity } from "../model/identity.js";
import { hasKeys } from "../model/object.js";
import type { HostFacts, World } from "../model/world.js";
import { createCommitter } from "./commit.js";
import type { Meaning, Operation } from "./draft.js";
import { capabilitiesScript, parseCapabilities } from "./facts.js";
import { fragmentPath, keyPath, renderFragment } from "./manifest.js";
import { parseSections } from "./sections.js";
import { openSession } from "./session.js";
import { describeDifference } from "./verify.js";

export interface Observation {
    readonly world: World;
    /** With the host's identity as it was found. */
    readonly facts: HostFacts;
    /** What the kernel shows other than the object should have, in words; empty: nothing. "base" is what all objects share. */
    driftOf(key: string): readonly string[];
}

/** What is asked of a host for its own resource. */
export interface Description {
    /** What its kernel and tools can do. */
    readonly capabilities: readonly string[];
    /** Absent: nobody made it yet, or it is lost. */
    readonly identity?: HostIdentity;
}

export interface Host {
    readonly connection: Connection;
    readonly facts: HostFacts;
    /** The newest known objects of all stacks. */
    world(): World;
    /** Applies an operation; concurrent ones share a transaction. @throws Refusal | TransactionFailed | HostBusy | ConnectionError */
    commit(operation: Operation): Promise<World>;
    /**
     * What objects and kernel showed at one moment of this run: one round trip for all who ask. The engine asks for a few
     * resources at a time for as long as a refresh takes, so the look stays good until something is changed by `commit`.
     */
    observe(): Promise<Observation>;
    /** The next `observe` looks again, unless one is looking. */
    forget(): void;
    /** Reads what the kernel shows of the items. */
    look(items: readonly Item[]): Promise<Snapshot>;
    /** @param makes what is missing of its identity is made */
    describe(makes?: "makes identity"): Promise<Description>;
    /** Scripts sent since the host was opened; each is one round trip. */
    roundTrips(): number;
    close(): void;
}

/** @throws ConnectionError | Error when the host cannot be reached or lacks what is needed. */
export async function openHost(connection: Connection, meaning: Meaning): Promise<Host> {
    const session = await openSession(connection);
    const { facts } = session;
    let observation: Promise<Observation> | undefined;
    let isLooking = false;
    const commit = createCommitter(session, meaning);

    async function observeAll(): Promise<Observation> {
        const itemsOfAll = (world: World) => meaning.itemsOf(["base", ...world.objects.keys()], world);
        let { world, generation } = session.manifest;
        let snapshot = await session.look(itemsOfAll(world));
        // Somebody changed the objects since: look at the new ones.
        while (session.manifest.generation !== generation) {
            ({ world, generation } = session.manifest);
            snapshot = await session.look(itemsOfAll(world));
        }
        return {
            world,
            facts: { ...facts, ...(session.manifest.identity && { identity: session.manifest.identity }) },
            driftOf(key) {
                const wanted = meaning.itemsOf([key], key === "base" ? withExceptions(world) : world);
                const files = [
                    ...(renderFragment(wanted) === "" ? [] : [fragmentPath(key)]),
                    ...(hasKeys(world.objects.get(key)) ? [keyPath(key)] : []),
                ];
                return [
                    ...describeDifference(observe(wanted, snapshot), wanted),
                    ...files.filter((path) => !snapshot.paths.has(path)).map((path) => `file ${path} is missing`),
                ];
            },
        };
    }

    /** With those for firewalls that came after the last operation: that they are missing is drift. */
    function withExceptions(world: World): World {
        if (world.base === undefined) return world;
        const { exceptions } = meaning.updateBase(world.base, world, facts);
        return exceptions === undefined ? world : world.withBase({ ...world.base, exceptions });
    }

    return {
        connection,
        facts,
        world: () => session.manifest.world,
        commit(operation) {
            observation = undefined;
            return commit(operation).finally(() => {
                observation = undefined;
            });
        },
        observe() {
            if (observation !== undefined) return observation;
            isLooking = true;
            const looking = observeAll().finally(() => {
                isLooking = false;
            });
            // What failed once may work for the next resource.
            looking.catch(() => {
                if (observation === looking) observation = undefined;
            });
            observation = looking;
            return looking;
        },
        forget() {
            if (!isLooking) observation = undefined;
        },
        look: session.look,
        async describe(makes) {
            const made = makes === undefined ? "" : makeIdentity(randomBytes(16).toString("hex"));
            const { stdout } = await session.run(`${capabilitiesScript}${printIdentity}${made}print_identity\n`);
            const identity = parseIdentity(parseSections(stdout).get("identity"));
            session.manifest = { ...session.manifest, identity };
            const capabilities = [...new Set([...parseCapabilities(stdout), ...facts.capabilities])];
            return { capabilities, ...(identity === undefined ? {} : { identity }) };
        },
        roundTrips: () => session.roundTrips,
        close: session.close,
    };
}
