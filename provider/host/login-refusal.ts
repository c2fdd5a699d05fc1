import { type Connection, describeConnection } from "../model/connection.js";
import { ConnectionError } from "./shell.js";
import type { ProcessEnd } from "./shell-process.js";

/** There is a shell, but it is not root's. */
export function explainNoRoot(connection: Connection): ConnectionError {
    const hostName = describeConnection(connection);
    if (connection.sudo !== false)
        return refuse(
            `${hostName}: sudo started a shell that is not root. Check the rules for this user in /etc/sudoers.`,
        );
    if (connection.transport === "local")
        return refuse(
            "This program does not run as root and connection.sudo is not set. Set connection.sudo: true, or run it as root.",
        );
    return refuse(
        `${connection.user === undefined ? `${hostName}: the user of the login` : hostName} is not root on the host and connection.sudo is not set. Set connection.sudo: true, or log in as root.`,
    );
}

export function explainWrongSudoPassword(connection: Connection): ConnectionError {
    return refuse(
        `${describeConnection(connection)}: sudo did not accept the password. Correct connection.sudo.password.`,
    );
}

/** The process ended by itself before it was a shell: the words it left say why. */
export function explainLoginEnd(end: ProcessEnd, heard: string, connection: Connection): ConnectionError {
    const hostName = describeConnection(connection);
    if (connection.sudo !== false) {
        if (/password is required|terminal is required|askpass/.test(heard))
            return refuse(
                `${hostName}: sudo wants a password. Set connection.sudo: { password }, or allow the user to go without one ` +
                    "(NOPASSWD in /etc/sudoers).",
            );
        if (/try again|incorrect password|incorrect authentication/i.test(heard))
            return explainWrongSudoPassword(connection);
        if (/not in the sudoers|not allowed|may not run/i.test(heard))
            return refuse(
                `${hostName} may not become root by sudo${quote(heard)}. Allow the user in /etc/sudoers, or log in as root.`,
            );
        if (end.exitCode === 127 && /sudo/.test(heard))
            return refuse(`${hostName}: sudo is not installed on the host. Install it, or log in as root.`);
    }
    if (end.exitCode === 127)
        return refuse(`${hostName}: the host has no sh${quote(heard)}. Install a POSIX shell and put it on the PATH.`);
    return refuse(
        `${hostName}: the login ended with exit code ${end.exitCode} before there was a shell${quote(heard)}. ` +
            "Give the user a login shell that runs commands.",
    );
}

/** The login neither ended nor became a shell. */
export function explainSilence(heard: string, connection: Connection): ConnectionError {
    return new ConnectionError(
        `${describeConnection(connection)}: there was no shell ${connection.dialTimeoutMs / 1000} s after the login${quote(heard)}. ` +
            "Look for something in the user's shell start-up files that waits, or raise connection.dialTimeoutMs.",
        { mayHeal: true },
    );
}

function quote(heard: string): string {
    const lines = heard
        .replaceAll(/linuxnet-[a-z]+-[0-9a-f]+/g, "")
        .trim()
        .split("\n");
    const words = lines.slice(-3).join(" ").slice(0, 300).trim();
    return words === "" ? "" : ` (it said: ${words})`;
}

function refuse(message: string): ConnectionError {
    return new ConnectionError(message, { mayHeal: false, mayHealAfterBoot: true });
}
