import type { LabHost } from "../../lab/index.js";
import { range } from "../measure.js";
import type { Publisher } from "./publisher.js";

const find = "command -v netavark || ls /usr/lib/podman/netavark /usr/libexec/podman/netavark 2>/dev/null | grep .";

const network = {
    name: "podman",
    id: "2f259bab93aaaaa2542ba43ef33eb990d0999ee1b9924b557b7be53c0b7a1bb9",
    driver: "bridge",
    network_interface: "podman0",
    subnets: [{ subnet: "10.88.0.0/16", gateway: "10.88.0.1" }],
    ipv6_enabled: false,
    internal: false,
    dns_enabled: false,
    ipam_options: { driver: "host-local" },
};

const optionsOf = (count: number) => ({
    container_id: "6ce776ea58b5",
    container_name: "web",
    networks: { podman: { static_ips: ["10.88.0.2"], interface_name: "eth0" } },
    network_info: { podman: network },
    port_mappings: range(count).map((i) => ({
        ...{ host_ip: "", container_port: 1000 + i, host_port: 20000 + i, range: 1, protocol: "tcp" },
    })),
});

/** What Podman runs: one `netavark setup` and one `netavark teardown`. */
export async function openNetavark(host: LabHost): Promise<Publisher> {
    const program = (await host.exec(find)).stdout.split("\n")[0];
    await host.exec("mkdir -p /run/netavark && ip netns add container");
    const run = async (verb: string, count: number) => {
        const script = `cat >/run/netavark/options; s=$(date +%s%N)
            ${program} --config /run/netavark ${verb} /run/netns/container </run/netavark/options >/dev/null && echo $(($(date +%s%N) - s))`;
        const { stdout } = await host.exec(script, { stdin: JSON.stringify(optionsOf(count)), timeoutMs: 300_000 });
        return Number(stdout) / 1e9;
    };
    let published = 0;
    return {
        publish: (count) => {
            published = count;
            return run("setup", count);
        },
        withdraw: () => run("teardown", published),
        async [Symbol.asyncDispose]() {
            await host.exec("ip netns del container");
        },
    };
}
