import type { Goal } from "../goals.js";
import { type Options, say, title } from "../report.js";
import { measureEncrypted, measureOverlay } from "./compare.js";
import { renderPairs, renderSpeeds } from "./tables.js";
import { compareSpeeds, type Turn } from "./traffic.js";

type Pair = readonly [name: string, beside: string];

const plain: Pair = ["ours", "VXLAN by hand"];
const emptied: Pair = ["ours, no rules", "VXLAN by hand"];
const ipsec: Pair = ["ours, ipsec", "ip xfrm by hand"];
const wireguard: Pair = ["ours, wireguard", "wg by hand"];

export async function benchOverlay({ quick = false, vm }: Options): Promise<Goal[]> {
    title("Between two hosts, in turns: the bare underlay, a VXLAN by hand, ours, ours without rules");
    const turns = await measureOverlay(quick);
    if (typeof turns === "string") {
        say(`  ${turns}`);
        return [];
    }
    report(turns, [plain, emptied]);
    const goals = [beside(turns, plain, 1.03)];
    if (!vm) return goals;
    title("The same between two virtual machines, with both ciphers");
    const encrypted = await measureEncrypted(quick, say);
    report(encrypted, [plain, ipsec, wireguard]);
    return [...goals, beside(encrypted, ipsec, 1.05), beside(encrypted, wireguard, 1.05)];
}

function report(turns: readonly Turn[], pairs: readonly Pair[]): void {
    say(renderSpeeds(turns));
    say(renderPairs(turns, pairs));
}

/** That one way carries as much as another, within a part. */
function beside(turns: readonly Turn[], [name, other]: Pair, limit: number): Goal {
    const measured = 1 / compareSpeeds(turns, "gigabits", name, other).median;
    return { title: `throughput, ${other} / ${name}`, measured, limit, unit: "x" };
}
