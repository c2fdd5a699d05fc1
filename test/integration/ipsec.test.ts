import { afterAll, beforeAll, expect, test } from "vitest";
import type { LabHost } from "../../lab/index.js";
import { typeOf } from "../../provider/kernel/item.js";
import type { XfrmPolicyItem } from "../../provider/kernel/xfrm.js";
import { openStack, type Stack } from "./driver.js";
import { layTestBed } from "./test-bed.js";
import { ask } from "./traffic.js";
import { watchUnderlay } from "./underlay-watch.js";

const bed = layTestBed(2);
const ranges = ["172.25.0.0/25", "172.25.0.128/25"] as const;
const key = "SecretOfTheSegment4711";

/** One host's end of a segment that is not encrypted yet. */
async function layEnd(machine: LabHost, own: 0 | 1, other: LabHost) {
    const stack = await openStack(machine);
    const gateway = `172.25.0.${own * 128 + 1}`;
    const network = await stack.network("mesh", { subnet: "172.25.0.0/24", ipRange: ranges[own], gateway });
    const { place, address } = await stack.join("app", network);
    const peers = [{ underlayAddress: other.address, ipRange: ranges[1 - own] }];
    const tunnel = await stack.overlayTunnel("mesh", { network, vni: 42, peers });
    return { machine, stack, tunnel, peers, place, address };
}

let left: Awaited<ReturnType<typeof layEnd>>;
let right: typeof left;

beforeAll(async () => {
    const [first, second] = bed.hosts as [LabHost, LabHost];
    [left, right] = await Promise.all([layEnd(first, 0, second), layEnd(second, 1, first)]);
});

afterAll(async () => {
    for (const { stack } of [left, right]) await stack.destroyAll();
});

const question = () => `icmp ${right.address}`;
const answer = async () => (await ask(left.place, question()))[question()];
const identityOf = ({ host }: Stack) => host.outs.identity;

/** What the kernel of this machine can do, asked in the words of the provider. */
async function hasCipher(): Promise<boolean> {
    const words = `src 192.0.2.1 dst 192.0.2.2 proto esp spi 0x100 mode transport aead 'rfc4106(gcm(aes))' 0x${"0".repeat(72)} 128`;
    const { exitCode } = await left.machine.exec(`unshare --net ip xfrm state add ${words}`, { check: false });
    return exitCode === 0;
}

test.each([
    ["IPv6", "ipv6Address", "encrypted_peers6"],
    ["IPv4", "address", "encrypted_peers"],
] as const)(
    "ipsec: over %s each guard alone lets nothing out in the clear, and clear packets do not arrive",
    async (_family, address, set) => {
        const move = (end: typeof left, other: typeof left) =>
            end.tunnel.update({
                peers: end.peers.map((peer) => ({ ...peer, underlayAddress: other.machine[address] })),
            });
        await Promise.all([move(left, right), move(right, left)]);
        const watch = await watchUnderlay(bed.lab, "172.25.0.0/24");
        expect(await answer()).toBe("reply");
        expect((await watch.read()).clear).toBeGreaterThan(0);
        const policy = (direction: "in" | "out"): XfrmPolicyItem => {
            const [source, destination] = direction === "out" ? [left, right] : [right, left];
            const addresses = { source: source.machine[address], destination: destination.machine[address] };
            return { type: "xfrm-policy", direction, ...addresses, port: 4789 };
        };
        const apply = (item: XfrmPolicyItem, verb: "add" | "remove") =>
            left.machine.exec(["ip", ...(typeOf(item)[verb](item)[0]?.args ?? [])]);
        const element = (verb: string) =>
            left.machine.exec(`nft ${verb} element inet linuxnet ${set} "{ ${right.machine[address]} . 4789 }"`);
        const guards: [string, () => Promise<unknown>, () => Promise<unknown>][] = [
            ["the policy out", () => apply(policy("out"), "add"), () => apply(policy("out"), "remove")],
            ["the rules", () => element("add"), () => element("delete")],
        ];
        for (const [name, raise, lower] of guards) {
            await raise();
            const before = (await watch.read()).clear;
            expect(await answer(), name).toBe("nothing");
            expect((await watch.read()).clear, name).toBe(before);
            await lower();
            expect(await answer(), name).toBe("reply");
        }
        // Left sends in the clear still; what right sends back is not taken.
        await apply(policy("in"), "add");
        expect(await answer()).toBe("nothing");
        await apply(policy("in"), "remove");
        expect(await answer()).toBe("reply");
        await bed.lab.switch().exec("nft delete table bridge watch");
    },
);

test("ipsec: without identities it is refused with a sentence, and nothing is touched", async () => {
    await expect(left.tunnel.update({ encryption: "ipsec", key })).rejects.toThrow(
        `peers[0]: encryption "ipsec" makes its keys from the identity of the host at ${right.machine.address}.`,
    );
    await left.tunnel.update({ encryption: undefined, key: undefined });
    expect(await answer()).toBe("reply");
});

test("ipsec: works where the kernel has the cipher, and is refused before anything is touched where it has not", async () => {
    const encrypt = (end: typeof left, other: typeof left) =>
        end.tunnel.update({
            ...{ encryption: "ipsec", key },
            peers: end.peers.map((peer) => ({ ...peer, identity: identityOf(other.stack) })),
        });
    const show = () => left.machine.exec("ip xfrm policy; ip xfrm state; nft list set inet linuxnet encrypted_peers");
    if (await hasCipher()) {
        expect(await encrypt(left, right)).toBe("update");
        expect(await answer()).toBe("nothing");
        expect(await encrypt(right, left)).toBe("update");
        const watch = await watchUnderlay(bed.lab, "172.25.0.0/24");
        expect(await answer()).toBe("reply");
        expect((await watch.read()).clear).toBe(0);
    } else {
        const before = await show();
        await expect(encrypt(left, right)).rejects.toThrow(
            'encryption "ipsec" needs a kernel with ESP and AES-GCM, which this host lacks.',
        );
        expect(await show()).toEqual(before);
        expect((await left.machine.exec("ls /var/lib/linuxnet/objects /var/lib/linuxnet/new")).stdout).not.toContain(
            ".keys",
        );
        expect(await left.tunnel.refresh()).toEqual([]);
        expect(await answer()).toBe("reply");
    }
    for (const end of [left, right])
        await end.tunnel.update({ encryption: undefined, key: undefined, peers: end.peers });
    expect(await answer()).toBe("reply");
});
