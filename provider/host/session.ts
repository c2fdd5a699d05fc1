import type { Item } from "../kernel/item.js";
import type { Snapshot } from "../kernel/snapshot.js";
import { type Connection, describeConnection } from "../model/connection.js";
import { type HostFacts, withoutBase } from "../model/world.js";
import { factsScript, parseFacts } from "./facts.js";
import { type Manifest, parseManifest } from "./manifest.js";
import { openShell } from "./open-shell.js";
import { parseSections } from "./sections.js";
import { ConnectionError, type ScriptResult, type Shell } from "./shell.js";
import { parseSnapshot, snapshotScript } from "./snapshot.js";

/** A host that is being talked to: its shell, what it is, and the newest known manifest. */
export interface Session {
    readonly connection: Connection;
    readonly facts: HostFacts;
    /** Replaced as a whole whenever the host tells a newer one. */
    manifest: Manifest;
    /** Scripts sent; each is one round trip. */
    roundTrips: number;
    /** Sends one script. After a lost connection the next script dials again. @throws ConnectionError */
    run(script: string): Promise<ScriptResult>;
    /** Reads what the kernel shows of the items, and the manifest. @throws ConnectionError */
    look(items: readonly Item[]): Promise<Snapshot>;
    close(): void;
}

/** Dials, asks what the host is, and reads its manifest: one round trip behind the login. */
async function greet(connection: Connection): Promise<{ shell: Shell; facts: HostFacts; manifest: Manifest }> {
    const shell = await openShell(connection);
    try {
        const hello = await shell.run(factsScript, { timeoutMs: connection.operationTimeoutMs });
        const stdout = complete(hello, connection);
        const manifest = parseManifest(parseSections(stdout));
        return { shell, facts: withoutBase(parseFacts(stdout), manifest.world.base), manifest };
    } catch (error) {
        shell.close();
        throw error;
    }
}

/** @throws ConnectionError | Error when the host cannot be reached or lacks what is needed. */
export async function openSession(connection: Connection): Promise<Session> {
    const { facts, ...first } = await greet(connection);
    let shell: Promise<Shell> | undefined = Promise.resolve(first.shell);

    async function dialAgain(): Promise<Shell> {
        // It has answered in this run, so it is not booting.
        const again = await greet({ ...connection, waitMs: 0 });
        if (again.facts.machineId !== facts.machineId) {
            again.shell.close();
            const message = `${describeConnection(connection)} is another machine than a moment ago: its machine id is ${again.facts.machineId}, not ${facts.machineId}.`;
            throw new ConnectionError(message, { mayHeal: false });
        }
        session.manifest = again.manifest;
        return again.shell;
    }

    const session: Session = {
        connection,
        facts,
        manifest: first.manifest,
        roundTrips: 1,
        async run(script) {
            shell ??= dialAgain();
            const used = shell;
            try {
                const opened = await used;
                if (!opened.isOpen()) {
                    // Lost while nothing ran.
                    if (shell === used) shell = undefined;
                    return await session.run(script);
                }
                session.roundTrips++;
                const timeoutMs = connection.operationTimeoutMs + connection.lockTimeoutMs;
                return await opened.run(script, { timeoutMs });
            } catch (error) {
                // What the lost script did is found out by looking.
                if (error instanceof ConnectionError && shell === used) shell = undefined;
                throw error;
            }
        },
        async look(items) {
            const stdout = complete(await session.run(snapshotScript(items)), connection);
            session.manifest = parseManifest(parseSections(stdout));
            return parseSnapshot(stdout);
        },
        close: () =>
            void shell?.then(
                (open) => open.close(),
                () => undefined,
            ),
    };
    return session;
}

/** @throws ConnectionError when the script did not come to its end. */
function complete(result: ScriptResult, connection: Connection): string {
    if (result.stdout.includes("\n@@ end")) return result.stdout;
    const reason = result.stderr.trim().split("\n").slice(0, 3).join("; ") || `exit code ${result.exitCode}`;
    throw new ConnectionError(`${describeConnection(connection)} could not be read: ${reason}`, { mayHeal: true });
}
