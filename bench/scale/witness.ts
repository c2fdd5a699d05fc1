// Loaded into every Node process of an engine's run (NODE_OPTIONS): what its provider took is written down when it ends.
import { subscribe } from "node:diagnostics_channel";
import { appendFileSync } from "node:fs";

/** What one provider process took. */
export interface ProviderCost {
    readonly roundTrips: number;
    readonly scriptBytes: number;
    readonly peakMegabytes: number;
    readonly cpuSeconds: number;
}

const file = process.env["LINUXNET_BENCH_WITNESS"];

if (file !== undefined && process.argv.some((argument) => argument.includes("dynamic-provider"))) {
    let roundTrips = 0;
    let scriptBytes = 0;
    subscribe("linuxnet:script", (message) => {
        roundTrips++;
        scriptBytes += (message as { scriptBytes: number }).scriptBytes;
    });
    // The engine ends its providers by SIGINT, which by itself lets nothing run at the end.
    for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => process.exit(130));
    process.once("exit", () => {
        const { maxRSS, userCPUTime, systemCPUTime } = process.resourceUsage();
        const cost: ProviderCost = {
            ...{ roundTrips, scriptBytes },
            peakMegabytes: maxRSS / 1024,
            cpuSeconds: (userCPUTime + systemCPUTime) / 1e6,
        };
        appendFileSync(file, `${JSON.stringify(cost)}\n`);
    });
}
