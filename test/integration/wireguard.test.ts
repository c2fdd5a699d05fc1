import { expect, test } from "vitest";
import { openStack, reconnect } from "./driver.js";
import { readHostState } from "./host-state.js";
import { layTestBed } from "./test-bed.js";

const bed = layTestBed();
const key = "bWFkZSBmb3IgYSB0ZXN0IG9mIGEgcmVmdXNhbCEhISE=";
const peers = [
    { underlayAddress: "198.18.255.254", ipRange: "172.25.0.128/25", identity: { wireguardPublicKey: key } },
];

test("wireguard: a host whose kernel or tools lack it says so before anything is touched", async () => {
    const trial = await bed.host.exec("unshare --net ip link add dev trial type wireguard", { check: false });
    const kernelHasIt = trial.exitCode === 0;
    await using stack = await openStack(bed.host);
    await using network = await stack.network("mesh", { subnet: "172.25.0.0/24", ipRange: "172.25.0.0/25" });
    const before = await readHostState(bed.host);
    const make = (more: object = {}) =>
        stack.overlayTunnel("mesh", { network, vni: 42, encryption: "wireguard", peers, ...more });

    // No regular file, so no command.
    await bed.host.exec("mount --bind /dev/null /usr/bin/wg");
    await reconnect();
    await expect(make()).rejects.toThrow(
        'encryption "wireguard" needs the tool wg, which this host lacks. Install it there: apt-get install wireguard-tools',
    );
    await bed.host.exec("umount /usr/bin/wg");
    await reconnect();
    await expect(make({ peers: [{ ...peers[0], identity: undefined }] })).rejects.toThrow(
        'peers[0]: encryption "wireguard" needs the public key of the host at 198.18.255.254.',
    );
    {
        await using listener = await bed.host.spawn("nc -lu 0.0.0.0 4789");
        await expect.poll(async () => (await bed.host.exec("ss -Hlnu sport = :4789")).stdout).not.toBe("");
        const refused = kernelHasIt
            ? "host port 4789/udp is in use by nc (pid "
            : 'encryption "wireguard" needs a kernel with WireGuard, which this host lacks.';
        await expect(make()).rejects.toThrow(refused);
        expect(listener).toBeDefined();
    }
    expect(await readHostState(bed.host)).toEqual(before);

    if (kernelHasIt) {
        await using tunnel = await make();
        expect(await tunnel.refresh()).toEqual([]);
    } else {
        await expect(make()).rejects.toThrow("It says: Unknown device type.");
    }
    expect(await readHostState(bed.host)).toEqual(before);
});
