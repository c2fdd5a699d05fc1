import type { LabMachine } from "../../lab/index.js";

/** What the counters of an nft table have counted so far, in packets and in the order of its rules. */
export async function packetsIn(machine: Pick<LabMachine, "exec">, table: string): Promise<number[]> {
    const { nftables } = JSON.parse((await machine.exec(`nft -j list table ${table}`)).stdout);
    return nftables.flatMap(({ rule }: { rule?: { expr: { counter?: { packets: number } }[] } }) =>
        (rule?.expr ?? []).flatMap(({ counter }) => counter?.packets ?? []),
    );
}
