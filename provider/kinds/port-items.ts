import type { ChainItem, ElementItem } from "../kernel/nft.js";
import type { FlowsItem } from "../kernel/sysctl.js";
import { addressesOf } from "../model/half.js";
import { type Family, familiesOf, isEvery } from "../model/host-address.js";
import { isIpv6 } from "../model/ipv6.js";
import { type Binding, type PortMappingObject, type PortTarget, targetsOf } from "../model/object.js";
import type { PortRange } from "../model/port-range.js";
import type { World } from "../model/world.js";
import { sizeOf } from "./port-bindings.js";

/** A target that is there. */
export interface LiveTarget extends Omit<PortTarget, "addresses"> {
    readonly addresses: { readonly 4?: string; readonly 6?: string };
    /** On another host. */
    readonly isFar?: true;
}

function byFamily(addresses: readonly string[]): LiveTarget["addresses"] {
    const [ipv4, ipv6] = [false, true].map((is6) => addresses.find((address) => isIpv6(address) === is6));
    return { ...(ipv4 === undefined ? {} : { 4: ipv4 }), ...(ipv6 === undefined ? {} : { 6: ipv6 }) };
}

export function liveTargets(object: PortMappingObject, world: World): LiveTarget[] {
    return targetsOf(object).flatMap(({ addresses, ...target }): LiveTarget[] => {
        if (addresses !== undefined) return [{ ...target, isFar: true, addresses: byFamily(addresses) }];
        const endpoint = world.get("endpoint", target.endpoint);
        if (endpoint === undefined) return [];
        return [{ ...target, addresses: byFamily(addressesOf(endpoint, world.get("network", endpoint.network))) }];
    });
}

/** A target in one of its families. */
export interface ReachedTarget extends Omit<LiveTarget, "addresses"> {
    readonly address: string;
}

/** Those that have an address of the family. */
export function targetsIn(family: Family, targets: readonly LiveTarget[]): ReachedTarget[] {
    return targets.flatMap(({ addresses, ...target }) => {
        const address = addresses[family];
        return address === undefined ? [] : [{ ...target, address }];
    });
}

/** The port of a target behind the n-th port of a binding. */
export function portAt(target: Pick<PortTarget, "port">, binding: Binding, n: number): number {
    return (target.port ?? binding.targetPort.first) + n;
}

/** A target's ports behind a binding. */
export function targetRange(target: PortTarget, binding: Binding): PortRange {
    return { first: portAt(target, binding, 0), last: portAt(target, binding, sizeOf(binding.hostPort) - 1) };
}

const greatestCommonDivisor = (a: number, b: number): number => (b === 0 ? a : greatestCommonDivisor(b, a % b));

/** Each target as often as its share of new connections says; nobody who gets none. */
function byWeight(targets: readonly ReachedTarget[]): ReachedTarget[] {
    const weights = targets.map(({ weight = 1 }) => weight);
    const unit = weights.reduce(greatestCommonDivisor, 0);
    return targets.flatMap((target) => Array<ReachedTarget>((target.weight ?? 1) / (unit || 1)).fill(target));
}

/**
 * What a mapping has in the kernel. One target: a map element for each port, so that 10,000 cost a packet what one does.
 * Several: an element that leads to a chain, which deals new connections out in turn. nft has no map of maps, and 1.0.6
 * cannot list a chain whose map key joins numgen to a port; so each port of the targets has a chain of its own. Families
 * are dealt out apart.
 */
export function portItems(object: PortMappingObject, world: World): (ElementItem | ChainItem | FlowsItem)[] {
    const targets = liveTargets(object, world);
    const chains = new Map<string, ChainItem>();
    const others: (ElementItem | FlowsItem)[] = [];
    const ofFamily = { 4: "", 6: "6" } as const;

    function publish(binding: Binding, family: Family): void {
        const reached = targetsIn(family, targets);
        const turns = byWeight(reached);
        const isSpread = new Set(turns).size > 1;
        const [only] = turns;
        const { protocol, hostAddress, hostPort } = binding;
        const place = hostAddress === undefined || isEvery(hostAddress) ? [] : [hostAddress];
        const set = `${isSpread ? "spread" : "published"}${place.length === 0 ? "_any" : ""}${ofFamily[family]}`;
        for (let n = 0; n < sizeOf(hostPort); n++) {
            const port = hostPort.first + n;
            const key = [...place, protocol, port];
            const element = { type: "element", family: "inet", set, key } as const;
            if (isSpread) {
                const name = `${object.key}_${protocol}${ofFamily[family]}_${binding.targetPort.first + n}`;
                const ways = turns.map((target, i) => `${i} : ${target.address} . ${portAt(target, binding, n)}`);
                const rule = `meta l4proto ${protocol} dnat ip${ofFamily[family]} to numgen inc mod ${turns.length} map { ${ways.join(", ")} }`;
                chains.set(name, { type: "chain", name, rules: [rule] });
                others.push({ ...element, value: { goto: name } });
            } else if (only !== undefined) {
                others.push({ ...element, value: [only.address, portAt(only, binding, n)] });
            }
            others.push(...flowsOf(object, binding, family, port, reached, n));
            if (object.keepsSource) others.push(...keptSources(binding, family, reached, n));
        }
    }

    for (const binding of object.bindings)
        for (const family of familiesOf(binding.hostAddress)) publish(binding, family);
    return [...chains.values(), ...others];
}

/** Everything else that is published to another host gets the gateway's address there (`masquerade_outbound`). */
function keptSources(binding: Binding, family: Family, targets: readonly ReachedTarget[], n: number): ElementItem[] {
    return targets.flatMap((target): ElementItem[] => {
        const key = [target.address, binding.protocol, portAt(target, binding, n)];
        const set = family === 6 ? "kept_sources6" : "kept_sources";
        return target.isFar ? [{ type: "element", family: "inet", set, key }] : [];
    });
}

function flowsOf(
    { existingFlows }: PortMappingObject,
    { protocol, hostAddress, ...binding }: Binding,
    family: Family,
    port: number,
    targets: readonly ReachedTarget[],
    n: number,
): FlowsItem[] {
    const isPlace = hostAddress !== undefined && !isEvery(hostAddress);
    const ofFamily = family === 6 ? ["-f", "ipv6"] : [];
    const to = [...ofFamily, "-p", protocol, ...(isPlace ? ["-d", hostAddress] : [])];
    const at = ["--orig-port-dst", String(port)];
    const isCut = (existingFlows ?? (protocol === "udp" ? "cut" : "drain")) === "cut";
    const ofTargets = targets.map((target): FlowsItem => {
        const from = ["-r", target.address, "--reply-port-src", String(portAt(target, { protocol, ...binding }, n))];
        return { type: "flows", filter: [...to, ...from, ...at], cut: isCut ? "when removed" : "never" };
    });
    // A udp client that sent before keeps the answer it got then for as long as it sends.
    if (protocol === "udp" && targets.length > 0) {
        ofTargets.push({ type: "flows", filter: [...to, ...at], cut: "when added" });
    }
    return ofTargets;
}
