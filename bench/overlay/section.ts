import type { Goal } from "../goals.js";
import { type Options, say, title } from "../report.js";
import { measureEncrypted, measureOverlay } from "./compare.js";
import { renderSpeeds } from "./tables.js";
import { type Turn, throughputRatio } from "./traffic.js";

export async function benchOverlay({ quick = false, vm }: Options): Promise<Goal[]> {
    title("Between two hosts, in turns: the bare underlay, a VXLAN by hand, ours");
    const turns = await measureOverlay(quick);
    if (typeof turns === "string") {
        say(`  ${turns}`);
        return [];
    }
    say(renderSpeeds(turns));
    const goals = [beside(turns, "ours", "VXLAN by hand", 1.03)];
    if (!vm) return goals;
    title("The same between two virtual machines, with both ciphers");
    const encrypted = await measureEncrypted(quick, say);
    say(renderSpeeds(encrypted));
    return [
        ...goals,
        beside(encrypted, "ours, ipsec", "ip xfrm by hand", 1.05),
        beside(encrypted, "ours, wireguard", "wg by hand", 1.05),
    ];
}

/** That one way carries as much as another, within a part. */
function beside(turns: readonly Turn[], name: string, other: string, limit: number): Goal {
    const measured = 1 / throughputRatio(turns, name, other);
    return { title: `throughput, ${other} / ${name}`, measured, limit, unit: "x" };
}
