import { existsSync, mkdirSync, readFileSync, symlinkSync } from "node:fs";
import { createRequire } from "node:module";
import { homedir } from "node:os";
import { dirname, join } from "node:path";
import type { PulumiCommand } from "@pulumi/pulumi/automation/index.js";

/** The version that the project installs where the machine has no Pulumi. */
const pinnedVersion = "3.250.0";

let found: Promise<PulumiCommand> | undefined;

/**
 * Finds the Pulumi CLI: the one on PATH, else the one in `~/.pulumi/versions/`.
 * @throws when there is none, naming both places.
 */
export function findPulumi(): Promise<PulumiCommand> {
    found ??= lookForPulumi().catch((error) => {
        found = undefined;
        throw error;
    });
    return found;
}

async function lookForPulumi(): Promise<PulumiCommand> {
    const { PulumiCommand } = await import("@pulumi/pulumi/automation/index.js");
    const root = join(homedir(), ".pulumi", "versions", pinnedVersion);
    try {
        return await PulumiCommand.get();
    } catch (onPath) {
        if (existsSync(join(root, "bin", "pulumi"))) return await PulumiCommand.get({ root });
        throw new Error(
            `lab.up needs the Pulumi CLI: none on PATH (${(onPath as Error).message.split("\n")[0]}) and none in ${root}.`,
        );
    }
}

/**
 * Prepares a Pulumi home of its own below a folder: no login, settings or state of the user's, but the plugins.
 * @returns its path.
 */
export function makePulumiHome(folder: string): string {
    const home = join(folder, "home");
    mkdirSync(home);
    const plugins = join(process.env["PULUMI_HOME"] ?? join(homedir(), ".pulumi"), "plugins");
    if (existsSync(plugins)) symlinkSync(plugins, join(home, "plugins"));
    return home;
}

/**
 * Prepares a project folder below a folder: the engine looks there for the packages that run dynamic resources.
 * @returns its path.
 */
export function makeProjectFolder(folder: string): string {
    const project = join(folder, "project");
    const modules = join(project, "node_modules");
    mkdirSync(join(modules, "@pulumi"), { recursive: true });
    const manifest = createRequire(__filename).resolve("@pulumi/pulumi/package.json");
    symlinkSync(dirname(manifest), join(modules, "@pulumi", "pulumi"));
    symlinkSync(findOwnPackage(), join(modules, "pulumi-linuxnet"));
    return project;
}

/** The root of this package, seen from its sources as well as from what was built of them. */
function findOwnPackage(): string {
    for (let folder = __dirname; folder !== dirname(folder); folder = dirname(folder)) {
        const manifest = join(folder, "package.json");
        if (!existsSync(manifest)) continue;
        if (JSON.parse(readFileSync(manifest, "utf8")).name === "pulumi-linuxnet") return folder;
    }
    throw new Error(`No package.json of pulumi-linuxnet above ${__dirname}.`);
}
