import type { LabHost } from "../../lab/index.js";
import { range } from "../measure.js";
import { startDockerd } from "./dockerd.js";
import type { Publisher } from "./publisher.js";

/** `docker run -p` with as many ports: the start of a container that was made before, and its removal. */
export async function openDocker(host: LabHost, hasProxy: boolean): Promise<Publisher> {
    const docker = await startDockerd(host, [`--userland-proxy=${hasProxy}`]);
    return {
        async publish(count) {
            const ports = range(count).map((i) => [`${1000 + i}/tcp`, `${20000 + i}`] as const);
            await docker.call("POST", "/containers/create?name=web", {
                Image: "box",
                Cmd: ["busybox", "sleep", "1000"],
                ExposedPorts: Object.fromEntries(ports.map(([port]) => [port, {}])),
                HostConfig: {
                    PortBindings: Object.fromEntries(ports.map(([port, HostPort]) => [port, [{ HostPort }]])),
                    CgroupParent: docker.cgroupParent,
                },
            });
            return (await docker.call("POST", "/containers/web/start")).seconds;
        },
        withdraw: async () => (await docker.call("DELETE", "/containers/web?force=1")).seconds,
        async [Symbol.asyncDispose]() {
            await docker.stop();
            await docker.removeCgroups();
        },
    };
}
