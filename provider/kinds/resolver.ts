import type { Item } from "../kernel/item.js";
import type { ResolverItem } from "../kernel/resolver.js";
import { addressOf, halfOf, twinOf } from "../model/half.js";
import { type EndpointObject, interfaceOf, type NetworkObject, type SandboxObject } from "../model/object.js";
import { familyOf } from "../model/range.js";
import { Refusal } from "../model/refusal.js";
import type { HostFacts, World } from "../model/world.js";
import { dnsOf, domainOf, recordOf } from "./names.js";
import { resolversAcross } from "./resolver-across.js";
import { resolverItem } from "./resolver-item.js";

/** Who answers a sandbox, behind those that it asks itself; empty: nobody. */
function resolversOf(sandbox: SandboxObject, world: World): ResolverItem[] {
    const { mode, networks: keys, servers, forwards } = dnsOf(sandbox, world);
    if (mode !== "server") return [];
    const networks = keys.flatMap((key) => world.get("network", key) ?? []);
    const across = resolversAcross(networks, world);
    // What has a dot may be a domain of others too, in which there are names that we do not know.
    const domains = [...new Set(networks.map(domainOf).filter((domain) => !domain.includes(".")))].sort();
    const options = [
        "cache-size=1000",
        // Names without a dot are for here, whatever is asked about them: nobody outside knows them.
        ...(across.options.length > 0 ? across.options : ["local=//"]),
        ...domains.filter((domain) => !across.domains.includes(domain)).map((domain) => `local=/${domain}/`),
        ...(servers.length > 0 ? ["no-resolv", ...servers.map((server) => `server=${server}`)] : []),
        ...(servers.length > 0 || forwards ? [] : ["no-resolv", "address=/#/"]),
    ];
    const families = ([4, 6] as const).filter((family) => networks.some((network) => halfOf(network, family)));
    return [resolverItem(keys, options, families), ...across.resolvers];
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

/** The keys of what a sandbox shares with those that see the same. */
export function* sharedByViewOf(sandbox: SandboxObject | undefined, world: World): Generator<string> {
    if (sandbox === undefined) return;
    // What has no network of its own is behind sandboxes of any segment.
    for (const { view, networks } of resolversOf(sandbox, world))
        yield `${sharedPrefix}${view} on ${networks[0] ?? ""}`;
}

/** What sandboxes that see the same share; nothing when the key is another one's. */
export function sharedResolverItems(key: string, world: World): Item[] {
    if (!key.startsWith(sharedPrefix)) return [];
    const [view, network = ""] = key.slice(sharedPrefix.length).split(" on ");
    const networks = network === "" ? world.all("overlay-tunnel").map((tunnel) => tunnel.network) : [network];
    for (const { sandbox } of networks.flatMap((each) => world.endpointsOf(each))) {
        const object = world.get("sandbox", sandbox);
        const resolver = object && resolversOf(object, world).find((each) => each.view === view);
        if (resolver !== undefined) return [resolver];
    }
    return [];
}

/** What leads a sandbox's questions to who answers them. */
export function resolverItems(sandbox: SandboxObject, world: World): Item[] {
    const resolvers = resolversOf(sandbox, world);
    const [resolver] = resolvers;
    if (resolver === undefined) return [];
    const items: Item[] = [...resolvers];
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
