import type { FirewallPlace } from "../model/object.js";
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
    / hook (forward|input) / && t !~ /^(arp|netdev) / && t !~ / linuxnet$/ { base[n[k]]; has[t] }
    END {
        for (i = 1; i <= k; i++)
            if (n[i] in base || (of[i] in has && n[i] ~ / (DOCKER-USER|ufw6?-(before|user)-forward|ufw6?-user-input|(filter_)?(FORWARD|FWD|IN)_.*)$/))
                print n[i]
    }' | while read -r f t c; do nft -s list chain "$f" "$t" "$c" 2>/dev/null; done
for t in iptables ip6tables; do
    echo "@@ legacy $t"
    if grep -qsx filter /proc/net/\${t%tables}_tables_names; then
        { $t-legacy -S || $t -S; } 2>/dev/null | grep -E '^-[PN] |^-A (FORWARD|INPUT|DOCKER-USER|ufw6?-(before|user)-forward|ufw6?-user-input) '
    fi
done`;

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

/** A rule of iptables in nft's words, as far as they are looked at. */
function translate(rule: string): string {
    return ` ${rule}`
        .replaceAll(" ! -i ", " iifname != ")
        .replaceAll(" -i ", " iifname ")
        .replaceAll(" -o ", " oifname ")
        .replace(/ifname (!= )?(\S+)/g, (_rule, not = "", name: string) => `ifname ${not}"${name.replace(/\+$/, "*")}"`)
        .replace(" -d ", " ip daddr ")
        .replace(" -m conntrack --ctstate DNAT ", " ct status dnat ")
        .replace(" --ctstate ", " ct state ")
        .replace(/ -j ([A-Z]+)\b/, (_rule, verdict: string) => ` ${verdict.toLowerCase()}`)
        .trim();
}

/** The same of what `iptables-legacy -S` prints, or ip6tables. */
function parseLegacy(text: string, family: "ip" | "ip6"): Chain[] {
    const rules = text.split("\n").filter((line) => line !== "");
    return rules.flatMap((line): Chain[] => {
        const [, name, policy] = /^-[PN] (\S+) ?(\S*)/.exec(line) ?? [];
        if (name === undefined) return [];
        const own = rules.filter((rule) => rule.startsWith(`-A ${name} `)).map((rule) => rule.slice(name.length + 4));
        const hook = { FORWARD: "forward", INPUT: "input" }[name];
        return [{ family, table: "", name, hook, policy: policy?.toLowerCase(), rules: own.map(translate) }];
    });
}

/** How a base chain ends: nothing that no rule accepts comes through. */
function describeEnd({ policy, rules, name }: Chain): string | undefined {
    if (policy === "drop") return `policy drop in ${name}`;
    const last = /^(?:counter )?(drop|reject)\b/.exec(rules.at(-1) ?? "")?.[1];
    return last === undefined ? undefined : `${last} at the end of ${name}`;
}

/** Nobody but the host itself sends to 127.0.0.0/8, many a firewall says: but sandboxes' questions are led there. */
function describeLoopbackGuard({ hook, family, rules, name }: Chain): string | undefined {
    if (hook !== "input" || family === "ip6") return undefined;
    const guard = rules.find(
        (rule) =>
            /\bip daddr 127\.0\.0\.0\/8 .*\b(drop|reject)\b/.test(` ${rule}`) &&
            !/\biif(name)? "|dport|saddr/.test(rule),
    );
    return guard === undefined ? undefined : `rule ${guard} in ${name}`;
}

function productOf(chains: readonly Chain[], base: Chain): OtherFirewall["product"] {
    const names = chains.map(({ name }) => name);
    if (names.includes("DOCKER-USER") && base.hook === "forward") return "Docker";
    if (names.some((name) => /^ufw6?-before-forward$/.test(name))) return "ufw";
    if (base.table === "firewalld" || names.includes("FORWARD_IN_ZONES")) return "firewalld";
    return "another firewall";
}

/** Where it takes rules of users: with its own tool where it keeps them itself, else at the top of its chain. */
function placeOf(product: OtherFirewall["product"], base: Chain): FirewallPlace {
    const chain = product === "Docker" ? "DOCKER-USER" : base.name;
    const tool = base.family === "ip6" ? "ip6tables" : "iptables";
    if (product === "ufw") return { tool: "ufw", chain: base.hook === "input" ? "input" : "route" };
    if (product === "firewalld") return { tool: "firewalld", chain: base.hook === "input" ? "input" : "trusted" };
    if (base.table === "") return { tool: `${tool}-legacy`, chain };
    // nft could write there what iptables cannot read any more.
    const isOfIptables = base.family.startsWith("ip") && base.table === "filter" && /^[A-Z]/.test(base.name);
    if (isOfIptables) return { tool: `${tool}-nft`, chain };
    return { tool: "nft", chain: `${base.family} ${base.table} ${base.name}` };
}

const familiesOf = ({ family }: Chain): OtherFirewall["families"] =>
    ({ ip: [4] as const, ip6: [6] as const })[family] ?? [4, 6];

/** Chains in which a rule of theirs lets ours pass a base chain: itself, and those of its table that it jumps to. */
function membersOf(base: Chain, all: readonly Chain[]): Chain[] {
    const isOther = base.hook === "input" ? /forward|FWD|FORWARD|DOCKER-USER/ : /input|_IN_|^IN_/;
    const ofTable = all.filter(({ family, table }) => family === base.family && table === base.table);
    return ofTable.filter((chain) => chain === base || (chain.hook === undefined && !isOther.test(chain.name)));
}

/** A rule that names our bridges, `ln*`; on its input hook as where a packet comes from, or one for all that was led to where it is. */
function letsOursPass(rule: string, hook: OtherFirewall["hook"]): boolean {
    if (!/\b(accept|goto|jump)\b/.test(rule)) return false;
    if (hook === "forward") return rule.includes('"ln*"');
    return (/iifname "ln\*"/.test(rule) && !/ct state/.test(rule)) || /^ct status dnat (counter )?accept/.test(rule);
}

/**
 * Reads what the script printed: base chains of others that drop. A packet must pass every firewall of a host, so no rule
 * of ours can overrule them.
 * @param uplinks interfaces with a default route
 */
export function parseOtherFirewalls(
    sections: ReadonlyMap<string, string>,
    uplinks: readonly string[],
): OtherFirewall[] {
    const text = (name: string) => sections.get(name) ?? "";
    const all = [
        ...parseChains(text("other firewalls")),
        ...parseLegacy(text("legacy iptables"), "ip"),
        ...parseLegacy(text("legacy ip6tables"), "ip6"),
    ];
    return all.flatMap((base): OtherFirewall[] => {
        if (base.hook === undefined) return [];
        const end = describeEnd(base);
        const reason = end ?? describeLoopbackGuard(base);
        if (reason === undefined) return [];
        const hook = base.hook === "input" ? "input" : "forward";
        const product = productOf(
            all.filter(({ family, table }) => family === base.family && table === base.table),
            base,
        );
        const rules = membersOf(base, all).flatMap((chain) => chain.rules);
        const place = placeOf(product, base);
        return [
            {
                product,
                where: `${base.table === "" ? place.tool : `table ${base.family} ${base.table}`}, ${reason}`,
                hook,
                families: end === undefined ? [4] : familiesOf(base),
                drops: end === undefined ? "loopback" : "rest",
                letsPass: rules.some((rule) => letsOursPass(rule, hook)),
                ports: rules.flatMap((rule) => /dport (?:\{ )?([\d, -]+)/.exec(rule)?.[1]?.split(/, ?/) ?? []),
                place,
                uplinks,
            },
        ];
    });
}
