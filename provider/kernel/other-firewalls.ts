import type { OtherFirewall } from "../model/world.js";

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

/** Commands that let pass what enters our bridges, and what leaves them by the uplinks: never what leads to containers. */
function adviseForward(product: OtherFirewall["product"], base: Chain, uplinks: readonly string[]): string[] {
    const ways = uplinks.length === 0 ? ["eth0"] : uplinks;
    const iptables = base.table === "" ? "iptables-legacy" : "iptables";
    const rules = (chain: string) => [
        `${iptables} -I ${chain} -o ln+ -j ACCEPT`,
        ...ways.map((uplink) => `${iptables} -I ${chain} -i ln+ -o ${uplink} -j ACCEPT`),
    ];
    switch (product) {
        case "Docker":
            return rules("DOCKER-USER");
        case "ufw":
            return [
                "ufw route allow out on ln+",
                ...ways.map((uplink) => `ufw route allow in on ln+ out on ${uplink}`),
            ];
        case "firewalld":
            return ["firewall-cmd --permanent --zone=trusted --add-interface=ln+ && firewall-cmd --reload"];
        case "another firewall": {
            if (base.table === "") return rules("FORWARD");
            const insert = `nft insert rule ${base.family} ${base.table} ${base.name}`;
            if (base.family === "bridge") return [`${insert} meta ibrname '"ln*"' accept`];
            return [
                `${insert} oifname '"ln*"' accept`,
                ...ways.map((uplink) => `${insert} iifname '"ln*"' oifname ${uplink} accept`),
            ];
        }
    }
}

function adviseInput(product: OtherFirewall["product"], base: Chain): string[] {
    if (product === "ufw") return ["ufw allow PORT/udp"];
    if (product === "firewalld") return ["firewall-cmd --permanent --add-port=PORT/udp && firewall-cmd --reload"];
    if (base.table === "") return ["iptables-legacy -I INPUT -p udp --dport PORT -j ACCEPT"];
    return [`nft insert rule ${base.family} ${base.table} ${base.name} udp dport PORT accept`];
}

/**
 * Reads what the script printed: base chains of others that drop. A packet must pass every firewall of a host, so no rule
 * of ours can overrule them.
 * @param uplinks interfaces with a default route, for the advice
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
                remedy: hook === "forward" ? adviseForward(product, base, uplinks) : adviseInput(product, base),
                keepsRules: product === "ufw" || product === "firewalld",
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

/** `Docker (table ip filter, policy drop in FORWARD) drops ...` */
export function describeFirewall({ product, where }: OtherFirewall, tunnelPort?: number): string {
    const what =
        tunnelPort === undefined
            ? "what sandboxes send and what is published"
            : `what other hosts send to the tunnel (UDP port ${tunnelPort})`;
    return `${product} (${where}) drops ${what}`;
}

/** Commands to be run on the host. */
export function remedyFor({ remedy }: OtherFirewall, tunnelPort?: number): string[] {
    return remedy.map((line) => line.replace("PORT", String(tunnelPort)));
}

/** What else there is to do so that the commands last. */
export function lastingWords({ keepsRules }: OtherFirewall): string[] {
    return keepsRules ? [] : ["and make it last over a restart of the host and of that firewall"];
}
