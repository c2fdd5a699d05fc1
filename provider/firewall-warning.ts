import { tell } from "./engine-log.js";
import type { Host } from "./host/host.js";
import { describeFirewall, hasException, mattersTo, remedyFor } from "./kernel/other-firewalls.js";
import type { HostObject } from "./model/object.js";

const said = new WeakMap<Host, Set<string>>();

/**
 * Says on a resource that another firewall drops what it is made for, with the command that helps: once a run for each
 * firewall of a host, on the first resource that needs it.
 */
export function warnOfFirewalls(host: Host, object: HostObject): void {
    if (!["network", "port-mapping", "overlay-tunnel"].includes(object.kind)) return;
    const known = said.get(host) ?? new Set();
    said.set(host, known);
    for (const port of object.kind === "overlay-tunnel" ? [undefined, object.port] : [undefined]) {
        for (const firewall of host.facts.otherFirewalls.filter((each) => mattersTo(each, port))) {
            if (hasException(firewall, host.world().base?.exceptions)) continue;
            const found = describeFirewall(firewall, port);
            if (known.has(found)) continue;
            known.add(found);
            const remedy = remedyFor(firewall, port, object.kind === "overlay-tunnel").join("; ");
            tell(
                object.owner.urn,
                `${found}: a packet has to pass every firewall of a host. To let it pass, run there: ${remedy}`,
                "WARNING",
            );
        }
    }
}
