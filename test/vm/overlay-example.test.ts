import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { pythonRuntime } from "../../demo/runtime.js";
import type { Stack } from "../../demo/stack.js";
import { createLab, type Lab, type LabHost } from "../../lab/index.js";
import { expectTiers } from "../e2e/multi-tier-overlay.js";
import { watchProcesses } from "../e2e/process-watch.js";
import { filesWith, watchGuest } from "./secret-watch.js";

const project = "linuxnet-multi-tier-overlay";
const secret = "OneSecretOfAllFourSegments2718";

/** What crosses the switch between the hosts; what the machine outside sends and gets is not the segments' own. */
const watch = `table bridge watch {
    chain passing {
        type filter hook forward priority 0; policy accept;
        iifname "client" accept
        oifname "client" accept
        ip saddr 10.20.0.0/14 counter
        ip daddr 10.20.0.0/14 counter
        udp dport 4820-4823 @th,64,32 != { 0x01000000, 0x02000000, 0x03000000, 0x04000000 } counter
        ip protocol esp counter
        udp dport 4820-4823 @th,64,32 0x04000000 counter
    }
}`;

/** Packets that were seen: readable by anybody on the way, of ESP, of WireGuard's data. */
async function countPackets(lab: Lab<3>) {
    const { stdout } = await lab.switch().exec("nft list table bridge watch");
    const [from = 0, to = 0, vxlan = 0, esp = 0, wireguard = 0] = [...stdout.matchAll(/packets (\d+)/g)].map(
        ([, count]) => Number(count),
    );
    return { clear: from + to + vxlan, esp, wireguard };
}

/** The keys that a host has in files. */
async function keysOf(host: LabHost): Promise<string[]> {
    const { stdout } = await host.exec(
        "cd /var/lib/linuxnet && find objects identity -name '*.keys' -o -name wireguard.key | xargs cat",
    );
    return stdout.split("\n").flatMap((line) => line.split(" ").at(-1) || []);
}

/** Names of the files below a folder that hold a text. */
function filesBelow(folder: string, text: string): string[] {
    const paths = readdirSync(folder, { recursive: true, withFileTypes: true });
    return paths
        .filter((entry) => entry.isFile() && readFileSync(join(entry.parentPath, entry.name)).includes(text))
        .map(({ name }) => name);
}

test("multi-tier-overlay, encrypted: the same matrix with both ciphers, nothing in the clear, the secret nowhere", async () => {
    await using lab = await createLab({ hosts: 3, driver: "vm", onProgress: (text) => console.log(text) });
    await lab.switch().exec("nft -f -", { stdin: watch });
    const data = lab.hosts[2];
    const watched = await watchGuest(data, [secret, "decoy"]);
    // The engine and what it starts live for seconds; what they are told by environment is the engine's own way.
    const here = await watchProcesses([secret], 200);
    const since = performance.now();
    const report = async (phase: string) => {
        const counts = await countPackets(lab);
        const seconds = ((performance.now() - since) / 1000).toFixed(0);
        console.log(
            `${phase}, ${seconds} s: ${counts.clear} clear, ${counts.esp} of ESP, ${counts.wireguard} of WireGuard`,
        );
        expect(counts.clear, phase).toBe(0);
        return counts;
    };
    const lookForSecrets = async ({ folder }: Stack) => {
        await data.exec(["sh", "-c", "sleep 3", "decoy"]);
        expect(await watched()).toBe("decoy");
        const { found, programs } = await here.stop();
        expect(found).not.toContain(`argument: ${secret}`);
        expect(programs).toContain("pulumi");
        for (const host of lab.hosts) {
            const keys = await keysOf(host);
            expect(keys.length).toBeGreaterThan(8);
            expect(await filesWith(host, [secret])).toEqual([]);
            for (const text of [secret, ...keys]) expect(filesBelow(folder, text)).toEqual([]);
        }
        expect(filesBelow(folder, '"encryption":"ipsec"')).not.toEqual([]);
    };
    const ipsec = {
        config: { [`${project}:encryption`]: "ipsec", [`${project}:key`]: { secret } },
        look: async (stack: Stack) => {
            const counts = await report("ipsec");
            expect([counts.esp > 500, counts.wireguard]).toEqual([true, 0]);
            await lookForSecrets(stack);
        },
    };
    // The same stack, in place.
    const wireguard = {
        config: { [`${project}:encryption`]: "wireguard" },
        look: async (stack: Stack) => {
            const counts = await report("wireguard");
            expect(counts.wireguard).toBeGreaterThan(500);
            const keys = await keysOf(data);
            expect(keys.length).toBe(1);
            expect(filesBelow(stack.folder, keys[0] ?? "")).toEqual([]);
        },
    };
    await expectTiers(lab, [ipsec, wireguard], { runtime: pythonRuntime, knockTimeoutMs: 20_000 });
    await report("destroyed");
}, 3_600_000);
