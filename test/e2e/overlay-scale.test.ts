import { expect, test } from "vitest";
import { askAllPairs } from "../../bench/scale/all-pairs.js";
import { countEntries, type Entries, entriesMade } from "../../bench/scale/entries.js";
import { membersOf } from "../../bench/scale/runs.js";
import { declareSegment, type SegmentOutputs, type SegmentSize } from "../../bench/scale/segment.js";
import { createLab, type LabHost, snapshotHost } from "../../lab/index.js";

const hosts = 5;
const endpointsPerHost = 3;

/** The segment's entries in the kernel, as its own tools print them. */
async function listEntries({ exec }: LabHost): Promise<string[]> {
    const { stdout } = await exec(`ip -4 route show table all
ip neigh show nud permanent
bridge fdb show | grep " dst " || :
ip -o link | sed "s/ mtu.*//"`);
    return stdout.split("\n");
}

test("overlay network: over five hosts all reach all, and an endpoint or a host more changes only what it has to", async () => {
    await using lab = await createLab<number>({ hosts: hosts + 1 });
    const machines = lab.hosts.slice(0, hosts);
    const programOf = (size: Partial<SegmentSize> = {}) => {
        return () => declareSegment(lab.hosts, { hosts, endpointsPerHost, ...size }) as unknown as SegmentOutputs;
    };
    await using stack = await lab.up(programOf());
    const allPairs = () => askAllPairs(membersOf(lab.hosts, stack));
    const pairs = (members: number) => ({ pairs: members * (members - 1), answered: members * (members - 1) });
    expect(await allPairs()).toMatchObject({ ...pairs(15), missing: [] });

    // An endpoint more on the first host: nothing of the others' is touched.
    const before = await Promise.all(machines.map(snapshotHost));
    expect((await stack.update(programOf({ further: 1 }))).changes).toMatchObject({ create: 2, same: 48 });
    const after = await Promise.all(machines.map(snapshotHost));
    expect(after.slice(1)).toEqual(before.slice(1));
    expect(after[0]?.namespaces).toHaveLength(endpointsPerHost + 1);
    expect(await allPairs()).toMatchObject({ ...pairs(16), missing: [] });

    // A host more: on each of the others what leads to it, and nothing of theirs is lost or made again.
    const [listed, counted] = [await listAll(machines), await countAll(machines)];
    const { changes } = await stack.update(programOf({ further: 1, hosts: hosts + 1 }));
    // The host, its network, tunnel and three sandboxes with their endpoints; each tunnel, and who owns which range.
    expect(changes).toEqual({ create: 9, update: hosts + 1, same: 44 });
    const kept = await listAll(machines);
    for (const [i, lines] of listed.entries()) expect(kept[i]).toEqual(expect.arrayContaining(lines));
    const made = (await countAll(machines)).map((entries, i) => entriesMade(counted[i] as Entries, entries));
    const more = { routes: 2, neighbours: 1, fdb: 1, elements: 5, interfaces: 0 };
    expect(made).toEqual(machines.map(() => more));
    expect(await allPairs()).toMatchObject({ ...pairs(19), missing: [] });
});

const listAll = (machines: readonly LabHost[]) => Promise.all(machines.map(listEntries));
const countAll = (machines: readonly LabHost[]) => Promise.all(machines.map((machine) => countEntries(machine)));
