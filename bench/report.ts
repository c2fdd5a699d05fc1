import { load } from "./measure.js";

/** How the benchmark was called. */
export interface Options {
    readonly quick?: boolean;
    readonly large?: boolean;
    readonly peers?: boolean;
    readonly hosts?: string;
    readonly vm?: boolean;
}

const startedAt = Date.now();

export function say(text: string): void {
    process.stdout.write(`${text}\n`);
}

/** A heading with the time since the start and the load, which says how far the figures below are to be trusted. */
export function title(text: string): void {
    const seconds = ((Date.now() - startedAt) / 1000).toFixed(0);
    say(`\n${text}  [${seconds} s, load ${load()}]`);
}
