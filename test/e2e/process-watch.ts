import { join } from "node:path";
import { execa } from "execa";

/** What was seen of the processes of this machine and its throwaway hosts. */
export interface Watched {
    /** `argument: <text>` or `environment: <text>` for each text that was there. */
    readonly found: readonly string[];
    readonly passes: number;
    /** Names of the programs that ran meanwhile. */
    readonly programs: readonly string[];
}

/**
 * Looks for texts in /proc/<pid>/cmdline and environ of all processes until told to stop.
 * @param pauseMs between two looks, which take a processor as good as whole without
 */
export async function watchProcesses(texts: readonly string[], pauseMs = 1): Promise<{ stop(): Promise<Watched> }> {
    const child = execa(process.execPath, [join(__dirname, "process-watch.mjs")], { stdin: "pipe" });
    child.stdin.write(`${JSON.stringify({ texts, pauseMs })}\n`);
    await new Promise<void>((resolve) => child.stdout.once("data", () => resolve()));
    return {
        async stop() {
            child.stdin.end();
            const { stdout } = await child;
            return JSON.parse(stdout.split("\n").at(-1) ?? "");
        },
    };
}
