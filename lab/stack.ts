import { randomBytes } from "node:crypto";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import type { Unwrap } from "@pulumi/pulumi";
import type { ConfigValue, OpMap, OutputMap, Stack } from "@pulumi/pulumi/automation/index.js";
import { findPulumi, makeProjectFolder, makePulumiHome } from "./pulumi-command.js";
import type { LabRecord } from "./record.js";

/** A Pulumi program as a function; what it returns are the stack's outputs. */
export type LabProgram<T> = () => T | Promise<T>;

/** The values of a program's outputs, secrets included. */
export type LabOutputs<T> = { readonly [K in keyof T]: Unwrap<T[K]> };

/** How {@link Lab.up} runs a program. */
export type LabStackOptions = {
    /** @default "lab" */
    readonly projectName?: string | undefined;
    /** @default "test" */
    readonly stackName?: string | undefined;
    /** Stack configuration, full keys (`linuxnet:user`): texts, or secrets as `{ value, secret: true }`. */
    readonly config?: Readonly<Record<string, string | ConfigValue>> | undefined;
    /** Further environment variables of the engine and its providers. */
    readonly environment?: Readonly<Record<string, string>> | undefined;
    /** Is given what the engine prints, as it prints it. @default nothing is shown */
    readonly onOutput?: ((text: string) => void) | undefined;
};

/** What a run of the engine did: how many resources by operation (`{ create: 3, same: 1 }`), and what it printed. */
export type LabStackRun = { readonly changes: Readonly<OpMap>; readonly stdout: string };

/** A stack that is up; disposing it destroys what it made and forgets it. */
export type LabStack<T> = AsyncDisposable & {
    /** The outputs of the last `up` or `update`. */
    readonly outputs: LabOutputs<T>;
    /** What the last `up` or `update` did. */
    readonly run: LabStackRun;
    /** Brings the stack up again, with the program it has or a new one. */
    update(program?: LabProgram<T>): Promise<LabStackRun>;
    /** Says what `update` would do, with the program it has or another one. */
    preview(program?: LabProgram<T>): Promise<LabStackRun>;
    /** Reads what the hosts have now into the state. */
    refresh(): Promise<LabStackRun>;
    /** Destroys all resources; the stack stays, empty, and can be updated. */
    destroy(): Promise<LabStackRun>;
    /** The state as the engine exports it. */
    exportState(): Promise<unknown>;
};

/** Brings a program up with a backend, a passphrase and a Pulumi home of its own. */
export async function startStack<T>(
    record: LabRecord,
    program: LabProgram<T>,
    options: LabStackOptions = {},
): Promise<LabStack<T>> {
    const folder = record.makeFolder();
    let current = program;
    // Through a variable: the engine keeps the first function it is given.
    const stack = await openStack(folder, async () => (await current()) as OutputMap, options).catch((error) => {
        record.removeFolder(folder);
        throw error;
    });
    const onOutput = options.onOutput === undefined ? {} : { onOutput: options.onOutput };
    let last: { outputs: OutputMap; run: LabStackRun } | undefined;

    const up = async () => {
        const { outputs, summary, stdout } = await stack.up(onOutput);
        last = { outputs, run: { changes: summary.resourceChanges ?? {}, stdout } };
        return last.run;
    };
    const destroy = async () => {
        const { summary, stdout } = await stack.destroy(onOutput);
        return { changes: summary.resourceChanges ?? {}, stdout };
    };
    const close = async () => {
        try {
            await destroy();
        } finally {
            record.removeFolder(folder);
        }
    };
    let closing: Promise<void> | undefined;
    const started: Omit<LabStack<T>, "outputs" | "run"> = {
        update: (changed) => {
            current = changed ?? current;
            return up();
        },
        preview: async (other) => {
            const kept = current;
            current = other ?? current;
            try {
                const { changeSummary, stdout } = await stack.preview(onOutput);
                return { changes: changeSummary, stdout };
            } finally {
                current = kept;
            }
        },
        refresh: async () => {
            const { summary, stdout } = await stack.refresh(onOutput);
            return { changes: summary.resourceChanges ?? {}, stdout };
        },
        destroy,
        exportState: async () => (await stack.exportStack()).deployment,
        [Symbol.asyncDispose]: () => {
            closing ??= close();
            return closing;
        },
    };
    try {
        await up();
    } catch (error) {
        // The program's own error is the one to see, not that of cleaning up after it.
        await close().catch(() => undefined);
        throw error;
    }
    return Object.defineProperties(started, {
        outputs: { enumerable: true, get: () => plainOutputs(last?.outputs ?? {}) },
        run: { enumerable: true, get: () => last?.run },
    }) as LabStack<T>;
}

async function openStack(folder: string, program: () => Promise<OutputMap>, options: LabStackOptions): Promise<Stack> {
    const { LocalWorkspace } = await import("@pulumi/pulumi/automation/index.js");
    const { projectName = "lab", stackName = "test" } = options;
    const backend = join(folder, "state");
    mkdirSync(backend);
    const stack = await LocalWorkspace.createStack(
        { stackName, projectName, program },
        {
            workDir: makeProjectFolder(folder),
            pulumiHome: makePulumiHome(folder),
            pulumiCommand: await findPulumi(),
            secretsProvider: "passphrase",
            projectSettings: { name: projectName, runtime: "nodejs", backend: { url: pathToFileURL(backend).href } },
            envVars: {
                PULUMI_BACKEND_URL: pathToFileURL(backend).href,
                PULUMI_CONFIG_PASSPHRASE: randomBytes(16).toString("hex"),
                PULUMI_SKIP_UPDATE_CHECK: "true",
                PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION: "true",
                ...options.environment,
            },
        },
    );
    if (options.config !== undefined) await stack.setAllConfig(toConfigMap(options.config));
    return stack;
}

function toConfigMap(config: Readonly<Record<string, string | ConfigValue>>): Record<string, ConfigValue> {
    return Object.fromEntries(
        Object.entries(config).map(([key, value]) => [key, typeof value === "string" ? { value } : value]),
    );
}

function plainOutputs(outputs: OutputMap): Record<string, unknown> {
    return Object.fromEntries(Object.entries(outputs).map(([name, { value }]) => [name, value]));
}
