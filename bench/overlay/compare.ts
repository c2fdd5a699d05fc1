import { createLab } from "../../lab/index.js";
import { closeSessions } from "../../provider/sessions.js";
import { layVxlan, layWireguard, layXfrm } from "./hand-made.js";
import { layOurs, openBoth } from "./ours.js";
import { underlayPath } from "./path.js";
import { meterKernelThreads, meterVirtualMachines } from "./processor.js";
import { measurePaths, type Turn } from "./traffic.js";

/**
 * The bare underlay, a VXLAN by hand and ours, which has hosts to itself: its rules are on no other way. Once more ours with
 * its chains emptied: what is left is routing, for connections are tracked only where a rule asks about them.
 */
export async function measureOverlay(isQuick: boolean): Promise<Turn[] | string> {
    await using lab = await createLab({ hosts: 6 });
    const [one, two, three, four, five, six] = lab.hosts;
    const { exitCode } = await one.exec("command -v iperf3", { check: false });
    if (exitCode !== 0) return "iperf3 is not installed here";
    const ours = await layOurs(await openBoth([three, four]), { name: "ours", number: 90 });
    const emptied = await layOurs(await openBoth([five, six]), { name: "ours, no rules", number: 90 });
    for (const host of [five, six]) await host.exec("nft flush table inet linuxnet; nft flush table bridge linuxnet");
    const paths = [underlayPath([one, two]), await layVxlan([one, two]), ours.path, emptied.path];
    const amount = isQuick ? quick : { turns: 31, seconds: 1, pings: 2000 };
    const turns = await measurePaths(paths, { ...amount, meter: meterKernelThreads(), metersPrograms: false });
    await closeSessions();
    return turns;
}

const quick = { turns: 2, seconds: 1, pings: 1000 };

/** The same with both ciphers, in two virtual machines: this machine's kernel may have neither. */
export async function measureEncrypted(isQuick: boolean, onProgress: (text: string) => void): Promise<Turn[]> {
    await using lab = await createLab({ hosts: 2, driver: "vm", onProgress });
    const [one, two] = lab.hosts;
    const hosts = [one, two] as const;
    const both = await openBoth(hosts);
    const plain = await layOurs(both, { name: "ours", number: 90 });
    const ipsec = await layOurs(both, { name: "ours, ipsec", number: 91, encryption: "ipsec" });
    const wireguard = await layOurs(both, { name: "ours, wireguard", number: 92, encryption: "wireguard" });
    const paths = [
        underlayPath(hosts),
        ...[await layVxlan(hosts, { mtuBytes: plain.mtuBytes }), plain.path],
        ...[await layXfrm(hosts, ipsec.mtuBytes), ipsec.path],
        ...[await layWireguard(hosts, wireguard.mtuBytes), wireguard.path],
    ];
    const amount = isQuick ? quick : { turns: 15, seconds: 2, pings: 500 };
    const turns = await measurePaths(paths, { ...amount, meter: meterVirtualMachines(), metersPrograms: true });
    await closeSessions();
    return turns;
}
