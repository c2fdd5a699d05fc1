import { connect } from "node:net";
import type { AnyAuthMethod, Client, ClientChannel } from "ssh2";
import { type Connection, describeConnection } from "../model/connection.js";
import { resolveCredentials } from "./credentials.js";
import { explainDialError } from "./dial-error.js";
import { prepareHostKeyCheck } from "./host-key-check.js";
import { type RootCommand, renderRootCommand } from "./root-command.js";
import { ConnectionError } from "./shell.js";
import type { ProcessEnd, ShellProcess } from "./shell-process.js";

/** Starts the root command on the host of a connection. One try. @throws ConnectionError */
export async function spawnSsh2(
    command: RootCommand,
    connection: Connection,
    dialTimeoutMs: number,
): Promise<ShellProcess> {
    const credentials = await resolveCredentials(connection);
    const hostKeys = prepareHostKeyCheck(connection);
    const ssh2 = (await import("ssh2")).default;
    const client = new ssh2.Client();
    const socket = connect({
        host: connection.host ?? "",
        port: connection.port ?? 22,
        noDelay: true,
        autoSelectFamilyAttemptTimeout: 2500,
    });
    let stage = "did not answer";
    const destroy = () => {
        client.end();
        socket.destroySoon();
        // A peer that reads no more would keep the socket, and with it the process.
        setTimeout(() => socket.destroy(), 100).unref();
    };
    let deadline: NodeJS.Timeout | undefined;
    try {
        return await new Promise<ShellProcess>((resolve, reject) => {
            deadline = setTimeout(() => reject(tooSlow(connection, stage, dialTimeoutMs)), dialTimeoutMs);
            // Both stay for life: an `error` event without a listener ends the provider.
            socket.on("error", reject);
            client.on("error", (error) => {
                if (!isSkippedCredential(error)) reject(error);
            });
            client.once("close", () => reject(Object.assign(new Error("closed"), { code: "ECONNRESET" })));
            socket.once("connect", () => {
                stage = "answered, but did not finish the SSH handshake";
                client.once("handshake", () => {
                    stage = "did not finish the login";
                });
                client.once("ready", () => {
                    stage = "did not start a shell";
                    // Wrapped at once: a shell that ends at once may say so in the packet of this answer.
                    client.exec(renderRootCommand(command), (error, channel) => {
                        if (error === undefined) resolve(wrap(client, channel, destroy));
                        else reject(error);
                    });
                });
                client.connect({
                    sock: socket,
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
            });
        });
    } catch (error) {
        destroy();
        socket.destroy();
        throw explainDialError(error, connection, credentials.tried);
    } finally {
        clearTimeout(deadline);
    }
}

/** ssh2 reports an agent that is not there, or a key it cannot sign with, and goes on with the next credential. */
function isSkippedCredential(error: Error & { level?: string }): boolean {
    return error.level === "agent" || error.message.startsWith("Error while signing");
}

function wrap(client: Client, channel: ClientChannel, destroy: () => void): ShellProcess {
    for (const stream of [channel, channel.stderr]) stream.on("error", () => {});
    const ended = new Promise<ProcessEnd>((resolve) => {
        let lost: string | undefined;
        client.on("error", (error: Error & { level?: string }) => {
            lost =
                error.level === "client-timeout"
                    ? "the host stopped answering"
                    : `the connection broke (${error.message})`;
        });
        let exitCode: number | undefined;
        channel.once("exit", (code: number | null, signal?: string) => {
            lost = code === null ? `the shell was killed by ${signal}` : `the shell ended with exit code ${code}`;
            exitCode = code ?? undefined;
        });
        // A turn later, so that the last words on both pipes have been read.
        const finish = (reason: string) =>
            setImmediate(() => resolve({ reason: lost ?? reason, ...(exitCode === undefined ? {} : { exitCode }) }));
        channel.once("close", () => finish("the host closed the shell"));
        client.once("close", () => finish("the host closed the connection"));
    });
    return { stdin: channel.stdin, stdout: channel.stdout, stderr: channel.stderr, ended, destroy };
}

function tooSlow(connection: Connection, stage: string, dialTimeoutMs: number): ConnectionError {
    return new ConnectionError(
        `${describeConnection(connection)}: the host ${stage} within ${dialTimeoutMs / 1000} s. Check that it is up and that no ` +
            `firewall drops TCP ${connection.port ?? 22}, or raise connection.dialTimeoutMs.`,
        { mayHeal: true },
    );
}
