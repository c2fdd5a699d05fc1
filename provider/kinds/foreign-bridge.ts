import type { Item } from "../kernel/item.js";
import { addressIn, optionsOf } from "../kernel/kept.js";
import type { LinkJson } from "../kernel/snapshot.js";
import { makerByName } from "../model/foreign.js";
import { type Half, halvesOf, withPrefixOf } from "../model/half.js";
import { linkLocalOf, networkAround, parseIpv6 } from "../model/ipv6.js";
import { isKernelName } from "../model/kernel-name.js";
import { type ForeignBridge, interfaceOf, type NetworkObject } from "../model/object.js";
import { parseRange } from "../model/range.js";
import { Refusal } from "../model/refusal.js";
import type { HostFacts } from "../model/world.js";
import { type BuildContext, defined, describeObject } from "./kind.js";
import type { WantedHalf } from "./network-half.js";

interface BridgeInputs {
    readonly mtu?: number;
    readonly interfaceName?: string;
    readonly existing?: boolean;
    readonly adopt?: boolean;
}

/** What a network needs of its bridge; an own one has it from creation. */
const options = { nf_call_iptables: 1, nf_call_ip6tables: 1 };

const ipv4Sysctls = (name: string) => ({
    [`net/ipv4/conf/${name}/forwarding`]: "1",
    // For 127.0.0.1:<published port>; the ruleset's guard_loopback is there before.
    [`net/ipv4/conf/${name}/route_localnet`]: "1",
    // Neighbours on one bridge talk directly; redirects would name addresses the port guard drops.
    [`net/ipv4/conf/${name}/send_redirects`]: "0",
});

/** The switches of a bridge that is a gateway, and their values. */
export function sysctlsOf(name: string, halves: readonly Pick<Half, "family">[]): Readonly<Record<string, string>> {
    const has = (family: 4 | 6) => halves.some((half) => half.family === family);
    return {
        ...(has(4) ? ipv4Sysctls(name) : {}),
        ...(has(6) ? { [`net/ipv6/conf/${name}/accept_ra`]: "0" } : {}),
    };
}

/** The interface that the inputs mean: the named one, or the bridge whose subnet it is. */
function nameOfBridge(inputs: BridgeInputs, [half]: readonly WantedHalf[], facts: HostFacts): string | undefined {
    if (inputs.interfaceName !== undefined || !inputs.adopt) return inputs.interfaceName;
    if (half?.subnet === undefined) return undefined;
    const { first, last } = parseRange(half.subnet);
    const shown =
        half.family === 4
            ? facts.addresses.map(({ interfaceName, range }) => ({ interfaceName, range }))
            : (facts.ipv6?.addresses ?? []).map(({ interfaceName, address }) => ({
                  interfaceName,
                  range: networkOf(address),
              }));
    return shown.find(
        ({ interfaceName, range }) =>
            facts.bridges.includes(interfaceName) && BigInt(range.first) === first && BigInt(range.last) === last,
    )?.interfaceName;
}

function networkOf(address: string): { readonly first: bigint; readonly last: bigint } {
    const [local = "", length] = address.split("/");
    return networkAround(parseIpv6(local), Number(length));
}

export function surveyBridge(raw: Record<string, unknown>, halves: readonly WantedHalf[], facts: HostFacts): Item[] {
    const inputs = raw as unknown as BridgeInputs;
    const name = inputs.existing || inputs.adopt ? nameOfBridge(inputs, halves, facts) : undefined;
    if (name === undefined) return [];
    return [
        { type: "kept", what: "bridge", dev: name },
        ...Object.entries(sysctlsOf(name, halves)).map(([key, value]): Item => ({ type: "sysctl", key, value })),
    ];
}

/** What a network takes over of a bridge of others. */
export interface FoundBridge {
    readonly bridge: ForeignBridge;
    /** By family. */
    readonly gateways: Readonly<Record<number, string>>;
    readonly mtuBytes: number;
}

/**
 * The bridge of others that a new network is to be on; `undefined`: it makes its own.
 * @throws Refusal when it is not there, is another network's, or differs
 */
export function findBridge(
    raw: Record<string, unknown>,
    halves: readonly WantedHalf[],
    context: BuildContext<NetworkObject>,
): FoundBridge | undefined {
    const inputs = raw as unknown as BridgeInputs;
    const { facts, kernel, world } = context;
    const name = nameOfBridge(inputs, halves, facts);
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
    const isManaged = !inputs.existing;
    if (isManaged) refuseUnmanageable(name, facts);
    const found = halves.map((half) => findHalf(half, name, link));
    const differences = [
        ...found.flatMap(({ local, gateway }) =>
            isManaged && local !== undefined && gateway !== local
                ? [`gateway is ${local} there and ${gateway} here`]
                : [],
        ),
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
    const keys = isManaged ? Object.keys(sysctlsOf(name, halves)) : [];
    const oldSysctls = Object.fromEntries(keys.map((key) => [key, shown?.get(key) ?? "0"]));
    // What all objects share may have opened it before, and closes it after the last of them.
    const openedByUs =
        world.base === undefined ? facts.forwarding[name] === false : world.base.openedUplinks.includes(name);
    if (openedByUs) delete oldSysctls[`net/ipv4/conf/${name}/forwarding`];
    const ipv6 = found.find(({ family }) => family === 6);
    return {
        gateways: Object.fromEntries(found.map(({ family, gateway }) => [family, gateway])),
        mtuBytes: link.mtu ?? 1500,
        bridge: defined({
            interfaceName: name,
            isManaged,
            address: found.find(({ family }) => family === 4)?.address,
            ipv6Address: ipv6?.address,
            linkLocal: isManaged && ipv6 !== undefined ? findLinkLocal(link) : undefined,
            oldSysctls,
            oldOptions: isManaged ? optionsOf(link, "bridge", options) : {},
        }) as ForeignBridge,
    };
}

/** A family on a bridge of others: its own address, with prefix length too. @throws Refusal */
function findHalf({ family, subnet, gateway }: WantedHalf, name: string, link: LinkJson) {
    if (subnet === undefined) {
        throw new Refusal(
            `its subnet of IPv${family} is missing: bridge ${name} is of others. Give the one that is used there, or leave IPv${family} out.`,
        );
    }
    const local = addressIn(link, subnet);
    if (gateway === undefined && local === undefined) {
        throw new Refusal(
            `gateway is missing: bridge ${name} has no address in ${subnet}. Give the gateway of its subnet.`,
        );
    }
    const address = local === undefined ? undefined : `${local}${subnet.slice(subnet.indexOf("/"))}`;
    return { family, local, address, gateway: gateway ?? local ?? "" };
}

/** The kernel asks for neighbours from a link-local address when it forwards: a bridge without one is given it. */
function findLinkLocal({ addr_info = [], address = "" }: LinkJson): NonNullable<ForeignBridge["linkLocal"]> {
    const own = addr_info.find(({ local }) => local?.startsWith("fe80:"));
    if (own?.local === undefined) return { address: `${linkLocalOf(address)}/64`, isOurs: true };
    return { address: `${own.local}/${own.prefixlen}` };
}

/** @throws Refusal for a bridge that others go on changing, or that is the host's way out. */
function refuseUnmanageable(name: string, facts: HostFacts): void {
    const instead = `Use it as it is: existing: true with interfaceName: "${name}".`;
    const maker = makerByName(name);
    if (maker !== undefined)
        throw new Refusal(`it cannot adopt bridge ${name} of ${maker}, which goes on changing it. ${instead}`);
    const routes = [...facts.routes, ...(facts.ipv6?.routes ?? [])];
    const isDefault = ({ text }: { readonly text: string }) => text === "0.0.0.0/0" || text === "::/0";
    if (routes.some((route) => isDefault(route.destination) && route.interfaceName === name))
        throw new Refusal(`it cannot adopt bridge ${name}: the host's default route leaves by it. ${instead}`);
}

/** What a network has on a bridge of others beside its memberships. */
export function foreignBridgeItems(network: NetworkObject, bridge: ForeignBridge): Item[] {
    const { interfaceName: dev, oldSysctls, oldOptions, isManaged, linkLocal } = bridge;
    const link = `link ${dev}`;
    const kept = (address: string): Item => ({ type: "kept", what: "address", dev, address });
    const addresses = halvesOf(network).flatMap((half): Item[] => {
        const there = half.family === 4 ? bridge.address : bridge.ipv6Address;
        if (there !== undefined) return [kept(there)];
        if (!isManaged) return [];
        return [{ type: "address", dev, link, address: withPrefixOf(half, half.gateway), wire: dev }];
    });
    const first: Item = { type: "kept", what: "bridge", dev };
    if (!isManaged) return [first, ...addresses];
    return [
        first,
        ...(linkLocal === undefined
            ? []
            : [
                  linkLocal.isOurs
                      ? ({ type: "address", dev, link, address: linkLocal.address } as const)
                      : kept(linkLocal.address),
              ]),
        ...addresses,
        { type: "option", dev, kind: "bridge", options, old: oldOptions },
        ...Object.entries(sysctlsOf(dev, halvesOf(network))).flatMap(([key, value]): Item[] => {
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
