import { endpointsUnder } from "../../provider/kinds/policy-match.js";
import { targetRange } from "../../provider/kinds/port-items.js";
import { addressesOf, subnetsOf } from "../../provider/model/half.js";
import { withBrackets } from "../../provider/model/host-address.js";
import {
    type Binding,
    type FirewallPolicyObject,
    hostTarget,
    type Peer,
    type PortTarget,
    targetsOf,
} from "../../provider/model/object.js";
import { formatPortRange } from "../../provider/model/port-range.js";
import type { World } from "../../provider/model/world.js";
import { inOrder, stackOf } from "../name.js";
import { describePeer, describeTraffic } from "../rule.js";

/** Letters, digits and "_" only, so that it is an id in every graph language. */
type NodeId = string;

export interface GraphNode {
    readonly id: NodeId;
    /** Lines. */
    readonly label: readonly string[];
    readonly kind: "network" | "endpoint" | "outside";
}

export interface GraphEdge {
    readonly from: NodeId;
    readonly to: NodeId;
    readonly label: string;
    readonly kind: "attached" | "published" | "allowed" | "tunnel";
}

/** A picture of a host, in no language yet: sandboxes are frames around their endpoints. */
export interface Drawing {
    readonly title: string;
    readonly nodes: readonly GraphNode[];
    readonly frames: readonly {
        readonly id: NodeId;
        readonly label: readonly string[];
        readonly nodes: readonly GraphNode[];
    }[];
    readonly edges: readonly GraphEdge[];
}

const outside: GraphNode = { id: "outside", label: ["outside"], kind: "outside" };

export function drawLayout(world: World, title: string): Drawing {
    const edges: GraphEdge[] = [];
    const nodes = new Map<NodeId, GraphNode>();
    const stacks = new Set([...world.objects.values()].map(stackOf));
    const named = (object: Parameters<typeof stackOf>[0]) =>
        stacks.size > 1 ? `${object.owner.name} (${stackOf(object)})` : object.owner.name;
    const place = (node: GraphNode) => {
        nodes.set(node.id, node);
        return node.id;
    };
    for (const network of inOrder(world.all("network"))) {
        const label = [named(network), ...subnetsOf(network), ...(network.internal ? ["internal"] : [])];
        place({ id: network.key, label, kind: "network" });
    }
    const frames = inOrder(world.all("sandbox")).map((sandbox) => {
        const inside = inOrder(world.endpointsOf(sandbox.key)).map((endpoint): GraphNode => {
            edges.push({ from: endpoint.key, to: endpoint.network, label: "", kind: "attached" });
            return {
                id: endpoint.key,
                label: [endpoint.interfaceName, ...addressesOf(endpoint, world.get("network", endpoint.network))],
                kind: "endpoint",
            };
        });
        const only: GraphNode = { id: `${sandbox.key}_lo`, label: ["lo"], kind: "endpoint" };
        return { id: sandbox.key, label: [named(sandbox)], nodes: inside.length > 0 ? inside : [only] };
    });
    for (const mapping of inOrder(world.all("port-mapping"))) {
        for (const binding of mapping.bindings) {
            for (const target of targetsOf(mapping).filter(({ endpoint }) => world.objects.has(endpoint))) {
                const label = describeBinding(binding, target);
                edges.push({ from: place(outside), to: target.endpoint, label, kind: "published" });
            }
        }
    }
    for (const policy of inOrder(world.all("firewall-policy"))) {
        const targets = policy.targets.flatMap((target) =>
            target === hostTarget
                ? [place({ id: "host", label: ["the host itself"], kind: "outside" })]
                : placesOf(target, world),
        );
        edges.push(...drawPolicy(policy, targets, world, place));
    }
    for (const tunnel of inOrder(world.all("overlay-tunnel"))) {
        for (const peer of tunnel.peers) {
            const ranges = [peer.ipRange, peer.ipv6Range].filter((range) => range !== undefined);
            const id = idOf(`peer ${peer.underlayAddress} ${ranges.join(" ")}`);
            place({ id, label: [peer.underlayAddress, ...ranges], kind: "outside" });
            edges.push({ from: tunnel.network, to: id, label: `vni ${tunnel.vni}`, kind: "tunnel" });
        }
    }
    return { title, nodes: [...nodes.values()], frames, edges };
}

function describeBinding(binding: Binding, target: PortTarget): string {
    const { protocol, hostAddress, hostPort } = binding;
    const published = `${hostAddress === undefined ? "" : `${withBrackets(hostAddress)}:`}${formatPortRange(hostPort)}`;
    return `${published} to ${formatPortRange(targetRange(target, binding))}/${protocol}`;
}

/** A network is a node itself; a sandbox stands for its endpoints. */
function placesOf(key: string, world: World): NodeId[] {
    if (world.get("network", key) !== undefined) return [key];
    return endpointsUnder(key, world).map((endpoint) => endpoint.key);
}

/** An arrow for each allow rule, in the direction of the connection. */
function drawPolicy(
    policy: FirewallPolicyObject,
    targets: readonly NodeId[],
    world: World,
    place: (node: GraphNode) => NodeId,
): GraphEdge[] {
    const nodesOf = (peer: Peer): NodeId[] => {
        if ("object" in peer) return placesOf(peer.object, world);
        if ("keyword" in peer && peer.keyword === "external") return [place(outside)];
        const label = describePeer(peer, world);
        return [place({ id: idOf(`peer ${label}`), label: [label], kind: "outside" })];
    };
    const draw = (direction: "ingress" | "egress") =>
        (policy[direction] ?? [])
            .filter((rule) => rule.action === "allow")
            .flatMap((rule) =>
                rule.peers.flatMap(nodesOf).flatMap((peer) =>
                    targets.map((target): GraphEdge => {
                        const [from, to] = direction === "ingress" ? [peer, target] : [target, peer];
                        return { from, to, label: describeTraffic(rule), kind: "allowed" };
                    }),
                ),
            );
    return [...draw("ingress"), ...draw("egress")];
}

function idOf(text: string): NodeId {
    return text.replace(/[^A-Za-z0-9]/g, "_");
}
