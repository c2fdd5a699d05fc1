import type { Lab } from "../../lab/index.js";
import { packetsIn } from "./counters.js";

/** Packets that crossed the underlay between machines. */
export interface UnderlayCounts {
    /** VXLAN, and whatever else carries the segment's addresses, that anybody on the way can read. */
    readonly clear: number;
    readonly esp: number;
}

/**
 * Counts what the switch of a lab forwards, from the first packet on.
 * @param segments subnets of either family
 */
export async function watchUnderlay(
    lab: Lab<number>,
    segments: string | readonly string[],
    port = 4789,
): Promise<{ read(): Promise<UnderlayCounts> }> {
    const rules = {
        clear: [
            ...["ip", "ip6"].map((type) => `ether type ${type} udp dport ${port}`),
            ...[segments].flat().flatMap((subnet) => {
                const family = subnet.includes(":") ? "ip6" : "ip";
                return ["saddr", "daddr"].map((end) => `${family} ${end} ${subnet}`);
            }),
        ],
        esp: ["ip protocol esp", "ip6 nexthdr esp"],
    };
    const table = `table bridge watch {
    chain passing {
        type filter hook forward priority 0; policy accept;
        ${[...rules.clear, ...rules.esp].map((rule) => `${rule} counter`).join("\n        ")}
    }
}`;
    await lab.switch().exec("nft -f -", { stdin: table });
    const sum = (counts: readonly number[]) => counts.reduce((total, count) => total + count, 0);
    return {
        async read() {
            const counts = await packetsIn(lab.switch(), "bridge watch");
            const { length } = rules.clear;
            return { clear: sum(counts.slice(0, length)), esp: sum(counts.slice(length)) };
        },
    };
}
