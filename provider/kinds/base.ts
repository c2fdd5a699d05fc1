import type { Item } from "../kernel/item.js";
import type { BaseObject } from "../model/object.js";
import type { HostFacts } from "../model/world.js";

/** What the first object finds, to be put back with the last one. */
export function buildBase(facts: HostFacts): BaseObject {
    const uplinks = Object.entries(facts.forwarding).filter(([, isOn]) => !isOn);
    return {
        schemaVersion: 1,
        kind: "base",
        key: "base",
        openedUplinks: uplinks.map(([name]) => name),
        loadedBridgeNetfilter: !facts.hasBridgeNetfilter,
        madeNetnsDirectory: !facts.hasNetnsDirectory,
        hasSystemd: facts.capabilities.includes("systemd"),
    };
}

/** What all objects of a host share: tables, forwarding on the uplinks, /run/netns. */
export function baseItems(base: BaseObject): Item[] {
    const items: Item[] = [{ type: "ruleset" }, { type: "restore-script" }];
    if (base.hasSystemd) items.push({ type: "restore-unit" });
    if (base.madeNetnsDirectory) items.push({ type: "netns-directory" });
    if (base.loadedBridgeNetfilter) items.push({ type: "bridge-netfilter" });
    for (const name of base.openedUplinks) {
        items.push(
            { type: "element", family: "inet", set: "opened_uplinks", key: [name] },
            { type: "sysctl", key: `net/ipv4/conf/${name}/forwarding`, value: "1", old: "0" },
        );
    }
    return items;
}
