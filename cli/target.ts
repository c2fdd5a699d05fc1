import { type Command, InvalidArgumentError } from "commander";
import type { Connection } from "../provider/model/connection.js";

/** How a machine is reached, as options of every command. */
export interface TargetOptions {
    readonly local?: true;
    readonly key?: string;
    readonly hostKey?: readonly string[];
    readonly acceptNew?: true;
    readonly sudo?: true;
}

/** Adds the machine and how to reach it to a command. */
export function addTarget(command: Command, called: string): Command {
    const collect = (value: string, others: readonly string[] = []) => [...others, value];
    return command
        .argument("[target]", "the machine: user@host[:port], root when there is no user")
        .option("--local", "this machine instead")
        .option("-i, --key <file>", "private key; default the agent, then ~/.ssh/id_*")
        .option("--host-key <key>", 'accepted host key or fingerprint ("SHA256:..."), repeatable', collect)
        .option("--accept-new", "add the key of a host never seen before to ~/.ssh/known_hosts")
        .option("--sudo", "become root by sudo")
        .addHelpText("after", `\nExamples:\n  ${called} deploy@203.0.113.10 --sudo\n  ${called} --local`);
}

/** `[ssh://][user@]host[:port]`; an IPv6 address with a port stands in brackets. @throws InvalidArgumentError */
export function parseTarget(text: string): { host: string; user?: string; port?: number } {
    const match =
        /^(?:ssh:\/\/)?(?:([^@]+)@)?(?:\[([^\]]+)\]|([^:[\]]+)|([^[\]]*:[^[\]]*:[^[\]]*))(?::(\d+))?\/?$/.exec(text);
    const [, user, bracketed, name, ipv6, port] = match ?? [];
    const host = bracketed ?? name ?? ipv6;
    if (host === undefined) throw new InvalidArgumentError(`"${text}" is not a machine: user@host[:port] is expected.`);
    return { host, ...(user === undefined ? {} : { user }), ...(port === undefined ? {} : { port: Number(port) }) };
}

/** The connection in the form the provider stores. @throws Error that names what is wrong */
export async function connectionOf(target: string | undefined, options: TargetOptions): Promise<Connection> {
    if ((target === undefined) === (options.local === undefined)) {
        throw new InvalidArgumentError("Name one machine: user@host[:port], or --local for this one.");
    }
    // An option means this run; the environment is for all runs.
    if (options.key !== undefined) {
        delete process.env["LINUXNET_SSH_PRIVATE_KEY"];
        delete process.env["LINUXNET_SSH_KEY_FILE"];
    }
    const [{ connection }, { describeIssues }] = await Promise.all([
        import("../provider/kinds/connection.js"),
        import("../provider/kinds/problem.js"),
    ]);
    const written = {
        ...(target === undefined ? { transport: "local" } : parseTarget(target)),
        ...(options.key === undefined ? {} : { privateKeyFile: options.key }),
        ...(options.hostKey === undefined ? {} : { hostKey: options.hostKey }),
        ...(options.acceptNew ? { hostKeyPolicy: "accept-new" } : {}),
        ...(options.sudo ? { sudo: true } : {}),
    };
    const checked = connection.safeParse(written);
    if (!checked.success) throw new Error(describeIssues(checked.error, written, connection).join(" "));
    return JSON.parse(JSON.stringify(checked.data)) as Connection;
}
