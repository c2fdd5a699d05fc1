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

// A new sysfs hides the cgroups. Docker's own layers cannot lie on the lab's (an overlay on an overlay).
const prepare = `set -e
mount -t tmpfs tmpfs /sys/fs/cgroup
if grep -q '^[1-9]' /proc/self/cgroup; then
    while IFS=: read -r n controllers path; do
        case $controllers in
            '' | name=*) ;;
            *) mkdir -p /sys/fs/cgroup/$controllers; mount -t cgroup -o $controllers cgroup /sys/fs/cgroup/$controllers ;;
        esac
    done </proc/self/cgroup
else
    mount -t cgroup2 cgroup2 /sys/fs/cgroup
fi
mkdir -p /var/lib/docker /var/lib/containerd /run/lab/docker/root
mount -t tmpfs tmpfs /var/lib/docker
cd /run/lab/docker
b=$(command -v busybox)
mkdir -p root/bin
cp $b root/bin/busybox
ln -s busybox root/bin/sh
for library in $(ldd $b 2>/dev/null | grep -o '/[^ ]*'); do mkdir -p root\${library%/*}; cp $library root$library; done
tar -C root -c . >image.tar`;

const start = `dockerd --exec-root /run/lab/docker/exec --pidfile /run/lab/docker/pid --host unix:///run/lab/docker/socket \\
    >>/run/lab/docker/log 2>&1 &
for i in $(seq 200); do
    if curl -sf --unix-socket /run/lab/docker/socket http://docker/_ping >/dev/null; then exit 0; fi
    sleep 0.1
done
tail -5 /run/lab/docker/log >&2
exit 1`;

const stop = `read -r pid </run/lab/docker/pid
kill $pid
while kill -0 $pid 2>/dev/null; do sleep 0.05; done`;

/** Starts it as its service does; `prefix` keeps what containers leave in the machine's cgroups apart. */
export async function startDocker(host: LabHost): Promise<Docker> {
    const cgroup = `linuxnet-test-${process.pid}`;
    const call = async (method: string, path: string, body: object | string = "") => {
        const data = typeof body === "string" ? body : JSON.stringify(body);
        const type = typeof body === "string" ? "application/x-tar" : "application/json";
        const { stdout } = await host.exec([
            ...["curl", "-s", "--unix-socket", "/run/lab/docker/socket", "-X", method, "-H", `Content-Type: ${type}`],
            ...["--data-binary", data, "-w", "\n%{http_code}", `http://docker${path}`],
        ]);
        if (!/\n2\d\d$/.test(stdout)) throw new Error(`Docker, ${method} ${path}: ${stdout}`);
        return stdout.slice(0, stdout.lastIndexOf("\n"));
    };
    const enter = async () => {
        const { State } = JSON.parse(await call("GET", "/containers/web/json"));
        await host.exec(`mkdir -p /run/netns; ip netns del docker 2>/dev/null; ip netns attach docker ${State.Pid}`);
    };
    await host.exec(prepare);
    await host.exec(start);
    await call("POST", "/images/create?fromSrc=-&repo=box", "@/run/lab/docker/image.tar");
    await call("POST", "/containers/create?name=web", {
        Image: "box",
        StopTimeout: 1,
        Cmd: ["busybox", "nc", "-ll", "-p", "80", "-e", "busybox", "echo", "docker"],
        ExposedPorts: { "80/tcp": {} },
        HostConfig: {
            PortBindings: { "80/tcp": [{ HostPort: "9000" }] },
            RestartPolicy: { Name: "always" },
            CgroupParent: `/${cgroup}`,
        },
    });
    await call("POST", "/containers/web/start");
    await enter();
    return {
        container: { machine: host, sandbox: "docker" },
        async restart(meanwhile = "true") {
            await host.exec(stop);
            await host.exec(meanwhile);
            await host.exec(start);
            await enter();
        },
        async rules() {
            return (await host.exec("iptables-save | grep -v '^#' | sed 's/ \\[[0-9:]*\\]$//'")).stdout;
        },
        async [Symbol.asyncDispose]() {
            await call("DELETE", "/containers/web?force=1");
            await host.exec(
                `ip netns del docker; ${stop}; find /sys/fs/cgroup -depth -type d -name ${cgroup} -exec rmdir {} +`,
            );
        },
    };
}
