import type { Connection } from "../model/connection.js";
import { expandHome } from "./home-path.js";
import type { OpensshFiles } from "./openssh-files.js";

/**
 * Arguments of `ssh`, up to and with the host. What the connection does not give is left to ~/.ssh/config, but for what would
 * turn the one silent pipe we need into something else.
 * @see ssh_config(5)
 */
export function renderOpensshArguments(
    connection: Connection,
    files: Partial<OpensshFiles>,
    dialTimeoutMs: number,
): string[] {
    const options: [string, string | undefined][] = [
        ["BatchMode", "yes"],
        // Errors are read from its words; a quieter level in ~/.ssh/config would hide them.
        ["LogLevel", "INFO"],
        ["RemoteCommand", "none"],
        ["SessionType", "default"],
        ["StdinNull", "no"],
        ["ForkAfterAuthentication", "no"],
        ["PermitLocalCommand", "no"],
        ["ClearAllForwardings", "yes"],
        ["ForwardAgent", "no"],
        ["ForwardX11", "no"],
        ["AddKeysToAgent", "no"],
        // A login of its own: one that is shared would not be checked by the keys given here, and ends with its owner.
        ["ControlMaster", "no"],
        ["ControlPath", "none"],
        // Later than our own limit, which says which one it was; for an ssh that has lost us.
        ["ConnectTimeout", String(Math.ceil(dialTimeoutMs / 1000) + 1)],
        ["ServerAliveInterval", String(Math.ceil(connection.keepAliveMs / 1000))],
        ["ServerAliveCountMax", "3"],
        ...renderHostKeyOptions(connection, files),
        ...renderCredentialOptions(connection, files),
    ];
    const given = options.flatMap(([name, value]) => (value === undefined ? [] : ["-o", `${name}=${value}`]));
    const port = connection.port === undefined ? [] : ["-p", String(connection.port)];
    const user = connection.user === undefined ? [] : ["-l", connection.user];
    return ["-T", ...given, ...port, ...user, "--", connection.host ?? ""];
}

function renderHostKeyOptions(
    connection: Connection,
    { hostKeys }: Partial<OpensshFiles>,
): [string, string | undefined][] {
    if (hostKeys === undefined)
        return [
            ["StrictHostKeyChecking", connection.hostKeyPolicy === "accept-new" ? "accept-new" : "yes"],
            ["UserKnownHostsFile", connection.knownHosts && quotePath(expandHome(connection.knownHosts))],
        ];
    return [
        ["StrictHostKeyChecking", "yes"],
        ["UserKnownHostsFile", quotePath(hostKeys)],
        ["GlobalKnownHostsFile", "/dev/null"],
        ["KnownHostsCommand", "none"],
        ["VerifyHostKeyDNS", "no"],
        ["UpdateHostKeys", "no"],
        ["CheckHostIP", "no"],
    ];
}

function renderCredentialOptions(connection: Connection, files: Partial<OpensshFiles>): [string, string | undefined][] {
    const { agentSocketPath } = connection;
    return [
        ["IdentityFile", files.key && quotePath(files.key)],
        ["CertificateFile", files.certificate && quotePath(files.certificate)],
        // Only the key given, unless an agent is given too.
        ["IdentitiesOnly", files.key === undefined || agentSocketPath !== undefined ? undefined : "yes"],
        ["IdentityAgent", agentSocketPath && quotePath(expandHome(agentSocketPath))],
    ];
}

/** As ssh_config(5) reads a file name: in quotes, with `%` doubled. */
function quotePath(path: string): string {
    return `"${path.replaceAll(/["\\]/g, "\\$&").replaceAll("%", "%%")}"`;
}
