import type { LabHost } from "../../lab/index.js";

/**
 * Makes the hosts known to each other for good. They share one kernel, and so its one table of at most 1,024 neighbours
 * (`net.ipv4.neigh.default.gc_thresh3`), which those that stay are not counted in; machines have a table each.
 */
export async function introduceHosts(hosts: readonly LabHost[]): Promise<void> {
    const macs = await Promise.all(
        hosts.map(async ({ exec }) => (await exec("cat /sys/class/net/eth0/address")).stdout),
    );
    const lines = hosts.map(({ address }, i) => `neigh replace ${address} lladdr ${macs[i]} dev eth0 nud permanent`);
    await Promise.all(
        hosts.map(({ exec }, own) => exec("ip -batch -", { stdin: lines.filter((_, i) => i !== own).join("\n") })),
    );
}
