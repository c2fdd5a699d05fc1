import { expect, test } from "vitest";
import { createLab, type LabHost, snapshotHost } from "../../lab/index.js";
import { openStack, reconnect, type Stack } from "../integration/driver.js";
import { echo, startFlow } from "../integration/flow.js";
import { ask, inside, run } from "../integration/traffic.js";
import { watchUnderlay } from "../integration/underlay-watch.js";
import { filesWith, watchGuest } from "./secret-watch.js";

const segment = "172.25.0.0/24";
const ranges = ["172.25.0.0/25", "172.25.0.128/25"] as const;
const [first, second] = ["FirstSecretOfTheSegment4711", "SecondSecretOfTheSegment0815"];

/** Asks for the other end all the time, from before there is a tunnel, and again at each boot. */
const chatter = (namespace: string, address: string) => `[Unit]
After=linuxnet-restore.service
[Service]
NetworkNamespacePath=${namespace}
ExecStart=/bin/ping -q -i 0.2 ${address}
Restart=always
RestartSec=1
[Install]
WantedBy=multi-user.target
`;

/** Of somebody else: an association and a policy for other addresses. */
const foreign = `ip xfrm state add src 192.0.2.1 dst 192.0.2.2 proto esp spi 0x1000 reqid 7 mode transport aead 'rfc4106(gcm(aes))' 0x${"5a".repeat(20)} 128
ip xfrm policy add src 192.0.2.1/32 dst 192.0.2.2/32 proto udp dport 4789 dir out tmpl proto esp reqid 7 mode transport`;

/** One host's end without its tunnel: network, sandbox, and who asks all the time. */
async function layEnd(machine: LabHost, own: 0 | 1) {
    await machine.exec(foreign);
    const before = await snapshotHost(machine);
    const stack = await openStack(machine);
    const gateway = `172.25.0.${own * 128 + 1}`;
    const network = await stack.network("mesh", { subnet: segment, ipRange: ranges[own], gateway });
    const sandbox = await stack.sandbox("app");
    const address = `172.25.0.${own * 128 + 10}`;
    const endpoint = await stack.endpoint("app-mesh", { sandbox, network, ipv4Address: address });
    const other = `172.25.0.${(1 - own) * 128 + 10}`;
    await machine.exec("cat >/etc/systemd/system/chatter.service && systemctl enable --now chatter.service", {
        stdin: chatter(sandbox.outs.namespace, other),
    });
    return { machine, before, stack, network, sandbox, endpoint, address, place: inside(machine, sandbox) };
}

type End = Awaited<ReturnType<typeof layEnd>>;

const peersOf = (other: End, own: 0 | 1) => [
    {
        underlayAddress: other.machine.address,
        ipRange: ranges[1 - own],
        identity: other.stack.host.outs.identity,
    },
];

const layTunnel = (end: End, other: End, own: 0 | 1, key: string | string[]) =>
    end.stack.overlayTunnel("mesh", {
        ...{ network: end.network, vni: 42, peers: peersOf(other, own), encryption: "ipsec", key },
    });

test("ipsec: nothing of the segment is readable on the underlay, whatever happens to it", async () => {
    await using lab = await createLab({ hosts: 2, driver: "vm", onProgress: (text) => console.log(text) });
    const watch = await watchUnderlay(lab, segment);
    const [left, right] = await Promise.all([layEnd(lab.hosts[0], 0), layEnd(lab.hosts[1], 1)]);
    await using _left: Stack = left.stack;
    await using _right: Stack = right.stack;
    const question = `icmp ${right.address}`;
    const answers = async () => (await ask(left.place, question))[question];
    const until = (answer: string) => expect.poll(answers, { timeout: 120_000 }).toBe(answer);
    let esp = 0;
    const nothingClear = async (phase: string) => {
        const counts = await watch.read();
        console.log(`${phase}: ${counts.clear} packets in the clear, ${counts.esp - esp} of ESP`);
        expect(counts.clear, phase).toBe(0);
        esp = counts.esp;
    };

    const tunnel = { left: await layTunnel(left, right, 0, first), right: await layTunnel(right, left, 1, first) };
    expect(tunnel.left.outs.mtu).toBe(1416);
    await until("reply");
    await nothingClear("create");
    for (const end of [tunnel.left, tunnel.right]) expect(await end.refresh()).toEqual([]);
    // The largest packet, in one piece.
    await run(left.place, `ping -c3 -W5 -M do -s ${1416 - 28} ${right.address}`);

    await tunnel.left.update({ mtu: 1300, labels: { team: "a" } });
    await tunnel.left.update({ mtu: undefined });
    await until("reply");
    await nothingClear("update");

    {
        await using _ = await echo(right.place, 7);
        // Slow enough that an emulated machine that works on the update does not fill a socket's buffer meanwhile.
        const flow = await startFlow(left.place, right.address, 7, 20);
        for (const key of [[first, second], [second, first], second]) {
            expect(await tunnel.left.update({ key })).toBe("update");
            expect(await tunnel.right.update({ key })).toBe("update");
        }
        const { sent, lost } = await flow.end();
        console.log(`rotation: ${sent} packets there and back, ${lost} lost`);
        expect(sent).toBeGreaterThan(100);
        expect(lost).toBe(0);
        await nothingClear("rotation");
    }
    // Back to a secret that was used already: its keys of this boot are spent, the next ones are taken.
    for (const key of [[second, first], [first, second], first]) {
        await tunnel.left.update({ key });
        await tunnel.right.update({ key });
    }
    await until("reply");
    await nothingClear("an old secret again");

    const damages: [string, RegExp][] = [
        [
            `ip xfrm policy deleteall src ${left.machine.address} dst ${right.machine.address}`,
            /IPsec policy out .* is missing/,
        ],
        [
            `ip xfrm policy deleteall src ${right.machine.address} dst ${left.machine.address}`,
            /IPsec policy in .* is missing/,
        ],
        [
            `ip xfrm state deleteall src ${left.machine.address} dst ${right.machine.address}`,
            /IPsec association to .* is missing/,
        ],
        [
            `s=$(ip xfrm state list src ${right.machine.address} | sed -n 's/.*\\(spi 0x[0-9a-f]*\\).*/\\1/p' | tail -1); ip xfrm state delete src ${right.machine.address} dst ${left.machine.address} proto esp $s`,
            /IPsec associations from .*: epochs is/,
        ],
        [`rm /var/lib/linuxnet/objects/${tunnel.left.outs.interfaceName}.keys`, /\.keys is missing/],
    ];
    for (const [damage, words] of damages) {
        await left.machine.exec(damage);
        expect(await tunnel.left.refresh(), damage).toEqual([expect.stringMatching(words)]);
        expect(await tunnel.left.update({}), damage).toBe("update");
        expect(await tunnel.left.refresh(), damage).toEqual([]);
        await until("reply");
    }
    await nothingClear("drift and repair");

    const keyFile = `/var/lib/linuxnet/objects/${tunnel.right.outs.interfaceName}.keys`;
    const { stdout: kept } = await right.machine.exec(`stat -c %a ${keyFile}; cat ${keyFile}`);
    const [mode, ...lines] = kept.split("\n");
    const keys = lines.map((line) => line.split(" ")[4] ?? "");
    expect([mode, keys.length, keys[0]]).toEqual(["600", 18, expect.stringMatching(/^[0-9a-f]{72}$/)]);
    const watched = await watchGuest(right.machine, [first, ...keys, "decoy"]);
    await tunnel.right.delete();
    await until("nothing");
    await nothingClear("one side deleted");
    expect((await right.machine.exec("ip xfrm state; ip xfrm policy")).stdout).not.toContain(left.machine.address);
    await right.machine.exec(["sh", "-c", "sleep 3", "decoy"]);
    tunnel.right = await layTunnel(right, left, 1, first);
    expect(await watched()).toBe("decoy");
    expect(await filesWith(right.machine, [first, second])).toEqual([]);
    expect(await filesWith(right.machine, keys)).toEqual([keyFile]);
    await until("reply");
    await nothingClear("made again with the same secret");
    // A firewall that is reloaded runs the restore script: what counts, counts on.
    await left.machine.exec("sh /var/lib/linuxnet/restore");
    await until("reply");

    for (const powerCut of [false, true]) {
        await left.machine.reboot({ powerCut });
        await until("reply");
        await nothingClear(powerCut ? "power cut" : "reboot");
    }
    // As after more boots than its keys are kept for.
    const lost = await left.machine.exec(
        `read -r boot </proc/sys/kernel/random/boot_id; echo "99 $boot" >/var/lib/linuxnet/identity/epoch
        ip xfrm state deleteall src ${left.machine.address} dst ${right.machine.address}; sh /var/lib/linuxnet/restore`,
    );
    expect(lost.stderr).toContain("linuxnet: no unused key is kept for");
    await until("nothing");
    await nothingClear("without a key");
    await left.machine.exec(foreign);
    await reconnect();
    expect(await left.stack.host.refresh()).toEqual([]);
    expect(left.stack.host.outs.identity.epoch).toBe(99);
    expect(await tunnel.right.update({ peers: peersOf(left, 1) })).toBe("update");
    expect(await tunnel.left.refresh()).toEqual([
        expect.stringMatching(/IPsec association to .* is missing/),
        expect.stringMatching(/keys begin with epoch/),
    ]);
    expect(await tunnel.left.update({})).toBe("update");
    for (const end of [tunnel.left, tunnel.right]) expect(await end.refresh()).toEqual([]);
    await until("reply");
    await nothingClear("the windows slid");

    for (const { machine, stack } of [left, right]) {
        await machine.exec("systemctl disable --now chatter.service; rm /etc/systemd/system/chatter.service");
        await stack.destroyAll();
    }
    await nothingClear("destroy");
    for (const { machine, before } of [left, right]) expect(await snapshotHost(machine)).toEqual(before);
});
