import type { LabHost } from "../../lab/index.js";

/** A Docker daemon on a host of the lab, with a folder of its own and the image `box` (busybox). */
export interface Dockerd {
    /** Asks its API. @throws Error with its answer when that is no success */
    call(method: string, path: string, body?: object | string): Promise<DockerAnswer>;
    start(): Promise<void>;
    stop(): Promise<void>;
    /** What containers are to be made with, so that nothing of them is left among the machine's cgroups. */
    readonly cgroupParent: string;
    removeCgroups(): Promise<void>;
}

export interface DockerAnswer {
    readonly body: string;
    /** From the question to the end of the answer. */
    readonly seconds: number;
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

const startScript = (
    options: readonly string[],
) => `dockerd --exec-root /run/lab/docker/exec --pidfile /run/lab/docker/pid \\
    --host unix:///run/lab/docker/socket ${options.join(" ")} >>/run/lab/docker/log 2>&1 &
for i in $(seq 200); do
    if curl -sf --unix-socket /run/lab/docker/socket http://docker/_ping >/dev/null; then exit 0; fi
    sleep 0.1
done
tail -5 /run/lab/docker/log >&2
exit 1`;

const stopScript = `read -r pid </run/lab/docker/pid
kill $pid
while kill -0 $pid 2>/dev/null; do sleep 0.05; done`;

/** Starts it as its service does. @param options of dockerd(8) */
export async function startDockerd(host: LabHost, options: readonly string[] = []): Promise<Dockerd> {
    const cgroup = `linuxnet-lab-${process.pid}`;
    const call: Dockerd["call"] = async (method, path, body = "") => {
        const data = typeof body === "string" ? body : JSON.stringify(body);
        const type = typeof body === "string" ? "application/x-tar" : "application/json";
        const command = [
            ...["curl", "-s", "--unix-socket", "/run/lab/docker/socket", "-X", method, "-H", `Content-Type: ${type}`],
            ...["--data-binary", data, "-w", "\n%{http_code} %{time_total}", `http://docker${path}`],
        ];
        const { stdout } = await host.exec(command, { timeoutMs: 300_000 });
        const [, answer = "", code, seconds] = /^(.*)\n(\d+) ([\d.]+)$/s.exec(stdout) ?? [];
        if (!code?.startsWith("2")) throw new Error(`Docker, ${method} ${path}: ${stdout}`);
        return { body: answer, seconds: Number(seconds) };
    };
    const start = async () => {
        await host.exec(startScript(options));
    };
    await host.exec(prepare);
    await start();
    await call("POST", "/images/create?fromSrc=-&repo=box", "@/run/lab/docker/image.tar");
    return {
        ...{ call, start, cgroupParent: `/${cgroup}` },
        async stop() {
            await host.exec(stopScript);
        },
        async removeCgroups() {
            await host.exec(`find /sys/fs/cgroup -depth -type d -name ${cgroup} -exec rmdir {} +`);
        },
    };
}
