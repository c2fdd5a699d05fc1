import type { LabHost } from "../../lab/index.js";
import { closeSessions } from "../../provider/sessions.js";
import { type Made, openCalls, refTo } from "../provider-calls.js";
import { type Box, boxes, networks, type Servers, type Side } from "./layout.js";

type Kind = "network" | "sandbox" | "endpoint";

/** The same as sandboxes of ours. */
export async function openSandboxes(host: LabHost, servers: Servers): Promise<Side> {
    const calls = await openCalls(host.connection, "answers");
    const at = refTo("host", calls.host);
    const made = new Map<Made, Kind>();
    const make = async (kind: Kind, name: string, args: object) => {
        const one = await calls.create(kind, name, { ...args });
        made.set(one, kind);
        return one;
    };
    const remove = async (one: Made) => {
        await calls.delete(made.get(one) as Kind, one);
        made.delete(one);
    };
    const segments = new Map<string, Made>();
    for (const [name, { subnets, internal }] of Object.entries(networks)) {
        segments.set(name, await make("network", name, { host: at, subnet: [...subnets], internal }));
    }
    const sandboxes = new Map<string, readonly [sandbox: Made, ...endpoints: Made[]]>();
    for (const { name, on, dns, extraHosts } of boxes as readonly Box[]) {
        const settings = dns && { ...dns, servers: dns.servers?.map((each) => servers[each]) };
        const sandbox = await make("sandbox", name, { host: at, dns: settings, extraHosts });
        const endpoints: Made[] = [];
        for (const { network, ipv4, ipv6, aliases } of on) {
            const between = { sandbox: refTo("sandbox", sandbox), network: refTo("network", segments.get(network)) };
            const args = { ...between, ipv4Address: ipv4, ipv6Address: ipv6, aliases };
            endpoints.push(await make("endpoint", `${name}-${network}`, args));
        }
        sandboxes.set(name, [sandbox, ...endpoints]);
    }
    return {
        async remove(box) {
            for (const one of [...(sandboxes.get(box) ?? [])].reverse()) await remove(one);
        },
        async run(box, script) {
            const words = ["ip", "netns", "exec", String(sandboxes.get(box)?.[0].outs["name"]), "sh", "-c"];
            const { stdout } = await host.exec([...words, `node=${process.execPath}\n${script}`], {
                timeoutMs: 120_000,
            });
            return stdout;
        },
        async [Symbol.asyncDispose]() {
            for (const one of [...made.keys()].reverse()) await remove(one);
            await calls.delete("host", calls.host);
            await closeSessions();
        },
    };
}
