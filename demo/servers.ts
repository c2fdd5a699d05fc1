import type { Machine, Started } from "./machine.js";
import { renderCall } from "./runtime.js";

/**
 * Starts one small server in each sandbox that listens on all ports of its service; they are ready when it resolves.
 * @param namespaces sandbox -> name of its network namespace
 * @param ports sandbox -> the ports of its service
 */
export async function startServers(
    host: Machine,
    namespaces: Readonly<Record<string, string>>,
    ports: Readonly<Record<string, readonly number[]>>,
): Promise<Started> {
    const commands = Object.entries(ports).map(([name, listening]) => {
        const namespace = namespaces[name];
        if (namespace === undefined) throw new Error(`The program has no sandbox "${name}".`);
        return `ip netns exec ${namespace} ${renderCall(host.runtime, "listen", { name, ports: listening })}`;
    });
    const servers = await host.start(commands);
    try {
        await servers.waitFor(new RegExp(`(ready[^]*){${commands.length}}`));
    } catch (error) {
        await servers[Symbol.asyncDispose]();
        throw new Error(`The servers in the sandboxes did not start: ${(error as Error).message}`);
    }
    return servers;
}
