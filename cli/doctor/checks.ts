import { checkFirewalls } from "./firewalls.js";
import { checkBridgeSwitches, checkCapabilities, checkConnections, checkVersions } from "./kernel.js";
import { checkCarried, checkListeners } from "./objects.js";
import { checkForwarding, checkReversePath, checkUplinks } from "./routing.js";
import type { HostState } from "./state.js";
import { checkTools } from "./tools.js";

/** What one look at a host has found. */
export interface Check {
    readonly name: string;
    /** A problem keeps things from working; a warning may, under circumstances that it names. */
    readonly result: "ok" | "warning" | "problem";
    readonly found: string;
    /** What to do, one step a line; commands are to be run on the host. */
    readonly remedy?: readonly string[];
}

const all: readonly ((state: HostState) => Check | readonly Check[])[] = [
    checkTools,
    checkVersions,
    checkCapabilities,
    checkForwarding,
    checkFirewalls,
    checkBridgeSwitches,
    checkReversePath,
    checkConnections,
    checkUplinks,
    checkListeners,
    checkCarried,
];

/** Every check, in the order of the table. Pure. */
export function checkHost(state: HostState): Check[] {
    return all.flatMap((check) => check(state));
}
