import { chmodSync, copyFileSync, mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { runStepCommand } from "./child.mjs";
import { findCommand, ROOT, searchFolders } from "./paths.mjs";
import { problem } from "./problem.mjs";

const MODULES = join(ROOT, "setup", "engine");
const CLI_MODULE = readFileSync(join(MODULES, "cli", "go.mod"), "utf8");

/** The version of the Pulumi CLI that setup/engine/cli pins. */
export const CLI_VERSION = matched(CLI_MODULE, /pulumi\/pkg\/v3 v(\S+)/);

const GO_VERSION = matched(CLI_MODULE, /^go (\S+)$/m);
// From this version on Go fetches a newer version of itself where a go.mod asks for one.
const OLDEST_GO_MINOR = 21;
const BY_HAND =
    "Install the Pulumi CLI (curl -fsSL https://get.pulumi.com | sh, then: export PATH=$PATH:$HOME/.pulumi/bin)" +
    ` or Go ${GO_VERSION} or newer (https://go.dev/dl), and run this again.`;

/**
 * Builds the Pulumi CLI, Node's language host and the dynamic provider's starter from their Go modules.
 *
 * @param {string} bin an empty folder to put the three programs into
 * @param {(text: string) => void} note
 * @throws when Go is missing, or fails
 * @see https://www.pulumi.com/docs/iac/download-install
 */
export async function buildEngine(bin, note) {
    const go = await findGo();
    mkdirSync(bin, { recursive: true });
    // The small one first: a machine without access to Go modules learns so in seconds.
    await compile(go, "language", "github.com/pulumi/pulumi/sdk/v3/nodejs/cmd/pulumi-language-nodejs", bin, note);
    await compile(go, "cli", "github.com/pulumi/pulumi/pkg/v3/cmd/pulumi", bin, note);
    const starter = "pulumi-resource-pulumi-nodejs";
    copyFileSync(join(ROOT, "node_modules", "@pulumi", "pulumi", starter), join(bin, starter));
    chmodSync(join(bin, starter), 0o755);
}

/** @returns {Promise<string>} the path of a Go that is new enough */
async function findGo() {
    const go = findCommand("go", [...searchFolders(), "/usr/local/go/bin"]);
    if (!go) throw problem(`The Pulumi CLI is missing, and cannot be downloaded or built here. ${BY_HAND}`);
    const { stdout } = await runStepCommand(go, ["version"]);
    const [, major, minor] = /go(\d+)\.(\d+)/.exec(stdout) ?? [];
    if (Number(major) === 1 && Number(minor) < OLDEST_GO_MINOR)
        throw problem(`Go ${major}.${minor} is too old to build the Pulumi CLI. ${BY_HAND}`);
    return go;
}

/**
 * @param {string} go
 * @param {"cli" | "language"} module
 * @param {string} command the package to build
 * @param {string} bin
 * @param {(text: string) => void} note
 */
async function compile(go, module, command, bin, note) {
    const counts = { fetched: 0, compiled: 0 };
    const version = `-X github.com/pulumi/pulumi/sdk/v3/go/common/version.Version=v${CLI_VERSION}`;
    const flags = ["-v", "-mod=readonly", "-trimpath", "-tags", "osusergo,grpcnotrace", "-ldflags", `-s -w ${version}`];
    const { exitCode, lastLines } = await runStepCommand(go, ["build", ...flags, "-o", `${bin}/`, command], {
        cwd: join(MODULES, module),
        // No C compiler is needed, as in Pulumi's own releases.
        env: { ...process.env, CGO_ENABLED: "0" },
        onLine: (line) => {
            if (line.startsWith("go: downloading")) counts.fetched++;
            else counts.compiled++;
            note(`${module}: ${counts.fetched} modules fetched, ${counts.compiled} packages compiled`);
        },
    });
    if (exitCode !== 0) throw problem(`The Pulumi CLI could not be built with ${go}. ${BY_HAND}`, lastLines);
}

/**
 * @param {string} text
 * @param {RegExp} pattern
 */
function matched(text, pattern) {
    const found = pattern.exec(text)?.[1];
    if (!found) throw problem(`setup/engine/cli/go.mod has no ${pattern}.`);
    return found;
}
