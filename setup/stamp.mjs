import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";

/**
 * What earlier runs found out, kept inside node_modules so that it goes away with it.
 *
 * @typedef {{ lockfile?: string, pulumi?: { key: string, fits: boolean } }} Stamp
 */

/**
 * @param {string} file
 * @returns {Stamp} empty when there is none or it cannot be read
 */
export function readStamp(file) {
    try {
        return JSON.parse(readFileSync(file, "utf8"));
    } catch {
        return {};
    }
}

/**
 * @param {string} file
 * @param {Stamp} changes
 */
export function writeStamp(file, changes) {
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, `${JSON.stringify({ ...readStamp(file), ...changes })}\n`);
}
