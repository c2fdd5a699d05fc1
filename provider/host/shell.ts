/** What a script printed and how it ended. */
export interface ScriptResult {
    readonly exitCode: number;
    readonly stdout: string;
    readonly stderr: string;
}

/** One persistent root shell on a host (`sh`, never bash): scripts go down one after the other, answers come back in order. */
export interface Shell {
    /** @throws ConnectionError when the connection ends or `timeoutMs` passes before the script does. */
    run(script: string, options: { readonly timeoutMs: number }): Promise<ScriptResult>;
    /** Ends the shell and its connection at once; safe to call twice. */
    close(): void;
}

/** The host could not be reached, refused us, or went away. The message is complete: who, what, what to do. */
export class ConnectionError extends Error {
    override readonly name = "ConnectionError";
    /** False when trying again cannot help: a wrong key, a changed host key, no root. */
    readonly mayHeal: boolean;

    constructor(message: string, options: { mayHeal: boolean; cause?: unknown }) {
        super(message, { cause: options.cause });
        this.mayHeal = options.mayHeal;
    }
}
