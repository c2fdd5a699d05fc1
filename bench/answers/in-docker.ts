import type { LabHost } from "../../lab/index.js";
import { startDockerd } from "../peers/dockerd.js";
import { type Attachment, type Box, boxes, networks, type Servers, type Side } from "./layout.js";

/** The machine's programs, which the image has not, and what these read. */
const binds = [
    ...[
        "/bin",
        "/lib",
        "/lib64",
        "/usr",
        "/etc/alternatives",
        "/etc/ld.so.cache",
        "/etc/nsswitch.conf",
        "/etc/host.conf",
    ].map((path) => `${path}:${path}:ro`),
    `${process.execPath}:/node:ro`,
];

const endpointOf = ({ ipv4, ipv6, aliases }: Attachment) => ({
    Aliases: aliases,
    IPAMConfig: { IPv4Address: ipv4, ...(ipv6 === undefined ? {} : { IPv6Address: ipv6 }) },
});

/** Containers on networks of a user's own, as `docker network create` and `docker run` make them. */
export async function openContainers(host: LabHost, servers: Servers): Promise<Side & { readonly version: string }> {
    const docker = await startDockerd(host);
    for (const [name, { subnets, internal }] of Object.entries(networks)) {
        await docker.call("POST", "/networks/create", {
            Name: name,
            Internal: internal,
            EnableIPv6: subnets.length > 1,
            IPAM: { Config: subnets.map((Subnet) => ({ Subnet })) },
        });
    }
    const pids = new Map<string, number>();
    for (const {
        name,
        on: [first, ...more],
        dns,
        extraHosts,
    } of boxes as readonly Box[]) {
        await docker.call("POST", `/containers/create?name=${name}`, {
            Image: "box",
            Cmd: ["sleep", "1000"],
            HostConfig: {
                NetworkMode: first?.network,
                Binds: binds,
                Dns: dns?.servers?.map((each) => servers[each]),
                DnsSearch: dns?.search,
                DnsOptions: dns?.options,
                ExtraHosts: Object.entries(extraHosts ?? {}).map(([each, to]) => `${each}:${to}`),
                CgroupParent: docker.cgroupParent,
            },
            NetworkingConfig: { EndpointsConfig: first && { [first.network]: endpointOf(first) } },
        });
        for (const each of more)
            await docker.call("POST", `/networks/${each.network}/connect`, {
                Container: name,
                EndpointConfig: endpointOf(each),
            });
        await docker.call("POST", `/containers/${name}/start`);
        pids.set(name, JSON.parse((await docker.call("GET", `/containers/${name}/json`)).body).State.Pid);
    }
    const remove = async (name: string) => {
        await docker.call("DELETE", `/containers/${name}?force=1`);
        pids.delete(name);
    };
    const { Version: version } = JSON.parse((await docker.call("GET", "/version")).body);
    return {
        version,
        remove,
        async run(box, script) {
            const words = ["nsenter", "--net", "--mount", "--uts", "--root", "--wd", "--target", String(pids.get(box))];
            return (await host.exec([...words, "sh", "-c", `node=/node\n${script}`], { timeoutMs: 120_000 })).stdout;
        },
        async [Symbol.asyncDispose]() {
            for (const name of [...pids.keys()]) await remove(name);
            await docker.stop();
            await docker.removeCgroups();
        },
    };
}
