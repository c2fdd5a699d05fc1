import type { Item } from "../kernel/item.js";
import type { NetworkObject, SandboxObject } from "../model/object.js";
import type { World } from "../model/world.js";
import { endpointsInOrder } from "./default-route.js";
import { dnsOf, hostGatewaysOf, hostnameOf, recordOf, recordsOf, type SandboxDns } from "./names.js";

const header = "# Of pulumi-linuxnet, which writes over what is changed here.";

/** What every hosts(5) says. */
const localhost = ["127.0.0.1 localhost", "::1 localhost ip6-localhost ip6-loopback"];

/** What programs in containers call the host. */
const hostNames = "host.docker.internal host.linuxnet.internal";

/** A network's lines are in the files of all of its sandboxes: they are worked out once for a world. */
const linesByWorld = new WeakMap<World, Map<string, readonly string[]>>();

function linesOf(network: NetworkObject, world: World): readonly string[] {
    const known = linesByWorld.get(world) ?? new Map<string, readonly string[]>();
    linesByWorld.set(world, known);
    const lines =
        known.get(network.key) ??
        recordsOf(network, world).flatMap(({ addresses, names }) =>
            addresses.map((address) => `${address} ${names.join(" ")}`),
        );
    known.set(network.key, lines);
    return lines;
}

/** Whether a sandbox on the network has its names in a file, because it asks no server for them. */
const lists = (sandbox: SandboxObject, { dns }: NetworkObject) =>
    dns !== undefined && sandbox.dns?.mode !== "none" && (dns.mode === "hosts" || sandbox.dns?.mode === "hosts");

/** Keys of the sandboxes that have the names of a network in their files. */
export function* listersOf(network: NetworkObject | undefined, world: World): Generator<string> {
    if (network?.dns === undefined) return;
    for (const { sandbox: key } of world.endpointsOf(network.key)) {
        const sandbox = world.get("sandbox", key);
        if (sandbox !== undefined && lists(sandbox, network)) yield key;
    }
}

function hostsLines(sandbox: SandboxObject, world: World): string[] {
    const own: string[] = [];
    const listed: string[] = [];
    let extraHosts = sandbox.extraHosts ?? {};
    for (const endpoint of endpointsInOrder(sandbox, world)) {
        const network = world.get("network", endpoint.network);
        if (network === undefined) continue;
        extraHosts = { ...network.extraHosts, ...extraHosts };
        if (lists(sandbox, network)) {
            listed.push(...linesOf(network, world));
            continue;
        }
        // An alias may be that of others too, whom the server knows.
        const { addresses, names } = recordOf({ ...endpoint, aliases: [] }, network, sandbox);
        // Names of a network without any are nobody's business, but a program asks for its own.
        const shown = network.dns === undefined ? [hostnameOf(sandbox)] : names;
        own.push(...addresses.map((address) => `${address} ${shown.join(" ")}`));
    }
    const gateways = hostGatewaysOf(sandbox, world);
    const extra = Object.entries(extraHosts).flatMap(([name, to]) =>
        (to === "host-gateway" ? gateways : [to]).map((address) => `${address} ${name}`),
    );
    const host = gateways.map((address) => `${address} ${hostNames}`);
    return [...new Set([header, ...localhost, ...extra, ...own, ...host, ...listed])];
}

function resolverLines({ mode, resolver, servers, search, options }: SandboxDns): string[] {
    const asked = mode === "server" ? [resolver ?? ""] : servers;
    // Names without a dot are for the server, which answers at once; with search domains others would be asked first.
    const isOpen = mode === "server" && !options.some((option) => option.startsWith("ndots:"));
    const all = isOpen ? [...options, "ndots:0"] : options;
    return [
        header,
        ...asked.map((address) => `nameserver ${address}`),
        ...(search.length > 0 ? [`search ${search.join(" ")}`] : []),
        ...(all.length > 0 ? [`options ${all.join(" ")}`] : []),
    ];
}

/** The files by which programs in a sandbox find names; without a server in them (internal) look-ups fail at once. */
export function nameFiles(sandbox: SandboxObject, world: World): Item[] {
    const dns = dnsOf(sandbox, world);
    if (dns.mode === "none") return [];
    const at = { type: "netns-file", netns: sandbox.name } as const;
    const asksAsHost = dns.mode === "hosts" && dns.servers.length === 0 && dns.forwards;
    return [
        { ...at, file: "hosts", lines: hostsLines(sandbox, world) },
        {
            ...at,
            file: "resolv.conf",
            lines: resolverLines(dns),
            ...(asksAsHost ? { hasHostServers: true } : {}),
        },
    ];
}
