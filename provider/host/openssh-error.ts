import { type Connection, describeConnection } from "../model/connection.js";
import { explainDialError } from "./dial-error.js";
import { ConnectionError } from "./shell.js";

/** A host key that `ssh` refused, as far as its words tell. */
interface RefusedKey {
    readonly kind: "unknown" | "changed" | "revoked";
    /** `ssh-ed25519 SHA256:...` */
    readonly shown?: string;
    /** `~/.ssh/known_hosts:3` */
    readonly line?: string;
}

/** What `ssh` says when it does not take a host key, or nothing. @param words its standard error; more at level -v */
export function readRefusedKey(words: string): RefusedKey | undefined {
    if (!words.includes("Host key verification failed")) return undefined;
    const [, verbose] = /Server host key: (\S+ SHA256:\S+)/.exec(words) ?? [];
    const [, type, print] =
        /fingerprint for the (\S+) key sent by the remote host is\s+(SHA256:[^\s.]+)/.exec(words) ?? [];
    const shown = verbose ?? (print === undefined ? undefined : `${type} ${print}`);
    const [, line] = /Offending \S+ key in (\S+:\d+)/.exec(words) ?? [];
    const kind = /REVOKED HOST KEY/.test(words)
        ? "revoked"
        : /REMOTE HOST IDENTIFICATION HAS CHANGED/.test(words)
          ? "changed"
          : "unknown";
    return { kind, ...(shown === undefined ? {} : { shown }), ...(line === undefined ? {} : { line }) };
}

export function explainRefusedKey(refused: RefusedKey, connection: Connection): ConnectionError {
    const shown = refused.shown ?? "a key";
    const look = "check the fingerprint on its console (ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub)";
    const set = 'set connection.hostKey to the text of that .pub file ("ssh-ed25519 AAAA...")';
    const refuse = (what: string) =>
        new ConnectionError(`${describeConnection(connection)}: ${what}`, { mayHeal: false });
    if (refused.kind === "revoked")
        return refuse(
            `the host key ${shown} is marked @revoked in known_hosts. Do not use this host until it has a new key.`,
        );
    if (connection.hostKey !== undefined)
        return refuse(
            `the host key is not the one in connection.hostKey. The host shows ${shown}. Somebody may be listening in. ` +
                `If the host was made anew, ${look} and ${set}.`,
        );
    if (refused.kind === "changed")
        return refuse(
            `the host key has changed. The host shows ${shown}, but ${refused.line ?? "known_hosts"} has another one. Somebody may ` +
                `be listening in. If the host was made anew, ${look}, remove that line, and ${set}.`,
        );
    return refuse(
        `the host key is unknown: ${shown} is not in ${connection.knownHosts ?? "known_hosts"}. To trust the host, ${look} and ${set}, ` +
            `or take it down by a first login by hand (ssh ${connection.host}).`,
    );
}

/** The end of `ssh` itself (exit code 255) before there was a shell, by its words on standard error. */
export function explainOpensshEnd(words: string, connection: Connection, tried: readonly string[]): ConnectionError {
    const lines = words.split("\n").map((line) => line.trim());
    for (const [pattern, problem] of problems) {
        const line = lines.find((candidate) => pattern.test(candidate));
        if (line === undefined) continue;
        const named = pattern.exec(line)?.groups ?? {};
        const error = Object.assign(new Error(named["text"] ?? line), problem);
        const { user, host, port } = named;
        const isElsewhere = host !== undefined && host.toLowerCase() !== connection.host?.toLowerCase();
        // What ~/.ssh/config gave is known from the words only.
        const seen: Connection = {
            ...connection,
            ...(user === undefined || isElsewhere ? {} : { user }),
            ...(port === undefined || isElsewhere ? {} : { port: Number(port) }),
        };
        const explained = explainDialError(error, seen, tried);
        if (!isElsewhere) return explained;
        // A bastion, or the HostName of an alias.
        return new ConnectionError(
            `${describeConnection(connection)}: ssh did not get through (it said: ${line}). Check that step by hand: ssh ${connection.host}.`,
            {
                mayHeal: explained.mayHeal,
                cause: error,
            },
        );
    }
    const said = lines
        .filter((line) => line !== "" && !line.startsWith("Warning: "))
        .slice(-3)
        .join(" ")
        .slice(0, 300);
    return new ConnectionError(
        `${describeConnection(connection)}: ssh ended before the login was done${said === "" ? "" : ` (it said: ${said})`}. ` +
            `Try it by hand: ssh ${connection.host}.`,
        { mayHeal: false },
    );
}

/** The words of OpenSSH, and the same thing as the other transport would say it. The first that is found counts. */
const problems: readonly [RegExp, { readonly code?: string; readonly level?: string }][] = [
    [/Could not resolve hostname (?<host>[^:\s]+): Temporary failure/, { code: "EAI_AGAIN" }],
    [/Could not resolve hostname (?<host>[^:\s]+)/, { code: "ENOTFOUND" }],
    [/connect to host (?<host>\S+) port (?<port>\d+): Connection refused/, { code: "ECONNREFUSED" }],
    [/connect to host (?<host>\S+) port (?<port>\d+): (Connection|Operation) timed out/, { code: "ETIMEDOUT" }],
    [/connect to host (?<host>\S+) port (?<port>\d+): No route to host/, { code: "EHOSTUNREACH" }],
    [/connect to host (?<host>\S+) port (?<port>\d+): Network is unreachable/, { code: "ENETUNREACH" }],
    [/Connection timed out during banner exchange/, { code: "ETIMEDOUT" }],
    [/(?<text>[Tt]oo many authentication failures)/, {}],
    [/^(?<user>\S+)@(?<host>\S+): Permission denied/, { level: "client-authentication" }],
    [/no matching .* found/, {}],
    // "banner exchange: Connection to 10.0.0.1 port 25: invalid format"
    [/invalid format|invalid protocol|invalid characters|Bad remote protocol version/, { code: "EPROTO" }],
    [/Connection (closed|reset)|Connection to \S+ closed|Broken pipe/, { code: "ECONNRESET" }],
];

/** The end of `ssh` in the middle of its work, as a clause. */
export function describeLoss(words: string): string {
    if (/Timeout, server \S+ not responding/.test(words)) return "the host stopped answering";
    if (/Connection to \S+ closed|Connection (closed|reset) by/.test(words)) return "the host closed the connection";
    const [, broken] = /client_loop: (.*)/.exec(words) ?? [];
    return broken === undefined ? "the host closed the shell" : `the connection broke (${broken.trim()})`;
}
