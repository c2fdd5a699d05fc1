import { type Connection, describeConnection } from "../model/connection.js";
import { explainDialError } from "./dial-error.js";
import {
    explainChangedKey,
    explainOtherKey,
    explainRevokedKey,
    explainUnknownKey,
    refuse,
    type ShownKey,
} from "./host-key-refusal.js";
import { ConnectionError, hopeOf } from "./shell.js";

/** A host key that `ssh` refused, as far as its words tell. */
export interface RefusedKey {
    readonly kind: "unknown" | "changed" | "revoked";
    /** `ED25519` */
    readonly type?: string;
    /** The line that has another key. */
    readonly line?: { readonly file: string; readonly lineNumber: number };
}

/** What `ssh` says when it does not take a host key, or nothing. @param words its standard error */
export function readRefusedKey(words: string): RefusedKey | undefined {
    if (!words.includes("Host key verification failed")) return undefined;
    const [, type] = /(?:fingerprint for the|^The|^No) (\S+) (?:host )?key /m.exec(words) ?? [];
    const [, file = "", lineNumber] = /Offending \S+ key in (\S+):(\d+)/.exec(words) ?? [];
    const kind = /REVOKED HOST KEY/.test(words)
        ? "revoked"
        : /REMOTE HOST IDENTIFICATION HAS CHANGED/.test(words)
          ? "changed"
          : "unknown";
    return {
        kind,
        ...(type === undefined ? {} : { type }),
        ...(lineNumber === undefined ? {} : { line: { file, lineNumber: Number(lineNumber) } }),
    };
}

/** @param shown the key that the host shows when it is asked again; nothing when another machine on the way was refused */
export function explainRefusedKey(
    refused: RefusedKey,
    shown: ShownKey | undefined,
    connection: Connection,
    words: string,
): ConnectionError {
    const file = connection.knownHosts ?? "known_hosts";
    if (shown === undefined) {
        const said = words.split("\n").find((line) => /host key .*(known|changed|revoked)|^Host key for/.test(line));
        return refuse(
            connection,
            `the host key of a machine on the way was refused (it said: ${said?.trim() ?? "Host key verification failed."}). ` +
                `Log in to it by hand once: ssh ${connection.host}.`,
        );
    }
    if (refused.kind === "revoked") return explainRevokedKey(connection, shown, { file });
    if (connection.hostKey !== undefined) return explainOtherKey(connection, shown);
    if (refused.kind === "changed") return explainChangedKey(connection, shown, refused.line ?? { file });
    return explainUnknownKey(connection, shown, { file, isNotIn: file });
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
            { ...hopeOf(explained), cause: error },
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
    [/Connection timed out during banner exchange/, { code: "ETIMEDOUT", level: "handshake" }],
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
