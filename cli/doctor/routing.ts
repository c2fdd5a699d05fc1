import type { Check } from "./checks.js";
import type { HostState } from "./state.js";

export function checkForwarding({ uplinks, world, forwardingFiles }: HostState): Check {
    const name = "IPv4 forwarding";
    const closed = uplinks.filter(({ forwards }) => !forwards).map((uplink) => uplink.name);
    if (closed.length > 0 && world.objects.size > 0) {
        return {
            name,
            result: "problem",
            found: `off on ${closed.join(", ")}: something has switched it off behind the networks' back`,
            remedy: [
                ...closed.map((uplink) => `sysctl -w net.ipv4.conf.${uplink}.forwarding=1`),
                ...forwardingFiles.map((file) => `take net.ipv4.ip_forward=0 out of ${file}`),
            ],
        };
    }
    if (forwardingFiles.length > 0) {
        return {
            name,
            result: "warning",
            found: `${forwardingFiles.join(", ")} switches it off at boot and on \`sysctl --system\``,
            remedy: ["take net.ipv4.ip_forward=0 out of it"],
        };
    }
    const found = closed.length === 0 ? "on" : `off on ${closed.join(", ")}; switched on while there are networks`;
    return { name, result: "ok", found };
}

/** With one way out replies always come in the same way; with several, strict filtering drops those that do not. */
export function checkReversePath({ uplinks }: HostState): Check {
    const name = "rp_filter";
    const strict = uplinks.filter(({ reversePath }) => reversePath === "strict").map((uplink) => uplink.name);
    if (strict.length === 0 || uplinks.length < 2)
        return {
            name,
            result: "ok",
            found: uplinks.map((each) => `${each.name} ${each.reversePath}`).join(", ") || "-",
        };
    return {
        name,
        result: "warning",
        found: `strict on ${strict.join(", ")}, and there are ${uplinks.length} uplinks: what comes in by one and would leave by another is dropped`,
        remedy: strict.map((uplink) => `sysctl -w net.ipv4.conf.${uplink}.rp_filter=2 (and "all" at most 2)`),
    };
}

export function checkUplinks({ uplinks, missingTools }: HostState): Check[] {
    const name = "uplinks";
    if (missingTools.includes("ip")) return [];
    if (uplinks.length === 0)
        return [
            {
                name,
                result: "warning",
                found: "no default route: sandboxes reach no further than the host's own subnets",
            },
        ];
    const found = uplinks.map((uplink) => `${uplink.name} (MTU ${uplink.mtuBytes})`).join(", ");
    const narrow = uplinks.filter(({ mtuBytes }) => mtuBytes < 1280).map((uplink) => uplink.name);
    if (narrow.length > 0)
        return [{ name, result: "warning", found: `${found}; less than 1280 bytes break many programs and IPv6` }];
    return [{ name, result: "ok", found }];
}
