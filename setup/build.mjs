import { mkdirSync, readdirSync, readFileSync, statSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { runStepCommand } from "./child.mjs";
import { ROOT } from "./paths.mjs";
import { problem } from "./problem.mjs";
import { step } from "./step.mjs";

const STAMP = join(ROOT, "dist", ".built");
const CONFIGS = ["tsconfig.json", "tsconfig.build.json", "package-lock.json"];

/**
 * Compiles the TypeScript sources into dist, unless nothing has changed since the last time.
 *
 * @throws when the compiler reports errors
 */
export async function ensureBuild() {
    const builtAt = statSync(STAMP, { throwIfNoEntry: false })?.mtimeMs ?? 0;
    if (newestSource() < builtAt) return;
    await step("Compiling", compile);
}

async function compile() {
    // The time of the start counts: a file saved while the compiler runs must be compiled again.
    const startedAt = new Date();
    const tsc = join(ROOT, "node_modules", "typescript", "bin", "tsc");
    const args = [tsc, "-p", "tsconfig.build.json", "--pretty", "false"];
    const { exitCode, lastLines } = await runStepCommand(process.execPath, args, { cwd: ROOT });
    if (exitCode !== 0) throw problem("The sources do not compile. To see all errors, type: npm run build", lastLines);
    mkdirSync(join(ROOT, "dist"), { recursive: true });
    writeFileSync(STAMP, "");
    utimesSync(STAMP, startedAt, startedAt);
}

/** @returns {number} when the youngest source, or a folder of sources (a file removed), last changed */
function newestSource() {
    const { include } = JSON.parse(readFileSync(join(ROOT, "tsconfig.build.json"), "utf8"));
    const times = CONFIGS.map((file) => statSync(join(ROOT, file)).mtimeMs);
    return Math.max(...times, ...include.map((/** @type {string} */ folder) => newestIn(join(ROOT, folder))));
}

/**
 * @param {string} folder
 * @returns {number}
 */
function newestIn(folder) {
    const own = statSync(folder, { throwIfNoEntry: false });
    if (!own) return 0;
    const times = readdirSync(folder, { withFileTypes: true }).map((entry) => {
        const path = join(folder, entry.name);
        return entry.isDirectory() ? newestIn(path) : statSync(path).mtimeMs;
    });
    return Math.max(own.mtimeMs, ...times);
}
