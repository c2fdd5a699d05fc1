import { expect, test } from "vitest";
import { type Joined, openStack } from "./driver.js";
import { layTestBed } from "./test-bed.js";
import { ask, countFrames, type Place, run } from "./traffic.js";

const bed = layTestBed();

/** The MACs that a place knows of these addresses. */
async function knownMacs(place: Place, ...addresses: string[]): Promise<string[]> {
    const entries: { dst: string; lladdr?: string }[] = JSON.parse(await run(place, "ip -j neigh show"));
    return addresses.map((address) => entries.find(({ dst }) => dst === address)?.lladdr ?? "none");
}

const addressesOf = ({ endpoint }: Joined) => [endpoint.outs.address, endpoint.outs.ipv6Address ?? "none"];

test("address: who knew it by another MAC is told of its next holder at once, over IPv4 and IPv6", async () => {
    await using stack = await openStack(bed.host);
    const front = await stack.network("front", { subnet: ["172.20.0.0/24", "fd00:20::/64"] });
    const neighbour = await stack.join("neighbour", front);
    const places = [neighbour.place, { machine: bed.host }];
    const [first, second] = ["02:00:00:00:00:01", "02:00:00:00:00:02"];
    const taken = { ipv4Address: "172.20.0.9", ipv6Address: "fd00:20::9" };
    const questions = Object.values(taken).map((address) => `icmp ${address}`);
    const replies = Object.fromEntries(questions.map((question) => [question, "reply"]));
    const expectKnown = async (mac: string | undefined) => {
        for (const place of places) expect(await knownMacs(place, ...Object.values(taken))).toEqual([mac, mac]);
        for (const place of places) expect(await ask(place, ...questions)).toEqual(replies);
    };

    const old = await stack.join("old", front, { ...taken, macAddress: first });
    for (const place of places) expect(await ask(place, ...questions)).toEqual(replies);
    await expectKnown(first);

    // Another sandbox has the addresses, with a MAC of its own.
    await old.endpoint.delete();
    const arp = await countFrames(neighbour.place, "front", `ether saddr ${second} arp operation request`);
    const next = await stack.join("next", front, { ...taken, macAddress: second });
    await expectKnown(second);
    expect(await arp()).toBeGreaterThanOrEqual(1);

    // One that is there takes them, and then only its MAC changes.
    await next.endpoint.update({ ipv4Address: "172.20.0.77", ipv6Address: "fd00:20::77" });
    expect(addressesOf(next)).toEqual(["172.20.0.77", "fd00:20::77"]);
    const late = await stack.join("late", front, { macAddress: first });
    await late.endpoint.update(taken);
    await expectKnown(first);
    await late.endpoint.update({ macAddress: undefined });
    await late.endpoint.update({ macAddress: "02:00:00:00:00:03" });
    await expectKnown("02:00:00:00:00:03");
    for (const resource of [late.endpoint, next.endpoint]) expect(await resource.refresh()).toEqual([]);
});
