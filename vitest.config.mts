import { defineConfig } from "vitest/config";

// Virtual machines, emulated where there is no KVM, take minutes: only when asked for by name (npm run test:vm).
const wantsVm = process.argv.some((arg) => /^(--project=)?vm$/.test(arg));
const vmLimits = { testTimeout: 900_000, hookTimeout: 300_000 };
// How long to wait for an answer (test/integration/traffic.ts) follows from it.
const vmEnvironment = { env: { LINUXNET_LAB_DRIVER: "vm" } };
const vm = { test: { name: "vm", include: ["test/vm/**/*.test.ts"], ...vmLimits, ...vmEnvironment } };
// The tests' hosts are virtual machines too.
const integrationLimits =
    process.env["LINUXNET_LAB_DRIVER"] === "vm"
        ? { ...vmLimits, expect: { poll: { timeout: 30_000 } } }
        : { testTimeout: 60_000, hookTimeout: 60_000 };

// Unit tests are pure and run in parallel; the others share two cores and one kernel.
export default defineConfig({
    test: {
        // They wait for hosts and engines most of the time: three at once on two cores take 40 % of the time of one.
        maxWorkers: 3,
        // Random walks run side by side in one of them.
        maxConcurrency: 3,
        projects: [
            { test: { name: "unit", include: ["test/unit/**/*.test.ts"], testTimeout: 60_000 } },
            {
                test: {
                    name: "integration",
                    include: ["test/integration/**/*.test.ts"],
                    ...integrationLimits,
                },
            },
            {
                test: { name: "e2e", include: ["test/e2e/**/*.test.ts"], testTimeout: 300_000, hookTimeout: 120_000 },
            },
            ...(wantsVm ? [vm] : []),
        ],
    },
});
