import type { Item } from "../kernel/item.js";
import { restoreVersion } from "../kernel/restore.js";
import type { BaseObject } from "../model/object.js";
import type { HostFacts, World } from "../model/world.js";
import { hostPolicyItems } from "./host-policy.js";

/** What the first object finds, to be put back with the last one. */
export function buildBase(facts: HostFacts): BaseObject {
    const uplinks = Object.entries(facts.forwarding).filter(([, isOn]) => !isOn);
    return {
        schemaVersion: 1,
        kind: "base",
        key: "base",
        openedUplinks: uplinks.map(([name]) => name),
        ...(facts.isRouter ? { wasRouter: true } : {}),
        loadedBridgeNetfilter: !facts.hasBridgeNetfilter,
        madeNetnsDirectory: !facts.hasNetnsDirectory,
        hasSystemd: facts.capabilities.includes("systemd"),
        restoreVersion,
    };
}

/**
 * The same as it has to be by now: with what this provider installs when that is newer, and knowing whether somebody else
 * made a router of the host, or stopped it. The next operation brings it.
 */
export function upgradeBase(base: BaseObject, facts: HostFacts): BaseObject {
    const becameRouter = facts.isRouter && base.wasRouter !== true;
    if (versionOf(base) >= restoreVersion && becameRouter === (base.becameRouter ?? false)) return base;
    const { becameRouter: _, ...rest } = base;
    return {
        ...rest,
        ...(becameRouter ? { becameRouter } : {}),
        restoreVersion: Math.max(versionOf(base), restoreVersion),
    };
}

const versionOf = (base: BaseObject) => base.restoreVersion ?? 1;

/** What all objects of a host share: tables, forwarding on the uplinks, /run/netns, and the host's own policies. */
export function baseItems(base: BaseObject, world: World): Item[] {
    const version = versionOf(base);
    const items: Item[] = [
        { type: "ruleset", version },
        { type: "restore-script", version },
    ];
    if (base.hasSystemd) items.push({ type: "restore-unit", version });
    if (base.madeNetnsDirectory) items.push({ type: "netns-directory" });
    if (base.loadedBridgeNetfilter) items.push({ type: "bridge-netfilter" });
    // A bridge of others that is a network by now is no uplink any more.
    const networks = new Set(
        world.all("network").flatMap(({ bridge }) => (bridge?.isManaged ? [bridge.interfaceName] : [])),
    );
    for (const name of base.openedUplinks) {
        if (!networks.has(name) && !base.becameRouter)
            items.push({ type: "element", family: "inet", set: "opened_uplinks", key: [name] });
        items.push({
            type: "sysctl",
            key: `net/ipv4/conf/${name}/forwarding`,
            value: "1",
            old: "0",
            // Who makes a router of the host meanwhile (Docker, an administrator) switches all of them on.
            ...(base.wasRouter ? {} : { unless: "net/ipv4/ip_forward" }),
        });
    }
    return [...items, ...hostPolicyItems(world)];
}
