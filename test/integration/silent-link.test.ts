import { expect, test } from "vitest";
import { openStack } from "./driver.js";
import { holdLock, waitForNoWaiter, waitForWaiter } from "./host-lock.js";
import { expectOneOf, readHostState } from "./host-state.js";
import { openRelay, type Relay } from "./relay.js";
import { layTestBed } from "./test-bed.js";

const bed = layTestBed();

/** Over a relay, so that the lab's own ways stay open. */
const over = ({ port }: Relay, transport: string) => ({
    ...{ host: "127.0.0.1", port, transport },
    ...{ keepAliveMs: 1000, dialTimeoutMs: 2000, lockTimeoutMs: 60_000, operationTimeoutMs: 60_000 },
});

test.each(["ssh2", "openssh"])(
    "silent link: over %s, an operation ends by keep-alives when its link falls silent; the host does all of it or nothing, and goes on",
    async (transport) => {
        await using relay = await openRelay(bed.host);
        await using stack = await openStack(bed.host, { connection: over(relay, transport) });
        await stack.network("front", { subnet: "172.20.0.0/24" });
        const before = await readHostState(bed.host);
        const add = () => stack.network("back", { subnet: "172.21.0.0/24", labels: { a: "b" } });
        const added = await add();
        const after = await readHostState(bed.host);
        await added.delete();
        await expectOneOf(bed.host, "once, and back", { before });

        const lock = await holdLock(bed.host);
        await lock.waitFor("held");
        const startedAt = Date.now();
        const adding = add().catch((error: Error) => error);
        await waitForWaiter(bed.host);
        relay.fallSilent();
        const error = await adding;
        expect(error).toBeInstanceOf(Error);
        expect((error as Error).message).toMatch(
            /^Network "back" on .*: (the host stopped answering|port \d+ does not answer|.* within 2 s\.|the login by ssh was not done within 2 s)/,
        );
        // Three keep-alives and a dial; the operation itself would have had two minutes.
        expect(Date.now() - startedAt).toBeLessThan(60_000);
        await lock.stop();
        await waitForNoWaiter(bed.host);
        await expectOneOf(bed.host, "after the silence", { before, after });

        relay.recover();
        await using _again = await add();
        await expectOneOf(bed.host, "once more", { after });
        expect(await stack.host.refresh()).toEqual([]);
    },
);
