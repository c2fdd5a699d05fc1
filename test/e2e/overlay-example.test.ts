import { test } from "vitest";
import { createLab } from "../../lab/index.js";
import { expectTiers } from "./multi-tier-overlay.js";

test("multi-tier-overlay: over three hosts everybody reaches what is intended, and nothing else", async () => {
    await using lab = await createLab({ hosts: 3 });
    // This machine's kernel may have no cipher: test/vm/overlay-example.test.ts does the same encrypted.
    await expectTiers(lab, [
        { config: { "linuxnet-multi-tier-overlay:encryption": "none", "linuxnet-multi-tier-overlay:ipv6": "true" } },
    ]);
});
