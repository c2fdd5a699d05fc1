import type { Item } from "../kernel/item.js";
import { addressIn, optionsOf } from "../kernel/kept.js";
import { isKernelName } from "../model/kernel-name.js";
import { type EndpointObject, interfaceOf, type NetworkObject, type SandboxObject } from "../model/object.js";
import { Refusal } from "../model/refusal.js";
import type { BuildContext } from "./kind.js";

interface VethInputs {
    readonly adopt?: boolean;
    readonly ipv4Address?: string;
    readonly interfaceName?: string;
    readonly macAddress?: string;
}

/** What a veth of others decides about an endpoint. */
export interface FoundVeth {
    readonly foreignVeth: NonNullable<EndpointObject["foreignVeth"]>;
    readonly ipv4Address: string;
    readonly macAddress: string;
    readonly interfaceName: string;
}

/** A port that sends back what came from it: a sandbox reaches its own published ports. */
const options = { hairpin: 1 };

/**
 * The veth of others between the sandbox's namespace and the network's bridge; `undefined`: the endpoint makes its own.
 * @throws Refusal when there are several, or it differs
 */
export function findVeth(
    inputs: VethInputs,
    sandbox: SandboxObject,
    network: NetworkObject,
    { kernel, world }: BuildContext<EndpointObject>,
): FoundVeth | undefined {
    const { subnet } = network;
    if (!inputs.adopt || subnet === undefined) return undefined;
    const inside = [...(kernel?.namespaces.get(sandbox.name)?.links.values() ?? [])];
    const ports = [...(kernel?.namespaces.get("")?.links.values() ?? [])].filter(
        ({ ifname, master, linkinfo }) =>
            master === interfaceOf(network) && linkinfo?.info_kind === "veth" && !isKernelName(ifname),
    );
    const taken = new Set(world.all("endpoint").map(({ foreignVeth }) => foreignVeth?.hostInterface));
    const found = inside.flatMap((link) => {
        const ipv4Address = addressIn(link, subnet);
        const port = ports.find(
            ({ ifindex, link_index, ifname }) =>
                ifindex === link.link_index && link_index === link.ifindex && !taken.has(ifname),
        );
        if (ipv4Address === undefined || port === undefined) return [];
        if (inputs.ipv4Address !== undefined && inputs.ipv4Address !== ipv4Address) return [];
        if (inputs.interfaceName !== undefined && inputs.interfaceName !== link.ifname) return [];
        const hairpin = optionsOf(port, "bridge_slave", options)["hairpin"] ?? 0;
        const foreignVeth = { hostInterface: port.ifname, hairpin };
        return [{ foreignVeth, ipv4Address, macAddress: link.address ?? "", interfaceName: link.ifname }];
    });
    const [veth, ...more] = found;
    if (veth !== undefined && network.ipv6 !== undefined) {
        throw new Refusal(
            `it cannot adopt interface ${veth.interfaceName}: on a network with IPv6 that is not supported yet. ` +
                "Leave adopt out, and the endpoint has an interface of its own.",
        );
    }
    if (more.length > 0) {
        const names = found.map(({ interfaceName, ipv4Address }) => `${interfaceName} (${ipv4Address})`).join(", ");
        throw new Refusal(`several interfaces match: ${names}. Give ipv4Address or interfaceName of the one to adopt.`);
    }
    if (veth !== undefined && inputs.macAddress !== undefined && inputs.macAddress !== veth.macAddress) {
        throw new Refusal(
            `it cannot adopt interface ${veth.interfaceName}: macAddress is ${veth.macAddress} there and ${inputs.macAddress} here. ` +
                "Write it as it is there; what is of others is never changed.",
        );
    }
    return veth;
}

/** What an endpoint has of a veth of others. */
export function foreignVethItems(
    { hostInterface, hairpin }: NonNullable<EndpointObject["foreignVeth"]>,
    bridge: string,
    address: { readonly netns: string; readonly dev: string; readonly address: string },
): Item[] {
    return [
        { type: "kept", what: "port", dev: hostInterface, bridge },
        { type: "kept", what: "address", ...address },
        { type: "option", dev: hostInterface, kind: "bridge_slave", options, old: { hairpin } },
    ];
}
