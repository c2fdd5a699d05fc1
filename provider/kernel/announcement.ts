import type { ItemType } from "./item.js";
import { ip, type Line, sysctl } from "./line.js";

/**
 * Neighbours are told which MAC has these addresses now: who knew them by another one would send to that for up to a minute.
 * Not after a boot, which changes neither.
 */
export interface AnnouncementItem {
    readonly type: "announcement";
    readonly netns: string;
    readonly dev: string;
    /** Key of the link. */
    readonly link: string;
    readonly mac: string;
    readonly addresses: readonly string[];
}

/**
 * With these switches (ip-sysctl) the kernel sends gratuitous ARP (RFC 5227) and unsolicited neighbour advertisements
 * (RFC 4861, 7.2.6) when a MAC is written. The second one is missing where IPv6 is.
 */
export function announceMacs(netns: string, dev: string): Line[] {
    return [
        sysctl(netns, `net/ipv4/conf/${dev}/arp_notify`, "1"),
        sysctl(netns, `net/ipv6/conf/${dev}/ndisc_notify`, "1", {}),
    ].map(once);
}

const once = (line: Line): Line => ({ ...line, isMomentary: true });

/** The same MAC again. That drops permanent neighbours of the link; where it is new there are none. */
const announce = ({ netns, dev, mac }: AnnouncementItem): Line =>
    once(ip(netns, "link", "set", "dev", dev, "address", mac));

export const announcementType: ItemType<AnnouncementItem> = {
    key: (item) => `announcement ${item.netns} ${item.dev}`,
    parents: (item) => [item.link, `netns ${item.netns}`],
    // A new link has the switches: written with it they are one process, and this line is in the batch of what follows.
    add: (item) => [announce(item)],
    remove: () => [],
    change: (_from, to) => [...announceMacs(to.netns, to.dev), announce(to)],
    observe: (item, snapshot) => (snapshot.namespaces.get(item.netns)?.links.has(item.dev) ? item : undefined),
};
