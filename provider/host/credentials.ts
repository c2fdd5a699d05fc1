import { readFile, stat } from "node:fs/promises";
import type { AnyAuthMethod, ParsedKey } from "ssh2";
import { type Connection, describeConnection } from "../model/connection.js";
import { expandHome } from "./home-path.js";
import { convertPkcs8 } from "./pkcs8-key.js";
import { ConnectionError } from "./shell.js";

/** What is tried to log in, in order, and how each is called in messages (never its contents). */
export interface Credentials {
    readonly methods: readonly AnyAuthMethod[];
    readonly tried: readonly string[];
}

type Environment = Readonly<Record<string, string | undefined>>;

const defaultKeyFiles = ["~/.ssh/id_ed25519", "~/.ssh/id_ecdsa", "~/.ssh/id_rsa"];

/**
 * Reads the keys a connection points to. `LINUXNET_SSH_PRIVATE_KEY` or `LINUXNET_SSH_KEY_FILE` in the environment replace the
 * key of the connection; with no credential at all it is the agent, then the default key files that need no passphrase.
 * @throws ConnectionError when a key cannot be read, or nothing is there to try
 */
export async function resolveCredentials(
    connection: Connection,
    environment: Environment = process.env,
): Promise<Credentials> {
    const methods: AnyAuthMethod[] = [];
    const tried: string[] = [];
    const username = connection.user ?? "root";
    const add = (name: string, method: AnyAuthMethod) => {
        methods.push(method);
        if (!tried.includes(name)) tried.push(name);
    };
    const addAgent = (path: string) => add(`agent ${path}`, { type: "agent", username, agent: expandHome(path) });
    const addKey = (source: KeySource, key: ParsedKey) => add(source.name, { type: "publickey", username, key });

    const given = chooseKey(connection, environment);
    if (given !== undefined) addKey(given, await readKey(given, connection));
    if (connection.agentSocketPath !== undefined) addAgent(connection.agentSocketPath);
    if (connection.password !== undefined) {
        const { password } = connection;
        add("password", { type: "password", username, password });
        add("password", {
            type: "keyboard-interactive",
            username,
            prompt: (_name, _instructions, _language, prompts, finish) => finish(prompts.map(() => password)),
        });
    }
    if (methods.length > 0) return { methods, tried };

    const agent = environment["SSH_AUTH_SOCK"];
    if (agent) addAgent(agent);
    const skipped: string[] = [];
    for (const path of defaultKeyFiles) {
        const source = { name: `key file ${path}`, path };
        if (!(await stat(expandHome(path)).catch(() => undefined))) continue;
        const key = await readKey(source, connection).catch(() => undefined);
        if (key === undefined) skipped.push(path);
        else addKey(source, key);
    }
    if (methods.length > 0) return { methods, tried };
    const encrypted = skipped.length === 0 ? "" : ` (${skipped.join(", ")} needs a passphrase or cannot be read)`;
    throw new ConnectionError(
        `${describeConnection(connection)}: no credential is set and none was found: no $SSH_AUTH_SOCK, no usable key among ` +
            `${defaultKeyFiles.join(", ")}${encrypted}. Set connection.privateKey, privateKeyFile, password or agentSocketPath.`,
        { mayHeal: false },
    );
}

/** A key by its text or its path, and its name in messages. */
export interface KeySource {
    readonly name: string;
    readonly text?: string;
    readonly path?: string;
}

/** The key a connection gives, or the environment in its place. */
export function chooseKey(connection: Connection, environment: Environment = process.env): KeySource | undefined {
    const text = environment["LINUXNET_SSH_PRIVATE_KEY"];
    if (text) return { name: "key of $LINUXNET_SSH_PRIVATE_KEY", text };
    const path = environment["LINUXNET_SSH_KEY_FILE"];
    if (path) return { name: `key file ${path} ($LINUXNET_SSH_KEY_FILE)`, path };
    if (connection.privateKey !== undefined) return { name: "connection.privateKey", text: connection.privateKey };
    if (connection.privateKeyFile !== undefined)
        return { name: `key file ${connection.privateKeyFile}`, path: connection.privateKeyFile };
    return undefined;
}

/** Reads and decrypts a key. @throws ConnectionError that says what is wrong with it */
export async function readKey(source: KeySource, connection: Connection): Promise<ParsedKey> {
    const refuse = (what: string, cause?: unknown) =>
        new ConnectionError(`${describeConnection(connection)}: ${source.name} ${what}`, { mayHeal: false, cause });
    let text = source.text;
    if (text === undefined) {
        try {
            text = await readFile(expandHome(source.path ?? ""), "utf8");
        } catch (error) {
            const code = (error as NodeJS.ErrnoException).code;
            const why = code === "ENOENT" ? "does not exist" : code === "EACCES" ? "may not be read" : `(${code})`;
            throw refuse(`${why === `(${code})` ? `cannot be read ${why}` : why}. Correct the path.`, error);
        }
    }
    const { utils } = (await import("ssh2")).default;
    let parsed: ParsedKey | Error;
    try {
        const { privateKeyPassword } = connection;
        parsed = utils.parseKey(convertPkcs8(text, privateKeyPassword), privateKeyPassword);
    } catch (error) {
        parsed = error as Error;
    }
    if (!(parsed instanceof Error)) {
        if (parsed.isPrivateKey()) return parsed;
        throw refuse("is a public key. Give the private one.");
    }
    if (/no passphrase given/i.test(parsed.message))
        throw refuse(
            connection.transport === "openssh"
                ? "is encrypted. Add it to an agent (ssh-add)."
                : "is encrypted. Set connection.privateKeyPassword, or use an agent.",
        );
    if (/integrity check failed|bad passphrase|bad decrypt|unable to decrypt/i.test(parsed.message))
        throw refuse("could not be decrypted. Correct connection.privateKeyPassword.");
    throw refuse("is not a private key in OpenSSH or PEM form.");
}
