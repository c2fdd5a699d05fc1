import { recoverScript } from "../kernel/restore.js";
import { type Connection, describeConnection } from "../model/connection.js";
import { type Manifest, manifestDirectory, parseManifest, printManifest, runDirectory } from "./manifest.js";
import { openShell } from "./open-shell.js";
import { quote } from "./quote.js";
import { parseSections } from "./sections.js";
import type { Session } from "./session.js";
import { ConnectionError } from "./shell.js";

/**
 * Changes that may lock out whoever manages the host. The transaction does all but its last stage, the manifest, and leaves
 * the lock and the way on or back to a process of its own on the host, which waits for one word on a named pipe. The word
 * comes over a new connection; without it in time the host takes the change back.
 */

/** A new connection did not come through with the change in place; the host has taken it back, or will. */
export class Unconfirmed extends Error {
    override readonly name = "Unconfirmed";
}

const defaultTimeoutMs = 15_000;

export function confirmTimeoutOf({ confirmTimeoutMs = defaultTimeoutMs }: Connection): number {
    return confirmTimeoutMs;
}

/** The pipe of one change, named by the generation that it makes. */
const pipeOf = (generation: string) => `${runDirectory}/confirm.${generation}`;

/**
 * What the waiting process runs. It has the lock (descriptor 9); its standard input is the pipe's end for reading, which
 * also carries a lock for as long as it lives. It reads nothing when the script before it is dead, or has failed and put
 * all back. Its environment is the script's; HUP and TERM are ignored as there, so it outlives the login.
 */
function renderKeeper(pipe: string, timeoutMs: number, manifestStage: number): string {
    return `r=${runDirectory}
read -r word
if [ "$word" = applied ]; then
    exec 8<>${pipe}
    word=$(timeout -s KILL ${Math.ceil(timeoutMs / 1000)} head -n 1 <&8 9>&-)
    if [ "$word" = confirmed ]; then echo ${manifestStage} >>$r/stage; fi
fi
${recoverScript}rm -f ${pipe}
if [ ! -e ${manifestDirectory}/generation ] && [ ! -s $r/undo ]; then
    rmdir ${manifestDirectory}/new ${manifestDirectory}/objects ${manifestDirectory}
    rm -rf $r
fi
`;
}

export interface ConfirmationSteps {
    /** Before anything is changed: from here on the death of the script is noticed. */
    readonly begin: readonly string[];
    /** When all but the manifest is done. */
    readonly handOver: readonly string[];
}

/** Shell commands for a transaction's script; each fails when it cannot be done. */
export function renderConfirmation(generation: string, timeoutMs: number, manifestStage: number): ConfirmationSteps {
    const pipe = pipeOf(generation);
    const keeper = quote(renderKeeper(pipe, timeoutMs, manifestStage));
    return {
        begin: [
            "command -v mkfifo setsid timeout head >/dev/null",
            `{ rm -f ${runDirectory}/confirm.* && mkfifo -m 600 ${pipe} && exec 8<>${pipe} 7<${pipe} && flock 7; }`,
            `{ setsid sh -c ${keeper} <&7 >/dev/null 2>&1 7<&- 8>&- & exec 7<&-; }`,
        ],
        // The lock is free when the keeper is dead: nobody would take the change back.
        handOver: [`! flock -n ${pipe} true`, "echo applied >&8"],
    };
}

/**
 * Tells the keeper a word, waits until it has ended, and shows the manifest. If it was killed, this ends the transaction
 * in its place.
 */
function renderWord(generation: string, word: "confirmed" | "refused"): string {
    const pipe = pipeOf(generation);
    return `${printManifest}
r=${runDirectory}
if [ -p ${pipe} ]; then
    exec 7<>${pipe}
    echo ${word} >&7
    flock -w 60 7
    exec 7>&-
fi
if [ -d $r ]; then
    exec 9>>$r/lock
    if flock -n 9; then
${recoverScript}        rm -f ${pipe}
    fi
fi
print_manifest
echo '@@ client'
# sudo drops it from the environment of what it starts, not from its own.
c=\${SSH_CONNECTION:-$(tr '\\0' '\\n' </proc/$PPID/environ 2>/dev/null | sed -n 's/^SSH_CONNECTION=//p')}
echo "$c"
`;
}

/** What an open connection tells of a change that was applied: the objects there now, and the two ends of the connection. */
interface Outcome {
    readonly manifest: Manifest;
    readonly client: string;
}

function parseOutcome(stdout: string): Outcome {
    const sections = parseSections(stdout);
    return { manifest: parseManifest(sections), client: sections.get("client")?.trim() ?? "" };
}

/** Dials as the session did, and says the word over that connection. @throws ConnectionError */
async function confirmAnew(connection: Connection, generation: string): Promise<Outcome> {
    const timeoutMs = confirmTimeoutOf(connection);
    const dialTimeoutMs = Math.min(connection.dialTimeoutMs, timeoutMs);
    const shell = await openShell({ ...connection, waitMs: 0, dialTimeoutMs });
    try {
        const { stdout } = await shell.run(renderWord(generation, "confirmed"), {
            timeoutMs: connection.operationTimeoutMs,
        });
        return parseOutcome(stdout);
    } finally {
        shell.close();
    }
}

/**
 * Confirms a change that waits for it, over a new connection.
 * @param stands whether the manifest holds the change
 * @returns the manifest, which does
 * @throws Unconfirmed
 */
export async function confirmChange(
    session: Session,
    generation: string,
    stands: (manifest: Manifest) => boolean,
): Promise<Manifest> {
    const { connection } = session;
    const limit = `${Math.ceil(confirmTimeoutOf(connection) / 1000)} s (connection.confirmTimeoutMs)`;
    let words: string;
    try {
        const { manifest } = await confirmAnew(connection, generation);
        if (stands(manifest)) return manifest;
        session.manifest = manifest;
        words = `it came later than ${limit}.`;
    } catch (error) {
        if (!(error instanceof ConnectionError)) throw error;
        words = error.message.replace(`${describeConnection(connection)}: `, "");
    }
    const what = `with this change a new connection to the host did not come through, so it does not stand: ${words}`;
    let outcome: Outcome;
    try {
        const { stdout } = await session.run(renderWord(generation, "refused"));
        outcome = parseOutcome(stdout);
    } catch (error) {
        if (!(error instanceof ConnectionError)) throw error;
        throw new Unconfirmed(
            `${what} The open connection was lost too; the host takes the change back by itself, ${limit} after it was applied.`,
        );
    }
    session.manifest = outcome.manifest;
    // Said at the last moment, and the host was faster.
    if (stands(outcome.manifest)) return outcome.manifest;
    throw new Unconfirmed(`${what} The host has taken the change back and is as before. ${advise(outcome.client)}`);
}

/** @param client `$SSH_CONNECTION`: the client's address and port, the host's address and port */
function advise(client: string): string {
    const [address, , , port = "22"] = client.split(" ");
    if (address === undefined || address === "") {
        return "Let its policies allow what a login needs from where Pulumi runs.";
    }
    return (
        `Let its policies allow what a login needs from where Pulumi runs: ` +
        `ingress: [{ action: "allow", from: "${address}", ports: ${port} }].`
    );
}
