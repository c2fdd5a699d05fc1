import { describeFirewall, lastingWords, mattersTo, remedyFor } from "../../provider/kernel/other-firewalls.js";
import type { Check } from "./checks.js";
import type { HostState } from "./state.js";

const name = "other firewalls";

/** A packet must pass every firewall of a host: no rule of ours can overrule one of theirs. */
export function checkFirewalls({ otherFirewalls, world, ufwIsEnabled }: HostState): Check[] {
    const tunnelPorts = [...new Set(world.all("overlay-tunnel").map(({ port }) => port))];
    const checks = otherFirewalls.flatMap((firewall): Check[] => {
        const at = `${firewall.product} (${firewall.where})`;
        if (firewall.hook === "forward" && firewall.letsPass)
            return [{ name, result: "ok", found: `${at} lets the networks' bridges (ln*) pass` }];
        const ports = firewall.hook === "forward" ? [undefined] : tunnelPorts;
        return ports
            .filter((port) => mattersTo(firewall, port))
            .map((port) => ({
                name,
                result: "problem",
                found: describeFirewall(firewall, port),
                remedy: [...remedyFor(firewall, port, tunnelPorts.length > 0), ...lastingWords(firewall)],
            }));
    });
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
