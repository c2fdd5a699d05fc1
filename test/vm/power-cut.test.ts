import { expect, test } from "vitest";
import { createHost } from "../../lab/index.js";
import { openStack, reconnect } from "../integration/driver.js";

test("power cut: what was done is there again, what was not is not, and no file is half written", async () => {
    await using host = await createHost({ driver: "vm", onProgress: (text) => console.log(text) });
    await using stack = await openStack(host);
    const front = await stack.network("front", { subnet: "172.20.0.0/24" });
    const done: { readonly name: string; refresh(): Promise<readonly string[] | "gone"> }[] = [front];
    for (const round of [1, 2]) {
        // One after the other, and a crowd in one transaction; the last answer and the cut are a moment apart.
        const one = await stack.join(`one-${round}`, front);
        const names = Array.from({ length: round === 1 ? 2 : 18 }, (_, i) => `crowd-${round}-${i}`);
        const gone = await stack.sandbox(`gone-${round}`);
        await gone.delete();
        const crowd = await Promise.all(names.map((name) => stack.sandbox(name)));
        done.push(one.sandbox, one.endpoint, ...crowd);
        // On its way when the power goes: either there or not.
        const late = stack.sandbox(`late-${round}`).catch(() => undefined);
        await host.reboot({ powerCut: true });
        await reconnect();
        const { stdout } = await host.exec("journalctl -b --no-pager -o cat -u linuxnet-restore.service");
        expect(stdout).toMatch(/linuxnet: restored \d+ objects/);
        for (const each of done) expect(await each.refresh(), each.name).toEqual([]);
        const survived = await late;
        if (survived !== undefined) expect(await survived.refresh()).not.toBe("gone");
        const files = await host.exec(
            'cd /var/lib/linuxnet/objects; for f in *.json; do printf "%s\\n" "$(cat $f)"; done',
        );
        expect(() => files.stdout.split("\n").map((text) => JSON.parse(text))).not.toThrow();
        expect((await host.exec("ip netns")).stdout).not.toContain("gone");
    }
});
