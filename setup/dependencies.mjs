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
    const args = ["ci", "--include=dev", "--no-audit", "--no-fund"];
    const npmScript = process.env["npm_execpath"];
    const [command, prefix] = npmScript?.endsWith(".js") ? [process.execPath, [npmScript]] : ["npm", []];
    const { exitCode, lastLines } = await runStepCommand(command, [...prefix, ...args], { cwd: ROOT });
    if (exitCode !== 0) throw problem("The npm packages could not be installed. To see why, type: npm ci", lastLines);
}
