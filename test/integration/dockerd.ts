import { startDockerd } from "../../bench/peers/dockerd.js";
import type { LabHost } from "../../lab/index.js";
import type { Place } from "./traffic.js";

/** A Docker daemon on a host of the lab, with one container that answers on a published port. */
export interface Docker extends AsyncDisposable {
    /** The container, reachable at port 9000 of the host; answers `docker` on its port 80. */
    readonly container: Place;
    /** Stops the daemon and starts it again; the container comes back with it. `meanwhile` is run in between. */
    restart(meanwhile?: string): Promise<void>;
    /** What it has in the firewall, without counters. */
    rules(): Promise<string>;
}

export async function startDocker(host: LabHost): Promise<Docker> {
    const { call, start, stop, cgroupParent, removeCgroups } = await startDockerd(host);
    const enter = async () => {
        const { State } = JSON.parse((await call("GET", "/containers/web/json")).body);
        await host.exec(`mkdir -p /run/netns; ip netns del docker 2>/dev/null; ip netns attach docker ${State.Pid}`);
    };
    await call("POST", "/containers/create?name=web", {
        Image: "box",
        StopTimeout: 1,
        Cmd: ["busybox", "nc", "-ll", "-p", "80", "-e", "busybox", "echo", "docker"],
        ExposedPorts: { "80/tcp": {} },
        HostConfig: {
            PortBindings: { "80/tcp": [{ HostPort: "9000" }] },
            RestartPolicy: { Name: "always" },
            CgroupParent: cgroupParent,
        },
    });
    await call("POST", "/containers/web/start");
    await enter();
    return {
        container: { machine: host, sandbox: "docker" },
        async restart(meanwhile = "true") {
            await stop();
            await host.exec(meanwhile);
            await start();
            await enter();
        },
        async rules() {
            return (await host.exec("iptables-save | grep -v '^#' | sed 's/ \\[[0-9:]*\\]$//'")).stdout;
        },
        async [Symbol.asyncDispose]() {
            await call("DELETE", "/containers/web?force=1");
            await host.exec("ip netns del docker");
            await stop();
            await removeCgroups();
        },
    };
}
