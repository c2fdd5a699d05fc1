import { parseJsonLines, parseSections } from "../../provider/host/sections.js";
import type { LinkJson, RouteJson } from "../../provider/kernel/snapshot.js";
import { formatIpv4, parseIpv4 } from "../../provider/model/address.js";
import { makerByName } from "../../provider/model/foreign.js";
import { isKernelName } from "../../provider/model/kernel-name.js";
import type { World } from "../../provider/model/world.js";
import type { Code } from "./code.js";

/** Bridges and namespaces of others, as arguments of resources that use them. */
export interface Foreign {
    readonly bridges: readonly {
        readonly name: string;
        readonly args: Readonly<Record<string, Code>>;
        /** Why it is only proposed. */
        readonly comment?: string;
    }[];
    readonly namespaces: readonly string[];
    /** Veths between the namespaces and the bridges that are no mere proposals. */
    readonly endpoints: readonly {
        readonly namespace: string;
        readonly bridge: string;
        readonly interfaceName: string;
        readonly ipv4Address: string;
    }[];
}

export const nothingForeign: Foreign = { bridges: [], namespaces: [], endpoints: [] };

export const foreignScript = `
echo '@@ links'
ip -j -d -4 addr show type bridge 2>/dev/null
echo '@@ routes'
ip -j -4 route show default 2>/dev/null
echo '@@ namespaces'
for f in /run/netns/*; do if [ -e "$f" ]; then echo "\${f#/run/netns/}"; fi; done
echo '@@ ports'
ip -j link show type veth 2>/dev/null
for f in /run/netns/*; do
    if [ -e "$f" ]; then echo "@@ inside \${f#/run/netns/}"; ip -n "\${f#/run/netns/}" -j -4 addr show type veth 2>/dev/null; fi
done
`;

/** The subnet of an address: `10.5.0.1/24` is in `10.5.0.0/24`. */
function subnetOf(local: string, prefixLength: number): string {
    const value = parseIpv4(local);
    return `${formatIpv4(value - (value % 2 ** (32 - prefixLength)))}/${prefixLength}`;
}

export function parseForeign(stdout: string, world: World): Foreign {
    const sections = parseSections(stdout);
    const known = new Set(world.all("network").map(({ bridge }) => bridge?.interfaceName));
    const sandboxes = new Set(world.all("sandbox").map(({ name }) => name));
    const ways = new Set(
        parseJsonLines<RouteJson[]>(sections.get("routes"))
            .flat()
            .map(({ dev }) => dev),
    );
    const links = parseJsonLines<LinkJson[]>(sections.get("links")).flat();
    const bridges = links.flatMap((link) => {
        const { ifname: name } = link;
        const address = link.addr_info?.find(({ local }) => local !== undefined);
        if (name === undefined || isKernelName(name) || known.has(name) || address?.local === undefined) return [];
        const at = { subnet: subnetOf(address.local, address.prefixlen ?? 32), interfaceName: name };
        const maker = makerByName(name);
        const comment =
            maker !== undefined
                ? `${name} is of ${maker}. Give it an ipRange that is yours to put endpoints on it:`
                : ways.has(name)
                  ? `The host's default route leaves by ${name}. Give it the gateway of its subnet, and an ipRange that is yours:`
                  : undefined;
        return [
            comment === undefined
                ? { name, args: { ...at, gateway: address.local, mtu: link.mtu ?? 1500, adopt: true } }
                : { name, args: { ...at, existing: true }, comment },
        ];
    });
    const namespaces = (sections.get("namespaces") ?? "")
        .split("\n")
        .filter((name) => name !== "" && !sandboxes.has(name) && makerByName(name) === undefined)
        .sort();
    const adopted = new Map(
        bridges.flatMap(({ name, args, comment }) => (comment === undefined ? [[name, args.subnet]] : [])),
    );
    const ports = parseJsonLines<LinkJson[]>(sections.get("ports")).flat();
    const endpoints = namespaces.flatMap((namespace) =>
        parseJsonLines<LinkJson[]>(sections.get(`inside ${namespace}`))
            .flat()
            .flatMap((link) => {
                const bridge = ports.find(({ ifindex }) => ifindex === link.link_index)?.master ?? "";
                const subnet = adopted.get(bridge);
                const at = link.addr_info?.find(({ local }) => local !== undefined);
                if (at?.local === undefined || subnetOf(at.local, at.prefixlen ?? 32) !== subnet) return [];
                return [{ namespace, bridge, interfaceName: link.ifname, ipv4Address: at.local }];
            }),
    );
    return { bridges, namespaces, endpoints };
}
