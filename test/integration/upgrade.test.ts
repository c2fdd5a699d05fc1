import { expect, test } from "vitest";
import { createHost } from "../../lab/index.js";
import { openStack, reconnect } from "./driver.js";
import { kept, restoreKept } from "./kept-host.js";
import { run } from "./traffic.js";

test.each(kept)(
    "upgrade: a host as build $name left it gets the ruleset of this one with its next operation",
    async ({ name }) => {
        await using host = await createHost();
        await restoreKept(host, name);
        const listing = async () => (await host.exec("nft list table inet linuxnet")).stdout;
        expect(await listing()).not.toContain("set denied {");
        const counts = async () => (await host.exec("ls /run/netns /sys/class/net")).stdout;
        const before = await counts();
        {
            await using stack = await openStack(host, { project: "newer" });
            const front = await stack.network("closed", { subnet: "10.77.0.0/24", defaultPolicy: "deny" });
            await using a = await stack.join("a", front);
            await using b = await stack.join("b", front);
            expect(await listing()).toContain("set denied {");
            await expect(run(a.place, `ping -c 1 -W 1 ${b.address}`)).rejects.toThrow();
            expect(await front.refresh()).toEqual([]);
            await host.exec("ping -c 1 -W 2 172.20.0.1", { sandbox: "web" });
        }
        expect(await counts()).toBe(before);
        await host.exec("ping -c 1 -W 2 172.20.0.1", { sandbox: "web" });
        // A reboot brings what the newer one wrote.
        await host.exec("nft delete table inet linuxnet; sh /var/lib/linuxnet/restore");
        expect(await listing()).toContain("set denied {");
        await host.exec("ping -c 1 -W 2 172.20.0.1", { sandbox: "web" });
        await reconnect();
    },
);
