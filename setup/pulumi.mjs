import { renameSync, rmSync, statSync } from "node:fs";
import { homedir } from "node:os";
import { delimiter, dirname, join } from "node:path";
import { runStepCommand } from "./child.mjs";
import { buildEngine, CLI_VERSION } from "./engine.mjs";
import { findCommand, isExecutable, ROOT, STAMP, searchFolders } from "./paths.mjs";
import { readStamp, writeStamp } from "./stamp.mjs";
import { step } from "./step.mjs";
import { takeWorkFolder } from "./work-folder.mjs";

/** The CLI and what it starts for a Node program with dynamic providers; they are looked for beside it. */
const PROGRAMS = ["pulumi", "pulumi-language-nodejs", "pulumi-resource-pulumi-nodejs"];
const OLDEST = [3, 216];
const DOWNLOAD_TIMEOUT_MS = 600_000;

/**
 * Finds the Pulumi CLI, or gets it: on PATH, in ~/.pulumi/versions, by the official download, by a build from Go modules.
 *
 * @returns {Promise<{ bin: string, env: NodeJS.ProcessEnv }>} its folder, and an environment with that folder on PATH
 * @throws when every way fails
 */
export async function ensurePulumi() {
    const root = join(homedir(), ".pulumi", "versions", CLI_VERSION);
    const bin = (await findOnPath()) ?? join(root, "bin");
    if (!isComplete(bin)) await step(`Getting the Pulumi CLI ${CLI_VERSION} (once)`, (note) => getPulumi(root, note));
    const path = [...new Set([bin, ...searchFolders()])].join(delimiter);
    return { bin, env: { ...process.env, PATH: path, PULUMI_SKIP_UPDATE_CHECK: "true" } };
}

/** @param {string} bin */
function isComplete(bin) {
    return PROGRAMS.every((program) => isExecutable(join(bin, program)));
}

/** @returns {Promise<string | undefined>} the folder of a CLI on PATH that is complete and new enough */
async function findOnPath() {
    const command = findCommand("pulumi", searchFolders());
    if (!command || !isComplete(dirname(command))) return undefined;
    // Asking a CLI for its version takes a third of a second, so the answer is kept until the file changes.
    const { mtimeMs, size } = statSync(command);
    const key = `${command} ${mtimeMs} ${size}`;
    const known = readStamp(STAMP).pulumi;
    const fits = known?.key === key ? known.fits : await isNewEnough(command);
    if (known?.key !== key) writeStamp(STAMP, { pulumi: { key, fits } });
    return fits ? dirname(command) : undefined;
}

/** @param {string} command */
async function isNewEnough(command) {
    const env = { ...process.env, PULUMI_SKIP_UPDATE_CHECK: "true" };
    const { stdout } = await runStepCommand(command, ["version"], { env });
    const [major = 0, minor = 0] = (/v?(\d+)\.(\d+)/.exec(stdout) ?? []).slice(1).map(Number);
    return major === OLDEST[0] && minor >= (OLDEST[1] ?? 0);
}

/**
 * Makes the CLI's folder beside its final place and renames it, so that an interrupted run leaves no half CLI.
 *
 * @param {string} root
 * @param {(text: string) => void} note
 */
async function getPulumi(root, note) {
    const work = await takeWorkFolder(`${root}.unfinished`, () => note("waiting for another run that is getting it"));
    try {
        if (isComplete(join(root, "bin"))) return;
        const made = join(work, "made");
        note("downloading");
        if (!(await download(made))) {
            rmSync(made, { recursive: true, force: true });
            note("building");
            await buildEngine(join(made, "bin"), note);
        }
        rmSync(root, { recursive: true, force: true });
        renameSync(made, root);
    } finally {
        rmSync(work, { recursive: true, force: true });
    }
}

/**
 * @param {string} root
 * @returns {Promise<boolean>} false where there is no way to Pulumi's site
 */
async function download(root) {
    const args = [join(ROOT, "setup", "download.mjs"), root, CLI_VERSION];
    const { exitCode } = await runStepCommand(process.execPath, args, { cwd: ROOT, timeoutMs: DOWNLOAD_TIMEOUT_MS });
    return exitCode === 0 && isComplete(join(root, "bin"));
}
