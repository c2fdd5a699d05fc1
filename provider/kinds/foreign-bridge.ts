import type { Item } from "../kernel/item.js";
import { addressIn, optionsOf } from "../kernel/kept.js";
import { parseIpv4Cidr } from "../model/address.js";
import { makerByName } from "../model/foreign.js";
import { isKernelName } from "../model/kernel-name.js";
import { type ForeignBridge, interfaceOf, type NetworkObject } from "../model/object.js";
import { Refusal } from "../model/refusal.js";
import type { HostFacts } from "../model/world.js";
import { type BuildContext, describeObject } from "./kind.js";

interface BridgeInputs {
    readonly subnet: string;
    readonly gateway?: string;
    readonly mtu?: number;
    readonly interfaceName?: string;
    readonly existing?: boolean;
    readonly adopt?: boolean;
}

/** What a network needs of its bridge; an own one has it from creation. */
const options = { nf_call_iptables: 1, nf_call_ip6tables: 1 };

/** The switches of a bridge that is a gateway, and their values. */
export const ipv4Sysctls = (name: string) => ({
    [`net/ipv4/conf/${name}/forwarding`]: "1",
    // For 127.0.0.1:<published port>; the ruleset's guard_loopback is there before.
    [`net/ipv4/conf/${name}/route_localnet`]: "1",
    // Neighbours on one bridge talk directly; redirects would name addresses the port guard drops.
    [`net/ipv4/conf/${name}/send_redirects`]: "0",
});

/** The interface that the inputs mean: the named one, or the bridge whose subnet it is. */
function nameOfBridge(inputs: BridgeInputs, facts: HostFacts): string | undefined {
    if (inputs.interfaceName !== undefined || !inputs.adopt) return inputs.interfaceName;
    const { first, last } = parseIpv4Cidr(inputs.subnet);
    return facts.addresses.find(({ isBridge, range }) => isBridge && range.first === first && range.last === last)
        ?.interfaceName;
}

export function surveyBridge(raw: Record<string, unknown>, facts: HostFacts): Item[] {
    const inputs = raw as unknown as BridgeInputs;
    const name = inputs.existing || inputs.adopt ? nameOfBridge(inputs, facts) : undefined;
    if (name === undefined) return [];
    return [
        { type: "kept", what: "bridge", dev: name },
        ...Object.entries(ipv4Sysctls(name)).map(([key, value]): Item => ({ type: "sysctl", key, value })),
    ];
}

/**
 * The bridge of others that a new network is to be on; `undefined`: it makes its own.
 * @throws Refusal when it is not there, is another network's, or differs
 */
export function findBridge(
    raw: Record<string, unknown>,
    context: BuildContext<NetworkObject>,
): { readonly bridge: ForeignBridge; readonly gateway: string; readonly mtuBytes: number } | undefined {
    const inputs = raw as unknown as BridgeInputs;
    const { facts, kernel, world } = context;
    const name = nameOfBridge(inputs, facts);
    if (!(inputs.existing || inputs.adopt) || name === undefined) return undefined;
    const link = kernel?.namespaces.get("")?.links.get(name);
    const kind = link?.linkinfo?.info_kind;
    if (link === undefined || kind !== "bridge") {
        const what = link === undefined ? "is not on the host" : `is no bridge but a ${kind ?? "plain"} interface`;
        throw new Refusal(`interfaceName: ${name} ${what}. Name a bridge that is there, or leave it out.`);
    }
    const holder = world.all("network").find((other) => other.key !== context.key && interfaceOf(other) === name);
    if (holder !== undefined || isKernelName(name)) {
        const owner = holder === undefined ? "this provider" : describeObject(holder);
        throw new Refusal(`bridge ${name} is that of ${owner}. Use its reference, or adopt it by its subnet.`);
    }
    const local = addressIn(link, inputs.subnet);
    const isManaged = !inputs.existing;
    if (isManaged) refuseUnmanageable(name, facts);
    const gateway = inputs.gateway ?? local;
    if (gateway === undefined) {
        throw new Refusal(
            `gateway is missing: bridge ${name} has no address in ${inputs.subnet}. Give the gateway of its subnet.`,
        );
    }
    const differences = [
        ...(isManaged && local !== undefined && gateway !== local
            ? [`gateway is ${local} there and ${gateway} here`]
            : []),
        ...(inputs.mtu === undefined || inputs.mtu === link.mtu
            ? []
            : [`mtu is ${link.mtu} there and ${inputs.mtu} here`]),
    ];
    if (differences.length > 0) {
        throw new Refusal(
            `it cannot use bridge ${name}: ${differences.join("; ")}. Write it as it is there; what is of others is never changed.`,
        );
    }
    const shown = kernel?.namespaces.get("")?.sysctls;
    const oldSysctls = Object.fromEntries(Object.keys(ipv4Sysctls(name)).map((key) => [key, shown?.get(key) ?? "0"]));
    // What all objects share may have opened it before, and closes it after the last of them.
    const openedByUs =
        world.base === undefined ? facts.forwarding[name] === false : world.base.openedUplinks.includes(name);
    if (openedByUs) delete oldSysctls[`net/ipv4/conf/${name}/forwarding`];
    return {
        gateway,
        mtuBytes: link.mtu ?? 1500,
        bridge: {
            interfaceName: name,
            isManaged,
            ...(local === undefined ? {} : { address: `${local}/${parseIpv4Cidr(inputs.subnet).prefixLength}` }),
            oldSysctls: isManaged ? oldSysctls : {},
            oldOptions: isManaged ? optionsOf(link, "bridge", options) : {},
        },
    };
}

/** @throws Refusal for a bridge that others go on changing, or that is the host's way out. */
function refuseUnmanageable(name: string, facts: HostFacts): void {
    const instead = `Use it as it is: existing: true with interfaceName: "${name}".`;
    const maker = makerByName(name);
    if (maker !== undefined)
        throw new Refusal(`it cannot adopt bridge ${name} of ${maker}, which goes on changing it. ${instead}`);
    if (facts.routes.some((route) => route.destination.text === "0.0.0.0/0" && route.interfaceName === name))
        throw new Refusal(`it cannot adopt bridge ${name}: the host's default route leaves by it. ${instead}`);
}

/** What a network has on a bridge of others beside its memberships. */
export function foreignBridgeItems(bridge: ForeignBridge, gatewayAddress: string): Item[] {
    const { interfaceName: dev, oldSysctls, oldOptions } = bridge;
    const kept: Item = { type: "kept", what: "bridge", dev };
    const address: Item =
        bridge.address === undefined
            ? { type: "address", dev, link: `link ${dev}`, address: gatewayAddress, wire: dev }
            : { type: "kept", what: "address", dev, address: bridge.address };
    if (!bridge.isManaged) return bridge.address === undefined ? [kept] : [kept, address];
    return [
        kept,
        address,
        { type: "option", dev, kind: "bridge", options, old: oldOptions },
        ...Object.entries(ipv4Sysctls(dev)).flatMap(([key, value]): Item[] => {
            const old = oldSysctls[key];
            return old === undefined ? [] : [{ type: "sysctl", key, value, old }];
        }),
    ];
}

/** Words about an address of others that a subnet overlaps, and how it can be used. */
export function adviseOnOverlap(interfaceName: string, isSame: boolean): string {
    if (!isSame) return "Choose another subnet.";
    const adopt = makerByName(interfaceName) === undefined ? ", or take it over with adopt: true" : "";
    return `Choose another subnet, use that bridge as it is (existing: true, interfaceName: "${interfaceName}")${adopt}.`;
}
