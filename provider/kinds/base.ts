import type { Item } from "../kernel/item.js";
import { restoreVersion } from "../kernel/restore.js";
import { isEqual } from "../model/equal.js";
import type { BaseObject, OpenedIpv6 } from "../model/object.js";
import type { HostFacts, World } from "../model/world.js";
import { exceptionsFor } from "./cooperation.js";
import { hasIpv6 } from "./endpoint-half.js";
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
        ...(facts.hasNetnsFolder ? {} : { madeNetnsFolder: true }),
        hasSystemd: facts.capabilities.includes("systemd"),
        restoreVersion,
    };
}

/**
 * The same as it has to be by now: with what this provider installs when that is newer, knowing whether somebody else made
 * a router of the host, or stopped it, with what IPv6 and WireGuard need while something has them, and with the exceptions that firewalls of
 * others need to let the networks' traffic pass. The next operation brings it.
 */
export function updateBase(base: BaseObject, world: World, facts: HostFacts): BaseObject {
    const becameRouter = facts.isRouter && base.wasRouter !== true;
    const isIpv6 = hasIpv6(world);
    const hasWireguard = world.all("overlay-tunnel").some(({ wireguard }) => wireguard !== undefined);
    const openedIpv6 = isIpv6 ? (base.openedIpv6 ?? openIpv6(facts)) : undefined;
    // One that is away for a moment (ifreload) comes back.
    const known = [...(base.openedBridges ?? []), ...facts.bridges];
    const opened = new Set([...base.openedUplinks, ...(openedIpv6?.uplinks ?? [])]);
    const bridges = [...opened].filter((name) => known.includes(name));
    const oldExceptions = base.exceptions ?? [];
    const exceptions = exceptionsFor(world, facts.otherFirewalls, oldExceptions);
    const isSame =
        versionOf(base) >= restoreVersion &&
        becameRouter === (base.becameRouter ?? false) &&
        isIpv6 === (base.openedIpv6 !== undefined) &&
        hasWireguard === (base.sentRedirects !== undefined) &&
        isEqual(bridges, base.openedBridges ?? []) &&
        isEqual(exceptions, oldExceptions);
    if (isSame) return base;
    const { becameRouter: _, openedIpv6: __, openedBridges: ___, sentRedirects, exceptions: ____, ...rest } = base;
    return {
        ...rest,
        ...(becameRouter ? { becameRouter } : {}),
        ...(openedIpv6 === undefined ? {} : { openedIpv6 }),
        ...(hasWireguard ? { sentRedirects: sentRedirects ?? facts.sendsRedirects ?? false } : {}),
        ...(bridges.length > 0 ? { openedBridges: bridges } : {}),
        ...(exceptions.length > 0 ? { exceptions } : {}),
        restoreVersion: Math.max(versionOf(base), restoreVersion),
    };
}

/**
 * Forwarding of IPv6 is one switch for all interfaces. While it is on, the kernel does not read router advertisements, and
 * it drops the routes that came by them at once (rt6_purge_dflt_routers): where it did it is told to go on before.
 */
function openIpv6({ ipv6 }: HostFacts): OpenedIpv6 {
    if (ipv6 === undefined || ipv6.isRouter) return { oldSysctls: {}, uplinks: [] };
    const advertised = ipv6.advertised.map((name) => [`net/ipv6/conf/${name}/accept_ra`, "1"]);
    return {
        oldSysctls: { ...Object.fromEntries(advertised), "net/ipv6/conf/all/forwarding": "0" },
        uplinks: ipv6.uplinks,
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
    if (base.madeNetnsFolder) items.push({ type: "netns-folder" });
    if (base.loadedBridgeNetfilter) items.push({ type: "bridge-netfilter" });
    // A bridge of others that is a network by now is no uplink any more.
    const networks = new Set(
        world.all("network").flatMap(({ bridge }) => (bridge?.isManaged ? [bridge.interfaceName] : [])),
    );
    for (const name of base.openedIpv6?.uplinks ?? [])
        items.push({ type: "element", family: "inet", set: "opened_uplinks6", key: [name] });
    for (const [key, old] of Object.entries(base.openedIpv6?.oldSysctls ?? {}))
        items.push({ type: "sysctl", key, value: key.endsWith("/accept_ra") ? "2" : "1", old });
    // Its interfaces have the kernel switch them off for all others (wg_open).
    if (base.sentRedirects)
        items.push({ type: "sysctl", key: "net/ipv4/conf/all/send_redirects", value: "0", old: "1" });
    for (const name of base.openedBridges ?? [])
        items.push({ type: "element", family: "inet", set: "same_uplink", key: [name, name] });
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
    for (const exception of base.exceptions ?? []) items.push({ type: "exception", ...exception });
    return [...items, ...hostPolicyItems(world)];
}
