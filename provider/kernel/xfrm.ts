import { isIpv6 } from "../model/ipv6.js";
import type { ItemType } from "./item.js";
import { ip, type Line } from "./line.js";
import { hash } from "./rule-mark.js";
import type { Snapshot } from "./snapshot.js";

/** Packets to a UDP port of a peer, or from it to ours, that travel in ESP or not at all; ip-xfrm(8). */
export interface XfrmPolicyItem {
    readonly type: "xfrm-policy";
    readonly direction: "out" | "in";
    readonly source: string;
    readonly destination: string;
    readonly port: number;
    /** Of the association that they leave by; absent: what comes in may come by any. */
    readonly reqid?: number;
}

/** The association that a host sends by (RFC 4303), with the first key of its that this boot has not used yet. */
export interface XfrmSendItem {
    readonly type: "xfrm-send";
    readonly source: string;
    readonly destination: string;
    readonly reqid: number;
}

/** The associations that a host receives by: one for each epoch that the sender may be in. */
export interface XfrmReceiveItem {
    readonly type: "xfrm-receive";
    readonly source: string;
    readonly destination: string;
    readonly reqid: number;
    readonly epochs: readonly number[];
}

/** How many boots of a sender its receivers are ahead of what they know. */
export const epochsAhead = 8;

/** The epochs that keys are made for. */
export function epochsFrom(first: number): number[] {
    return Array.from({ length: epochsAhead + 1 }, (_, i) => first + i);
}

/**
 * Whatever others select, this one is ours: an index is given once, and the kernel counts its own from 8 on. Its last three
 * bits are the direction. Not by `deleteall`, after which ip(8) leaves a batch without a word.
 */
function indexOf(item: XfrmPolicyItem): string {
    const free = Number.parseInt(hash(xfrmPolicyType.key(item)), 16) % 2 ** 28;
    return `0x${(firstReqid + free * 8 + (item.direction === "out" ? 1 : 0)).toString(16)}`;
}

/**
 * Our policies are told from those of others by it, whatever they select; and they go before those that others put by
 * hand for all traffic of two hosts (strongSwan and libreswan begin at some 100,000).
 */
const priority = 1789;

/** Numbers of ours: others choose theirs below, by hand, or above, as strongSwan does (0xc0000000 and up). */
export const firstReqid = 0x80000000;
export const reqidBits = 26;

/** Each association of a reqid has one of its sixteen numbers. */
function spiOf(reqid: number, epoch: number): string {
    return `0x${(reqid + (epoch % 16)).toString(16)}`;
}

/** AES-256-GCM with an ICV of 16 bytes (RFC 4106). */
export const algorithm = "rfc4106(gcm(aes))";

const host = (address: string) => `${address}/${isIpv6(address) ? 128 : 32}`;

function selectorOf({ source, destination, port, direction }: XfrmPolicyItem): readonly (string | number)[] {
    return ["src", host(source), "dst", host(destination), "proto", "udp", "dport", port, "dir", direction];
}

function policyLine(verb: "add" | "update", item: XfrmPolicyItem): Line {
    const addresses = item.direction === "out" ? ["src", item.source, "dst", item.destination] : [];
    const template = [...addresses, "proto", "esp", ...(item.reqid === undefined ? [] : ["reqid", item.reqid])];
    const words = [
        ...selectorOf(item),
        "index",
        indexOf(item),
        "priority",
        priority,
        "tmpl",
        ...template,
        "mode",
        "transport",
    ];
    return ip(undefined, "xfrm", "policy", verb, ...words);
}

/** How `ip xfrm policy list` begins it, with one blank between words. */
function policyText(item: XfrmPolicyItem): string {
    return `${selectorOf(item).join(" ")} priority ${priority} `;
}

export const xfrmPolicyType: ItemType<XfrmPolicyItem> = {
    key: (item) => `xfrm policy ${item.direction} ${item.source} ${item.destination} ${item.port}`,
    parents: () => [],
    // `add` refuses where somebody else has a policy for the same packets; `update` would write over it.
    add: (item) => [policyLine("add", item)],
    change: (_from, to) => [policyLine("update", to)],
    remove: (item) => [ip(undefined, "xfrm", "policy", "delete", "dir", item.direction, "index", indexOf(item))],
    observe(item, { xfrm }) {
        const found = xfrm?.policies.find((text) => text.startsWith(policyText(item)));
        if (found === undefined) return undefined;
        const reqid = Number(/ reqid (\d+)/.exec(found)?.[1] ?? 0);
        const { reqid: _, ...rest } = item;
        return isWhole(found) ? { ...rest, ...(reqid === 0 ? {} : { reqid }) } : undefined;
    },
};

/** A policy that says "allow" or asks for something else than ESP would let packets out as they are. */
const isWhole = (text: string) => / proto esp .*mode transport/.test(text) && !/ action block| level use/.test(text);

/** A line for `loadAssociations`. */
function xfrm(...words: readonly (string | number)[]): Line {
    return { tool: "xfrm", args: words.map(String) };
}

type Association = XfrmSendItem | XfrmReceiveItem;

const pairOf = ({ source, destination, reqid }: Association) => [source, destination, reqid] as const;

const receive = (item: XfrmReceiveItem, epoch: number) =>
    xfrm("receive", ...pairOf(item), spiOf(item.reqid, epoch), epoch);

function isThere(item: Association, spi: string | undefined, { xfrm }: Snapshot): boolean {
    const { source, destination, reqid } = item;
    return (
        xfrm?.states.some(
            (state) =>
                state.source === source &&
                state.destination === destination &&
                state.reqid === reqid &&
                (spi === undefined || state.spi === spi),
        ) ?? false
    );
}

export const xfrmSendType: ItemType<XfrmSendItem> = {
    key: (item) => `xfrm send ${item.destination} ${item.reqid}`,
    parents: () => [],
    claims: ({ source }) => [cipherOf(source)],
    add: (item) => [xfrm("send", ...pairOf(item), spiOf(item.reqid, 0))],
    remove: (item) => [xfrm("delete", ...pairOf(item))],
    observe: (item, snapshot) => (isThere(item, undefined, snapshot) ? item : undefined),
};

export const xfrmReceiveType: ItemType<XfrmReceiveItem> = {
    key: (item) => `xfrm receive ${item.source} ${item.reqid}`,
    parents: () => [],
    claims: ({ source }) => [cipherOf(source)],
    add: (item) => item.epochs.map((epoch) => receive(item, epoch)),
    change: (from, to) => [
        ...from.epochs
            .filter((epoch) => !to.epochs.includes(epoch))
            .map((epoch) => xfrm("delete", ...pairOf(from), spiOf(from.reqid, epoch))),
        ...to.epochs.filter((epoch) => !from.epochs.includes(epoch)).map((epoch) => receive(to, epoch)),
    ],
    remove: (item) => item.epochs.map((epoch) => xfrm("delete", ...pairOf(item), spiOf(item.reqid, epoch))),
    observe(item, snapshot) {
        const epochs = item.epochs.filter((epoch) => isThere(item, spiOf(item.reqid, epoch), snapshot));
        return epochs.length === 0 ? undefined : { ...item, epochs };
    },
};

/** Tried out in a namespace that goes with the trial: what is built in, what is a module and what is missing all show. */
function cipherOf(address: string) {
    const [a, b] = isIpv6(address) ? ["2001:db8::1", "2001:db8::2"] : ["192.0.2.1", "192.0.2.2"];
    const words = ["src", a, "dst", b, "proto", "esp", "spi", "0x100", "mode", "transport"];
    const key = `0x${"0".repeat(72)}`;
    return {
        works: ["unshare", "--net", "ip", "xfrm", "state", "add", ...words, "aead", algorithm, key, "128"],
        lacking:
            'encryption "ipsec" needs a kernel with ESP and AES-GCM, which this host lacks. Install its modules esp4, esp6 and ' +
            'seqiv (Debian: linux-image-amd64; Ubuntu: linux-modules-extra), or use encryption "wireguard".',
    };
}
