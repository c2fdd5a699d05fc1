/** What the provider calls an argument of `connection`, and what this command calls it. */
const words: readonly (readonly [RegExp, string])[] = [
    [/Set connection\.privateKey, privateKeyFile, password or agentSocketPath/g, "Give --key, or start an agent"],
    [/Set connection\.privateKeyPassword, or use an agent/g, "Use an agent"],
    [/Set connection\.sudo: \{ password \}, or allow/g, "Allow"],
    [/connection\.sudo is not set\. Set connection\.sudo: true/g, "--sudo is not given. Give it"],
    [/[Ss]et connection\.(hostKey|privateKeyFile):? ?/g, "give connection.$1 "],
    [/connection\.hostKey/g, "--host-key"],
    [/connection\.privateKeyFile/g, "--key"],
    [/connection\.(sudo|port|user)\b/g, "the $1"],
    [/connection\.host\b/g, "the host name"],
];

/** One line for a user: what is wrong, and what to do, in the words of this command. */
export function describeProblem(error: unknown): string {
    const message = error instanceof Error ? error.message : String(error);
    const line = message
        .replace(/^error: /, "")
        .replace(/\s*\n\s*/g, " ")
        .trim();
    const said = words.reduce((text, [provider, command]) => text.replace(provider, command), line);
    return said.replace(/([.:] )give /g, "$1Give ").replace(/ +([.,])/g, "$1");
}
