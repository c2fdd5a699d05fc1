import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { type Connection, describeConnection } from "../model/connection.js";
import { type KeySource, readKey } from "./credentials.js";
import { parseKnownHosts } from "./host-key.js";
import type { ShownKey } from "./host-key-refusal.js";
import { explainLoginEnd } from "./login-refusal.js";
import { explainOpensshEnd, explainRefusedKey, readRefusedKey } from "./openssh-error.js";
import type { OpensshFiles } from "./openssh-files.js";
import { ConnectionError } from "./shell.js";
import type { ProcessEnd } from "./shell-process.js";

/** What `ssh` ends with when it is not the remote command that ended. */
export const exitOfSsh = 255;

/** How `ssh` was called. */
export interface OpensshCall {
    readonly connection: Connection;
    /** The key given. */
    readonly source: KeySource | undefined;
    readonly files: OpensshFiles;
    readonly options: readonly string[];
    readonly dialTimeoutMs: number;
}

/** Why there is no shell. @param end absent when the time was up. @param words what `ssh` has said */
export async function explainNoLogin(
    { end, words }: { readonly end?: ProcessEnd; readonly words: string },
    call: OpensshCall,
): Promise<ConnectionError> {
    const { connection, source } = call;
    if (end === undefined) return tooSlow(connection, call.dialTimeoutMs);
    if (end.exitCode === 127 && words === "") return explainNoSsh(connection, end);
    if (end.exitCode !== exitOfSsh) return explainLoginEnd(end, words, connection);
    const refused = readRefusedKey(words);
    if (refused !== undefined)
        return explainRefusedKey(refused, await learnHostKey(call, refused.type), connection, words);
    const keys = source?.name ?? "the keys that ssh finds";
    const agent = connection.agentSocketPath;
    const error = explainOpensshEnd(words, connection, agent === undefined ? [keys] : [keys, `agent ${agent}`]);
    if (source === undefined || !/Permission denied/.test(words)) return error;
    return (await explainKey(source, connection, words)) ?? error;
}

/** What is wrong with the key itself, which ssh does not tell when it may not ask for a passphrase. */
async function explainKey(
    source: KeySource,
    connection: Connection,
    words: string,
): Promise<ConnectionError | undefined> {
    const error = await readKey(source, connection).then(
        () => undefined,
        (reason: unknown) => reason,
    );
    if (!(error instanceof ConnectionError)) return undefined;
    // ssh knows more kinds of keys (FIDO) than we can read.
    return /is not a private key/.test(error.message) && !/Load key/.test(words) ? undefined : error;
}

const algorithmsOfType: Readonly<Record<string, string>> = {
    ED25519: "ssh-ed25519",
    ECDSA: "ecdsa-sha2-nistp256,ecdsa-sha2-nistp384,ecdsa-sha2-nistp521",
    RSA: "rsa-sha2-512,rsa-sha2-256",
};

/**
 * The key that the host shows, which no word of ssh tells: ssh takes it down in a file of ours, and gives up before it offers a
 * credential.
 * @param type of the key that was refused: a host may have several
 */
async function learnHostKey(
    { files, options, dialTimeoutMs }: OpensshCall,
    type: string | undefined,
): Promise<ShownKey | undefined> {
    const algorithms = type === undefined ? undefined : algorithmsOfType[type.split("-")[0] ?? ""];
    // The first value of an option counts.
    const first = [
        "StrictHostKeyChecking=accept-new",
        `UserKnownHostsFile=${files.shownKeys}`,
        "GlobalKnownHostsFile=/dev/null",
        "HashKnownHosts=no",
        "PreferredAuthentications=none",
        ...(algorithms === undefined ? [] : [`HostKeyAlgorithms=${algorithms}`]),
    ].flatMap((option) => ["-o", option]);
    await new Promise<void>((resolve) => {
        const child = execFile("ssh", [...first, ...options, "true"], { timeout: dialTimeoutMs }, () => resolve());
        child.stdin?.end();
    });
    const text = await readFile(files.shownKeys, "utf8").catch(() => "");
    const [line] = parseKnownHosts(text);
    return line === undefined ? undefined : { name: line.names, key: line.key };
}

function explainNoSsh(connection: Connection, end: ProcessEnd): ConnectionError {
    return new ConnectionError(
        `${describeConnection(connection)}: ${end.reason}. Install the OpenSSH client (ssh) on the machine Pulumi runs on, or use the ` +
            'transport "ssh2".',
        { mayHeal: false },
    );
}

function tooSlow(connection: Connection, dialTimeoutMs: number): ConnectionError {
    return new ConnectionError(
        `${describeConnection(connection)}: the login by ssh was not done within ${dialTimeoutMs / 1000} s. Check that the host is up, ` +
            `that no firewall drops its SSH port, and what a login by hand waits for (ssh ${connection.host}), or raise ` +
            "connection.dialTimeoutMs.",
        { mayHeal: true },
    );
}
