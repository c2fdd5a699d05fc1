import { contains, parseIpv4 } from "../../../provider/model/address.js";
import { isIpv6, parseIpv6, parseIpv6Cidr } from "../../../provider/model/ipv6.js";

/** A packet as the hooks of netfilter see it. */
export interface Packet {
    readonly family?: "inet" | "bridge";
    readonly hook: "prerouting" | "input" | "forward" | "output" | "postrouting";
    /** Absent: the packet comes from the host itself. */
    readonly iifname?: string;
    readonly oifname?: string;
    /** Of either family; that of the packet is the one of its addresses. */
    readonly saddr?: string;
    readonly daddr?: string;
    readonly protocol?: string;
    readonly sport?: number;
    readonly dport?: number;
    readonly icmpType?: string;
    readonly icmpv6Type?: string;
    /** What a neighbour advertisement is about. */
    readonly advertised?: string;
    /** @default "new" */
    readonly state?: "new" | "established" | "related" | "invalid";
    /** The connection was redirected to a published port's target. */
    readonly isDnat?: boolean;
    /** Addresses of the host: what `fib daddr type local` knows. */
    readonly local?: readonly string[];
    readonly etherType?: string;
    readonly etherSource?: string;
    readonly etherTarget?: string;
    readonly arpSender?: string;
    /** The way to its source leads elsewhere than by the interface it came in by. */
    readonly isStray?: boolean;
    /** Its connection has a mark of ours: it came by a tunnel with a source outside the segment. */
    readonly isMarked?: boolean;
    /** How often `numgen inc` was asked before. @default 0 */
    readonly turn?: number;
}

export interface Verdict {
    readonly verdict: "accept" | "drop" | "reject";
    /** Chains that were asked, and the rule that decided. */
    readonly path: string;
    /** `address:port` after a redirection. */
    readonly dnat?: string;
    /** Among how many targets of a published port connections go round. */
    readonly turns?: number;
    readonly isMasqueraded: boolean;
    /** The source after `snat`. */
    readonly snat?: string;
}

interface Chain {
    readonly hook: string | undefined;
    readonly priority: number;
    readonly rules: string[];
}

interface Table {
    readonly chains: Map<string, Chain>;
    readonly sets: Map<string, { key: string; value: string }[]>;
}

function parseRuleset(text: string): Map<string, Table> {
    const tables = new Map<string, Table>();
    for (const line of text.split("\n").filter((each) => each !== "")) {
        const [verb, object, family = "", , name = "", ...rest] = line.split(" ");
        const body = rest.join(" ");
        const table: Table = tables.get(family) ?? { chains: new Map(), sets: new Map() };
        tables.set(family, table);
        if (verb === "add" && object === "chain") {
            const [, hook, priority] = /hook (\w+) priority (-?\d+)/.exec(body) ?? [];
            if (!table.chains.has(name)) table.chains.set(name, { hook, priority: Number(priority ?? 0), rules: [] });
        } else if (verb === "add" && object === "rule") {
            const chain = table.chains.get(name);
            if (chain === undefined) throw new Error(`no chain: ${line}`);
            chain.rules.push(body);
        } else if (verb === "add" && (object === "set" || object === "map")) {
            table.sets.set(name, []);
        } else if (verb === "add" && object === "element") {
            const [key = "", value = ""] = body.slice(2, -2).split(" : ");
            const set = table.sets.get(name);
            if (set === undefined) throw new Error(`no set: ${line}`);
            set.push({ key: key.replaceAll('"', ""), value });
        } else if (verb !== "flush" && object !== "table" && object !== "counter")
            throw new Error(`cannot read: ${line}`);
    }
    return tables;
}

/** One part of a set's element against one part of a packet; a prefix holds all of its addresses. */
function partMatches(pattern: string, value: string): boolean {
    const [address = "", length] = pattern.split("/");
    if (length !== undefined && isIpv6(pattern)) {
        if (!isIpv6(value)) return false;
        const number = parseIpv6(value);
        return contains(parseIpv6Cidr(pattern), { first: number, last: number });
    }
    if (length === undefined || !/^[\d.]+$/.test(value)) return pattern === value;
    const shift = 2 ** (32 - Number(length));
    return Math.floor(parseIpv4(address) / shift) === Math.floor(parseIpv4(value) / shift);
}

const matches = (pattern: string, value: string) => {
    const [patterns, values] = [pattern.split(" . "), value.split(" . ")];
    return patterns.length === values.length && patterns.every((each, i) => partMatches(each, values[i] ?? ""));
};

const ofFamily = (address: string | undefined, family: 4 | 6) =>
    address !== undefined && isIpv6(address) === (family === 6) ? address : undefined;

/** Selectors by their text, longest first; `undefined`: the packet has no such field, so nothing matches. */
const selectors: Record<string, (packet: Packet) => string | undefined> = {
    "ip saddr": (packet) => ofFamily(packet.saddr, 4),
    "ip daddr": (packet) => ofFamily(packet.daddr, 4),
    "ip6 saddr": (packet) => ofFamily(packet.saddr, 6),
    "ip6 daddr": (packet) => ofFamily(packet.daddr, 6),
    "meta nfproto": (packet) => (isIpv6(packet.saddr ?? "") ? "ipv6" : "ipv4"),
    "icmpv6 type": (packet) => packet.icmpv6Type,
    "@th,64,128": (packet) =>
        packet.advertised === undefined ? undefined : `0x${parseIpv6(packet.advertised).toString(16)}`,
    "udp sport": (packet) => (packet.protocol === "udp" ? String(packet.sport) : undefined),
    "arp saddr ip": (packet) => packet.arpSender,
    "ether saddr": (packet) => packet.etherSource,
    "ether type": (packet) => packet.etherType,
    "meta l4proto": (packet) => packet.protocol,
    "th dport": (packet) => (packet.dport === undefined ? undefined : String(packet.dport)),
    "icmp type": (packet) => (packet.protocol === "icmp" ? packet.icmpType : undefined),
    "tcp dport": (packet) => (packet.protocol === "tcp" ? String(packet.dport) : undefined),
    "udp dport": (packet) => (packet.protocol === "udp" ? String(packet.dport) : undefined),
    "sctp dport": (packet) => (packet.protocol === "sctp" ? String(packet.dport) : undefined),
    iifname: (packet) => packet.iifname ?? "",
    oifname: (packet) => packet.oifname ?? "",
    iif: (packet) => (packet.iifname === undefined ? "0" : "7"),
    oif: (packet) => (packet.oifname === undefined ? "0" : "7"),
};
const selectorNames = Object.keys(selectors).sort((a, b) => b.length - a.length);

/** Matches by their whole text. */
const facts: Record<string, (packet: Packet) => boolean> = {
    "fib saddr . iif oif missing": ({ isStray }) => isStray === true,
    "fib saddr type != local": ({ local = [], saddr = "" }) => !local.includes(saddr),
    "fib saddr type != unicast": ({ local = [], saddr = "" }) => local.includes(saddr),
    "ct mark & 0xffff0000 == 0x4c4e0000": ({ isMarked }) => isMarked === true,
    "ct mark & 0xffff0000 != 0x4c4e0000": ({ isMarked }) => isMarked !== true,
    "ct direction reply": () => false,
};

/** nft takes a protocol's name and its number for the same. */
const protocolNames: Readonly<Record<string, string>> = {
    1: "icmp",
    6: "tcp",
    17: "udp",
    58: "icmpv6",
    132: "sctp",
};
const nameOf = (number: string) => `meta l4proto ${protocolNames[number] ?? number}`;

/** Addresses of one family in their order. */
function isBelow(address: string, limit: string): boolean {
    return isIpv6(address) ? parseIpv6(address) < parseIpv6(limit) : parseIpv4(address) < parseIpv4(limit);
}

/** Walks one packet through the rendered text of a ruleset, as netfilter would. @throws Error on words it does not know */
export function createTracer(text: string): (packet: Packet) => Verdict {
    const tables = parseRuleset(text);

    return (packet) => {
        const family = packet.family ?? "inet";
        const table: Table = tables.get(family) ?? { chains: new Map(), sets: new Map() };
        const asked: string[] = [];
        let dnat: string | undefined;
        let turns: number | undefined;
        let isMasqueraded = false;
        let snat: string | undefined;
        let marks = false;

        function find(set: string, value: string | undefined): { key: string; value: string } | undefined {
            const elements = table.sets.get(set);
            if (elements === undefined) throw new Error(`no set ${set}`);
            return value === undefined ? undefined : elements.find(({ key }) => matches(key, value));
        }

        /** Takes `ip saddr . th dport` off the front of a rule. */
        function takeSelectors(words: string): { value: string | undefined; rest: string } | undefined {
            const name = selectorNames.find((each) => words === each || words.startsWith(`${each} `));
            if (name === undefined) return undefined;
            const value = selectors[name]?.(packet);
            const rest = words.slice(name.length + 1);
            if (!rest.startsWith(". ")) return { value, rest };
            const more = takeSelectors(rest.slice(2));
            if (more === undefined) throw new Error(`cannot read: ${words}`);
            return {
                value: value === undefined || more.value === undefined ? undefined : `${value} . ${more.value}`,
                rest: more.rest,
            };
        }

        /** The verdict of a rule, or `undefined` when it does not match. */
        function runRule(rule: string): string | undefined {
            // Counted and logged is what goes on; a limit is never reached by one packet.
            const plain = rule
                .replace(/ ?comment "[^"]*"$/, "")
                .replace(/^limit rate \S+ burst \d+ packets log .*$/, "log")
                .replace(/((update|add) @\w+ \{[^}]*\}|counter name "\w+") /g, "");
            if (plain === "log") return undefined;
            let rest = plain.replace(/\bmeta l4proto (\d+)\b/, (_whole, number) => nameOf(number));
            while (rest !== "") {
                const fact = Object.keys(facts).find((words) => rest.startsWith(`${words} `));
                if (fact !== undefined) {
                    if (!facts[fact]?.({ ...packet, isMarked: packet.isMarked || marks })) return undefined;
                    rest = rest.slice(fact.length + 1);
                    continue;
                }
                const marking = /^ct mark set iifname \. ether saddr map @(\w+)$/.exec(rest)?.[1];
                if (marking !== undefined) {
                    marks = find(marking, `${packet.iifname} . ${packet.etherSource}`) !== undefined;
                    return undefined;
                }
                const gateways = /^snat (ip6?) to oifname map @(\w+)$/.exec(rest);
                if (gateways !== null) {
                    if ((gateways[1] === "ip6") !== isIpv6(packet.daddr ?? "")) return undefined;
                    snat = find(gateways[2] ?? "", packet.oifname)?.value;
                    return snat === undefined ? undefined : "accept";
                }
                const verdict = /^(accept|drop|masquerade|goto \w+|reject with (?:icmpx type [a-z-]+|tcp reset))$/.exec(
                    rest,
                )?.[1];
                if (verdict !== undefined) return verdict;
                const special =
                    /^(ct state|ct status &|ct status|fib daddr type|ether daddr &) (.*?)(?= (?:accept|drop|oifname|iifname|ip6? saddr|ip6? daddr|dnat ip|snat ip|masquerade|ct state)\b)/.exec(
                        rest,
                    );
                if (special !== null) {
                    const [whole, what, value = ""] = special;
                    const isTrue = {
                        "ct state": () => value.split(",").includes(packet.state ?? "new"),
                        "ct status &": () => value === "dnat == 0" && packet.isDnat !== true,
                        "ct status": () => value === "dnat" && packet.isDnat === true,
                        "fib daddr type": () =>
                            (packet.local ?? []).includes(packet.daddr ?? "") === (value === "local"),
                        "ether daddr &": () => (Number.parseInt(packet.etherTarget?.slice(0, 2) ?? "0", 16) & 1) === 1,
                    }[what as "ct state"]();
                    if (!isTrue) return undefined;
                    rest = rest.slice(whole.length + 1);
                    continue;
                }
                const [, family, modulus, ways] =
                    /^dnat (ip6?) to numgen inc mod (\d+) map \{ (.*) \}$/.exec(rest) ?? [];
                if (ways !== undefined) {
                    if ((family === "ip6") !== isIpv6(packet.daddr ?? "")) return undefined;
                    turns = Number(modulus);
                    const way = ways.split(", ")[(packet.turn ?? 0) % turns]?.split(" : ");
                    if (Number(way?.[0]) !== (packet.turn ?? 0) % turns) throw new Error(`not in turn: ${rest}`);
                    dnat = way?.[1]?.replace(" . ", ":");
                    return "accept";
                }
                const dnatTo = /^dnat (ip6?) to /.exec(rest);
                const isDnat = dnatTo !== null;
                // The statement is one of its family; the map is asked all the same.
                if (isDnat && (dnatTo[1] === "ip6") !== isIpv6(packet.daddr ?? "")) return undefined;
                const taken = takeSelectors(rest.slice(dnatTo?.[0].length ?? 0));
                if (taken === undefined) throw new Error(`cannot read: ${rest}`);
                const { value } = taken;
                const map = /^v?map @(\w+)$/.exec(taken.rest)?.[1];
                if (map !== undefined) {
                    const found = find(map, value)?.value;
                    if (found === undefined || !isDnat) return found;
                    dnat = found.replace(" . ", ":");
                    return "accept";
                }
                const [, operator, pattern = ""] = /^(!= |< )?("[^"]*"|\{[^}]*\}|\S+)/.exec(taken.rest) ?? [];
                const range = /^(\d+)-(\d+)$/.exec(pattern);
                let isTrue: boolean;
                if (pattern.startsWith("@")) isTrue = find(pattern.slice(1), value) !== undefined;
                else if (pattern.startsWith("{"))
                    isTrue = pattern
                        .slice(2, -2)
                        .split(", ")
                        .includes(value ?? "");
                else if (range !== null)
                    isTrue = Number(value) >= Number(range[1]) && Number(value) <= Number(range[2]);
                else isTrue = value !== undefined && matches(pattern.replaceAll('"', ""), value);
                if (operator === "< ") isTrue = value !== undefined && isBelow(value, pattern);
                if (value === undefined || isTrue === (operator === "!= ")) return undefined;
                rest = taken.rest.slice((operator?.length ?? 0) + pattern.length).trimStart();
            }
            throw new Error(`a rule without a verdict: ${rule}`);
        }

        function runChain(name: string): string {
            const chain = table.chains.get(name);
            if (chain === undefined) throw new Error(`no chain ${name}`);
            asked.push(name);
            for (const rule of chain.rules) {
                const verdict = runRule(rule);
                if (verdict === undefined) continue;
                // No chain of ours is jumped to, so a goto from a base chain never comes back.
                if (verdict.startsWith("goto ")) return runChain(verdict.slice("goto ".length));
                asked.push(`[${rule}]`);
                if (verdict === "masquerade") isMasqueraded = true;
                return verdict;
            }
            return "accept";
        }

        const base = [...table.chains].filter(([, { hook }]) => hook === packet.hook);
        for (const [name] of base.sort(([, a], [, b]) => a.priority - b.priority)) {
            const verdict = runChain(name);
            if (verdict !== "drop" && !verdict.startsWith("reject")) continue;
            return { verdict: verdict === "drop" ? "drop" : "reject", path: asked.join(" "), isMasqueraded };
        }
        return {
            verdict: "accept",
            path: asked.join(" "),
            isMasqueraded,
            ...(dnat === undefined ? {} : { dnat }),
            ...(snat === undefined ? {} : { snat }),
            ...(turns === undefined ? {} : { turns }),
        };
    };
}
