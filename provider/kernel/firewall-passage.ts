import { isIpv6 } from "../model/ipv6.js";
import type { FirewallException, FirewallPlace } from "../model/object.js";
import type { OtherFirewall } from "../model/world.js";
import { renderByHand } from "./exception.js";
import { resolverRanges } from "./resolver.js";

/** What of ours has to pass the firewalls of a host; bridges by interface name, or its beginning and "+". */
export type Passage = { readonly families: readonly (4 | 6)[] } & (
    | {
          /** What sandboxes send and what is published. */
          readonly what: "forwarded";
          readonly bridges: readonly string[];
          /** Those on which connections may begin that lead outside. */
          readonly outbound: readonly string[];
          readonly hasTunnels: boolean;
      }
    | {
          /** What sandboxes ask for names, led to who answers on the host. */
          readonly what: "questions";
          readonly bridges: readonly string[];
      }
    | {
          /** What other hosts send to a tunnel. */
          readonly what: "tunnel";
          readonly port: number;
          /** Absent: everybody may. */
          readonly from?: readonly string[];
      }
);

const sharedFamilies = (firewall: OtherFirewall, { families }: Passage) =>
    firewall.families.filter((family) => families.includes(family));

/** Whether it drops what no rule of its own, or of ours there, lets pass. */
export function meets(firewall: OtherFirewall, passage: Passage): boolean {
    if (sharedFamilies(firewall, passage).length === 0) return false;
    if ((firewall.hook === "forward") !== (passage.what === "forwarded")) return false;
    return passage.what !== "tunnel" || firewall.drops === "rest";
}

/** Whether it drops that, as far as its rules say. */
export function stops(firewall: OtherFirewall, passage: Passage): boolean {
    if (!meets(firewall, passage)) return false;
    if (passage.what !== "tunnel") return !firewall.letsPass;
    const names = (ports: string) => {
        const [first = 0, last = first] = ports.split("-").map(Number);
        return first <= passage.port && passage.port <= last;
    };
    return !firewall.ports.some(names);
}

/** The exceptions that let it pass there: as little as possible. */
export function exceptionsIn(firewall: OtherFirewall, passage: Passage): FirewallException[] {
    const { place } = firewall;
    switch (passage.what) {
        case "forwarded":
            return [
                ...passage.bridges.flatMap((bridge) =>
                    exceptionsInForward(firewall, bridge, passage.outbound.includes(bridge)),
                ),
                // What comes out of a tunnel is for a bridge; a bridge's chain never meets what is routed.
                ...(passage.hasTunnels && !place.chain.startsWith("bridge ")
                    ? exceptionsInForward(firewall, "lt+", false).slice(0, 1)
                    : []),
            ];
        case "questions":
            return passage.bridges.flatMap((bridge) =>
                sharedFamilies(firewall, passage).map((family) => exceptionForQuestions(place, bridge, family)),
            );
        case "tunnel":
            if (passage.from === undefined) return [exceptionForPort(place, passage.port)];
            return passage.from
                .filter((address) => firewall.families.includes(isIpv6(address) ? 6 : 4))
                .map((address) => exceptionForPort(place, passage.port, address));
    }
}

/** Whether exceptions for it were written there: in the place where they would be. */
export function isExcepted(firewall: OtherFirewall, passage: Passage, known: readonly FirewallException[]): boolean {
    return exceptionsIn(firewall, passage).some(({ tool, chain }) =>
        known.some((each) => each.tool === tool && each.chain === chain),
    );
}

const inNft = (interfaceName: string) => `"${interfaceName.replace(/\+$/, "*")}"`;

/**
 * Lets pass what enters a bridge, what belongs to a connection that did, and what leaves it by an uplink: never what leads
 * to containers of others, whose unpublished ports stay closed.
 */
function exceptionsInForward(
    { place, uplinks }: Pick<OtherFirewall, "place" | "uplinks">,
    bridge: string,
    isOutbound: boolean,
): FirewallException[] {
    const ways = isOutbound ? uplinks : [];
    const rules = (): string[] => {
        switch (place.tool) {
            case "nft": {
                const name = inNft(bridge);
                if (place.chain.startsWith("bridge ")) return [`meta ibrname ${name} accept`];
                return [
                    `oifname ${name} accept`,
                    `iifname ${name} ct state established,related accept`,
                    ...ways.map((uplink) => `iifname ${name} oifname "${uplink}" accept`),
                ];
            }
            // Both let pass what belongs to a connection.
            case "ufw":
                return [
                    `route allow out on ${bridge}`,
                    ...ways.map((uplink) => `route allow in on ${bridge} out on ${uplink}`),
                ];
            case "firewalld":
                return [`interface=${bridge}`];
            default:
                return [
                    `-o ${bridge} -j ACCEPT`,
                    `-i ${bridge} -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT`,
                    ...ways.map((uplink) => `-i ${bridge} -o ${uplink} -j ACCEPT`),
                ];
        }
    };
    return rules().map((rule) => ({ ...place, rule }));
}

/** Lets in what comes by a bridge for those who answer: our own rules let nothing there but questions. */
function exceptionForQuestions(place: FirewallPlace, bridge: string, family: 4 | 6): FirewallException {
    const range = resolverRanges[family];
    switch (place.tool) {
        case "nft": {
            // There they are not led anywhere yet.
            if (place.chain.startsWith("bridge ")) return { ...place, rule: `meta ibrname ${inNft(bridge)} accept` };
            const address = family === 6 ? "ip6 daddr" : "ip daddr";
            return { ...place, rule: `iifname ${inNft(bridge)} ${address} ${range} accept` };
        }
        case "ufw":
            return { ...place, rule: `allow in on ${bridge} to ${range}` };
        case "firewalld":
            return { ...place, chain: "trusted", rule: `interface=${bridge}` };
        default:
            return { ...place, rule: `-i ${bridge} -d ${range} -j ACCEPT` };
    }
}

/** Lets the host receive UDP on a port; absent `from`: from everybody. */
function exceptionForPort(place: FirewallPlace, port: number, from?: string): FirewallException {
    const [nft, firewalld] = from !== undefined && isIpv6(from) ? ["ip6", "ipv6"] : ["ip", "ipv4"];
    const rule = (): string => {
        switch (place.tool) {
            case "nft":
                return `${from === undefined ? "" : `${nft} saddr ${from} `}udp dport ${port} accept`;
            case "ufw":
                return from === undefined ? `allow ${port}/udp` : `allow proto udp from ${from} to any port ${port}`;
            case "firewalld":
                if (from === undefined) return `port=${port}/udp`;
                return `rich-rule=rule family="${firewalld}" source address="${from}" port port="${port}" protocol="udp" accept`;
            default:
                return `${from === undefined ? "" : `-s ${from} `}-p udp -m udp --dport ${port} -j ACCEPT`;
        }
    };
    return { ...place, rule: rule() };
}

/** A firewall of somebody, maybe of several tables, that drops what of ours has to pass. */
export interface Obstacle {
    /** `Docker (table ip filter, policy drop in FORWARD) drops ...` */
    readonly found: string;
    /** Commands to be run on the host. */
    readonly remedy: readonly string[];
    /** Whether it keeps over a restart what the commands write. */
    readonly keepsRules: boolean;
}

function wordsFor(passage: Passage): string {
    if (passage.what === "forwarded") return "what sandboxes send and what is published";
    if (passage.what === "questions") return "what sandboxes ask for names";
    return `what other hosts send to the tunnel (UDP port ${passage.port})`;
}

function remedyFor(firewall: OtherFirewall, passage: Passage): string[] {
    const { uplinks, place } = firewall;
    const known = { ...firewall, uplinks: uplinks.length === 0 ? ["eth0"] : uplinks };
    const commands = exceptionsIn(known, passage).map(renderByHand);
    return place.tool === "firewalld" ? [[...new Set(commands), "firewall-cmd --reload"].join(" && ")] : commands;
}

/** Those that drop it and have no exception: a packet has to pass every firewall of a host. */
export function obstaclesTo(
    passage: Passage,
    firewalls: readonly OtherFirewall[],
    known: readonly FirewallException[] = [],
): Obstacle[] {
    const found = firewalls.filter((each) => stops(each, passage) && !isExcepted(each, passage, known));
    return [...new Set(found.map(({ product }) => product))].map((product) => {
        const own = found.filter((each) => each.product === product);
        return {
            found: `${product} (${own.map(({ where }) => where).join("; ")}) drops ${wordsFor(passage)}`,
            remedy: [...new Set(own.flatMap((each) => remedyFor(each, passage)))],
            keepsRules: product === "ufw" || product === "firewalld",
        };
    });
}
