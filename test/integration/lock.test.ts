import { afterAll, beforeAll, expect, test } from "vitest";
import { openStack } from "./driver.js";
import { type FaultyHost, layFaults } from "./faults.js";
import { readHostState } from "./host-state.js";
import { layTestBed } from "./test-bed.js";

const bed = layTestBed();
let faulty: FaultyHost;

beforeAll(async () => {
    faulty = await layFaults(bed.host);
});

afterAll(() => faulty[Symbol.asyncDispose]());

/** A stack over a connection of its own, whose operations wait two seconds for the lock and no longer. */
const openOther = (keepAliveMs: number) =>
    openStack(bed.host, { name: "other", connection: { keepAliveMs, lockTimeoutMs: 2000 } });

test("lock: it is free as soon as its owner was killed, and what he began is taken back", async () => {
    await using other = await openOther(9001);
    await using keeper = await other.sandbox("keeper");
    const before = await readHostState(bed.host);
    const stack = await openStack(bed.host);
    const paused = await faulty.pause(2);
    const outcome = stack.sandbox("web").then(
        () => "done",
        (error: Error) => error.message,
    );
    await paused.reached();
    // The script, the shell below it and all that the script started; the ssh daemon's child goes with its shell.
    await bed.host.exec(
        `for f in $(grep -l '' /proc/[0-9]*/stat); do p=\${f%/stat}; if [ -e "$p/fd/9" ]; then kill -9 \${p#/proc/}; fi; done`,
    );
    await faulty.clear();
    expect(await keeper.update({ labels: { a: "b" } })).toBe("update");
    expect(await keeper.update({ labels: {} })).toBe("update");
    // The killed one's own operation is repeated by itself.
    expect(await outcome).toBe("done");
    await stack.destroyAll();
    expect(await readHostState(bed.host)).toEqual(before);
});

test("lock: an owner that is cut off without a word finishes by itself and lets others in", async () => {
    const stack = await openStack(bed.host, { connection: { keepAliveMs: 300 } });
    const paused = await faulty.pause(2);
    const made = stack.sandbox("web");
    await paused.reached();
    // Packets of connections that are open now vanish in both directions; nobody is told.
    const ports = (await bed.host.exec("ss -Htn state established '( sport = :22 )'")).stdout
        .split("\n")
        .map((line) => line.trim().split(":").at(-1));
    const set = `{ ${ports.join(", ")} }`;
    await bed.host.exec("nft -f -", {
        stdin: `table inet cut {
            chain in { type filter hook input priority -400; tcp dport 22 tcp sport ${set} drop; }
            chain out { type filter hook output priority -400; tcp sport 22 tcp dport ${set} drop; }
        }`,
    });
    await using other = await openOther(9002);
    await paused.resume();
    await using keeper = await other.sandbox("keeper");
    expect(await keeper.refresh()).toEqual([]);
    // Its client noticed, dialled again and found its work done.
    expect(await (await made).refresh()).toEqual([]);
    await stack.destroyAll();
    await bed.host.exec("nft delete table inet cut");
});
