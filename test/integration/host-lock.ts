import { expect } from "vitest";
import type { LabHost, LabProcess } from "../../lab/index.js";

/**
 * Takes the host's lock, so that nobody changes the host until the process is stopped; wait for its word "held".
 * @param first a command to wait for before
 */
export function holdLock(host: LabHost, first = "mkdir -p /run/linuxnet"): Promise<LabProcess> {
    return host.spawn(`${first}; exec 9>>/run/linuxnet/lock; flock 9; echo held; exec sleep 1000`);
}

const countWaiters = async (host: LabHost) => {
    const { stdout } = await host.exec("pgrep -cx flock", { check: false });
    return Number(stdout);
};

/** A transaction is on the host, and waits for the lock. */
export async function waitForWaiter(host: LabHost): Promise<void> {
    await expect.poll(() => countWaiters(host), { timeout: 30_000 }).toBeGreaterThan(0);
}

/** Those that waited have gone on, or are gone. */
export async function waitForNoWaiter(host: LabHost): Promise<void> {
    await expect.poll(() => countWaiters(host), { timeout: 30_000 }).toBe(0);
}
