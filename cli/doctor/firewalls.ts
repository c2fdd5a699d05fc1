import type { Check } from "./checks.js";
import type { Chain, HostState } from "./state.js";

/** Someone else's say in what the host forwards: a table of nft (iptables-nft too), or legacy iptables. */
interface Firewall {
    /** For messages. */
    readonly where: string;
    readonly family: string;
    readonly table: string;
    readonly chains: readonly string[];
    /** Base chains on the forward hook that drop what no rule of theirs accepts. */
    readonly dropping: readonly string[];
    readonly isException: boolean;
}

const isLegacy = (firewall: Firewall) => firewall.table === "";

/** `ip6` sees nothing of IPv4 networks; all bridge frames of ours become packets of these two (br_netfilter). */
const families = ["ip", "inet"];

function findFirewalls({ chains = [], exceptions, legacyRules }: HostState): Firewall[] {
    const tables = new Map<string, Chain[]>();
    for (const chain of chains) {
        if (!families.includes(chain.family) || chain.table === "linuxnet") continue;
        const at = `${chain.family} ${chain.table}`;
        tables.set(at, [...(tables.get(at) ?? []), chain]);
    }
    const found = [...tables].map(
        ([at, members]): Firewall => ({
            where: `table ${at}`,
            family: members[0]?.family ?? "",
            table: members[0]?.table ?? "",
            chains: members.map((chain) => chain.name),
            dropping: members
                .filter(({ hook, policy }) => hook === "forward" && policy === "drop")
                .map((chain) => chain.name),
            isException: exceptions.includes(at),
        }),
    );
    if (legacyRules.length === 0) return found;
    const declared = legacyRules.flatMap((rule) => /^-[PN] (\S+)/.exec(rule)?.[1] ?? []);
    const legacy: Firewall = {
        where: "iptables-legacy",
        family: "ip",
        table: "",
        chains: declared,
        dropping: legacyRules.includes("-P FORWARD DROP") ? ["FORWARD"] : [],
        isException: legacyRules.some((rule) => / ln\+ /.test(rule)),
    };
    return [...found, legacy];
}

interface Product {
    readonly name: string;
    isAt(firewall: Firewall): boolean;
    /** Drops although its base chain says accept. */
    readonly dropsByRule?: true;
    /** The remedy is written into its own files. */
    readonly keepsRules?: true;
    remedy(firewall: Firewall): string[];
}

const iptables = (firewall: Firewall) => (isLegacy(firewall) ? "iptables-legacy" : "iptables");

/** In the order in which they are asked; the last one is everybody else. */
const products: readonly Product[] = [
    {
        name: "Docker",
        isAt: ({ chains }) => chains.includes("DOCKER-USER"),
        remedy: (firewall) => [
            `${iptables(firewall)} -I DOCKER-USER -i ln+ -j ACCEPT; ${iptables(firewall)} -I DOCKER-USER -o ln+ -j ACCEPT`,
        ],
    },
    {
        name: "ufw",
        isAt: ({ chains }) => chains.includes("ufw-before-forward"),
        keepsRules: true,
        remedy: () => [
            "in /etc/ufw/before.rules, before COMMIT of *filter: -A ufw-before-forward -i ln+ -j ACCEPT",
            "and below it: -A ufw-before-forward -o ln+ -j ACCEPT",
            "ufw reload",
        ],
    },
    {
        name: "firewalld",
        isAt: ({ table, chains }) => table === "firewalld" || chains.includes("FORWARD_IN_ZONES"),
        dropsByRule: true,
        keepsRules: true,
        remedy: () => ["firewall-cmd --permanent --zone=trusted --add-interface=ln+ && firewall-cmd --reload"],
    },
    {
        name: "another firewall",
        isAt: () => true,
        remedy: (firewall) =>
            isLegacy(firewall)
                ? ["iptables-legacy -I FORWARD -i ln+ -j ACCEPT; iptables-legacy -I FORWARD -o ln+ -j ACCEPT"]
                : firewall.dropping.flatMap((chain) =>
                      ["iifname", "oifname"].map(
                          (side) =>
                              `nft insert rule ${firewall.family} ${firewall.table} ${chain} ${side} '"ln*"' accept`,
                      ),
                  ),
    },
];

function checkFirewall(firewall: Firewall, product: Product): Check {
    const name = "other firewalls";
    const drops = firewall.dropping.length > 0 || product.dropsByRule === true;
    if (!drops)
        return { name, result: "ok", found: `${product.name} (${firewall.where}) forwards what it does not know` };
    if (firewall.isException)
        return {
            name,
            result: "ok",
            found: `${product.name} (${firewall.where}) lets the networks' bridges (ln*) pass`,
        };
    const chain = firewall.dropping.length > 0 ? `, policy drop in ${firewall.dropping.join(", ")}` : "";
    return {
        name,
        result: "problem",
        found: `${product.name} (${firewall.where}${chain}) drops what sandboxes send and what is published`,
        remedy: [
            ...product.remedy(firewall),
            ...(product.keepsRules ? [] : ["and make it last over a restart of the host and of that firewall"]),
        ],
    };
}

/** A packet must pass every firewall of a host: no rule of ours can overrule one of theirs. */
export function checkFirewalls(state: HostState): Check[] {
    const checks = findFirewalls(state).flatMap((firewall) => {
        // Docker and ufw may share one table: each has its own remedy.
        const known = products.slice(0, -1).filter((product) => product.isAt(firewall));
        const concerned = known.length > 0 ? known : firewall.dropping.length > 0 ? products.slice(-1) : [];
        return concerned.map((product) => checkFirewall(firewall, product));
    });
    const ufwIsLoaded = checks.some(({ found }) => found.startsWith("ufw "));
    if (state.ufwIsEnabled && !ufwIsLoaded) {
        checks.push({
            name: "other firewalls",
            result: "warning",
            found: "ufw is enabled but not loaded; once it is, it may drop what the networks forward",
            remedy: ["start ufw, then run linuxnet doctor again"],
        });
    }
    return checks.length > 0
        ? checks
        : [{ name: "other firewalls", result: "ok", found: "none drops what is forwarded" }];
}
