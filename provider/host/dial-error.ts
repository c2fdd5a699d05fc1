import { type Connection, describeConnection } from "../model/connection.js";
import { ConnectionError, type Hope } from "./shell.js";

/** sshd drops logins at random while more than ten of all its clients are under way (MaxStartups); it is through in a moment. */
const crowdMs = 6000;

/** The words for an error of the socket, of DNS or of ssh2 before the shell is there. */
export function explainDialError(error: unknown, connection: Connection, tried: readonly string[]): ConnectionError {
    if (error instanceof ConnectionError) return error;
    const { code, message, level, reason } = firstOf(error);
    const say = (what: string, mayHeal: boolean, hope: Partial<Hope> = {}) =>
        new ConnectionError(`${describeConnection(connection)}: ${what}`, { mayHeal, ...hope, cause: error });
    const { host, port = 22, user = "the user" } = connection;
    switch (code) {
        case "ENOTFOUND":
            return say(`the name ${host} does not exist in DNS. Correct connection.host.`, false);
        case "EAI_AGAIN":
            return say(`the name ${host} could not be looked up (no answer from DNS). Check the resolver.`, true);
        case "ECONNREFUSED":
            return say(`port ${port} refuses connections. Check that sshd runs there, and connection.port.`, true);
        case "ETIMEDOUT":
            return say(
                `port ${port} does not answer. Check that the host is up and that no firewall drops TCP ${port}.`,
                true,
            );
        case "EHOSTUNREACH":
        case "EHOSTDOWN":
            return say(`there is no route to the host (${code}). Check connection.host and the network.`, true);
        case "ENETUNREACH":
            // This machine has none: what boots elsewhere does not change it.
            return say(`there is no route to the host (${code}). Check connection.host and the network.`, false);
    }
    if (/^\(SSH\) Channel open failure/.test(message)) {
        const words = message.replace(/^\(SSH\) Channel open failure: /, "");
        return reason === administrativelyProhibited
            ? say(
                  `the bastion before it forwards no connection to ${host} port ${port} (${words}). Check AllowTcpForwarding and ` +
                      "PermitOpen in its sshd_config.",
                  false,
              )
            : say(
                  `the bastion before it does not get through to port ${port} (${words}). Check connection.host and connection.port, ` +
                      "as the bastion sees them.",
                  true,
              );
    }
    if (code === "ECONNRESET" || code === "EPIPE" || /^connection lost/i.test(message))
        return say(
            "the host ended the connection before the login was done. Check sshd's log (MaxStartups, banned addresses).",
            true,
            { patienceMs: crowdMs },
        );
    if (/^too many authentication failures/i.test(message))
        return say(
            `sshd gave up after too many credentials (${tried.join(", ")}). Set connection.privateKeyFile to the one that fits.`,
            false,
        );
    if (level === "client-authentication")
        return say(
            `no credential was accepted (tried: ${tried.join(", ")}). Check connection.user, and that the public key is in ` +
                `~/.ssh/authorized_keys of ${user}.`,
            false,
            { mayHealAfterBoot: true },
        );
    if (/no matching/i.test(message))
        return say(
            `client and server have no algorithm in common (${message}). Update sshd, or its Ciphers/KexAlgorithms/HostKeyAlgorithms.`,
            false,
        );
    if (code === "EPROTO" || /identification/i.test(message))
        return say(`port ${port} does not speak SSH. Correct connection.port.`, false);
    return say(`the login did not get through (${message}).`, level !== "handshake");
}

interface DialProblem {
    readonly code?: string;
    readonly message: string;
    readonly level?: string;
    readonly reason?: number;
}

/** RFC 4254, 5.1 */
const administrativelyProhibited = 1;

/** A host with several addresses fails with one error for each; that IPv6 leads nowhere here is the least telling. */
function firstOf(error: unknown): DialProblem {
    const errors: readonly unknown[] = error instanceof AggregateError ? error.errors : [error];
    const inner = errors.find((each) => (each as DialProblem).code !== "ENETUNREACH") ?? errors[0];
    return inner instanceof Error ? (inner as Error & DialProblem) : { message: String(inner) };
}
