import { derive } from "../../../provider/derive.js";
import type { Item } from "../../../provider/kernel/item.js";
import { buildBase } from "../../../provider/kinds/base.js";
import { affectedBy, itemsOf, objectKinds } from "../../../provider/kinds/index.js";
import { parseIpv4Cidr } from "../../../provider/model/address.js";
import { parseIpv6Cidr } from "../../../provider/model/ipv6.js";
import { kernelPrefixes } from "../../../provider/model/kernel-name.js";
import type { HostObject } from "../../../provider/model/object.js";
import { formatId, type RefValue } from "../../../provider/model/reference.js";
import { type HostFacts, World } from "../../../provider/model/world.js";

export type Kind = HostObject["kind"];
export type Args = Readonly<Record<string, unknown>>;

export const machineId = "m1";

/** A host with one uplink, as a machine has it before anything of ours is there. */
export const facts: HostFacts = {
    machineId,
    kernel: "6.1.0",
    nftables: "1.0.6",
    capabilities: ["dns"],
    addresses: [
        { interfaceName: "lo", address: "127.0.0.1/8", range: parseIpv4Cidr("127.0.0.0/8"), mtuBytes: 65536 },
        { interfaceName: "eth0", address: "192.0.2.10/24", range: parseIpv4Cidr("192.0.2.0/24"), mtuBytes: 1500 },
    ],
    routes: [
        { destination: parseIpv4Cidr("0.0.0.0/0"), interfaceName: "eth0", mtuBytes: 1500 },
        {
            destination: parseIpv4Cidr("192.0.2.0/24"),
            interfaceName: "eth0",
            source: "192.0.2.10",
            mtuBytes: 1500,
        },
    ],
    bridges: [],
    forwarding: { eth0: false },
    isRouter: false,
    otherFirewalls: [],
    ipv6: {
        subnets: [{ text: "2001:db8::/64", interfaceName: "eth0", range: parseIpv6Cidr("2001:db8::/64") }],
        routes: [
            { destination: parseIpv6Cidr("2001:db8::/64"), interfaceName: "eth0", mtuBytes: 1500 },
            { destination: parseIpv6Cidr("::/0"), interfaceName: "eth0", mtuBytes: 1500 },
        ],
        addresses: [{ interfaceName: "eth0", address: "2001:db8::10/64" }],
        isRouter: false,
        advertised: ["eth0"],
        uplinks: ["eth0"],
        localPrefix: "fd12:3456:789a::/48",
    },
    hasNetnsDirectory: false,
    hasNetnsFolder: false,
    hasBridgeNetfilter: false,
};

/** Kernel names here are the logical names, cut: `lewebfrontend`; real ones are hashes. */
export function keyOf(kind: Kind, name: string): string {
    return `${kernelPrefixes[kind]}${name.replace(/[^a-z0-9]/g, "").slice(0, 13)}`;
}

export function ref(kind: Kind | "host", name: string, machine = machineId): RefValue {
    const key = kind === "host" ? "host" : keyOf(kind, name);
    return { kind, id: formatId({ key, generation: "1", machineId: machine }) };
}

const owner = (name: string, stack: string) => ({ project: "shop", stack, urn: `urn:${name}`, name });

interface BuildOptions {
    readonly stack?: string;
    readonly facts?: HostFacts;
    readonly generation?: string;
    readonly staticAddresses?: readonly string[];
}

/** What a resource's create or update does before it touches the host: check, then build. @throws Refusal */
export function build(kind: Kind, name: string, args: Args, world: World, options: BuildOptions = {}): HostObject {
    const key = keyOf(kind, name);
    return objectKinds[kind].build(objectKinds[kind].schema.parse(args), {
        world,
        facts: options.facts ?? facts,
        key,
        generation: options.generation ?? "1",
        owner: owner(name, options.stack ?? "dev"),
        previous: world.objects.get(key),
        adoptedFrom: undefined,
        kernel: undefined,
        derive,
        staticAddresses: new Set(options.staticAddresses),
    });
}

export const empty = new World(new Map(), buildBase(facts));

/** The world with one object more, or with one in another state. */
export function put(world: World, kind: Kind, name: string, args: Args, options: BuildOptions = {}): World {
    const object = build(kind, name, args, world, options);
    return world.with(new Map([[object.key, object]]));
}

export function remove(world: World, kind: Kind, name: string): World {
    return world.with(new Map([[keyOf(kind, name), undefined]]));
}

export const host = ref("host", "edge");

export const network = (world: World, name: string, subnet: string, args: Args = {}) =>
    put(world, "network", name, { host, subnet, ...args });
export const sandbox = (world: World, name: string, args: Args = {}) =>
    put(world, "sandbox", name, { host, name, ...args });
export const endpoint = (world: World, sandboxName: string, networkName: string, args: Args = {}) =>
    put(world, "endpoint", `${sandboxName}-${networkName}`, {
        sandbox: ref("sandbox", sandboxName),
        network: ref("network", networkName),
        ...args,
    });

export function allItems(world: World): Item[] {
    return itemsOf(["base", ...world.objects.keys()], world);
}

/** The items that a change of these objects looks at, as `host` does it. */
export function affectedItems(keys: readonly string[], before: World, after: World): { before: Item[]; after: Item[] } {
    const affected = affectedBy(keys, before, after);
    return { before: itemsOf(affected, before), after: itemsOf(affected, after) };
}
