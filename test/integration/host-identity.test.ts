import { expect, test } from "vitest";
import { type LabHost, snapshotHost } from "../../lab/index.js";
import type { HostIdentity } from "../../provider/model/identity.js";
import { openStack, reconnect, type Stack } from "./driver.js";
import { layTestBed } from "./test-bed.js";

const bed = layTestBed();
const folder = "/var/lib/linuxnet/identity";
const read = async (command: string) => (await bed.host.exec(command)).stdout.trim();

function identityOf(stack: Stack): HostIdentity | undefined {
    return (stack.host.outs as unknown as { readonly identity?: HostIdentity }).identity;
}

/** As a machine is after it booted: the kernel has another id for its boot than the one that was kept. */
async function bootAnew(host: LabHost): Promise<void> {
    await host.exec(`sed -i 's/ .*/ another-boot/' ${folder}/epoch`);
}

test("identity: made once on the host, kept by all that comes, gone with the last Host", async () => {
    const before = await snapshotHost(bed.host);
    {
        await using stack = await openStack(bed.host);
        const identity = identityOf(stack);
        expect(identity).toEqual({
            id: expect.stringMatching(/^[0-9a-f]{32}$/),
            epoch: 1,
            wireguardPublicKey: await read(`wg pubkey <${folder}/wireguard.key`),
        });
        expect(await read(`stat -c '%a %n' ${folder} ${folder}/*`)).toBe(
            [
                `700 ${folder}`,
                ...["epoch", "id", "wireguard.key", "wireguard.pub"].map((it) => `600 ${folder}/${it}`),
            ].join("\n"),
        );
        expect(JSON.stringify(stack.host.outs)).not.toContain(await read(`cat ${folder}/wireguard.key`));
        expect(await stack.host.refresh()).toEqual([]);
        {
            await using _ = await stack.network("front", { subnet: "172.20.0.0/24" });
            // Another stack comes and goes, in a process of its own.
            await reconnect();
            await using other = await openStack(bed.host, { project: "other" });
            expect(identityOf(other)).toEqual(identity);
        }
        expect(await stack.host.refresh()).toEqual([]);
        expect(identityOf(stack)).toEqual(identity);
    }
    expect(await snapshotHost(bed.host)).toEqual(before);
    await using again = await openStack(bed.host);
    expect(identityOf(again)?.id).toMatch(/^[0-9a-f]{32}$/);
});

test("identity: of several stacks the last one without objects takes it along; who is left says so, and makes another", async () => {
    await using first = await openStack(bed.host);
    const second = await openStack(bed.host, { project: "other" });
    expect(identityOf(second)).toEqual(identityOf(first));
    const old = identityOf(first)?.id;
    const network = await first.network("front", { subnet: "172.20.0.0/24" });
    await second.destroyAll();
    expect(await first.host.refresh()).toEqual([]);
    expect(identityOf(first)?.id).toBe(old);

    await network.delete();
    await (await openStack(bed.host, { project: "other" })).destroyAll();
    expect(await first.host.refresh()).toEqual([`folder ${folder} is missing`]);
    expect(identityOf(first)).toBe(undefined);
    expect(await read("ls /var/lib/linuxnet 2>/dev/null || :")).toBe("");
    expect(await first.host.update({})).toBe("update");
    expect(identityOf(first)).toMatchObject({ epoch: 1 });
    expect(identityOf(first)?.id).not.toBe(old);
});

test("identity: a host that gets wg later says so, and gets its key with the next update", async () => {
    // No regular file, so no command.
    await bed.host.exec("mount --bind /dev/null /usr/bin/wg");
    await reconnect();
    await using stack = await openStack(bed.host);
    const { id } = identityOf(stack) ?? {};
    expect(identityOf(stack)).toEqual({ id, epoch: 1 });
    expect(await stack.host.refresh()).toEqual([]);
    await bed.host.exec("umount /usr/bin/wg");
    await reconnect();
    expect(await stack.host.refresh()).toEqual([`file ${folder}/wireguard.key is missing`]);
    expect(await stack.host.update({})).toBe("update");
    const wireguardPublicKey = await read(`wg pubkey <${folder}/wireguard.key`);
    expect(identityOf(stack)).toEqual({ id, epoch: 1, wireguardPublicKey });
});

test("identity: each boot counts once, by the restore script or by the first transaction after it", async () => {
    await using stack = await openStack(bed.host);
    const network = await stack.network("front", { subnet: "172.20.0.0/24" });
    const epoch = async () => {
        expect(await stack.host.refresh()).toEqual([]);
        return identityOf(stack)?.epoch;
    };
    await bed.host.exec("sh /var/lib/linuxnet/restore");
    expect(await epoch()).toBe(1);
    await bootAnew(bed.host);
    await bed.host.exec("sh /var/lib/linuxnet/restore; sh /var/lib/linuxnet/restore");
    expect(await epoch()).toBe(2);
    expect(await read(`cat ${folder}/epoch`)).toBe(`2 ${await read("cat /proc/sys/kernel/random/boot_id")}`);

    // Booted between the look at the host and the change, with nobody to run the script: planned anew.
    await bootAnew(bed.host);
    expect(await network.update({ labels: { tier: "front" } })).toBe("update");
    expect(await epoch()).toBe(3);
    expect(await network.update({ labels: { tier: "back" } })).toBe("update");
    expect(await epoch()).toBe(3);
});

test("identity: who was looked at before it was there, or before it was another one, plans anew", async () => {
    await using stack = await openStack(bed.host);
    const network = await stack.network("front", { subnet: "172.20.0.0/24" });
    await bed.host.exec(`echo ${"0".repeat(32)} >${folder}/id`);
    expect(await network.update({ labels: { tier: "front" } })).toBe("update");
    expect(await stack.host.refresh()).toEqual([]);
    expect(identityOf(stack)?.id).toBe("0".repeat(32));
});
