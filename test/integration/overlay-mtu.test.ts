import { afterAll, beforeAll, expect, test } from "vitest";
import { createLab, type Lab, type LabHost } from "../../lab/index.js";
import { packetsIn } from "./counters.js";
import { openStack, reconnect, type Stack } from "./driver.js";
import { inside, run } from "./traffic.js";

const ranges = ["172.25.0.0/25", "172.25.0.128/25"] as const;

let lab: Lab;
let ends: Awaited<ReturnType<typeof layEnd>>[];

async function layEnd(stack: Stack, machine: LabHost, own: number, other: LabHost) {
    const network = await stack.network("mesh", { subnet: "172.25.0.0/24", ipRange: ranges[own] });
    const sandbox = await stack.sandbox("app");
    const endpoint = await stack.endpoint("app-mesh", { sandbox, network });
    const peers = [{ underlayAddress: other.address, ipRange: ranges[1 - own] }];
    const tunnel = await stack.overlayTunnel("mesh", { network, vni: 42, peers });
    const resources = [network, endpoint, tunnel] as const;
    return { machine, stack, network, endpoint, tunnel, resources, place: inside(machine, sandbox) };
}

async function setUnderlay(mtuBytes: number): Promise<void> {
    for (const host of lab.hosts) await host.exec(`ip link set eth0 mtu ${mtuBytes}`);
    await reconnect();
}

beforeAll(async () => {
    lab = await createLab({ hosts: 2, underlayMtu: 9000 });
    await setUnderlay(1500);
    const [left, right] = lab.hosts as [LabHost, LabHost];
    const stacks = [await openStack(left), await openStack(right)] as const;
    ends = await Promise.all([layEnd(stacks[0], left, 0, right), layEnd(stacks[1], right, 1, left)]);
});

afterAll(async () => {
    for (const { stack } of ends) await stack.destroyAll();
    await lab[Symbol.asyncDispose]();
});

/** Packets in pieces that leave or reach the underlay's interface. */
const fragments = `table netdev pieces {
    chain leaving {
        type filter hook egress device "eth0" priority 0; policy accept;
        ip frag-off & 0x3fff != 0 counter
        udp dport 4789 counter
    }
}`;

async function counted(machine: LabHost): Promise<{ pieces: number; tunnelled: number }> {
    const [pieces = Number.NaN, tunnelled = Number.NaN] = await packetsIn(machine, "netdev pieces");
    return { pieces, tunnelled };
}

/** Sends much by tcp, and datagrams of these sizes. */
async function sendAll(sizes: readonly number[]): Promise<void> {
    const [left, right] = ends as [(typeof ends)[0], (typeof ends)[0]];
    const receive = `const dgram = require("dgram").createSocket("udp4"), net = require("net"); let bytes = 0;
        dgram.on("message", (data) => console.log("udp " + data.length)); dgram.bind(90);
        net.createServer((s) => s.on("data", (d) => { bytes += d.length; }).on("end", () => console.log("tcp " + bytes))).listen(90, () => console.log("ready"))`;
    await using receiver = await right.machine.spawn([process.execPath, "-e", receive], {
        sandbox: right.place.sandbox ?? "",
    });
    await receiver.waitFor("ready");
    const target = right.endpoint.outs.address;
    const send = `const s = require("dgram").createSocket("udp4");
        for (const size of ${JSON.stringify(sizes)}) s.send(Buffer.alloc(size), 90, "${target}");
        require("net").connect(90, "${target}").end(Buffer.alloc(20000000)).on("close", () => s.close())`;
    await run(left.place, [process.execPath, "-e", send]);
    for (const text of [...sizes.map((size) => `udp ${size}`), "tcp 20000000"]) await receiver.waitFor(text);
}

test.each([
    [1500, 1450],
    [9000, 8950],
    [1492, 1442],
])(
    "overlay: on an underlay of %s bytes all interfaces have %s, and nothing is sent in pieces",
    async (underlay, mtu) => {
        await setUnderlay(underlay);
        for (const { tunnel, network } of ends) {
            if (tunnel.outs.mtu === mtu) continue;
            // The bridge is as it was made; what it was made for is not.
            expect(await tunnel.refresh()).toEqual([expect.stringMatching(/^mtu .*the underlay/)]);
            expect(await network.refresh()).toEqual([
                expect.stringMatching(/^mtu is \d+, and that of the uplink is \d+$/),
            ]);
            expect(await network.update({})).toBe("update");
            expect(await tunnel.update({})).toBe("update");
        }
        for (const { tunnel, network, endpoint, machine, place, resources } of ends) {
            expect(tunnel.outs.mtu).toBe(mtu);
            const names = [network.outs.interfaceName, tunnel.outs.interfaceName, endpoint.outs.hostInterface];
            for (const name of names) {
                const { stdout } = await machine.exec(["ip", "-json", "link", "show", "dev", name]);
                expect(JSON.parse(stdout)[0].mtu, name).toBe(mtu);
            }
            expect(JSON.parse(await run(place, "ip -json link show dev mesh"))[0].mtu).toBe(mtu);
            for (const resource of resources) expect(await resource.refresh()).toEqual([]);
        }
        const [left, right] = ends as [(typeof ends)[0], (typeof ends)[0]];
        await left.machine.exec("nft -f -", { stdin: fragments });
        await run(left.place, `ping -c1 -W1 -M do -s ${mtu - 28} ${right.endpoint.outs.address}`);
        await expect(
            run(left.place, `ping -c1 -W1 -M do -s ${mtu - 27} ${right.endpoint.outs.address}`),
        ).rejects.toThrow(`mtu=${mtu}`);
        // The last one goes in pieces inside of the segment, none of which is cut again.
        await sendAll([1400, mtu - 28, 3 * mtu]);
        const { pieces, tunnelled } = await counted(left.machine);
        expect(tunnelled).toBeGreaterThan(10);
        expect(pieces).toBe(0);
        await left.machine.exec("nft delete table netdev pieces");
    },
);
