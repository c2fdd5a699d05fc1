import { expect, test } from "vitest";
import { openStack, type Resource, type Stack } from "./driver.js";
import { layTestBed } from "./test-bed.js";

const bed = layTestBed();
const read = async (command: string) => (await bed.host.exec(command)).stdout;

/** How many endpoints and sandboxes there are in the kernel, and how many in the manifest. */
async function countObjects(): Promise<{ kernel: number[]; manifest: number[] }> {
    const counts = await read(`ls /sys/class/net | grep -c '^le'; ls /run/netns | wc -l
        cd /var/lib/linuxnet/objects 2>/dev/null; ls | grep -c '^le.*json'; ls | grep -c '^ls.*json'; :`);
    const [endpoints = 0, sandboxes = 0, ...manifest] = counts.split("\n").map(Number);
    return { kernel: [endpoints, sandboxes], manifest };
}

/**
 * Puts a wrapper before each tool that the host's script calls. Armed with n, the n-th call ends the script and its
 * shell (disarmed, it tells whether it did), as a host that loses power or an administrator with `kill -9` would.
 */
async function wrapTools(): Promise<
    AsyncDisposable & { arm(count: number): Promise<void>; disarm(): Promise<boolean> }
> {
    const wrapper = `#!/bin/sh
/usr/bin/\${0##*/} "$@"
result=$?
if read -r n </run/lab/countdown; then
    n=$((n - 1))
    if [ $n = 0 ]; then
        /usr/bin/rm /run/lab/countdown
        read -r _ _ _ shell _ </proc/$PPID/stat
        kill -9 $shell $PPID
    else
        echo $n >/run/lab/countdown
    fi
fi 2>/dev/null
exit $result
`;
    await bed.host.exec("mount -t tmpfs -o mode=755 tmpfs /usr/local/sbin && cat >/usr/local/sbin/wrapper", {
        stdin: wrapper,
    });
    await bed.host.exec(`cd /usr/local/sbin && chmod 755 wrapper
        for tool in ip nft bridge mv rm mkdir nsenter umount; do
            path=$(PATH=/usr/sbin:/usr/bin:/sbin:/bin command -v $tool) && sed "2s|.*|$path \\"\\$@\\"|" wrapper >$tool && chmod 755 $tool
        done`);
    return {
        arm: async (count) => void (await bed.host.exec(`echo ${count} >/run/lab/countdown`)),
        disarm: async () => (await bed.host.exec("rm /run/lab/countdown", { check: false })).exitCode !== 0,
        [Symbol.asyncDispose]: async () =>
            void (await bed.host.exec("umount /usr/local/sbin; rm -f /run/lab/countdown")),
    };
}

/** What is killed on its way; each leads from the state before it to another, and `back` returns. */
interface Step {
    readonly name: string;
    run(stack: Stack): Promise<unknown>;
    back(stack: Stack): Promise<unknown>;
}

test("interruption: a script killed at any of its commands left the host as before or after, and the next run ends well", {
    timeout: 120_000,
}, async () => {
    await using wrapped = await wrapTools();
    await using stack = await openStack(bed.host);
    await using spare = await openStack(bed.host, { name: "spare", connection: { keepAliveMs: 9003 } });
    const network = await stack.network("front", { subnet: "172.20.0.0/24" });
    const web = await stack.sandbox("web");
    let endpoint: Resource<"endpoint"> | undefined;
    const present = () => {
        if (endpoint === undefined) throw new Error("The endpoint is there.");
        return endpoint;
    };
    const attach = async () => {
        endpoint = await stack.endpoint("web-front", { sandbox: web, network });
    };
    const steps: Step[] = [
        { name: "create", run: attach, back: () => present().delete() },
        {
            name: "update",
            run: async () => {
                if (endpoint === undefined) await attach();
                await present().update({ ipv4Address: "172.20.0.50" });
            },
            back: () => present().update({ ipv4Address: "172.20.0.2" }),
        },
        { name: "delete", run: () => present().delete(), back: attach },
    ];
    let kills = 0;
    for (const { name, run, back } of steps) {
        if (name !== "create" && endpoint === undefined) await attach();
        for (let count = 1; ; count++) {
            const title = `${name}, killed after call ${count}`;
            await wrapped.arm(count);
            const outcome = await run(stack).then(
                () => "done",
                () => "failed",
            );
            if (!(await wrapped.disarm())) {
                await back(stack);
                break;
            }
            kills++;
            if (outcome === "failed") {
                // Whoever has the lock next puts things right first.
                await using _neutral = await spare.sandbox("neutral");
                const { kernel, manifest } = await countObjects();
                expect(kernel, title).toEqual(manifest);
                await run(stack);
            }
            expect(await web.refresh(), title).toEqual([]);
            if (name !== "delete") {
                expect(await present().refresh(), title).toEqual([]);
                await bed.host.exec(["ping", "-c1", "-W1", present().outs.address]);
            }
            await back(stack);
        }
    }
    expect(kills).toBeGreaterThan(10);
});

test("interruption: the first and the last object, killed on the way, leave what was before them", async () => {
    await using wrapped = await wrapTools();
    await using stack = await openStack(bed.host);
    // The Host is there all the time, and with it its identity.
    const traces = `find /run/linuxnet /var/lib/linuxnet ! -path /var/lib/linuxnet ! -path '*/identity*' 2>/dev/null
        nft list tables; ls /run/netns`;
    const create = () => stack.network("front", { subnet: "172.20.0.0/24" });
    for (const phase of ["create", "delete"]) {
        for (let count = 1, fired = true; fired; count++) {
            if (phase === "create") await wrapped.arm(count);
            const network = await create().catch(create);
            if (phase === "create") fired = await wrapped.disarm();
            if (phase === "delete") await wrapped.arm(count);
            await network.delete().catch(() => network.delete());
            if (phase === "delete") fired = await wrapped.disarm();
            expect(await read(traces), `${phase}, killed after call ${count}`).toBe("");
        }
    }
});
