import { copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { execa } from "execa";
import { findPulumi } from "../lab/pulumi-command.js";
import { quoteWord } from "./runtime.js";

/** A stack of a program, run by the Pulumi CLI, with a backend, a passphrase and a Pulumi home of its own. */
export interface Stack {
    /** Temporary: state, configuration, key. It has to stay as long as the stack has resources. */
    readonly folder: string;
    /** What a user types in a shell to run a command of the Pulumi CLI on the same stack. */
    typed(command: "stack" | "destroy"): string;
    up(options?: RunOptions): Promise<void>;
    /** @throws when the program would change anything */
    previewNothing(options?: RunOptions): Promise<void>;
    /** @throws when the host is not what the state says */
    refreshNothing(options?: RunOptions): Promise<void>;
    destroy(options?: RunOptions): Promise<void>;
    /** Changes its configuration; what is not named stays. */
    configure(values: Readonly<Record<string, ConfigValue>>): Promise<void>;
    /** Forgets the stack; what it still has is not destroyed. */
    remove(): void;
    outputs(): Promise<unknown>;
}

/** A plain text, or one that is kept encrypted. */
export type ConfigValue = string | { readonly secret: string };

export interface RunOptions {
    /** Is given what the engine prints. */
    readonly onLine?: ((line: string) => void) | undefined;
    /** Interrupts the engine once: what is being made is finished and recorded. */
    readonly signal?: AbortSignal | undefined;
    /** Folder of another version of the program. @default the one the stack was made for */
    readonly program?: string | undefined;
}

/**
 * Makes a stack for the program of a folder.
 * @param configure is given the temporary folder, and returns the stack's configuration (keys may be paths)
 */
export async function createStack(
    program: string,
    configure: (folder: string) => Readonly<Record<string, ConfigValue>>,
): Promise<Stack> {
    const folder = mkdtempSync(join(tmpdir(), "linuxnet-demo-"));
    const [state, home] = [join(folder, "state"), join(folder, "home")];
    for (const path of [state, home]) mkdirSync(path);
    const environment = {
        PULUMI_BACKEND_URL: `file://${state}`,
        PULUMI_HOME: home,
        PULUMI_CONFIG_PASSPHRASE: "demo",
        PULUMI_SKIP_UPDATE_CHECK: "true",
        PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION: "true",
        // The tests have checked the types; here it would take two seconds a run.
        PULUMI_NODEJS_TRANSPILE_ONLY: "true",
    };
    const exports = Object.entries(environment).map(([name, value]) => `export ${name}=${quoteWord(value)}\n`);
    writeFileSync(join(folder, "environment"), exports.join(""));

    const { command: pulumiCommand } = await findPulumi();
    const pulumi = async (
        cwd: string,
        args: readonly string[],
        { onLine, signal, input }: RunOptions & { readonly input?: string } = {},
    ) => {
        signal?.throwIfAborted();
        // Detached: Ctrl-C in a terminal comes to this program alone, which decides what it means.
        const child = execa(pulumiCommand, [...args, "--stack=demo", "--non-interactive", "--color=never"], {
            cwd,
            env: environment,
            ...(input === undefined ? { stdin: "ignore" } : { input }),
            all: true,
            detached: true,
            reject: false,
        });
        const interrupt = () => child.kill("SIGINT");
        signal?.addEventListener("abort", interrupt);
        if (onLine) createInterface({ input: child.all }).on("line", onLine);
        const { all, stdout, exitCode } = await child;
        signal?.removeEventListener("abort", interrupt);
        signal?.throwIfAborted();
        if (exitCode !== 0) throw new Error(`pulumi ${args[0]} failed:\n${all}`);
        return stdout;
    };
    const configFile = `--config-file=${join(folder, "Pulumi.demo.yaml")}`;
    const run = async (args: readonly string[], options?: RunOptions) => {
        await pulumi(options?.program ?? program, [...args, configFile], options);
    };
    const setConfig: Stack["configure"] = async (values) => {
        const plain: string[] = [];
        for (const [key, value] of Object.entries(values)) {
            if (typeof value === "string") plain.push("--plaintext", `${key}=${value}`);
            // Through a pipe: everybody on this machine sees what a process is given as an argument.
            else await pulumi(folder, ["config", "set", "--secret", "--path", key], { input: value.secret });
        }
        if (plain.length > 0) await pulumi(folder, ["config", "set-all", "--path", ...plain]);
    };
    try {
        // `stack init` writes the stack's file beside Pulumi.yaml, where a user may have one of that name: not there.
        copyFileSync(join(program, "Pulumi.yaml"), join(folder, "Pulumi.yaml"));
        await pulumi(folder, ["stack", "init", "--no-select"]);
        await setConfig(configure(folder));
    } catch (error) {
        rmSync(folder, { recursive: true, force: true });
        throw error;
    }
    const now = ["--yes", "--skip-preview"];
    return {
        folder,
        typed: (command) => {
            // Destroying takes the provider, which is found from the program's folder.
            const where = command === "destroy" ? `-C ${program} ${configFile}` : `-C ${folder}`;
            return `(. ${folder}/environment; ${pulumiCommand} ${command} ${where} --stack=demo)`;
        },
        up: (options) => run(["up", ...now], options),
        previewNothing: (options) => run(["preview", "--expect-no-changes"], options),
        refreshNothing: (options) => run(["refresh", ...now, "--expect-no-changes"], options),
        destroy: (options) => run(["destroy", ...now], options),
        configure: setConfig,
        remove: () => rmSync(folder, { recursive: true, force: true }),
        outputs: async () => JSON.parse(await pulumi(folder, ["stack", "output", "--json"])),
    };
}
