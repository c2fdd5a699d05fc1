import { randomBytes } from "node:crypto";
import type { Connection } from "../model/connection.js";
import { quote } from "./quote.js";

/** The command that becomes the root shell, and how it asks for the password of sudo. */
export interface RootCommand {
    readonly argv: readonly [string, ...string[]];
    readonly password?: { readonly prompt: string; readonly ready: string; readonly text: string };
}

/**
 * What to run to get a root `sh`. A password is never sent blindly, since sudo reads none under NOPASSWD and the root shell would
 * run it as a command: sudo prints a random prompt when it wants it, and the shell says a random word when it is there.
 */
export function planRootCommand(connection: Connection, isRootAlready: boolean): RootCommand {
    const { sudo } = connection;
    if (sudo === false || isRootAlready) return { argv: ["sh"] };
    // LC_ALL=C: what sudo says is recognised by its English words.
    if (sudo === true) return { argv: ["env", "LC_ALL=C", "sudo", "-n", "--", "sh"] };
    const word = randomBytes(8).toString("hex");
    const [prompt, ready] = [`linuxnet-prompt-${word}`, `linuxnet-ready-${word}`];
    const command = `echo ${ready}; exec sh`;
    return {
        argv: ["env", "LC_ALL=C", "sudo", "-k", "-S", "-p", prompt, "--", "sh", "-c", command],
        password: { prompt, ready, text: sudo.password },
    };
}

/** The command as one line that every login shell (sh, bash, zsh, csh, fish) reads alike. */
export function renderRootCommand(command: RootCommand): string {
    return `exec ${command.argv.map(quote).join(" ")}`;
}
