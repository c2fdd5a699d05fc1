import { describeConnection } from "../provider/model/connection.js";
import { withBrackets } from "../provider/model/host-address.js";
import type { DnsMode, TunnelPeer } from "../provider/model/object.js";
import { readCarried } from "./carried.js";
import { parseCounters, readCounters } from "./counters.js";
import { type Inventory, takeInventory } from "./inventory.js";
import { count } from "./name.js";
import { print } from "./table.js";
import { connectionOf, type TargetOptions } from "./target.js";

/** Prints what a host carries, of all stacks. */
export async function inspect(target: string | undefined, options: TargetOptions & { json?: true }): Promise<void> {
    const connection = await connectionOf(target, options);
    const { world, stdout } = await readCarried(connection, readCounters);
    const inventory = takeInventory(world, describeConnection(connection), parseCounters(stdout));
    print(options.json ? JSON.stringify(inventory, undefined, 2) : await renderInventory(inventory));
}

async function renderInventory(inventory: Inventory): Promise<string> {
    const { paint, renderTable } = await import("./table.js");
    const sections = tablesOf(inventory)
        .filter(({ rows }) => rows.length > 0)
        .map(({ title, head, rows }) => `${paint.bold(title)}\n${renderTable(head, rows)}`);
    return sections.length > 0 ? sections.join("\n\n") : `${inventory.host} carries nothing of pulumi-linuxnet.`;
}

/** Where a sandbox finds the names of its networks. */
const sources: Readonly<Record<DnsMode, (server: string | null) => string>> = {
    server: (server) => `server ${server}`,
    hosts: () => "files",
    none: () => "-",
};

function tablesOf(all: Inventory) {
    const words = (...flags: (string | false)[]) => flags.filter((flag) => flag !== false).join(", ");
    const list = (names: readonly string[]) => names.join(", ") || "-";
    const rules = (policy: Inventory["policies"][number]) => {
        const counted = (direction: "ingress" | "egress") => {
            const said = policy[direction];
            const all = said === null ? [] : [...said, `${policy.defaultAction} all other ${direction}`];
            return all.map((rule, i) => `${rule}: ${count(policy[`${direction}Packets`]?.[i] ?? 0, "packet")}`);
        };
        return [...counted("ingress"), ...counted("egress")].join("\n");
    };
    return [
        {
            title: "Networks",
            head: ["STACK", "NAME", "SUBNET", "GATEWAY", "MTU", "BRIDGE", "DOMAIN", "ENDPOINTS", "OPTIONS"],
            rows: all.networks.map((network) => [
                network.stack,
                network.name,
                network.subnets.join("\n"),
                network.gateways.join("\n"),
                String(network.mtu),
                network.kernelName,
                network.domain ?? "-",
                String(network.endpoints.length),
                words(
                    network.internal && "internal",
                    network.isolateEndpoints && "isolated endpoints",
                    !network.hostAccess && "no host access",
                    network.defaultPolicy === "deny" && "denies by default",
                    network.directAccess && "direct access",
                    !network.masquerade && "no masquerade",
                ),
            ]),
        },
        {
            title: "Sandboxes",
            head: ["STACK", "NAME", "NAMESPACE", "HOSTNAME", "NAMES FROM", "OTHERS FROM", "ENDPOINTS"],
            rows: all.sandboxes.map((sandbox) => [
                sandbox.stack,
                sandbox.name,
                sandbox.namespace,
                sandbox.hostname,
                sources[sandbox.dns.mode](sandbox.dns.server),
                sandbox.dns.otherNames === "host" ? "as the host" : sandbox.dns.otherNames.join("\n") || "nobody",
                list(sandbox.endpoints),
            ]),
        },
        {
            title: "Endpoints",
            head: ["STACK", "NAME", "SANDBOX", "NETWORK", "ALIASES", "ADDRESS", "MAC", "INSIDE", "OUTSIDE"],
            rows: all.endpoints.map((endpoint) => [
                endpoint.stack,
                endpoint.name,
                endpoint.sandbox,
                endpoint.network,
                endpoint.aliases.join("\n") || "-",
                endpoint.addresses.join("\n"),
                endpoint.macAddress,
                endpoint.interfaceName,
                endpoint.kernelName,
            ]),
        },
        {
            title: "Published ports",
            head: ["STACK", "NAME", "PUBLISHED", "ENDPOINT", "TARGET"],
            rows: all.ports.map((port) => [
                port.stack,
                port.name,
                `${withBrackets(port.hostAddress ?? "*")}:${port.hostPort}/${port.protocol}`,
                port.endpoint,
                `${withBrackets(port.targetAddress ?? "?")}:${port.targetPort}`,
            ]),
        },
        {
            title: "Firewall policies",
            head: ["STACK", "NAME", "PRIORITY", "TARGETS", "RULES"],
            rows: all.policies.map((policy) => [
                policy.stack,
                policy.name,
                String(policy.priority),
                list(policy.targets),
                rules(policy),
            ]),
        },
        {
            title: "Overlay tunnels",
            head: ["STACK", "NAME", "NETWORK", "VNI", "LOCAL", "MTU", "ENCRYPTION", "DEVICE", "PEERS"],
            rows: all.tunnels.map((tunnel) => [
                tunnel.stack,
                tunnel.name,
                tunnel.network,
                String(tunnel.vni),
                `${tunnel.local}:${tunnel.port}`,
                String(tunnel.mtu),
                tunnel.encryption,
                tunnel.kernelName,
                list(tunnel.peers.map(describePeer)),
            ]),
        },
    ];
}

function describePeer({ underlayAddress, ipRange, ipv6Range }: TunnelPeer): string {
    const ranges = [ipRange, ipv6Range].filter((range) => range !== undefined);
    return ranges.length === 0 ? underlayAddress : `${underlayAddress} (${ranges.join(", ")})`;
}
