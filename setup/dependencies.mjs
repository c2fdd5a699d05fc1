import { createHash } from "node:crypto";
import { readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { runStepCommand } from "./child.mjs";
import { ROOT, STAMP } from "./paths.mjs";
import { problem } from "./problem.mjs";
import { readStamp, writeStamp } from "./stamp.mjs";
import { step } from "./step.mjs";

/**
 * Installs the npm packages of package-lock.json, unless node_modules holds them already.
 *
 * @throws when `npm ci` fails
 */
export async function ensureDependencies() {
    const lockfile = createHash("sha256")
        .update(readFileSync(join(ROOT, "package-lock.json")))
        .digest("hex");
    if (readStamp(STAMP).lockfile === lockfile) return;
    if (!installedByHand()) await step("Installing npm packages", installPackages);
    writeStamp(STAMP, { lockfile });
}

// npm writes node_modules/.package-lock.json last, so it tells a complete tree from an interrupted one.
function installedByHand() {
    const installedAt = statSync(join(ROOT, "node_modules", ".package-lock.json"), { throwIfNoEntry: false })?.mtimeMs;
    return installedAt !== undefined && installedAt >= statSync(join(ROOT, "package-lock.json")).mtimeMs;
}

async function installPackages() {
    let lockfileRefused = false;
    const ci = await runNpm(["ci"], (line) => {
        lockfileRefused ||= line.includes("EUSAGE");
    });
    if (ci.exitCode === 0) return;
    // npm 11 refuses a lockfile when the registry lacks optional packages of other platforms (npm/cli#9846);
    // `install` takes the same versions from the same file and goes on without those.
    const { exitCode, lastLines } = lockfileRefused ? await runNpm(["install", "--no-save"]) : ci;
    if (exitCode !== 0)
        throw problem("The npm packages could not be installed. To try again by hand, type: npm ci", lastLines);
}

/**
 * @param {string[]} args
 * @param {(line: string) => void} [onLine]
 */
function runNpm(args, onLine = () => {}) {
    // The npm that runs this script, where there is one: it need not be on PATH.
    const script = process.env["npm_execpath"];
    const [command, prefix] = script?.endsWith("npm-cli.js") ? [process.execPath, [script]] : ["npm", []];
    const options = ["--include=dev", "--no-audit", "--no-fund"];
    return runStepCommand(command, [...prefix, ...args, ...options], { cwd: ROOT, onLine });
}
