import { type Connection, describeConnection } from "../model/connection.js";
import { ConnectionError, hopeOf } from "./shell.js";
import { dialSsh2, type Ssh2Login } from "./ssh2-dial.js";

/** A login on the way to the host. */
export interface Bastion {
    readonly connection: Connection;
    readonly login: Ssh2Login;
}

/** Logs in to the bastions of a connection, each through the one before. @throws ConnectionError that names the hop */
export async function openBastions(target: Connection): Promise<readonly Bastion[]> {
    const open: Bastion[] = [];
    // Those keys are meant for the host.
    const { LINUXNET_SSH_PRIVATE_KEY: _text, LINUXNET_SSH_KEY_FILE: _path, ...environment } = process.env;
    for (const [index, hop] of (target.proxy ?? []).entries()) {
        const connection: Connection = {
            ...hop,
            transport: "ssh2",
            sudo: false,
            lockTimeoutMs: 0,
            operationTimeoutMs: 0,
        };
        const options = { dialTimeoutMs: hop.dialTimeoutMs, environment, via: open.at(-1)?.login };
        try {
            const login = await dialSsh2(connection, options, async (arrived) => arrived);
            login.client.on("close", () => login.destroy());
            open.push({ connection, login });
        } catch (error) {
            open.at(-1)?.login.destroy();
            throw error instanceof ConnectionError ? nameHop(error, connection, index, target) : error;
        }
    }
    return open;
}

/** In messages the host comes first, then the hop; its arguments are those of `connection.proxy`. */
function nameHop(error: ConnectionError, hop: Connection, index: number, target: Connection): ConnectionError {
    const count = target.proxy?.length ?? 0;
    const which = count === 1 ? "bastion" : `bastion ${index + 1} of ${count}`;
    const path = count === 1 ? "connection.proxy." : `connection.proxy[${index}].`;
    const name = describeConnection(hop);
    const words = error.message.startsWith(`${name}: `) ? error.message.slice(name.length + 2) : error.message;
    return new ConnectionError(
        `${describeConnection(target)}: ${which} ${name}: ${words.replaceAll("connection.", path)}`,
        { ...hopeOf(error), cause: error },
    );
}
