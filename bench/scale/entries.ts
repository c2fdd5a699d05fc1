import type { LabMachine } from "../../lab/index.js";

const kinds = ["routes", "neighbours", "fdb", "elements", "interfaces"] as const;

/** How many the kernel has of each; neighbours that stay, forwarding entries that lead to other machines. */
export type Entries = Readonly<Record<(typeof kinds)[number], number>>;

/** Counted with the kernel's tools on the machine, or inside one of its sandboxes. */
export async function countEntries(machine: LabMachine, sandbox?: string): Promise<Entries> {
    const { stdout } = await machine.exec(
        `ip -4 route show table all | wc -l
ip neigh show nud permanent | wc -l
bridge fdb show | grep -c " dst " || :
nft -j list ruleset
ip -o link | wc -l`,
        { sandbox },
    );
    const [routes, neighbours, fdb, ruleset = "", interfaces] = stdout.split("\n");
    const { nftables } = JSON.parse(ruleset) as { nftables: Record<string, { elem?: unknown[] }>[] };
    const elements = nftables.flatMap(({ set, map }) => set?.elem ?? map?.elem ?? []).length;
    return {
        ...{ routes: Number(routes), neighbours: Number(neighbours), fdb: Number(fdb) },
        ...{ elements, interfaces: Number(interfaces) },
    };
}

export function entriesMade(before: Entries, after: Entries): Entries {
    return Object.fromEntries(kinds.map((kind) => [kind, after[kind] - before[kind]])) as Entries;
}
