import { expect, test } from "vitest";
import { createLab, type LabHost } from "../../lab/index.js";
import { type Joined, openStack, type Resource, type Stack } from "../integration/driver.js";
import { dig } from "../integration/look-ups.js";
import { answersTo, ask, serve } from "../integration/traffic.js";

const patience = { timeout: 180_000 };

/** The ends of two segments on a host that lets in nobody but ssh, and begins nothing itself. */
interface End {
    readonly machine: LabHost;
    readonly stack: Stack;
    readonly networks: readonly Resource<"network">[];
    readonly joined: readonly Joined[];
}

async function layEnd(machine: LabHost, own: 0 | 1): Promise<End> {
    const stack = await openStack(machine);
    const ingress = [{ action: "allow", ports: [22] }];
    await stack.firewallPolicy("closed", { target: stack.host, ingress, egress: [] });
    const networks = await Promise.all(
        ["10.90", "10.91"].map((prefix) =>
            stack.network(`mesh-${prefix.replace(".", "-")}`, {
                subnet: `${prefix}.0.0/16`,
                ipRange: `${prefix}.${own + 1}.0/24`,
                gateway: `${prefix}.${own + 1}.1`,
                dns: { domain: "mesh" },
            }),
        ),
    );
    const joined = await Promise.all(networks.map((each) => stack.join(`app-${own}-${each.name}`, each)));
    return { machine, stack, networks, joined };
}

const layTunnel = ({ stack, networks }: End, other: End, own: 0 | 1, encryption: "wireguard" | "ipsec") => {
    const i = encryption === "wireguard" ? 0 : 1;
    return stack.overlayTunnel(encryption, {
        network: networks[i],
        vni: 90 + i,
        port: i === 0 ? 51820 : 4789,
        encryption,
        ...(i === 0 ? {} : { key: "SecretOfTheSegmentOfClosedHosts" }),
        peers: [
            {
                underlayAddress: other.machine.address,
                ipRange: `10.${90 + i}.${2 - own}.0/24`,
                identity: other.stack.host.outs.identity,
            },
        ],
    });
};

test("closed hosts: are ends of encrypted segments and ask each other for names, whoever speaks first", async () => {
    await using lab = await createLab({ hosts: 2, driver: "vm", onProgress: (text) => console.log(text) });
    const [left, right] = await Promise.all([layEnd(lab.hosts[0], 0), layEnd(lab.hosts[1], 1)]);
    await using _left = left.stack;
    await using _right = right.stack;
    for (const encryption of ["wireguard", "ipsec"] as const) {
        await layTunnel(left, right, 0, encryption);
        await layTunnel(right, left, 1, encryption);
        const i = encryption === "wireguard" ? 0 : 1;
        for (const [from, to] of [
            [left, right],
            [right, left],
        ] as const) {
            // Nobody remembers that the other end spoke.
            for (const { machine } of [from, to]) await machine.exec("conntrack -D -p 50; conntrack -D -p udp; :");
            const [asking, asked] = [from.joined[i] as Joined, to.joined[i] as Joined];
            const question = `icmp ${asked.address}`;
            await expect.poll(() => ask(asking.place, question), patience).toEqual({ [question]: "reply" });
            const name = `@127.0.0.11 ${asked.sandbox.name}`;
            await expect.poll(() => dig(asking.place, name), patience).toEqual({ [name]: asked.address });
        }
    }
    // Not let in: closed they are.
    await using _server = await serve({ machine: right.machine }, "host", "udp:51821");
    const closed = { [`udp ${right.machine.address}:51821`]: "nothing" };
    expect(await answersTo({ machine: lab.client() }, closed)).toEqual(closed);
}, 900_000);
