import type { Item } from "../kernel/item.js";
import type { ResolverItem } from "../kernel/resolver.js";
import { hash } from "../kernel/rule-mark.js";
import { formatIpv4 } from "../model/address.js";
import { addressOf, halfOf, twinOf } from "../model/half.js";
import { formatIpv6, parseIpv6 } from "../model/ipv6.js";
import { type EndpointObject, interfaceOf, type NetworkObject, type SandboxObject } from "../model/object.js";
import { familyOf } from "../model/range.js";
import { Refusal } from "../model/refusal.js";
import type { HostFacts, World } from "../model/world.js";
import { dnsOf, domainOf, recordOf } from "./names.js";

/** `fd`, and 40 bits that were drawn once (RFC 4193): an address of it is on no interface but the host's own `lo`. */
const ulaPrefix = "fd53:7a1c:9e0b::";

/** The ports of resolvers: below those of clients, and with none that is known for something (services(5)). */
const firstPort = 15104;

/**
 * Who answers a sandbox; `undefined`: nobody. It follows from what it answers alone, its address and port too (30 bits of a
 * hash), so nobody has to remember which one is whose.
 */
function resolverOf(sandbox: SandboxObject, world: World): ResolverItem | undefined {
    const { mode, networks: keys, servers, forwards } = dnsOf(sandbox, world);
    if (mode !== "server") return undefined;
    const networks = keys.flatMap((key) => world.get("network", key) ?? []);
    const upstreams = servers.length > 0 ? servers : forwards ? "host" : [];
    // What has a dot may be a domain of others too, in which there are names that we do not know.
    const domains = [...new Set(networks.map(domainOf).filter((domain) => !domain.includes(".")))].sort();
    const families = ([4, 6] as const).filter((family) => networks.some((network) => halfOf(network, family)));
    const text = JSON.stringify([keys, domains, upstreams, families]);
    const number = Number.parseInt(hash(text), 16);
    const view = `${hash(text)}${hash(`${text} `).slice(0, 4)}`;
    return {
        type: "resolver",
        view,
        port: firstPort + (number >>> 24),
        addresses: families.map((family) =>
            family === 4
                ? formatIpv4(0x7f400000 + (number & 0x3fffff))
                : formatIpv6(parseIpv6(ulaPrefix) + BigInt(`0x${view}`)),
        ),
        networks: keys,
        domains,
        upstreams,
    };
}

/** @throws Refusal */
export function refuseWithoutServer({ capabilities }: HostFacts): void {
    if (capabilities.includes("dns")) return;
    throw new Refusal(
        "names of sandboxes need dnsmasq, which the host lacks. Install it (Debian, Ubuntu: apt-get install dnsmasq-base; " +
            'others: the package dnsmasq, whose own service is not needed), or set dns: { mode: "hosts" } for names in files, or "none".',
    );
}

/** Stands among keys of objects for what all sandboxes that see the same share; no object has such a key. */
const sharedPrefix = "sandboxes that see ";

/** The key of what a sandbox shares with those that see the same. */
export function* sharedByViewOf(sandbox: SandboxObject | undefined, world: World): Generator<string> {
    const resolver = sandbox && resolverOf(sandbox, world);
    if (resolver !== undefined) yield `${sharedPrefix}${resolver.view} on ${resolver.networks[0]}`;
}

/** What sandboxes that see the same share; nothing when the key is another one's. */
export function sharedResolverItems(key: string, world: World): Item[] {
    if (!key.startsWith(sharedPrefix)) return [];
    const [view, network = ""] = key.slice(sharedPrefix.length).split(" on ");
    for (const { sandbox } of world.endpointsOf(network)) {
        const object = world.get("sandbox", sandbox);
        const resolver = object && resolverOf(object, world);
        if (resolver !== undefined && resolver.view === view) return [resolver];
    }
    return [];
}

/** What leads a sandbox's questions to who answers them. */
export function resolverItems(sandbox: SandboxObject, world: World): Item[] {
    const resolver = resolverOf(sandbox, world);
    if (resolver === undefined) return [];
    const items: Item[] = [resolver];
    for (const endpoint of world.endpointsOf(sandbox.key)) {
        const network = world.get("network", endpoint.network);
        if (network === undefined || network.bridge?.isManaged === false) continue;
        for (const address of resolver.addresses) {
            const family = familyOf(address);
            const from = addressOf(endpoint, network, family);
            if (from === undefined) continue;
            const key = [interfaceOf(network), from];
            const value = [address, resolver.port];
            items.push({ type: "element", family: "inet", set: twinOf("resolvers", family), key, value });
        }
    }
    return items;
}

/** An endpoint's names, for the resolvers that know its network. */
export function namesItems(endpoint: EndpointObject, sandbox: SandboxObject, network: NetworkObject): Item[] {
    if (network.dns?.mode !== "server") return [];
    const { addresses, names } = recordOf(endpoint, network, sandbox);
    return [{ type: "names", network: network.key, endpoint: endpoint.key, addresses, names }];
}
