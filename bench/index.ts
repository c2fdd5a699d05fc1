import { cpus } from "node:os";
import Table from "cli-table3";
import { measureEngine } from "./engine.js";
import { measureOperations } from "./operations.js";

/** `npm run bench`: one table of operations below the engine, one of whole engine runs; everything in one run. */
async function main(): Promise<void> {
    console.log(`${cpus().length} cores, Node ${process.version}\n`);
    const operations = new Table({ head: ["kind", "operation", "round trips", "ms (median)"] });
    for (const { kind, verb, roundTrips, medianMs } of await measureOperations(15)) {
        operations.push([kind, verb, roundTrips.toFixed(2), medianMs.toFixed(1)]);
    }
    console.log(operations.toString());
    const engine = new Table({ head: ["program (40 resources)", "up s", "empty up s", "refresh s", "destroy s"] });
    for (const row of await measureEngine()) {
        engine.push([row.program, ...[row.up, row.emptyUp, row.refresh, row.destroy].map((value) => value.toFixed(2))]);
    }
    console.log(engine.toString());
}

main().catch((error: unknown) => {
    console.error(error);
    process.exitCode = 1;
});
