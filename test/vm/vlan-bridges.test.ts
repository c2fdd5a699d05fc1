import { expect, test } from "vitest";
import { createLab } from "../../lab/index.js";
import { openStack, reconnect } from "../integration/driver.js";
import { answersTo, serve } from "../integration/traffic.js";

const patience = { timeout: 180_000 };

/** A machine of others on a bridge of others; `own`: the interface that has its address. */
const plug = (name: string, bridge: string, number: number, own = "eth0") =>
    `ip netns add ${name}; ip link add veth-${name} type veth peer name eth0 netns ${name}; ip link set veth-${name} master ${bridge} up
    ip -n ${name} link set eth0 up; ${own === "eth0" ? ":" : `ip -n ${name} link add link eth0 name ${own} type vlan id 5; ip -n ${name} link set ${own} up`}
    ip -n ${name} address add 10.5.0.${number}/24 dev ${own}; ip -n ${name} address add fd00:5::${number}/64 dev ${own} nodad`;

test("bridges of others with VLANs: ports send each other what they like where bridges are filtered", async () => {
    await using lab = await createLab({ hosts: 1, driver: "vm", onProgress: (text) => console.log(text) });
    const [machine] = lab.hosts;
    // As Proxmox has them: one that knows VLANs, one with tagged ports, and one whose port is a VLAN of that one.
    await machine.exec(`modprobe br_netfilter; cd /proc/sys/net/bridge
        for f in bridge-nf-call-iptables bridge-nf-call-ip6tables bridge-nf-filter-vlan-tagged; do echo 1 >$f; done
        ip link add br-aware type bridge vlan_filtering 1; for b in trunk tag; do ip link add br-$b type bridge; done
        for b in aware trunk tag; do ip link set br-$b up; done; ip address add 10.6.0.1/24 dev br-aware
        ip link add link br-trunk name br-trunk.5 type vlan id 5; ip link set br-trunk.5 master br-tag up
        ${plug("vm1", "br-aware", 11)}; ${plug("vm2", "br-aware", 12)}
        for p in vm1 vm2; do bridge vlan del dev veth-$p vid 1; bridge vlan add dev veth-$p vid 20 pvid untagged; done
        ${plug("vm3", "br-trunk", 13, "eth0.5")}; ${plug("vm4", "br-trunk", 14, "eth0.5")}; ${plug("vm5", "br-tag", 15)}`);
    await reconnect();
    const at = (sandbox: string) => ({ machine, sandbox });
    await using _vm2 = await serve(at("vm2"), "vm2", "tcp:80", "tcp6:80");
    await using _vm4 = await serve(at("vm4"), "vm4", "tcp:80", "tcp6:80");
    await using stack = await openStack(machine);
    await stack.network("front", { subnet: "172.20.0.0/24", ipv6: true });
    for (const [from, to, number, own] of [
        ["vm1", "vm2", 12, 11],
        ["vm3", "vm4", 14, 13],
        ["vm5", "vm4", 14, 15],
    ] as const) {
        const questions = {
            [`tcp 10.5.0.${number}:80`]: `${to} to 10.5.0.${own}`,
            [`tcp [fd00:5::${number}]:80`]: `${to} to fd00:5::${own}`,
            [`icmp 10.5.0.${number}`]: "reply",
        };
        await expect.poll(() => answersTo(at(from), questions), patience).toEqual(questions);
    }
}, 900_000);
