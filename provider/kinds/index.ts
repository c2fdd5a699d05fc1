import type { Item } from "../kernel/item.js";
import { type HostObject, targetsOf } from "../model/object.js";
import type { World } from "../model/world.js";
import { baseItems } from "./base.js";
import { endpoint } from "./endpoint.js";
import { firewallPolicy } from "./firewall-policy.js";
import type { ObjectKind } from "./kind.js";
import { network } from "./network.js";
import { overlayTunnel, sharedItems } from "./overlay-tunnel.js";
import { portMapping } from "./port-mapping.js";
import { sharedByViewOf, sharedResolverItems } from "./resolver.js";
import { sandbox } from "./sandbox.js";

type AnyKind = ObjectKind<HostObject>;

export const objectKinds: Readonly<Record<HostObject["kind"], AnyKind>> = {
    network: network as unknown as AnyKind,
    sandbox: sandbox as unknown as AnyKind,
    endpoint: endpoint as unknown as AnyKind,
    "port-mapping": portMapping as unknown as AnyKind,
    "firewall-policy": firewallPolicy as unknown as AnyKind,
    "overlay-tunnel": overlayTunnel as unknown as AnyKind,
};

/** Everything the named objects have in the kernel, given all objects of the host; "base" is what all share. */
export function itemsOf(keys: Iterable<string>, world: World): Item[] {
    const items: Item[] = [];
    for (const key of keys) {
        if (key === "base" && world.base !== undefined) items.push(...baseItems(world.base, world));
        const object = world.objects.get(key);
        if (object !== undefined) items.push(...objectKinds[object.kind].items(object, world));
        else items.push(...sharedItems(key, world), ...sharedResolverItems(key, world));
    }
    return items;
}

/**
 * What may have other items after a change of the named objects: themselves, what depends on them, and what these share
 * with others, before it and after it.
 */
export function affectedBy(keys: Iterable<string>, before: World, after: World): Set<string> {
    const affected = new Set<string>(keys);
    const changed = [...affected];
    const worlds = [before, after];
    for (const world of worlds) {
        for (const object of changed.flatMap((key) => world.objects.get(key) ?? []))
            for (const other of objectKinds[object.kind].affects(object, world)) affected.add(other);
    }
    for (const key of [...affected]) {
        for (const world of worlds)
            for (const shared of sharedByViewOf(world.get("sandbox", key), world)) affected.add(shared);
    }
    return affected;
}

/** The objects that the named ones hang on, themselves included: what is looked at when a change fails. */
export function withParents(keys: Iterable<string>, world: World): Set<string> {
    const all = new Set<string>(keys);
    for (const key of all) {
        const object = world.objects.get(key);
        if (object?.kind === "endpoint") all.add(object.sandbox).add(object.network);
        // Its default route leaves by one of its endpoints.
        if (object?.kind === "sandbox") for (const endpoint of world.endpointsOf(key)) all.add(endpoint.key);
        if (object?.kind === "port-mapping") for (const { endpoint } of targetsOf(object)) all.add(endpoint);
        if (object?.kind === "overlay-tunnel") all.add(object.network);
        if (object?.kind === "firewall-policy") for (const target of object.targets) all.add(target);
    }
    return all;
}
