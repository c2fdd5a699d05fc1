import { type Connection, describeConnection } from "../provider/model/connection.js";
import { readCarried } from "./carried.js";
import type { Code } from "./import/code.js";
import { foreignScript, nothingForeign, parseForeign } from "./import/foreign.js";
import { renderProgram, select } from "./import/program.js";
import { print } from "./table.js";
import { connectionOf, type TargetOptions } from "./target.js";

export interface ImportOptions extends TargetOptions {
    readonly stack?: string;
    readonly name?: readonly string[];
}

/** What the arguments of a Host say of the connection that this command used; credentials by file only. */
function printConnection(connection: Connection): Code {
    const { host, port, user, privateKeyFile, hostKey, hostKeyPolicy, transport, sudo } = connection;
    if (transport === "local") return { transport };
    return {
        ...{ host, port: port === 22 ? undefined : port, user: user === "root" ? undefined : user, privateKeyFile },
        hostKey: hostKey?.length === 1 ? hostKey[0] : hostKey,
        hostKeyPolicy: hostKeyPolicy === "strict" ? undefined : hostKeyPolicy,
        sudo: sudo === false ? undefined : true,
    };
}

/** Prints the program that adopts what a host carries: of all stacks, and of others. */
export async function importHost(target: string | undefined, options: ImportOptions): Promise<void> {
    const connection = await connectionOf(target, options);
    const { world, stdout } = await readCarried(connection, foreignScript);
    const { stack, name = [] } = options;
    const isAll = stack === undefined && name.length === 0;
    const foreign = isAll ? parseForeign(stdout, world) : nothingForeign;
    const title = describeConnection(connection);
    print(renderProgram(title, printConnection(connection), select(world, { stack, names: name }), foreign).trimEnd());
}
