import type { ClientChannel } from "ssh2";
import { type Connection, describeConnection } from "../model/connection.js";
import { type Bastion, openBastions } from "./bastions.js";
import { type RootCommand, renderRootCommand } from "./root-command.js";
import type { ProcessEnd, ShellProcess } from "./shell-process.js";
import { dialSsh2, type Ssh2Login } from "./ssh2-dial.js";

/** Starts the root command on the host of a connection. One try. @throws ConnectionError */
export async function spawnSsh2(
    command: RootCommand,
    connection: Connection,
    dialTimeoutMs: number,
): Promise<ShellProcess> {
    const bastions = await openBastions(connection);
    const via = bastions.at(-1)?.login;
    const dialing = dialSsh2<ShellProcess>(
        connection,
        { dialTimeoutMs, environment: process.env, via },
        (login) =>
            new Promise((resolve, reject) => {
                // Wrapped at once: a shell that ends at once may say so in the packet of this answer.
                login.client.exec(renderRootCommand(command), (error, channel) => {
                    if (error === undefined) resolve(wrap(login, channel, bastions));
                    else reject(error);
                });
            }),
    );
    return dialing.catch((error: unknown) => {
        via?.destroy();
        throw error;
    });
}

function wrap({ client, destroy }: Ssh2Login, channel: ClientChannel, bastions: readonly Bastion[]): ShellProcess {
    for (const stream of [channel, channel.stderr]) stream.on("error", () => {});
    const ended = new Promise<ProcessEnd>((resolve) => {
        let lost: string | undefined;
        let lostBastion: string | undefined;
        for (const { login, connection } of bastions)
            login.client.once("close", () => {
                lostBastion ??= `the connection to the bastion ${describeConnection(connection)} ended`;
            });
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
            setImmediate(() =>
                resolve({ reason: lostBastion ?? lost ?? reason, ...(exitCode === undefined ? {} : { exitCode }) }),
            );
        channel.once("close", () => finish("the host closed the shell"));
        client.once("close", () => finish("the host closed the connection"));
    });
    return { stdin: channel.stdin, stdout: channel.stdout, stderr: channel.stderr, ended, destroy };
}
