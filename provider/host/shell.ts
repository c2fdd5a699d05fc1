/** What a script printed and how it ended. */
export interface ScriptResult {
    readonly exitCode: number;
    readonly stdout: string;
    readonly stderr: string;
}

/**
 * One persistent root shell on a host (`sh`, never bash): scripts go down one after the other, answers come back in order.
 *
 * Each script runs in a fork of that shell: it starts in `/` with umask 022, LC_ALL=C and an empty standard input, and leaves
 * nothing behind. `$$` is the shell all scripts share. SIGHUP and SIGPIPE are ignored, so that a lost connection does not kill
 * a script in the middle: what it prints then fails (`set -e` sees that), and the early end of a pipe (`| head`) makes the
 * writer say "Broken pipe". Scripts still queued when the connection is lost never start.
 */
export interface Shell {
    /**
     * @param options.timeoutMs counted from when the script before has ended
     * @throws ConnectionError when the connection ends or `timeoutMs` passes before the script does
     */
    run(script: string, options: { readonly timeoutMs: number }): Promise<ScriptResult>;
    /** False once it is lost or closed: no script is taken any more. */
    isOpen(): boolean;
    /** Ends the shell and its connection at once; safe to call twice. */
    close(): void;
}

/** What trying again could bring. */
export interface Hope {
    /** False when trying again cannot help: a wrong key, a changed host key, no root. */
    readonly mayHeal: boolean;
    /** The same for a machine that was seen booting: sshd may be up before the user and its keys are. @default mayHeal */
    readonly mayHealAfterBoot?: boolean;
    /** How long it is worth trying, even where nothing is waited for. @default 0 */
    readonly patienceMs?: number;
}

/** The host could not be reached, refused us, or went away. The message is complete: who, what, what to do. */
export class ConnectionError extends Error {
    override readonly name = "ConnectionError";
    readonly mayHeal: boolean;
    readonly mayHealAfterBoot: boolean;
    readonly patienceMs: number;

    constructor(message: string, options: Hope & { readonly cause?: unknown }) {
        super(message, { cause: options.cause });
        this.mayHeal = options.mayHeal;
        this.mayHealAfterBoot = options.mayHealAfterBoot ?? options.mayHeal;
        this.patienceMs = options.patienceMs ?? 0;
    }
}

/** For an error that tells of the same thing in other words. */
export function hopeOf({ mayHeal, mayHealAfterBoot, patienceMs }: ConnectionError): Required<Hope> {
    return { mayHeal, mayHealAfterBoot, patienceMs };
}
