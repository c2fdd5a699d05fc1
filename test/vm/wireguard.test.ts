import { expect, test } from "vitest";
import { createLab, type Lab, type LabHost, snapshotHost } from "../../lab/index.js";
import type { HostIdentity } from "../../provider/model/identity.js";
import { openStack, reconnect } from "../integration/driver.js";
import { echo, startFlow } from "../integration/flow.js";
import { ask, inside, run } from "../integration/traffic.js";
import { watchUnderlay } from "../integration/underlay-watch.js";

const segment = "172.25.0.0/24";
const port = 51820;
const ranges = ["172.25.0.0/26", "172.25.0.64/26", "172.25.0.128/26"] as const;
const patience = { timeout: 180_000 };
const keyFile = "/var/lib/linuxnet/identity/wireguard.key";

/** Asks for the other ends all the time, from before there is a tunnel, and again at each boot. */
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

/** An interface of somebody else. */
const foreign = `ip link add wg9 type wireguard && wg genkey >/run/wg9.key && wg set wg9 private-key /run/wg9.key listen-port 5555 \
peer $(wg genkey | wg pubkey) allowed-ips 10.99.0.0/24 endpoint 192.0.2.9:5555`;
const showForeign = "ip -d link show wg9; wg show wg9";

/** One host's end without its tunnel: network, sandbox, and who asks all the time. */
async function layEnd(machine: LabHost, own: 0 | 1 | 2) {
    await machine.exec(foreign);
    const before = [await snapshotHost(machine), (await machine.exec(`wg show; ${showForeign}`)).stdout];
    const stack = await openStack(machine);
    const identity = (stack.host.outs as unknown as { identity: HostIdentity }).identity;
    const network = await stack.network("mesh", {
        ...{ subnet: segment, ipRange: ranges[own], gateway: `172.25.0.${own * 64 + 1}` },
    });
    const sandbox = await stack.sandbox("app");
    const address = `172.25.0.${own * 64 + 10}`;
    const endpoint = await stack.endpoint("app-mesh", { sandbox, network, ipv4Address: address });
    const other = `172.25.0.${(own === 0 ? 1 : 0) * 64 + 10}`;
    await machine.exec("cat >/etc/systemd/system/chatter.service && systemctl enable --now chatter.service", {
        stdin: chatter(sandbox.outs.namespace, other),
    });
    return {
        machine,
        before,
        stack,
        identity,
        network,
        sandbox,
        endpoint,
        address,
        own,
        place: inside(machine, sandbox),
    };
}

type End = Awaited<ReturnType<typeof layEnd>>;

const peersOf = (more: object, ...others: readonly End[]) =>
    others.map(({ machine, own, identity }) => ({
        underlayAddress: machine.address,
        ipRange: ranges[own],
        identity,
        ...more,
    }));

const layTunnel = ({ stack, network }: End, ...others: readonly End[]) =>
    stack.overlayTunnel("mesh", {
        ...{ network, vni: 42, port, encryption: "wireguard", peers: peersOf({}, ...others) },
    });

/** Packets of WireGuard's port that are none of its four types, which begin with their number and three zeros. */
async function watchPort(lab: Lab<number>): Promise<() => Promise<{ strange: number; all: number }>> {
    const types = [1, 2, 3, 4].map((type) => `0x0${type}000000`).join(", ");
    await lab.switch().exec("nft -f -", {
        stdin: `table bridge port {
    chain passing {
        type filter hook forward priority 0; policy accept;
        udp dport ${port} counter
        udp sport ${port} udp dport != ${port} counter
        udp dport ${port} @th,64,32 != { ${types} } counter
    }
}`,
    });
    return async () => {
        const { stdout } = await lab.switch().exec("nft list table bridge port");
        const [all = 0, back = 0, strange = 0] = [...stdout.matchAll(/packets (\d+)/g)].map(([, count]) =>
            Number(count),
        );
        return { all: all + back, strange };
    };
}

/** As a NAT on the way does: it sends from another port, and lets in only what answers. */
const behindNat = (address: string) => `table ip nat_on_the_way {
    chain out { type nat hook postrouting priority 100; udp sport ${port} oif "eth0" snat to ${address}:40000; }
    chain in { type filter hook prerouting priority -150; iif "eth0" udp dport ${port} ct state new drop; }
}`;

test("wireguard: nothing of the segment is readable on the underlay, whatever happens to it", async () => {
    await using lab = await createLab({ hosts: 3, driver: "vm", onProgress: (text) => console.log(text) });
    const clear = await watchUnderlay(lab, segment);
    const watched = await watchPort(lab);
    const [left, right, third] = await Promise.all([
        layEnd(lab.hosts[0], 0),
        layEnd(lab.hosts[1], 1),
        layEnd(lab.hosts[2], 2),
    ]);
    await using _left = left.stack;
    await using _right = right.stack;
    await using _third = third.stack;
    const question = `icmp ${right.address}`;
    const answers = async () => (await ask(left.place, question))[question];
    const until = (answer: string) => expect.poll(answers, patience).toBe(answer);
    let before = 0;
    const nothingClear = async (phase: string) => {
        const [counts, { strange, all }] = [await clear.read(), await watched()];
        console.log(`${phase}: ${counts.clear + strange} packets in the clear, ${all - before} of WireGuard`);
        expect([counts.clear, counts.esp, strange], phase).toEqual([0, 0, 0]);
        before = all;
    };

    const tunnel = { left: await layTunnel(left, right), right: await layTunnel(right, left) };
    expect(tunnel.left.outs).toMatchObject({ mtu: 1440, publicKey: left.identity.wireguardPublicKey });
    await until("reply");
    await nothingClear("create");
    for (const end of [tunnel.left, tunnel.right]) expect(await end.refresh()).toEqual([]);
    // The largest packet, in one piece.
    await run(left.place, `ping -c3 -W5 -M do -s ${1440 - 28} ${right.address}`);

    await tunnel.left.update({ mtu: 1300, labels: { team: "a" } });
    await tunnel.left.update({ mtu: undefined });
    await until("reply");
    await nothingClear("update");

    {
        await using _ = await echo(right.place, 7);
        // Slow enough that an emulated machine that works on the update does not fill a socket's buffer meanwhile.
        const flow = await startFlow(left.place, right.address, 7, 20);
        const joined = await layTunnel(third, left, right);
        expect(await tunnel.left.update({ peers: peersOf({}, right, third) })).toBe("update");
        expect(await tunnel.right.update({ peers: peersOf({}, left, third) })).toBe("update");
        const asked = [`icmp ${left.address}`, `icmp ${right.address}`] as const;
        await expect
            .poll(() => ask(third.place, ...asked), patience)
            .toEqual({ [asked[0]]: "reply", [asked[1]]: "reply" });
        expect(await tunnel.left.update({ peers: peersOf({}, right) })).toBe("update");
        expect(await tunnel.right.update({ peers: peersOf({}, left) })).toBe("update");
        await joined.delete();
        const { sent, lost } = await flow.end();
        console.log(`a third host comes and goes: ${sent} packets there and back, ${lost} lost`);
        expect(sent).toBeGreaterThan(100);
        expect(lost).toBe(0);
        await nothingClear("a third host");
    }

    const name = tunnel.left.outs.interfaceName;
    const key = right.identity.wireguardPublicKey ?? "";
    const damages: [string, RegExp][] = [
        [`wg set ${name} peer ${key} remove`, /^WireGuard peer .* is missing$/],
        [
            `wg set ${name} peer ${key} allowed-ips 172.25.0.99/32`,
            /^WireGuard peer .*: allowed is 172.25.0.99\/32, not/,
        ],
        [`wg set ${name} listen-port 7777`, /^WireGuard key .*: port is 7777, not 51820$/],
        [`wg genkey | wg set ${name} private-key /dev/stdin`, /^WireGuard key .*: publicKey is /],
        [`ip route del ${ranges[1]} dev ${name}`, /^route to 172.25.0.64\/26 in table main is missing$/],
        [`ip route del unreachable ${segment} metric 4278190080`, /^unreachable route to 172.25.0.0\/24 is missing$/],
        [`ip link set ${name} down`, /it is down/],
        [`ip link del ${name}`, new RegExp(`^interface ${name} is missing$`)],
    ];
    for (const [damage, words] of damages) {
        await left.machine.exec(damage);
        expect(await tunnel.left.refresh(), damage).toContainEqual(expect.stringMatching(words));
        expect(await tunnel.left.update({}), damage).toBe("update");
        expect(await tunnel.left.refresh(), damage).toEqual([]);
        await until("reply");
    }
    await nothingClear("drift and repair");

    // Nobody but wg(8) has seen the key.
    const privateKey = (await left.machine.exec(["cat", keyFile])).stdout.trim();
    expect(privateKey).toMatch(/^.{43}=$/);
    await left.machine.exec(
        `${"rm -f /run/seen;"} (for i in $(seq 400); do cat /proc/[0-9]*/cmdline; done 2>/dev/null | tr '\\0' '\\n' | sort -u >/run/seen) </dev/null >/dev/null 2>&1 &`,
    );
    await tunnel.left.delete();
    expect(await answers()).not.toBe("reply");
    await nothingClear("one side deleted");
    tunnel.left = await layTunnel(left, right);
    await until("reply");
    await nothingClear("made again");
    await expect.poll(async () => (await left.machine.exec("cat /run/seen")).stdout, patience).not.toBe("");
    const places = {
        outputs: JSON.stringify([left.stack.host.outs, tunnel.left.outs]),
        processes: (await left.machine.exec("cat /run/seen")).stdout,
        journal: (await left.machine.exec("journalctl -b --no-pager")).stdout,
        manifest: (await left.machine.exec("cat /var/lib/linuxnet/objects/*")).stdout,
        modes: (await left.machine.exec("find /var/lib/linuxnet/identity -perm /077")).stdout,
    };
    expect(places.processes).toMatch(/^systemd$|^\/sbin\/init$|sshd/m);
    for (const [place, text] of Object.entries(places)) expect(text.includes(privateKey), place).toBe(false);
    expect(places.modes).toBe("");
    await left.machine.exec("rm /run/seen");

    // Behind a NAT nobody reaches it, until it speaks first.
    await right.machine.exec("systemctl stop chatter.service");
    await right.machine.exec("nft -f -", { stdin: behindNat(right.machine.address) });
    for (const { machine, own } of [left, right]) {
        const device = (own === 0 ? tunnel.left : tunnel.right).outs.interfaceName;
        await machine.exec(
            `ip link set ${device} down; ip link set ${device} up; conntrack -F; sh /var/lib/linuxnet/restore`,
        );
    }
    expect(await tunnel.right.update({ peers: peersOf({ keepAliveMs: 5000 }, left) })).toBe("update");
    await until("reply");
    expect((await left.machine.exec(`wg show ${name} endpoints`)).stdout).toContain(`${right.machine.address}:40000`);
    expect(await tunnel.left.refresh()).toEqual([]);
    // An update here, and a firewall that is reloaded, leave the address where it was heard.
    await tunnel.left.update({ labels: { team: "b" } });
    await left.machine.exec("sh /var/lib/linuxnet/restore");
    expect((await left.machine.exec(`wg show ${name} endpoints`)).stdout).toContain(`${right.machine.address}:40000`);
    await until("reply");
    await nothingClear("behind NAT");

    for (const powerCut of [false, true]) {
        await left.machine.reboot({ powerCut });
        await until("reply");
        await nothingClear(powerCut ? "power cut" : "reboot");
    }
    await reconnect();
    for (const end of [tunnel.left, tunnel.right]) expect(await end.refresh()).toEqual([]);

    for (const { machine, stack } of [left, right, third]) {
        await machine.exec("systemctl disable --now chatter.service; rm /etc/systemd/system/chatter.service");
        await stack.destroyAll();
    }
    await right.machine.exec("nft delete table ip nat_on_the_way");
    await nothingClear("destroy");
    for (const {
        machine,
        before: [snapshot, shown],
    } of [right, third])
        expect([await snapshotHost(machine), (await machine.exec(`wg show; ${showForeign}`)).stdout]).toEqual([
            snapshot,
            shown,
        ]);
    // Three emulated machines and twelve phases.
}, 1_800_000);
