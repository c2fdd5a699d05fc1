import { expect, test } from "vitest";
import { createLab, type LabHost, snapshotHost } from "../../lab/index.js";
import { openStack, reconnect, type Stack } from "../integration/driver.js";
import { type Place, run } from "../integration/traffic.js";
import { watchUnderlay } from "../integration/underlay-watch.js";

/*
 * Two segments of both families over an underlay of IPv6, one with each encryption; a sandbox on each host is on both.
 */
const key = "openssl-rand-base64-32-of-a-test";
const patience = { timeout: 180_000 };
const segments = {
    ipsec: { number: 25, mtu: 1396, more: { vni: 42, key } },
    wireguard: { number: 26, mtu: 1420, more: { vni: 43, port: 51820 } },
} as const;
type Encryption = keyof typeof segments;
const encryptions = ["ipsec", "wireguard"] as const satisfies readonly Encryption[];

const rangesOf = (number: number, own: 0 | 1) => [
    `172.${number}.0.${own * 128}/25`,
    `fd00:${number}:0:${own + 1}::/64`,
];
const gatewaysOf = (number: number, own: 0 | 1) => [
    `172.${number}.0.${own * 128 + 1}`,
    `fd00:${number}:0:${own + 1}::1`,
];
const addressesOf = (number: number, own: 0 | 1) => [
    `172.${number}.0.${own * 128 + 10}`,
    `fd00:${number}:0:${own + 1}::a`,
];
const allOf = (own: 0 | 1) => encryptions.flatMap((each) => addressesOf(segments[each].number, own));

/** Asks for the other end's addresses all the time, from before there is a tunnel, and again at each boot. */
const chatter = (namespace: string, addresses: readonly string[]) => `[Unit]
After=linuxnet-restore.service
[Service]
NetworkNamespacePath=${namespace}
ExecStart=/bin/sh -c 'while :; do for a in ${addresses.join(" ")}; do ping -c1 -W1 $a; done; sleep 0.2; done'
StandardOutput=null
Restart=always
RestartSec=1
[Install]
WantedBy=multi-user.target
`;

/** One host's end without its tunnels. */
async function layEnd(machine: LabHost, own: 0 | 1) {
    const before = await snapshotHost(machine);
    const stack = await openStack(machine, { host: { underlayAddress: machine.ipv6Address } });
    const sandbox = await stack.sandbox("app");
    const lay = async (encryption: Encryption) => {
        const { number } = segments[encryption];
        const network = await stack.network(encryption, {
            subnet: [`172.${number}.0.0/24`, `fd00:${number}::/56`],
            ...{ ipRange: rangesOf(number, own), gateway: gatewaysOf(number, own) },
        });
        const [ipv4Address, ipv6Address] = addressesOf(number, own);
        await stack.endpoint(`app-${encryption}`, { sandbox, network, ipv4Address, ipv6Address });
        return network;
    };
    const networks = { ipsec: await lay("ipsec"), wireguard: await lay("wireguard") };
    await machine.exec("cat >/etc/systemd/system/chatter.service && systemctl enable --now chatter.service", {
        stdin: chatter(sandbox.outs.namespace, allOf(own === 0 ? 1 : 0)),
    });
    return { machine, before, stack, own, networks, place: { machine, sandbox: sandbox.outs.name } };
}

/** Without a program of its own for each: an emulated machine is slow to start one. */
async function whoAnswers(place: Place, addresses: readonly string[]): Promise<string[]> {
    const asked = addresses.map((address) => `ping -c1 -W3 ${address} >/dev/null 2>&1 && echo ${address} &`);
    const answered = new Set((await run(place, `${asked.join("\n")}\nwait`)).split("\n"));
    return addresses.filter((address) => answered.has(address));
}

type End = Awaited<ReturnType<typeof layEnd>>;

const layTunnel = ({ stack, networks }: End, other: End, encryption: Encryption) =>
    stack.overlayTunnel(encryption, {
        ...{ network: networks[encryption], encryption, ...segments[encryption].more },
        peers: [
            {
                underlayAddress: other.machine.ipv6Address,
                ipRange: rangesOf(segments[encryption].number, other.own),
                identity: other.stack.host.outs.identity,
            },
        ],
    });

const layTunnels = async (end: End, other: End) => ({
    ipsec: await layTunnel(end, other, "ipsec"),
    wireguard: await layTunnel(end, other, "wireguard"),
});

test("ipv6 underlay: nothing of a segment is readable on it, of either family, by either encryption", async () => {
    await using lab = await createLab({ hosts: 2, driver: "vm", onProgress: (text) => console.log(text) });
    const subnets = encryptions.flatMap((each) => {
        const { number } = segments[each];
        return [`172.${number}.0.0/24`, `fd00:${number}::/56`];
    });
    const watch = await watchUnderlay(lab, subnets);
    const [left, right] = await Promise.all([layEnd(lab.hosts[0], 0), layEnd(lab.hosts[1], 1)]);
    await using _left: Stack = left.stack;
    await using _right: Stack = right.stack;
    const until = (answering: readonly string[]) =>
        expect.poll(() => whoAnswers(left.place, allOf(1)), patience).toEqual(answering);
    const nothingClear = async (phase: string) => {
        const counts = await watch.read();
        console.log(`${phase}: ${counts.clear} packets in the clear, ${counts.esp} of ESP so far`);
        expect(counts.clear, phase).toBe(0);
    };

    const tunnels = { left: await layTunnels(left, right), right: await layTunnels(right, left) };
    await until(allOf(1));
    await nothingClear("create");
    expect((await watch.read()).esp).toBeGreaterThan(0);
    for (const each of encryptions) {
        const { number, mtu } = segments[each];
        expect(tunnels.left[each].outs.mtu).toBe(mtu);
        for (const end of [tunnels.left, tunnels.right]) expect(await end[each].refresh()).toEqual([]);
        const [v4, v6] = addressesOf(number, 1);
        // The largest packets, in one piece.
        await run(left.place, `ping -c2 -W5 -M do -s ${mtu - 28} ${v4} && ping -c2 -W5 -M do -s ${mtu - 48} ${v6}`);
    }
    expect(
        (await left.machine.exec(`wg show ${tunnels.left.wireguard.outs.interfaceName} endpoints`)).stdout,
    ).toContain(`[${right.machine.ipv6Address}]:51820`);

    const device = tunnels.left.wireguard.outs.interfaceName;
    const [here, there] = [left, right].map(({ machine }) => machine.ipv6Address);
    const damages: [Encryption, string, RegExp][] = [
        ["ipsec", `ip xfrm policy deleteall src ${here} dst ${there}`, /IPsec policy out .* is missing/],
        ["ipsec", `ip xfrm state deleteall src ${here} dst ${there}`, /IPsec association to .* is missing/],
        [
            "wireguard",
            "ip route del unreachable fd00:26::/56 metric 4278190080",
            /^unreachable route to fd00:26::\/56 is/,
        ],
        ["wireguard", `ip -6 route del fd00:26:0:2::/64 dev ${device}`, /^route to fd00:26:0:2::\/64 in table main is/],
        ["wireguard", `ip link del ${device}`, new RegExp(`^interface ${device} is missing$`)],
    ];
    for (const [encryption, damage, words] of damages) {
        const tunnel = tunnels.left[encryption];
        await left.machine.exec(damage);
        expect(await tunnel.refresh(), damage).toContainEqual(expect.stringMatching(words));
        expect(await tunnel.update({}), damage).toBe("update");
        expect(await tunnel.refresh(), damage).toEqual([]);
    }
    await until(allOf(1));
    await nothingClear("drift and repair");

    // Without the network's own interfaces too, the host itself sends nothing of it anywhere.
    const bridge = left.networks.wireguard.outs.interfaceName;
    await left.machine.exec(`ip link set ${bridge} down; ip link set ${device} down`);
    for (const address of addressesOf(26, 1)) {
        const { stdout, stderr } = await left.machine.exec(`ping -c1 -W1 ${address}`, { check: false });
        expect(`${stdout}${stderr}`).toMatch(/unreachable|No route to host/i);
    }
    await nothingClear("both interfaces down");
    for (const each of [left.networks.wireguard, tunnels.left.wireguard]) await each.refresh();
    for (const each of [left.networks.wireguard, tunnels.left.wireguard]) expect(await each.update({})).toBe("update");
    await until(allOf(1));

    for (const each of encryptions) await tunnels.left[each].delete();
    await until([]);
    await nothingClear("one side deleted");
    tunnels.left = await layTunnels(left, right);
    await until(allOf(1));
    await nothingClear("made again");

    await left.machine.reboot({ powerCut: true });
    await until(allOf(1));
    await nothingClear("power cut");
    await reconnect();
    for (const each of encryptions) for (const end of [tunnels.left, tunnels.right]) await end[each].refresh();

    for (const { machine, stack } of [left, right]) {
        await machine.exec("systemctl disable --now chatter.service; rm /etc/systemd/system/chatter.service");
        await stack.destroyAll();
    }
    await nothingClear("destroy");
    expect(await snapshotHost(right.machine)).toEqual(right.before);
    // Two emulated machines and seven phases.
}, 1_800_000);
