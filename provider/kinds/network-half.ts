import { contains, overlaps } from "../model/address.js";
import { unusableOf } from "../model/free-address.js";
import { addressOf, automaticRange, type Half, type Halves, halfOf, sameNumber } from "../model/half.js";
import { isIpv6 } from "../model/ipv6.js";
import type { ForeignBridge, NetworkObject } from "../model/object.js";
import { covers, familyOf, formatAddress, parseRange, rangeOf } from "../model/range.js";
import { Refusal } from "../model/refusal.js";
import { chooseSubnet, occupantsOf } from "./address-pools.js";
import { adviseOnOverlap } from "./foreign-bridge.js";
import { describeIpv6Off } from "./ipv6-off.js";
import { type BuildContext, describeObject } from "./kind.js";
import { ofFamily, type PerFamily } from "./schema.js";

type Context = BuildContext<NetworkObject>;

/** What the inputs say of a family. */
export interface WantedHalf {
    readonly family: 4 | 6;
    readonly subnet: string | undefined;
    readonly gateway: string | undefined;
    readonly ipRange: string | undefined;
}

export function wantedHalf(raw: Record<string, unknown>, family: 4 | 6): WantedHalf {
    const { subnet, gateway, ipRange } = raw as Readonly<Record<string, PerFamily | undefined>>;
    const [own, at, range] = [subnet, gateway, ipRange].map((values) => ofFamily(values, family));
    return { family, subnet: own, gateway: at, ipRange: range };
}

/** Whether a network is to have a family: IPv4 unless it is taken off, IPv6 where it is asked for or nothing else is left. */
export function isWanted(raw: Record<string, unknown>, family: 4 | 6): boolean {
    if (family === 4) return raw["ipv4"] !== false;
    return raw["ipv4"] === false || raw["ipv6"] === true || wantedHalf(raw, 6).subnet !== undefined;
}

/** Ranges that no host can have an address in. */
const special: Readonly<Record<4 | 6, Readonly<Record<string, string>>>> = {
    4: {
        "0.0.0.0/8": '0.0.0.0/8 means "this network"',
        "224.0.0.0/3": "224.0.0.0 and above are multicast and reserved",
    },
    6: {
        "::/8": "it is reserved (RFC 4291)",
        "fe80::/10": "fe80::/10 is link-local, which every interface has by itself",
        "ff00::/8": "ff00::/8 is multicast",
    },
};

const choose = "Choose another subnet.";

/** @throws Refusal */
function refuseSubnet({ family, subnet: own }: Half): void {
    for (const [range, reason] of Object.entries(special[family]))
        if (overlaps(parseRange(own), parseRange(range)))
            throw new Refusal(`subnet ${own} is not for hosts: ${reason}. ${choose}`);
    const longest = family === 6 ? 126 : 30;
    if (Number(own.split("/")[1]) > longest)
        throw new Refusal(`subnet ${own} has no room for endpoints. Use /${longest} or larger.`);
}

/**
 * @param own the bridge of others that it is on
 * @throws Refusal
 */
function refuseOverlap(
    { family, subnet: own }: Half,
    raw: Record<string, unknown>,
    context: Context,
    bridge: string | undefined,
) {
    const subnet = parseRange(own);
    for (const { what, interfaceName, isBridge, ...range } of occupantsOf(family, context)) {
        const isOfHost = interfaceName !== undefined;
        if (isOfHost && (raw["allowOverlap"] === true || interfaceName === bridge)) continue;
        if (!overlaps(subnet, range)) continue;
        const isSame = isBridge === true && range.first === subnet.first && range.last === subnet.last;
        throw new Refusal(
            `subnet ${own} overlaps ${what}. ${isOfHost ? adviseOnOverlap(interfaceName, isSame) : choose}`,
        );
    }
}

/** The first address of the range, or of the subnet behind its own. */
export function defaultGateway(half: Pick<Half, "subnet" | "ipRange">): string {
    const { family, first } = automaticRange(half);
    return formatAddress(first === parseRange(half.subnet).first ? first + 1n : first, family);
}

/** @throws Refusal when no interface on the subnet can have the address */
function refuseGateway(half: Half): void {
    const { family, subnet, gateway } = half;
    if (!covers(parseRange(subnet), rangeOf(gateway)))
        throw new Refusal(`gateway ${gateway} is outside subnet ${subnet}. Choose one inside.`);
    if (!unusableOf(half).has(rangeOf(gateway).first)) return;
    const reason =
        family === 6
            ? `the first of ${subnet}, which means all routers (RFC 4291)`
            : `the first or last of ${subnet}, which no interface can have`;
    throw new Refusal(`gateway ${gateway} is ${reason}. Choose another.`);
}

/** What of others the network is on. */
interface Place {
    readonly bridge: ForeignBridge | undefined;
    /** By family. */
    readonly gateways: Readonly<Record<number, string>>;
    readonly mtuBytes: number;
}

/** @param ipv4 the other half of a network with both */
function chooseHalf(
    raw: Record<string, unknown>,
    family: 4 | 6,
    place: Place,
    context: Context,
    ipv4?: Half | undefined,
): Half {
    const { previous, world, key } = context;
    const { ipRange, ...wanted } = wantedHalf(raw, family);
    const before = previous === undefined ? undefined : halfOf(previous, family);
    const subnet = wanted.subnet ?? before?.subnet ?? chooseSubnet(raw, family, context);
    const range = { subnet, ...(ipRange === undefined ? {} : { ipRange }) };
    // It has another subnet when it is replaced by one that is created before it is deleted.
    const kept = before?.subnet === subnet ? before.gateway : undefined;
    const follows =
        ipv4 === undefined
            ? () => defaultGateway(range)
            : () => sameNumber(ipv4.gateway, ipv4.subnet, automaticRange(range));
    refuseSubnet({ family, gateway: "", ...range });
    if (ipv4 !== undefined) refuseSmaller(range, ipv4);
    const gateway = wanted.gateway ?? place.gateways[family] ?? kept ?? follows();
    const half: Half = { family, gateway, ...range };
    if (ipRange !== undefined && !contains(parseRange(subnet), parseRange(ipRange)))
        throw new Refusal(`ipRange ${ipRange} is outside subnet ${subnet}. Choose one inside.`);
    refuseGateway(half);
    refuseOverlap(half, raw, context, place.bridge?.interfaceName);
    const after = toHalves([...(ipv4 === undefined ? [] : [ipv4]), half]);
    const holder = world.endpointsOf(key).find((endpoint) => addressOf(endpoint, after, family) === gateway);
    if (holder !== undefined)
        throw new Refusal(`gateway ${gateway} is used by ${describeObject(holder)}. Choose another.`);
    return half;
}

/** Addresses of both halves have the same numbers. @throws Refusal */
function refuseSmaller({ subnet, ipRange }: Pick<Half, "subnet" | "ipRange">, ipv4: Half): void {
    const sizeOf = (text: string) => parseRange(text).last - parseRange(text).first;
    for (const [name, text] of Object.entries({ subnet, ipRange }))
        if (text !== undefined && sizeOf(text) < sizeOf(ipv4.subnet))
            throw new Refusal(`${name} ${text} has fewer addresses than ${ipv4.subnet}. Use a /64.`);
}

/** As a `NetworkObject` holds them. */
function toHalves(halves: readonly Half[]): Halves {
    return Object.assign(
        {},
        ...halves.map(({ family, ...half }): Halves => (family === 6 ? { ipv6: half } : half)),
    ) as Halves;
}

/**
 * Subnets and gateways of a network.
 * @throws Refusal when the host has no IPv6, or the wishes do not fit what is there
 */
export function chooseHalves(raw: Record<string, unknown>, place: Place, context: Context): Halves {
    const ipv4 = isWanted(raw, 4) ? chooseHalf(raw, 4, place, context) : undefined;
    if (!isWanted(raw, 6)) {
        refuseIpv6(raw);
        refuseAsPublished(context);
    } else refuseWithoutIpv6(place, context);
    const ipv6 = isWanted(raw, 6) ? chooseHalf(raw, 6, place, context, ipv4) : undefined;
    const halves = [ipv4, ipv6].filter((half) => half !== undefined);
    for (const address of raw["reserved"] as string[]) {
        const half = halves.find(({ family }) => family === familyOf(address));
        const problem =
            half === undefined
                ? `is IPv${familyOf(address)}, which the network has not`
                : `is outside subnet ${half.subnet}`;
        if (half === undefined || !covers(parseRange(half.subnet), rangeOf(address)))
            throw new Refusal(`reserved address ${address} ${problem}. Leave it out.`);
    }
    return toHalves(halves);
}

/** What is said of IPv6 of a network without it. @throws Refusal */
function refuseIpv6(raw: Record<string, unknown>): void {
    const wanted = wantedHalf(raw, 6);
    for (const name of ["gateway", "ipRange"] as const) {
        if (wanted[name] === undefined) continue;
        throw new Refusal(
            `${name} ${wanted[name]} is IPv6, which the network has not. Set ipv6: true, or give a subnet.`,
        );
    }
}

/** @throws Refusal where a network cannot have IPv6 */
function refuseWithoutIpv6({ bridge, mtuBytes }: Place, { previous, world, facts, key }: Context): void {
    if (facts.ipv6 === undefined) throw new Refusal(`${describeIpv6Off(facts)}, or leave IPv6 out.`);
    if (bridge !== undefined && previous !== undefined && previous.ipv6 === undefined) {
        throw new Refusal(
            `bridge ${bridge.interfaceName} is of others: give its subnet of IPv6 beside that of IPv4, which makes the network anew, or leave IPv6 out.`,
        );
    }
    if (mtuBytes < 1280)
        throw new Refusal(
            `mtu ${mtuBytes} is too small: IPv6 needs 1280 bytes (RFC 8200). Raise it, or leave IPv6 out.`,
        );
    const tunnel = world.tunnelsOf(key).find((each) => each.mtuBytes < 1280);
    if (tunnel !== undefined) {
        throw new Refusal(
            `mtu ${tunnel.mtuBytes} of ${describeObject(tunnel)} is too small: IPv6 needs 1280 bytes (RFC 8200). Raise it, or leave IPv6 out.`,
        );
    }
}

/** What it had of IPv6 goes. @throws Refusal when a port is published on an IPv6 address to one of its endpoints */
function refuseAsPublished({ previous, key, world }: Context): void {
    if (previous?.ipv6 === undefined) return;
    for (const mapping of world.endpointsOf(key).flatMap((endpoint) => world.mappingsOf(endpoint.key))) {
        const binding = mapping.bindings.find(({ hostAddress }) => hostAddress !== undefined && isIpv6(hostAddress));
        if (binding === undefined) continue;
        throw new Refusal(
            `${describeObject(mapping)} publishes on ${binding.hostAddress}. Take that address out first, or keep IPv6.`,
        );
    }
}
