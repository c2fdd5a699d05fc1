import { readdirSync } from "node:fs";
import { join } from "node:path";
import { runStepCommand } from "./child.mjs";
import { findPackageManager, renderInstall } from "./package-manager.mjs";
import { CLIENT_TOOLS, HOST_TOOLS, TEST_TOOLS, VM_TOOLS } from "./packages.mjs";
import { findCommand, searchFolders } from "./paths.mjs";
import { problem } from "./problem.mjs";
import { step } from "./step.mjs";

/** @typedef {import("./packages.mjs").Tool} Tool */

/**
 * Installs the commands that a throwaway host needs on this machine, unless all are there.
 *
 * @param {"demo" | "test" | "bench" | "vm"} name
 * @param {string[]} args `--host` of the demo names a real host: then this machine only has to reach it
 * @throws when something is missing and cannot be installed
 */
export async function ensureTools(name, args) {
    const needsHosts = !(name === "demo" && args.some((arg) => /^--host(=|$)/.test(arg)));
    if (needsHosts && process.platform !== "linux")
        throw problem(
            `npm run ${name === "vm" ? "test:vm" : name} makes network namespaces and needs Linux; npm run demo -- --host user@machine does not.`,
        );
    const needsMachines =
        name === "vm" || (name === "bench" && args.includes("--vm")) || process.env["LINUXNET_LAB_DRIVER"] === "vm";
    const further = [...(name === "test" ? TEST_TOOLS : []), ...(needsMachines ? VM_TOOLS : [])];
    const tools = [...CLIENT_TOOLS, ...(needsHosts ? HOST_TOOLS : []), ...further];
    const missing = tools.filter((tool) => !isInstalled(tool));
    if (missing.length > 0) await installTools(missing);
}

/** @param {Tool} tool */
function isInstalled(tool) {
    if (tool.isThere) return tool.isThere();
    const folders = [...searchFolders(), ...serverFolders()];
    return tool.commands.every((command) => findCommand(command, folders));
}

// Distributions that carry several PostgreSQL versions keep the server out of PATH.
function serverFolders() {
    const debian = listFolder("/usr/lib/postgresql").map((version) => `/usr/lib/postgresql/${version}/bin`);
    const suse = listFolder("/usr/lib").filter((entry) => entry.startsWith("postgresql"));
    const alpine = listFolder("/usr/libexec").filter((entry) => entry.startsWith("postgresql"));
    return [
        ...debian,
        ...suse.map((entry) => join("/usr/lib", entry, "bin")),
        ...alpine.map((entry) => join("/usr/libexec", entry)),
    ];
}

/** @param {string} folder */
function listFolder(folder) {
    try {
        return readdirSync(folder);
    } catch {
        return [];
    }
}

/** @param {Tool[]} missing */
async function installTools(missing) {
    const commands = missing.flatMap(({ commands }) => commands).join(", ");
    const manager = findPackageManager(searchFolders());
    if (!manager) throw problem(`Install these commands and run this again: ${commands}.`);
    const packages = [...new Set(missing.flatMap((tool) => tool[manager.name].split(" ")))];
    const services = missing.flatMap(({ service }) => service ?? []);
    const sh = ["sh", ...renderInstall(manager, packages, services)];
    const isRoot = process.getuid?.() === 0;
    const lines = [manager.refresh, `${manager.install} ${packages.join(" ")}`].filter(Boolean);
    const toType = lines.map((line) => (isRoot ? line : `sudo ${line}`)).join(" && ");
    const byHand = `Missing here: ${commands}. To install them, type: ${toType}`;
    if (!isRoot) await askForSudo(byHand);
    const [command = "sh", ...args] = isRoot ? sh : ["sudo", "-n", ...sh];
    const { exitCode, lastLines } = await step(`Installing ${packages.join(", ")}`, () =>
        runStepCommand(command, args, { keepTerminal: !isRoot }),
    );
    if (exitCode !== 0) throw problem(byHand, lastLines);
    const still = missing.filter((tool) => !isInstalled(tool));
    if (still.length > 0) throw problem(byHand);
}

/** @param {string} byHand what to type where there is no sudo */
async function askForSudo(byHand) {
    process.stderr.write(`${byHand}\n`);
    // sudo asks on the terminal itself; without one, or without sudo, it fails at once.
    const { exitCode, lastLines } = await runStepCommand("sudo", ["-v"], { keepTerminal: true });
    if (exitCode !== 0)
        throw problem("sudo does not work here: type the command above as root, then run this again.", lastLines);
}
