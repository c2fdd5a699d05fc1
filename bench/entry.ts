import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { median, range } from "./measure.js";

/** Milliseconds that loading takes, measured inside a fresh process each time. */
export interface EntryTimes {
    /** What the engine's provider process loads before anything is asked. */
    readonly entryMs: number;
    /** What the first check loads on top: schemas. */
    readonly firstCheckMs: number;
    /** What the first operation loads on top: planners, ssh2. */
    readonly firstOperationMs: number;
}

const script = `
const folder = process.argv[1];
const lap = async (work) => { const start = performance.now(); await work(); return performance.now() - start; };
(async () => {
    let provider;
    const entry = await lap(() => { provider = require(folder + "/provider/index.js"); });
    const owner = { project: "p", stack: "s", urn: "u", name: "n" };
    const connection = { transport: "local", user: "root" };
    const check = await lap(() => provider.sandbox.check({}, { owner, connection, host: { kind: "host", id: "a#b@c" } }));
    const operation = await lap(async () => { require(folder + "/provider/host/host.js"); require("ssh2"); });
    process.stdout.write(JSON.stringify([entry, check, operation]));
    process.exit();
})();`;

export function measureEntry(): EntryTimes {
    const runs = range(9).map(() => {
        const output = execFileSync(process.execPath, ["-e", script, join(__dirname, "..")], { cwd: __dirname });
        return JSON.parse(output.toString()) as [number, number, number];
    });
    const at = (index: 0 | 1 | 2) => median(runs.map((run) => run[index]));
    return { entryMs: at(0), firstCheckMs: at(1), firstOperationMs: at(2) };
}
