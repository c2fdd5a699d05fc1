import { type AnnouncementItem, announcementType } from "./announcement.js";
import { type BarrierItem, barrierType } from "./barrier.js";
import { type ExceptionItem, exceptionType } from "./exception.js";
import { type RestoreScriptItem, type RestoreUnitItem, restoreScriptType, restoreUnitType } from "./file.js";
import { type KeptItem, keptType, type OptionItem, optionType } from "./kept.js";
import type { Line } from "./line.js";
import {
    type BridgeItem,
    bridgeType,
    type NetnsItem,
    netnsType,
    type VethItem,
    type VxlanItem,
    vethType,
    vxlanType,
} from "./link.js";
import { type NetnsFileItem, type NetnsFolderItem, netnsFileType, netnsFolderType } from "./netns-file.js";
import { type ChainItem, chainType, type ElementItem, elementType, type RulesetItem, rulesetType } from "./nft.js";
import { type ReplyRuleItem, replyRuleType } from "./reply-rule.js";
import { type NamesItem, namesType, type ResolverItem, resolverType } from "./resolver.js";
import {
    type AddressItem,
    addressType,
    type FdbItem,
    fdbType,
    type NeighbourItem,
    neighbourType,
    type RouteItem,
    type RuleItem,
    routeType,
    ruleType,
} from "./route.js";
import type { Snapshot } from "./snapshot.js";
import { type CounterItem, counterType, type MeterItem, meterType } from "./stateful.js";
import {
    type BridgeNetfilterItem,
    bridgeNetfilterType,
    type FlowsItem,
    flowsType,
    type NetnsDirectoryItem,
    netnsDirectoryType,
    type SysctlItem,
    sysctlType,
} from "./sysctl.js";
import {
    type WireguardItem,
    type WireguardKeyItem,
    type WireguardPeerItem,
    wireguardKeyType,
    wireguardPeerType,
    wireguardType,
} from "./wireguard.js";
import {
    type XfrmPolicyItem,
    type XfrmReceiveItem,
    type XfrmSendItem,
    xfrmPolicyType,
    xfrmReceiveType,
    xfrmSendType,
} from "./xfrm.js";

/**
 * One thing in the kernel that we put there: the smallest unit that is planned, observed, repaired and undone. What a
 * host should carry is a set of items; everything else follows from comparing two sets.
 */
export type Item =
    | RulesetItem
    | CounterItem
    | MeterItem
    | ChainItem
    | ElementItem
    | KeptItem
    | NetnsDirectoryItem
    | NetnsItem
    | BridgeNetfilterItem
    | BridgeItem
    | OptionItem
    | VxlanItem
    | VethItem
    | AddressItem
    | RouteItem
    | RuleItem
    | ReplyRuleItem
    | NeighbourItem
    | FdbItem
    | SysctlItem
    | FlowsItem
    | RestoreScriptItem
    | RestoreUnitItem
    | ExceptionItem
    | XfrmPolicyItem
    | XfrmSendItem
    | XfrmReceiveItem
    | BarrierItem
    | WireguardItem
    | WireguardPeerItem
    | WireguardKeyItem
    | AnnouncementItem
    | NetnsFolderItem
    | NetnsFileItem
    | ResolverItem
    | NamesItem;

/**
 * What must be so before an item is added: a name in the kernel (the path that shows it is taken) or a port is free, a
 * command works that tries out what the kernel can do, or nobody answers for an address.
 */
export type Claim =
    | { readonly path: string; readonly what: string }
    | {
          readonly protocol: string;
          readonly port: number;
          readonly address: string;
          /** What the program calls it. @default "hostPort" */
          readonly argument?: string;
      }
    | { readonly works: readonly string[]; readonly lacking: string }
    | {
          /** An address that nobody behind a bridge of others may answer for. */
          readonly unanswered: string;
          readonly dev: string;
          /** What the program calls it. */
          readonly argument: string;
      };

/** How one type of item is added, removed, changed and seen. */
export interface ItemType<T> {
    /** Identity: two items with one key are the same thing in two states. */
    key(item: T): string;
    /** Keys of items that take this one along when they go. */
    parents(item: T): readonly string[];
    /** It does not go along with its parents (or not at once), so it is removed by itself before them. */
    readonly staysBehind?: true;
    /** A mistake in it may shut the host to those who manage it: it stands only when a new connection confirms it. */
    mayLockOut?(item: T): boolean;
    claims?(item: T): readonly Claim[];
    add(item: T): readonly Line[];
    remove(item: T): readonly Line[];
    /** Absent or `undefined`: it is removed and added. */
    change?(from: T, to: T): readonly Line[] | undefined;
    /** The item as the kernel shows it; `undefined` when it is not there. */
    observe(item: T, snapshot: Snapshot): T | undefined;
}

/** In the order in which items are added; removed in reverse. nft items are one transaction of their own. */
const types = {
    ruleset: rulesetType,
    chain: chainType,
    element: elementType,
    "netns-directory": netnsDirectoryType,
    netns: netnsType,
    "bridge-netfilter": bridgeNetfilterType,
    bridge: bridgeType,
    vxlan: vxlanType,
    veth: vethType,
    address: addressType,
    route: routeType,
    rule: ruleType,
    neighbour: neighbourType,
    fdb: fdbType,
    sysctl: sysctlType,
    flows: flowsType,
    "restore-script": restoreScriptType,
    "restore-unit": restoreUnitType,
    option: optionType,
    kept: keptType,
    counter: counterType,
    meter: meterType,
    exception: exceptionType,
    "xfrm-policy": xfrmPolicyType,
    "xfrm-send": xfrmSendType,
    "xfrm-receive": xfrmReceiveType,
    "reply-rule": replyRuleType,
    barrier: barrierType,
    wireguard: wireguardType,
    "wireguard-peer": wireguardPeerType,
    "wireguard-key": wireguardKeyType,
    announcement: announcementType,
    "netns-folder": netnsFolderType,
    "netns-file": netnsFileType,
    names: namesType,
    resolver: resolverType,
} satisfies { [T in Item["type"]]: ItemType<Extract<Item, { type: T }>> };

const order = Object.keys(types);
/**
 * What has to be there is looked at before all else; chains name counters and meters; nothing is sent by a device before
 * the policies of its packets are there, nor while the default route could take them.
 */
const first = new Set<Item["type"]>([
    ...(["kept", "counter", "meter", "xfrm-policy", "xfrm-send", "xfrm-receive", "barrier"] as const),
]);
/** In the order in which an object lists them. */
const tunnels = new Set<Item["type"]>(["wireguard", "wireguard-peer", "wireguard-key"]);

/** The type whose turn an item has: ranks are on hosts, in what the restore script reads, so what came later has its place by name. */
function turnOf({ type }: Item): Item["type"] {
    // With the addresses, in the batch that they are in.
    if (type === "announcement") return "neighbour";
    // Before an interface has addresses: with the first of IPv6 it asks for a router, unless it is told not to.
    if (type === "sysctl") return "veth";
    return tunnels.has(type) ? "vxlan" : type;
}

export function typeOf(item: Item): ItemType<Item> {
    return types[item.type] as unknown as ItemType<Item>;
}

export function rankOf(item: Item): number {
    return first.has(item.type) ? 0 : order.indexOf(turnOf(item));
}

export function keyOf(item: Item): string {
    return typeOf(item).key(item);
}

/** The items that are there, each in the state the kernel shows. */
export function observe(items: readonly Item[], snapshot: Snapshot): Item[] {
    return items.flatMap((item) => typeOf(item).observe(item, snapshot) ?? []);
}
