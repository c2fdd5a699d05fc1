import type { LabHost, LabMachine, LabProcess } from "../../lab/index.js";
import { median, range } from "../measure.js";

/** Gigabits a second of one tcp connection: plain routed forwarding with connection tracking, and ours. */
export interface Throughput {
    readonly plain: number;
    readonly ours: number;
    /** Median of ours / plain, turn by turn. */
    readonly ratio: number;
}

/** What the host does for us anyway, by hand: a veth to a namespace, routed, with connection tracking; no bridge and no NAT. */
export async function layPlainRoute(
    host: LabHost,
    client: LabMachine,
): Promise<{ readonly namespace: string; readonly address: string }> {
    await host.exec(`set -e
        ip netns add plain
        ip link add plain0 type veth peer name eth0 netns plain
        ip address add 10.77.0.1/24 dev plain0
        ip link set plain0 up
        ip -n plain address add 10.77.0.2/24 dev eth0
        ip -n plain link set lo up
        ip -n plain link set eth0 up
        ip -n plain route add default via 10.77.0.1
        sysctl -qw net.ipv4.ip_forward=1
        nft -f - <<'END'
table inet plain {
    chain forward {
        type filter hook forward priority 0; policy accept;
        ct state established,related accept
        ct state invalid drop
    }
}
END`);
    await client.exec(`ip route add 10.77.0.0/24 via ${host.address}`);
    return { namespace: "plain", address: "10.77.0.2" };
}

export async function serveIperf(host: LabHost, sandbox: string | undefined, port: number): Promise<LabProcess> {
    const server = await host.spawn(["iperf3", "-s", "--forceflush", "-p", String(port)], { sandbox });
    await server.waitFor("listening");
    return server;
}

/** @param plain and ours `address:port` of an `iperf3 -s` */
export async function measureThroughput(from: LabMachine, plain: string, ours: string): Promise<Throughput> {
    const run = async (target: string) => {
        const [host = "", port = ""] = target.split(":");
        const { stdout } = await from.exec(["iperf3", "-J", "-t", "2", "-O", "1", "-c", host, "-p", port]);
        const { end, error } = JSON.parse(stdout);
        if (error !== undefined) throw new Error(`iperf3 to ${target}: ${error}`);
        return end.sum_received.bits_per_second / 1e9;
    };
    const turns: (readonly [number, number])[] = [];
    for (const _ of range(7)) turns.push([await run(plain), await run(ours)]);
    return {
        plain: median(turns.map(([one]) => one)),
        ours: median(turns.map(([, other]) => other)),
        ratio: median(turns.map(([one, other]) => other / one)),
    };
}
