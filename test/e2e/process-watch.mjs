// Looks for texts in the arguments and environments of all processes, again and again, until its input ends.
// They come as the first line of its input, `{ "texts": [], "pauseMs": 1 }`, and its answer leaves as one JSON line.
import { readdirSync, readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";

/** @param {string} path */
function read(path) {
    try {
        return readFileSync(path, "utf8");
    } catch {
        // It has ended meanwhile.
        return "";
    }
}

const lines = createInterface({ input: process.stdin });
let isOver = false;
lines.once("close", () => {
    isOver = true;
});
/** @type {{ texts: string[], pauseMs: number }} */
const { texts, pauseMs } = JSON.parse(await new Promise((resolve) => lines.once("line", resolve)));
const found = new Set();
const seen = new Map();
const programs = new Set();
let passes = 0;
process.stdout.write("watching\n");
while (!isOver) {
    passes++;
    for (const pid of readdirSync("/proc")) {
        if (!/^\d+$/.test(pid)) continue;
        const argv = read(`/proc/${pid}/cmdline`);
        // Another environment comes with another program only.
        if (argv === "" || seen.get(pid) === argv) continue;
        seen.set(pid, argv);
        programs.add(argv.split("\0")[0]?.split("/").at(-1));
        const environment = read(`/proc/${pid}/environ`);
        for (const text of texts) {
            if (argv.includes(text)) found.add(`argument: ${text}`);
            if (environment.includes(text)) found.add(`environment: ${text}`);
        }
    }
    await sleep(pauseMs);
}
process.stdout.write(`${JSON.stringify({ found: [...found].sort(), passes, programs: [...programs].sort() })}\n`);
