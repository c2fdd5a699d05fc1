import type { Lab } from "../../lab/index.js";

/** Packets that crossed the underlay between machines. */
export interface UnderlayCounts {
    /** VXLAN, and whatever else carries the segment's addresses, that anybody on the way can read. */
    readonly clear: number;
    readonly esp: number;
}

/** Counts what the switch of a lab forwards, from the first packet on. */
export async function watchUnderlay(
    lab: Lab<number>,
    segment: string,
    port = 4789,
): Promise<{ read(): Promise<UnderlayCounts> }> {
    const table = `table bridge watch {
    chain passing {
        type filter hook forward priority 0; policy accept;
        ether type ip udp dport ${port} counter
        ether type ip6 udp dport ${port} counter
        ip saddr ${segment} counter
        ip daddr ${segment} counter
        ip protocol esp counter
        ip6 nexthdr esp counter
    }
}`;
    await lab.switch().exec("nft -f -", { stdin: table });
    return {
        async read() {
            const { nftables } = JSON.parse((await lab.switch().exec("nft -j list table bridge watch")).stdout);
            const counts: number[] = nftables.flatMap(
                (entry: { rule?: { expr: { counter?: { packets: number } }[] } }) =>
                    (entry.rule?.expr ?? []).flatMap(({ counter }) => counter?.packets ?? []),
            );
            const [vxlan = 0, vxlan6 = 0, from = 0, to = 0, esp = 0, esp6 = 0] = counts;
            return { clear: vxlan + vxlan6 + from + to, esp: esp + esp6 };
        },
    };
}
