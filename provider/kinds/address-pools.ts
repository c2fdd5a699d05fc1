import { z } from "zod";
import { type AddressRange, overlaps } from "../model/address.js";
import type { AddressPool, Connection } from "../model/connection.js";
import { ofMaker } from "../model/foreign.js";
import { halfOf } from "../model/half.js";
import { isIpv6 } from "../model/ipv6.js";
import type { NetworkObject } from "../model/object.js";
import { formatAddress, parseRange } from "../model/range.js";
import { Refusal } from "../model/refusal.js";
import { lowestFreePart } from "../model/subnet-ranges.js";
import { enumerate } from "./enumeration.js";
import { type BuildContext, describeObject } from "./kind.js";
import { cidr, known, shape } from "./schema.js";

const lengthOf = (base: string) => Number(base.split("/")[1]);

/** Where networks without a subnet take theirs from. */
export const addressPools = z.array(
    known(
        shape({ base: cidr, size: z.int("a prefix length in bits is expected") }).superRefine(
            ({ base, size }, context) => {
                if (typeof base !== "string" || typeof size !== "number" || !base.includes("/")) return;
                const [longest, most] = isIpv6(base) ? ["/126", 126] : ["/30", 30];
                if (size >= lengthOf(base) && size <= most) return;
                const message = `must be from /${lengthOf(base)}, the whole base, to ${longest}`;
                context.addIssue({ code: "custom", path: ["size"], message, input: size });
            },
        ),
    ),
    "a list of { base, size } is expected",
);

/** The pools of a network's Host that have addresses of the family. */
function poolsOf(inputs: Record<string, unknown>, family: 4 | 6, otherwise: AddressPool): readonly AddressPool[] {
    const { addressPools: given = [] } = (inputs["connection"] as Connection | undefined) ?? {};
    const ofFamily = given.filter(({ base }) => isIpv6(base) === (family === 6));
    return ofFamily.length > 0 ? ofFamily : [otherwise];
}

/** A part of 10.0.0.0/8 that routers, clouds and Docker do not hand out by default. */
const defaultPool: AddressPool = { base: "10.176.0.0/12", size: 24 };

const describe = (pools: readonly AddressPool[]) => pools.map(({ base, size }) => `${base} in /${size}s`).join(", ");

/** The first part of the pools that overlaps nothing; `undefined` when none is left. */
function firstFree(pools: readonly AddressPool[], taken: readonly AddressRange<bigint>[]): string | undefined {
    for (const { base, size } of pools) {
        const { family, ...whole } = parseRange(base);
        const free = lowestFreePart({ whole, step: 1n << BigInt((family === 6 ? 128 : 32) - size) }, taken);
        if (free !== undefined) return `${formatAddress(free.first, family)}/${size}`;
    }
    return undefined;
}

/** Addresses that are in use, and by what. */
export interface Occupant extends AddressRange<bigint> {
    readonly what: string;
    /** Of the host itself: where. Absent: of a network of ours. */
    readonly interfaceName?: string;
    readonly isBridge?: true;
}

/** Networks of ours, then addresses and routes of the host. */
export function occupantsOf(family: 4 | 6, { world, facts, key }: BuildContext<NetworkObject>): Occupant[] {
    const networks = world.all("network").flatMap((other): Occupant[] => {
        const half = other.key === key ? undefined : halfOf(other, family);
        if (half === undefined) return [];
        return [{ ...parseRange(half.subnet), what: `${half.subnet} of ${describeObject(other)}` }];
    });
    const ofInterface = (text: string, name: string) => `${text} of the host's interface ${name}${ofMaker(name)}`;
    if (family === 6) {
        const shown = (facts.ipv6?.subnets ?? []).map(({ range, text, interfaceName }) => {
            return { ...range, what: ofInterface(text, interfaceName), interfaceName };
        });
        return [...networks, ...shown];
    }
    const addresses = facts.addresses.map(({ range, address, interfaceName, isBridge }) => ({
        ...widen(range),
        what: ofInterface(address, interfaceName),
        interfaceName,
        ...(isBridge ? { isBridge } : {}),
    }));
    const routes = facts.routes
        .map(({ destination: { text, ...range }, interfaceName }) => ({
            ...widen(range),
            text,
            what: `the host's route to ${text} over ${interfaceName}${ofMaker(interfaceName)}`,
            interfaceName,
        }))
        // Those that come with an address are told by it.
        .filter(({ text, first, last }) => {
            const isConnected = addresses.some((each) => each.first === first && each.last === last);
            return text !== "0.0.0.0/0" && !isConnected;
        });
    return [...networks, ...addresses, ...routes];
}

const widen = ({ first, last }: AddressRange<number>) => ({ first: BigInt(first), last: BigInt(last) });

/** The first subnet of the Host's pools that overlaps no network, route or address of the host. @throws Refusal */
export function chooseSubnet(
    inputs: Record<string, unknown>,
    family: 4 | 6,
    context: BuildContext<NetworkObject>,
): string {
    const local: AddressPool = { base: context.facts.ipv6?.localPrefix ?? "", size: 64 };
    const pools = poolsOf(inputs, family, family === 6 ? local : defaultPool);
    const taken = occupantsOf(family, context);
    const free = firstFree(pools, taken);
    if (free !== undefined) return free;
    const bases = pools.map(({ base }) => parseRange(base));
    const holders = taken.filter((each) => bases.some((base) => overlaps(base, each))).map(({ what }) => what);
    const [what, a] = family === 6 ? ["IPv6 subnet", "an"] : ["subnet", "a"];
    throw new Refusal(
        `the Host's address pools have no free ${what} left (${describe(pools)}). In them are ${enumerate([...new Set(holders)])}. Give the network ${a} ${what}, or the Host further addressPools.`,
    );
}
