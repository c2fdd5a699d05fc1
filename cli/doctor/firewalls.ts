import { obstaclesTo, type Passage } from "../../provider/kernel/firewall-passage.js";
import { byHand, passagesOf } from "../../provider/kinds/cooperation.js";
import type { Check } from "./checks.js";
import type { HostState } from "./state.js";

const name = "other firewalls";

/** What the first network will need. */
const atFirst: readonly Passage[] = [
    { what: "forwarded", families: [4], bridges: ["ln+"], outbound: ["ln+"], hasTunnels: false },
    { what: "questions", families: [4], bridges: ["ln+"] },
];

/** A packet must pass every firewall of a host: no rule of ours can overrule one of theirs. */
export function checkFirewalls({ otherFirewalls, world, ufwIsEnabled }: HostState): Check[] {
    const needed = passagesOf(world.all("network"), world.all("overlay-tunnel")).map(byHand);
    // Segments may share a port.
    const passages = [...new Map(needed.map((passage) => [JSON.stringify(passage), passage])).values()];
    const passing = otherFirewalls.filter(({ letsPass }) => letsPass);
    const checks: Check[] = passing.map(({ product, where, hook }) => {
        const what = hook === "forward" ? "the networks' bridges (ln*)" : "what sandboxes ask for names";
        return { name, result: "ok", found: `${product} (${where}) lets ${what} pass` };
    });
    for (const passage of passages.length === 0 ? atFirst : passages)
        for (const { found, remedy, keepsRules } of obstaclesTo(passage, otherFirewalls)) {
            const lasting = keepsRules ? [] : ["and make it last over a restart of the host and of that firewall"];
            checks.push({ name, result: "problem", found, remedy: [...remedy, ...lasting] });
        }
    if (ufwIsEnabled && !otherFirewalls.some(({ product }) => product === "ufw")) {
        checks.push({
            name,
            result: "warning",
            found: "ufw is enabled but not loaded; once it is, it may drop what the networks forward",
            remedy: ["start ufw, then run linuxnet doctor again"],
        });
    }
    return checks.length > 0 ? checks : [{ name, result: "ok", found: "none drops what is forwarded" }];
}
