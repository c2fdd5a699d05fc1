import { randomBytes } from "node:crypto";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { pathToFileURL } from "node:url";
import { execa } from "execa";
import { expect } from "vitest";
import { findPulumi, makeProjectFolder, makePulumiHome } from "../../lab/pulumi-command.js";

/** A run of the CLI. */
export type Run = {
    readonly pid: number;
    /** All it has printed so far, stdout and stderr together. */
    output(): string;
    /** Resolves with its exit code, or with the name of the signal that ended it. */
    readonly ended: Promise<number | string>;
};

/** A Pulumi project in a folder of its own, run with the command line. */
export type Project = AsyncDisposable & {
    readonly folder: string;
    /** Starts `pulumi <args>` in a process group of its own, as a terminal does. */
    start(...args: readonly string[]): Run;
    /** @returns all it printed. @throws when it fails. */
    pulumi(...args: readonly string[]): Promise<string>;
    /** The state as `pulumi stack export` prints it. */
    exportState(...args: readonly string[]): Promise<string>;
    /** Processes that belong to the project, id and command line: programs and providers have its folder as theirs. */
    processes(): string[];
};

/** Where a project's packages come from: links as in a workspace, unless `install` puts others there. */
export type ProjectOptions = {
    /** Of `makeScript` only. @default "lab" */
    readonly projectName?: string | undefined;
    readonly install?: ((folder: string) => Promise<void>) | undefined;
    readonly environment?: Readonly<Record<string, string>> | undefined;
};

/** Makes a project of these files, with a stack `test` in a backend of its own. */
export async function makeProject(
    files: Readonly<Record<string, string>>,
    { install, environment = {} }: ProjectOptions = {},
): Promise<Project> {
    const root = mkdtempSync(join(tmpdir(), "linuxnet-test-"));
    const folder = install === undefined ? makeProjectFolder(root) : join(root, "project");
    mkdirSync(folder, { recursive: true });
    const state = join(root, "state");
    mkdirSync(state);
    for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text, { mode: 0o600 });
    await install?.(folder);
    const { command } = await findPulumi();
    const env = {
        // The engine looks for its language plugins on the PATH.
        PATH: `${dirname(command)}:${process.env["PATH"]}`,
        PULUMI_HOME: makePulumiHome(root),
        PULUMI_BACKEND_URL: pathToFileURL(state).href,
        PULUMI_CONFIG_PASSPHRASE: randomBytes(16).toString("hex"),
        PULUMI_SKIP_UPDATE_CHECK: "true",
        PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION: "true",
        ...environment,
    };
    const start: Project["start"] = (...args) => {
        const child = execa(command, [...args, "--non-interactive"], {
            all: true,
            buffer: false,
            cwd: folder,
            detached: true,
            env,
            reject: false,
            stdin: "ignore",
        });
        let output = "";
        child.all.setEncoding("utf8").on("data", (text: string) => {
            output += text;
        });
        const ended = child.then(({ exitCode, signal, originalMessage }) => exitCode ?? signal ?? `${originalMessage}`);
        return { pid: child.pid ?? 0, output: () => output, ended };
    };
    const pulumi: Project["pulumi"] = async (...args) => {
        const run = start(...args);
        const end = await run.ended;
        if (end !== 0) throw new Error(`pulumi ${args.join(" ")} ended with ${end}:\n${run.output()}`);
        return run.output();
    };
    const project: Project = {
        folder,
        start,
        pulumi,
        exportState: (...args) => pulumi("stack", "export", "--stack", "test", ...args),
        processes: () => processesIn(root),
        [Symbol.asyncDispose]: async () => {
            for (const line of processesIn(root)) process.kill(Number.parseInt(line, 10), "SIGKILL");
            rmSync(root, { recursive: true });
        },
    };
    await pulumi("stack", "init", "test");
    return project;
}

/** A project in plain JavaScript; the program finds what it needs in `values`. */
export function makeScript(program: string, values: unknown, options: ProjectOptions = {}): Promise<Project> {
    return makeProject(
        {
            "Pulumi.yaml": `name: ${options.projectName ?? "lab"}\nruntime: nodejs\n`,
            "package.json": '{ "name": "lab", "main": "index.js" }\n',
            "values.json": JSON.stringify(values),
            "index.js": `const linuxnet = require("pulumi-linuxnet");\nconst values = require("./values.json");\n${program}`,
        },
        options,
    );
}

/** Waits until a run has printed a text. */
export async function printed(run: Run, text: string): Promise<void> {
    await expect.poll(() => run.output(), { timeout: 60_000 }).toContain(text);
}

/** The provider ends with its engine; that an engine was killed is noticed within seconds. */
export async function expectNoProvider(project: Project): Promise<void> {
    // A killed engine leaves Pulumi's own language host behind, for good.
    const providers = () => project.processes().filter((line) => !line.includes("pulumi-language-nodejs"));
    await expect.poll(providers, { timeout: 10_000 }).toEqual([]);
}

function processesIn(folder: string): string[] {
    return readdirSync("/proc").flatMap((name) => {
        if (!/^\d+$/.test(name)) return [];
        try {
            const command = readFileSync(`/proc/${name}/cmdline`, "utf8").replaceAll("\0", " ");
            const isIn = command.includes(folder) || readlinkSync(`/proc/${name}/cwd`).startsWith(folder);
            return isIn ? [`${name} ${command}`] : [];
        } catch {
            // It has ended meanwhile.
            return [];
        }
    });
}
