import { spawn } from "node:child_process";
import { constants } from "node:os";
import { createInterface } from "node:readline";

const FORWARDED = /** @type {const} */ (["SIGINT", "SIGTERM", "SIGHUP"]);
const KILL_AFTER_TERM_MS = 60_000;
// Ctrl-C arrives twice: once from the terminal, once from npm, which passes on what it got itself.
const SAME_SIGNAL_MS = 500;
const LAST_LINES = 15;

/** @typedef {(typeof FORWARDED)[number]} Forwarded */
/** @type {((signal: Forwarded) => void) | undefined} */
let tellChild;
/** @type {Forwarded | undefined} */
let interruptedBy;
/** @type {Map<string, number>} */
const lastSeen = new Map();

for (const signal of FORWARDED) {
    process.on(signal, () => {
        const now = Date.now();
        const repeated = now - (lastSeen.get(signal) ?? 0) < SAME_SIGNAL_MS;
        lastSeen.set(signal, now);
        interruptedBy ??= signal;
        if (!repeated) tellChild?.(signal);
    });
}

/** Throws once Ctrl-C or a TERM came, so that a setup step ends between two commands. */
export function stopIfInterrupted() {
    if (interruptedBy) throw Object.assign(new Error("interrupted"), { exitCode: exitCodeOf(null, interruptedBy) });
}

/**
 * Runs a command of the setup: its output is kept for error messages, signals reach its whole process group.
 *
 * @param {string} command
 * @param {string[]} args
 * @param {{ cwd?: string, env?: NodeJS.ProcessEnv, onLine?: (line: string) => void, keepTerminal?: boolean, timeoutMs?: number }} [options]
 *   `keepTerminal`: sudo asks for the password on the terminal, so it must stay in the terminal's session
 * @returns {Promise<{ exitCode: number, stdout: string, lastLines: string[] }>} exit code 127 when there is no such command
 */
export async function runStepCommand(command, args, options = {}) {
    stopIfInterrupted();
    const { cwd, env = process.env, onLine, keepTerminal = false, timeoutMs } = options;
    const child = spawn(command, args, { cwd, env, detached: !keepTerminal, stdio: ["ignore", "pipe", "pipe"] });
    /** @type {string[]} */
    const lastLines = [];
    let stdout = "";
    child.stdout.on("data", (chunk) => {
        stdout += chunk;
    });
    for (const stream of [child.stdout, child.stderr]) {
        createInterface({ input: stream }).on("line", (line) => {
            if (line.trim() !== "") lastLines.push(line);
            if (lastLines.length > LAST_LINES) lastLines.shift();
            onLine?.(line);
        });
    }
    const target = keepTerminal ? 1 : -1;
    const timer = timeoutMs && setTimeout(() => kill(child, target, "SIGKILL"), timeoutMs);
    const exitCode = await ended(child, (signal) => kill(child, target, signal));
    if (timer) clearTimeout(timer);
    stopIfInterrupted();
    return { exitCode, stdout, lastLines };
}

/**
 * Hands the terminal to the command this was all for, and waits until it has cleaned up after itself.
 * It is a session of its own and only it is told of a signal, once: engines and workers below it are its business.
 *
 * @param {string} command
 * @param {string[]} args
 * @param {{ cwd: string, env: NodeJS.ProcessEnv }} options
 * @returns {Promise<number>} its exit code, 128 + n when signal n ended it
 */
export async function handOver(command, args, { cwd, env }) {
    stopIfInterrupted();
    const child = spawn(command, args, { cwd, env, detached: true, stdio: "inherit" });
    return await ended(child, (signal) => {
        kill(child, 1, signal);
        if (signal !== "SIGINT") setTimeout(() => kill(child, -1, "SIGKILL"), KILL_AFTER_TERM_MS).unref();
    });
}

/**
 * @param {import("node:child_process").ChildProcess} child
 * @param {(signal: Forwarded) => void} onSignal
 * @returns {Promise<number>}
 */
function ended(child, onSignal) {
    tellChild = onSignal;
    /** @type {Promise<number>} */
    const exit = new Promise((resolve) => {
        child.on("error", () => resolve(127));
        child.on("close", (code, signal) => resolve(exitCodeOf(code, signal)));
    });
    return exit.finally(() => {
        tellChild = undefined;
    });
}

/**
 * @param {number | null} code
 * @param {NodeJS.Signals | null} signal
 */
function exitCodeOf(code, signal) {
    return code ?? 128 + (signal ? constants.signals[signal] : 0);
}

/**
 * @param {import("node:child_process").ChildProcess} child
 * @param {1 | -1} target the process, or its whole group
 * @param {NodeJS.Signals} signal
 */
function kill(child, target, signal) {
    try {
        if (child.pid) process.kill(target * child.pid, signal);
    } catch {
        // Already gone, or root's (sudo): then the terminal has told it.
    }
}
