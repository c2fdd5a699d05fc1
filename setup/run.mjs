// node setup/run.mjs demo|test|bench|vm [args...]: makes a fresh clone ready, then runs the command.
import { join } from "node:path";
import { ensureBuild } from "./build.mjs";
import { handOver } from "./child.mjs";
import { ensureDependencies } from "./dependencies.mjs";
import { ROOT } from "./paths.mjs";
import { problem } from "./problem.mjs";
import { ensurePulumi } from "./pulumi.mjs";
import { ensureTools } from "./tools.mjs";

/** What each command runs with this Node, from the root of the repository. */
const PROGRAMS = {
    demo: ["dist/demo/index.js"],
    test: ["node_modules/vitest/vitest.mjs", "run"],
    bench: ["dist/bench/index.js"],
    vm: ["node_modules/vitest/vitest.mjs", "run", "--project", "vm"],
};

/**
 * @param {string | undefined} name
 * @param {string[]} args
 * @returns {Promise<number>}
 */
async function run(name, args) {
    if (name !== "demo" && name !== "test" && name !== "bench" && name !== "vm")
        throw problem("usage: node setup/run.mjs demo|test|bench|vm [args...]");
    if (Number.parseInt(process.versions.node, 10) < 20)
        throw problem(`Node ${process.versions.node} is too old: install Node 20 or newer (https://nodejs.org).`);
    await ensureDependencies();
    await ensureTools(name, args);
    await ensureBuild();
    const { env } = await ensurePulumi();
    const [program = "", ...options] = PROGRAMS[name];
    return await handOver(process.execPath, [join(ROOT, program), ...options, ...args], { cwd: ROOT, env });
}

const [name, ...args] = process.argv.slice(2);
try {
    process.exitCode = await run(name, args);
} catch (error) {
    const {
        message,
        details = [],
        exitCode = 1,
    } = /** @type {Error & { details?: string[], exitCode?: number }} */ (error);
    process.stderr.write([...details.map((line) => `    ${line}`), message, ""].join("\n"));
    process.exitCode = exitCode;
}
