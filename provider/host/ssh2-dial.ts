import { connect, type Socket } from "node:net";
import type { Duplex } from "node:stream";
import type { AnyAuthMethod, Client } from "ssh2";
import { type Connection, describeConnection } from "../model/connection.js";
import { resolveCredentials } from "./credentials.js";
import { explainDialError } from "./dial-error.js";
import { prepareHostKeyCheck } from "./host-key-check.js";
import { ConnectionError } from "./shell.js";

/** A login that stands. */
export interface Ssh2Login {
    readonly client: Client;
    /** Drops it and what it goes through; safe to call twice. */
    destroy(): void;
}

export interface DialOptions {
    readonly dialTimeoutMs: number;
    /** Where keys may come from besides the connection. */
    readonly environment: Readonly<Record<string, string | undefined>>;
    /** The login to go through. */
    readonly via?: Ssh2Login | undefined;
}

/**
 * Logs in once and does the first thing there.
 * @param arrive called when the login stands; the time limit counts for it too
 * @throws ConnectionError
 */
export async function dialSsh2<Result>(
    connection: Connection,
    { dialTimeoutMs, environment, via }: DialOptions,
    arrive: (login: Ssh2Login) => Promise<Result>,
): Promise<Result> {
    const credentials = await resolveCredentials(connection, environment);
    const hostKeys = prepareHostKeyCheck(connection);
    const ssh2 = (await import("ssh2")).default;
    const client = new ssh2.Client();
    let socket: Duplex | undefined;
    const destroy = () => {
        client.end();
        // A peer that reads no more would keep the socket, and with it the process.
        setTimeout(() => {
            socket?.destroy();
            via?.destroy();
        }, 100).unref();
    };
    let stage = silence;
    let deadline: NodeJS.Timeout | undefined;
    try {
        return await new Promise<Result>((resolve, reject) => {
            deadline = setTimeout(() => reject(tooSlow(connection, stage, dialTimeoutMs)), dialTimeoutMs);
            // It stays for life: an `error` event without a listener ends the provider.
            client.on("error", (error) => {
                if (!isSkippedCredential(error)) reject(error);
            });
            client.once("close", () => reject(Object.assign(new Error("closed"), { code: "ECONNRESET" })));
            client.once("handshake", () => {
                stage = "did not finish the login";
            });
            client.once("ready", () => {
                stage = "did not start a shell";
                arrive({ client, destroy }).then(resolve, reject);
            });
            const start = (opened: Duplex) => {
                stage = "answered, but did not finish the SSH handshake";
                client.connect({
                    sock: opened,
                    username: connection.user ?? "root",
                    authHandler: [...credentials.methods] as AnyAuthMethod[],
                    readyTimeout: 0,
                    keepaliveInterval: connection.keepAliveMs,
                    keepaliveCountMax: 3,
                    algorithms: { serverHostKey: [...hostKeys.algorithms] as never },
                    hostVerifier: (key: Buffer) => {
                        const refusal = hostKeys.judge(key.toString("base64"));
                        if (refusal !== undefined) reject(refusal);
                        return refusal === undefined;
                    },
                });
            };
            const open = via === undefined ? openSocket : openChannel(via.client);
            open(connection, (opened) => {
                socket = opened;
                opened.on("error", reject);
            }).then(start, reject);
        });
    } catch (error) {
        destroy();
        socket?.destroy();
        throw explainDialError(error, connection, credentials.tried);
    } finally {
        clearTimeout(deadline);
    }
}

const silence = "did not answer";

/** @param use is given the stream as soon as it exists, connected or not */
type Open = (connection: Connection, use: (stream: Duplex) => void) => Promise<Duplex>;

const openSocket: Open = (connection, use) =>
    new Promise<Socket>((resolve) => {
        const socket = connect({
            host: connection.host ?? "",
            port: connection.port ?? 22,
            noDelay: true,
            autoSelectFamilyAttemptTimeout: 2500,
        });
        use(socket);
        socket.once("connect", () => resolve(socket));
    });

/** Through a login: the host's name is looked up there. */
function openChannel(bastion: Client): Open {
    return ({ host = "", port = 22 }, use) =>
        new Promise((resolve, reject) => {
            bastion.forwardOut("127.0.0.1", 0, host, port, (error, channel) => {
                if (error !== undefined) return reject(error);
                use(channel);
                resolve(channel);
            });
        });
}

/** ssh2 reports an agent that is not there, or a key it cannot sign with, and goes on with the next credential. */
function isSkippedCredential(error: Error & { level?: string }): boolean {
    return error.level === "agent" || error.message.startsWith("Error while signing");
}

function tooSlow(connection: Connection, stage: string, dialTimeoutMs: number): ConnectionError {
    return new ConnectionError(
        `${describeConnection(connection)}: the host ${stage} within ${dialTimeoutMs / 1000} s. Check that it is up and that no ` +
            `firewall drops TCP ${connection.port ?? 22}, or raise connection.dialTimeoutMs.`,
        {
            mayHeal: true,
            cause: stage === silence ? Object.assign(new Error(stage), { code: "ETIMEDOUT" }) : undefined,
        },
    );
}
