import { isIpv6 } from "../model/ipv6.js";
import type { FirewallException, FirewallPlace } from "../model/object.js";
import type { OtherFirewall } from "../model/world.js";
import { renderByHand } from "./exception.js";

/**
 * Prints the base chains of others on the hooks that matter, with their rules, and those of the chains in which their
 * makers have users write. Not the whole ruleset: of 10,000 rules that takes 400 ms, a list of chains 5 ms and one chain 3.
 * nft 1.0.6 finds no chain when it is asked for several at once.
 */
export const otherFirewallsScript = `echo '@@ other firewalls'
nft list chains 2>/dev/null | awk '
    $1 == "table" { t = $2 " " $3 }
    $1 == "chain" { n[++k] = t " " $2; of[k] = t }
    / hook (forward|input) / && t !~ /^(arp|ip6|netdev) / && t !~ / linuxnet$/ { base[n[k]]; has[t] }
    END {
        for (i = 1; i <= k; i++)
            if (n[i] in base || (of[i] in has && n[i] ~ / (DOCKER-USER|ufw-(before|user)-forward|ufw-user-input|(filter_)?(FORWARD|FWD|IN)_.*)$/))
                print n[i]
    }' | while read -r f t c; do nft -s list chain "$f" "$t" "$c" 2>/dev/null; done
echo '@@ legacy firewall'
if grep -qsx filter /proc/net/ip_tables_names; then
    { iptables-legacy -S || iptables -S; } 2>/dev/null | grep -E '^-[PN] |^-A (FORWARD|INPUT|DOCKER-USER|ufw-(before|user)-forward|ufw-user-input) '
fi`;

interface Chain {
    readonly family: string;
    readonly table: string;
    readonly name: string;
    readonly hook: string | undefined;
    readonly policy: string | undefined;
    readonly rules: readonly string[];
}

/** The blocks that `nft list chain` prints one after the other. */
function parseChains(text: string): Chain[] {
    return text.split(/^table /m).flatMap((block) => {
        const [, family = "", table = "", name, body = ""] =
            /^(\w+) (\S+) \{\n\tchain (\S+) \{\n([\s\S]*?)^\t\}/m.exec(block) ?? [];
        if (name === undefined) return [];
        const lines = body.split("\n").map((line) => line.trim());
        const [, hook, policy] = /^type \w+ hook (\w+) .*policy (\w+);/.exec(lines[0] ?? "") ?? [];
        const rules = lines.slice(hook === undefined ? 0 : 1).filter((line) => line !== "");
        return [{ family, table, name, hook, policy, rules }];
    });
}

/** The same of what `iptables-legacy -S` prints, in nft's words as far as they are looked at. */
function parseLegacy(text: string): Chain[] {
    const rules = text.split("\n").filter((line) => line !== "");
    return rules.flatMap((line): Chain[] => {
        const [, name, policy] = /^-[PN] (\S+) ?(\S*)/.exec(line) ?? [];
        if (name === undefined) return [];
        const own = rules.filter((rule) => rule.startsWith(`-A ${name} `)).map((rule) => rule.slice(name.length + 4));
        const hook = { FORWARD: "forward", INPUT: "input" }[name];
        return [
            {
                ...{ family: "ip", table: "", name, hook, policy: policy?.toLowerCase() },
                rules: own.map((rule) =>
                    rule.replace(/ ([\w.]+)\+ /g, ' "$1*" ').replace(/^-j (DROP|REJECT)/, "drop $1"),
                ),
            },
        ];
    });
}

/** How a base chain ends: nothing that no rule accepts comes through. */
function describeEnd({ policy, rules, name }: Chain): string | undefined {
    if (policy === "drop") return `policy drop in ${name}`;
    const last = /^(?:counter )?(drop|reject)\b/.exec(rules.at(-1) ?? "")?.[1];
    return last === undefined ? undefined : `${last} at the end of ${name}`;
}

function productOf(chains: readonly Chain[], base: Chain): OtherFirewall["product"] {
    const names = chains.map(({ name }) => name);
    if (names.includes("DOCKER-USER") && base.hook === "forward") return "Docker";
    if (names.includes("ufw-before-forward")) return "ufw";
    if (base.table === "firewalld" || names.includes("FORWARD_IN_ZONES")) return "firewalld";
    return "another firewall";
}

/** Where it takes rules of users: with its own tool where it keeps them itself, else at the top of its chain. */
function placeOf(product: OtherFirewall["product"], base: Chain): FirewallPlace {
    const chain = product === "Docker" ? "DOCKER-USER" : base.name;
    if (product === "ufw") return { tool: "ufw", chain: base.hook === "input" ? "input" : "route" };
    if (product === "firewalld") return { tool: "firewalld", chain: base.hook === "input" ? "input" : "trusted" };
    if (base.table === "") return { tool: "iptables-legacy", chain };
    // nft could write there what iptables cannot read any more.
    const isOfIptables = base.family === "ip" && base.table === "filter" && /^[A-Z]/.test(base.name);
    if (isOfIptables) return { tool: "iptables-nft", chain };
    return { tool: "nft", chain: `${base.family} ${base.table} ${base.name}` };
}

/**
 * Lets pass what enters a bridge, what belongs to a connection that did, and what leaves it by an uplink: never what leads
 * to containers of others, whose unpublished ports stay closed.
 * @param bridge interface name, or its beginning and "+"
 * @param isOutbound connections may begin on the bridge and lead outside
 */
export function exceptionInForward(
    { place, uplinks }: Pick<OtherFirewall, "place" | "uplinks">,
    bridge: string,
    isOutbound: boolean,
): FirewallException[] {
    const ways = isOutbound ? uplinks : [];
    const rules = (): string[] => {
        switch (place.tool) {
            case "nft": {
                const name = `"${bridge.replace(/\+$/, "*")}"`;
                if (place.chain.startsWith("bridge ")) return [`meta ibrname ${name} accept`];
                return [
                    `oifname ${name} accept`,
                    `iifname ${name} ct state established,related accept`,
                    ...ways.map((uplink) => `iifname ${name} oifname "${uplink}" accept`),
                ];
            }
            case "iptables-nft":
            case "iptables-legacy":
                return [
                    `-o ${bridge} -j ACCEPT`,
                    `-i ${bridge} -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT`,
                    ...ways.map((uplink) => `-i ${bridge} -o ${uplink} -j ACCEPT`),
                ];
            // Both let pass what belongs to a connection.
            case "ufw":
                return [
                    `route allow out on ${bridge}`,
                    ...ways.map((uplink) => `route allow in on ${bridge} out on ${uplink}`),
                ];
            case "firewalld":
                return [`interface=${bridge}`];
        }
    };
    return rules().map((rule) => ({ ...place, rule }));
}

/**
 * Lets what the exceptions for bridges let out of a network go into its tunnels too; what comes out of one is for a bridge.
 */
export function exceptionForTunnels({ place }: Pick<OtherFirewall, "place">): FirewallException[] {
    // A bridge's chain never meets what is routed.
    if (place.chain.startsWith("bridge ")) return [];
    return exceptionInForward({ place, uplinks: [] }, "lt+", false).slice(0, 1);
}

/** Whether what comes over IPv6 passes there too. */
const meetsIpv6 = ({ tool, chain }: FirewallPlace) =>
    tool === "ufw" || tool === "firewalld" || chain.startsWith("inet ");

/** Lets the host receive UDP from an address on a port; nothing where such packets do not pass. */
export function exceptionForPeer(place: FirewallPlace, port: number, from: string): FirewallException[] {
    return isIpv6(from) && !meetsIpv6(place) ? [] : [exceptionInInput(place, port, from)];
}

/** Lets the host receive UDP on a port; absent `from`: from everybody. */
export function exceptionInInput(place: FirewallPlace, port: number, from?: string): FirewallException {
    const [nft, firewalld] = from !== undefined && isIpv6(from) ? ["ip6", "ipv6"] : ["ip", "ipv4"];
    const rule = (): string => {
        switch (place.tool) {
            case "nft":
                return `${from === undefined ? "" : `${nft} saddr ${from} `}udp dport ${port} accept`;
            case "iptables-nft":
            case "iptables-legacy":
                return `${from === undefined ? "" : `-s ${from} `}-p udp -m udp --dport ${port} -j ACCEPT`;
            case "ufw":
                return from === undefined ? `allow ${port}/udp` : `allow proto udp from ${from} to any port ${port}`;
            case "firewalld":
                if (from === undefined) return `port=${port}/udp`;
                return `rich-rule=rule family="${firewalld}" source address="${from}" port port="${port}" protocol="udp" accept`;
        }
    };
    return { ...place, rule: rule() };
}

/**
 * Reads what the script printed: base chains of others that drop. A packet must pass every firewall of a host, so no rule
 * of ours can overrule them.
 * @param uplinks interfaces with a default route
 */
export function parseOtherFirewalls(nft: string, legacy: string, uplinks: readonly string[]): OtherFirewall[] {
    const all = [...parseChains(nft), ...parseLegacy(legacy)];
    return all.flatMap((base) => {
        const end = base.hook === undefined ? undefined : describeEnd(base);
        if (end === undefined) return [];
        const hook = base.hook === "input" ? "input" : "forward";
        const members = all.filter(({ family, table }) => family === base.family && table === base.table);
        const product = productOf(members, base);
        const rules = members.flatMap((chain) => chain.rules);
        return [
            {
                product,
                where: `${base.table === "" ? "iptables-legacy" : `table ${base.family} ${base.table}`}, ${end}`,
                hook,
                letsPass: rules.some((rule) => rule.includes('"ln*"') && /accept|ACCEPT|goto|jump/.test(rule)),
                ports: rules.flatMap((rule) => /dport (?:\{ )?([\d, -]+)/.exec(rule)?.[1]?.split(/, ?/) ?? []),
                place: placeOf(product, base),
                uplinks,
            },
        ];
    });
}

/** Whether it drops what we need: forwarding, or a tunnel's port on the host. */
export function mattersTo(firewall: OtherFirewall, tunnelPort?: number): boolean {
    if (tunnelPort === undefined) return firewall.hook === "forward" && !firewall.letsPass;
    const names = (ports: string) => {
        const [first = 0, last = first] = ports.split("-").map(Number);
        return first <= tunnelPort && tunnelPort <= last;
    };
    return firewall.hook === "input" && !firewall.ports.some(names);
}

/** Whether we have written an exception there. */
export function hasException({ place }: OtherFirewall, exceptions: readonly FirewallException[] = []): boolean {
    return exceptions.some(({ tool, chain }) => tool === place.tool && chain === place.chain);
}

/** `Docker (table ip filter, policy drop in FORWARD) drops ...` */
export function describeFirewall({ product, where }: OtherFirewall, tunnelPort?: number): string {
    const what =
        tunnelPort === undefined
            ? "what sandboxes send and what is published"
            : `what other hosts send to the tunnel (UDP port ${tunnelPort})`;
    return `${product} (${where}) drops ${what}`;
}

/** Commands to be run on the host. */
export function remedyFor(firewall: OtherFirewall, tunnelPort?: number, hasTunnels = false): string[] {
    const { place, uplinks } = firewall;
    const exceptions =
        tunnelPort === undefined
            ? [
                  ...exceptionInForward({ place, uplinks: uplinks.length === 0 ? ["eth0"] : uplinks }, "ln+", true),
                  ...(hasTunnels ? exceptionForTunnels(firewall) : []),
              ]
            : [exceptionInInput(place, tunnelPort)];
    const commands = exceptions.map(renderByHand);
    return place.tool === "firewalld" ? [[...commands, "firewall-cmd --reload"].join(" && ")] : commands;
}

/** What else there is to do so that the commands last. */
export function lastingWords({ place }: OtherFirewall): string[] {
    const keepsRules = place.tool === "ufw" || place.tool === "firewalld";
    return keepsRules ? [] : ["and make it last over a restart of the host and of that firewall"];
}
