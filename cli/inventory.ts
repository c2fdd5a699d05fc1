import { dnsOf, domainOf, hostnameOf } from "../provider/kinds/names.js";
import { effectiveMtu } from "../provider/kinds/network.js";
import { targetRange } from "../provider/kinds/port-items.js";
import { addressesOf, firstHalf, halvesOf, subnetsOf } from "../provider/model/half.js";
import { familiesOf } from "../provider/model/host-address.js";
import { type Binding, encryptionOf, type SandboxObject, targetsOf } from "../provider/model/object.js";
import { formatPortRange } from "../provider/model/port-range.js";
import { familyOf } from "../provider/model/range.js";
import type { World } from "../provider/model/world.js";
import { type Counters, countsOf } from "./counters.js";
import { inOrder, nameOf, stackOf } from "./name.js";
import { describeRule } from "./rule.js";

/** What a host carries, in the words of the programs that made it; `inspect --json` prints it. */
export type Inventory = ReturnType<typeof takeInventory>;

export function takeInventory(world: World, host: string, counters: Counters) {
    return {
        schemaVersion: 1,
        host,
        networks: inOrder(world.all("network")).map((network) => ({
            stack: stackOf(network),
            name: network.owner.name,
            kernelName: network.key,
            subnet: firstHalf(network).subnet,
            gateway: firstHalf(network).gateway,
            subnets: subnetsOf(network),
            gateways: halvesOf(network).map(({ gateway }) => gateway),
            mtu: effectiveMtu(network, world),
            internal: network.internal,
            isolateEndpoints: network.isolateEndpoints,
            hostAccess: network.hostAccess ?? true,
            defaultPolicy: network.defaultPolicy ?? "network",
            directAccess: network.directAccess ?? false,
            masquerade: network.masquerade,
            dns: network.dns?.mode ?? "none",
            /** `null`: its endpoints have no names. */
            domain: network.dns === undefined ? null : domainOf(network),
            endpoints: inOrder(world.endpointsOf(network.key)).map((endpoint) => endpoint.owner.name),
        })),
        sandboxes: inOrder(world.all("sandbox")).map((sandbox) => ({
            stack: stackOf(sandbox),
            name: sandbox.owner.name,
            namespace: sandbox.name,
            hostname: hostnameOf(sandbox),
            dns: describeDns(sandbox, world),
            endpoints: inOrder(world.endpointsOf(sandbox.key)).map((endpoint) => endpoint.owner.name),
        })),
        endpoints: inOrder(world.all("endpoint")).map((endpoint) => ({
            stack: stackOf(endpoint),
            name: endpoint.owner.name,
            kernelName: endpoint.key,
            sandbox: nameOf(endpoint.sandbox, world),
            network: nameOf(endpoint.network, world),
            interfaceName: endpoint.interfaceName,
            /** `null`: the network has no IPv4. */
            ipv4Address: endpoint.ipv4Address ?? null,
            addresses: addressesOf(endpoint, world.get("network", endpoint.network)),
            macAddress: endpoint.macAddress,
            aliases: endpoint.aliases ?? [],
        })),
        ports: inOrder(world.all("port-mapping")).flatMap((mapping) =>
            mapping.bindings.flatMap((binding) =>
                targetsOf(mapping).map((target) => ({
                    stack: stackOf(mapping),
                    name: mapping.owner.name,
                    protocol: binding.protocol,
                    /** `null`: every address of the host. */
                    hostAddress: binding.hostAddress ?? null,
                    hostPort: formatPortRange(binding.hostPort),
                    endpoint: nameOf(target.endpoint, world),
                    targetAddress: targetAddress(target.endpoint, binding, world),
                    targetPort: formatPortRange(targetRange(target, binding)),
                    weight: target.weight ?? 1,
                })),
            ),
        ),
        policies: inOrder(world.all("firewall-policy")).map((policy) => ({
            stack: stackOf(policy),
            name: policy.owner.name,
            targets: policy.targets.map((target) => nameOf(target, world)),
            priority: policy.priority,
            defaultAction: policy.defaultAction,
            /** `null`: the policy says nothing about this direction. */
            ingress: policy.ingress?.map((rule) => describeRule(rule, "from", world)) ?? null,
            egress: policy.egress?.map((rule) => describeRule(rule, "to", world)) ?? null,
            /** Packets that each of these rules matched, then those that no rule of any policy on the targets matched. */
            ingressPackets: countsOf(policy, "ingress", world, counters),
            egressPackets: countsOf(policy, "egress", world, counters),
        })),
        tunnels: inOrder(world.all("overlay-tunnel")).map((tunnel) => ({
            stack: stackOf(tunnel),
            name: tunnel.owner.name,
            kernelName: tunnel.key,
            network: nameOf(tunnel.network, world),
            vni: tunnel.vni,
            local: tunnel.local,
            port: tunnel.port,
            mtu: tunnel.mtuBytes,
            encryption: encryptionOf(tunnel),
            peers: tunnel.peers,
        })),
    };
}

function describeDns(sandbox: SandboxObject, world: World) {
    const { mode, resolver, servers, forwards } = dnsOf(sandbox, world);
    const asHost = mode === "none" || (servers.length === 0 && forwards);
    const otherNames: "host" | readonly string[] = asHost ? "host" : servers;
    return {
        mode,
        /** The server in its resolv.conf that answers; `null`: there is none of ours. */
        server: resolver ?? null,
        /** Who is asked for other names; none: nobody. */
        otherNames,
    };
}

/** Where a binding leads first; `null`: the endpoint is gone, or on another host. */
function targetAddress(key: string, { hostAddress }: Binding, world: World): string | null {
    const endpoint = world.get("endpoint", key);
    if (endpoint === undefined) return null;
    const addresses = addressesOf(endpoint, world.get("network", endpoint.network));
    return addresses.find((address) => familiesOf(hostAddress).includes(familyOf(address))) ?? null;
}
