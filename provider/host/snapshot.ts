import { type ExceptionItem, exceptionType, lookForException } from "../kernel/exception.js";
import { observedFiles } from "../kernel/file.js";
import type { Item } from "../kernel/item.js";
import { netnsFileSources } from "../kernel/netns-file.js";
import { normaliseParts } from "../kernel/nft.js";
import { lookAtResolvers, parseResolvers } from "../kernel/resolver.js";
import { recoverScript } from "../kernel/restore.js";
import { ownProtocol } from "../kernel/route.js";
import type {
    FdbJson,
    LinkJson,
    NamespaceSnapshot,
    NeighbourJson,
    RouteJson,
    RuleJson,
    Snapshot,
    TableSnapshot,
} from "../kernel/snapshot.js";
import { lookAtWireguard, parseWireguard } from "../kernel/wireguard.js";
import { parseXfrm } from "../kernel/xfrm-show.js";
import { isIpv6 } from "../model/ipv6.js";
import { fragmentPath, keyPath, manifestDirectory, printManifest, runDirectory } from "./manifest.js";
import { type Group, quote } from "./quote.js";
import { parseJsonLines, parseSections } from "./sections.js";

/** Paths whose existence tells whether an item is there. */
const observedPaths = ["/proc/sys/net/bridge", fragmentPath("*"), keyPath("*")];

const families = ["inet", "bridge"] as const;

function namespacesOf(items: readonly Item[]): string[] {
    const names = items.map((item) => (item.type === "netns" ? item.name : "netns" in item ? item.netns : undefined));
    return [...new Set(names.filter((name) => name !== undefined))];
}

function sysctlsOf(items: readonly Item[]): Map<string, string[]> {
    const byNamespace = new Map<string, string[]>();
    for (const item of items) {
        if (item.type !== "sysctl") continue;
        const keys = byNamespace.get(item.netns ?? "");
        if (keys === undefined) byNamespace.set(item.netns ?? "", [item.key]);
        else keys.push(item.key);
    }
    return byNamespace;
}

const keysOf = (keys: readonly string[]) => keys.map(quote).join(" ");

/** The host's own routes may be very many; the kernel picks those that are ours, of both families. */
const ownRoutes = `route show table all proto ${ownProtocol}`;

const isOwnRoute = (item: Item) => item.type === "barrier" || (item.type === "route" && item.netns === undefined);

const namespaceShows = ["addr show", "route show table all type unicast", "rule show"];
/** A kernel without IPv6 (ipv6.disable=1) answers with half of a list. */
const whereIpv6 = "[ ! -e /proc/sys/net/ipv6 ] ||";
/** Of all families but rules, which are shown for one. */
const ipv6Shows = ["rule show"];

/**
 * Shell functions. `read_sysctls` prints `key:value`; not by `read`: dash reads byte by byte, and a number in /proc/sys ends
 * after the first read. /proc/sys/net shows the namespace of who opens it.
 */
const readers = `cd /proc/sys
read_sysctls() { grep -s '' "$@" /dev/null; }
look_inside() {
    if [ ! -e "/run/netns/$1" ]; then return; fi
    echo "@@ namespace $1"
    ip -n "$1" -j -batch - <<'END'
${namespaceShows.join("\n")}
END
    if [ $# -eq 1 ]; then return; fi
    echo "@@ sysctl $1"
    n=/run/netns/$1
    shift
    nsenter --net="$n" grep -s '' "$@" /dev/null
}
look_inside6() {
    look_inside "$@"
    if [ ! -e "/run/netns/$1" ]; then return; fi
    echo "@@ namespace $1"
    ${whereIpv6} ip -n "$1" -6 -j ${ipv6Shows.join()}
}`;

/**
 * A look into a namespace is a process of 1-2 ms that also waits for the kernel (its mount namespace goes with it), so many
 * looks are taken by several at once, each into a file that has no name any more.
 */
const lookers = [3, 4, 5, 6] as const;
const fewNamespaces = 6;

function lookInside(
    items: readonly Item[],
    sysctls: ReadonlyMap<string, readonly string[]>,
): Record<"start" | "end", string[]> {
    const withRules6 = new Set(
        items.flatMap((item) => (item.type === "rule" && isIpv6(item.from) ? [item.netns] : [])),
    );
    const looks = namespacesOf(items).map((netns) => {
        const look = withRules6.has(netns) ? "look_inside6" : "look_inside";
        return `${look} ${keysOf([netns, ...(sysctls.get(netns) ?? [])])}`;
    });
    if (looks.length <= fewNamespaces) return { start: looks, end: [] };
    const files = lookers.map((looker) => `${looker}>"$t/${looker}"`).join(" ");
    return {
        start: [
            `t=$(mktemp -d /run/linuxnet-look.XXXXXX) && exec ${files} && rm -rf "$t" || exit 1`,
            ...lookers.map((looker, i) => {
                const own = looks.filter((_, k) => k % lookers.length === i);
                return `{\n${own.join("\n")}\n} >&${looker} 2>/dev/null &`;
            }),
        ],
        end: ["wait", `cat ${lookers.map((looker) => `/proc/self/fd/${looker}`).join(" ")}`],
    };
}

/** Batch lines that read back what a transaction touched by one tool in one namespace; nft has its own atomicity. */
export function readBackLines(items: readonly Item[], { tool, netns }: Pick<Group, "tool" | "netns">): string[] {
    if (tool === "ip6") return ipv6Shows;
    if (tool !== "ip") return [];
    if (netns !== undefined) return namespaceShows;
    const names = items.flatMap((item) => {
        if (item.type === "bridge" || item.type === "veth" || item.type === "vxlan") return [item.name];
        if (item.type === "wireguard") return [item.name];
        return item.type === "address" && item.netns === undefined ? [item.dev] : [];
    });
    const shows = [...new Set(names)].map((name) => `addr show dev ${name}`);
    if (items.some(isOwnRoute)) shows.push(ownRoutes);
    return items.some(({ type }) => type === "reply-rule") ? [...shows, "rule show"] : shows;
}

/** Waits for a running transaction, and ends what a killed one left before anybody looks. */
const settleTransactions = `r=${runDirectory}
if [ -s $r/undo ] && command exec 9>>$r/lock; then
    if flock -w 60 9 && [ $r/lock -ef /proc/self/fd/9 ]; then
        ${recoverScript.trim().replaceAll("\n", "\n        ")}
        if [ ! -f ${manifestDirectory}/generation ] && [ ! -s $r/undo ]; then rm -rf $r; fi
    fi
    exec 9>&-
fi`;

function lookForExceptions(items: readonly Item[]): string[] {
    const exceptions = items.filter((item): item is ExceptionItem => item.type === "exception");
    if (exceptions.length === 0) return [];
    const looks = exceptions.map((item) => {
        const look = lookForException(item).map(quote).join(" ");
        return `if ${look} </dev/null >/dev/null 2>&1; then echo ${quote(exceptionType.key(item))}; fi`;
    });
    return ["echo '@@ exceptions'", ...looks];
}

/** The paths that are there, and each line behind its path: one process for any number of files. */
function lookAtNetnsFiles(items: readonly Item[]): string[] {
    const paths = [...new Set(items.flatMap((item) => (item.type === "netns-file" ? netnsFileSources(item) : [])))];
    return paths.length === 0
        ? []
        : [
              "echo '@@ netns files'",
              `for f in ${keysOf(paths)}; do if [ -e $f ]; then echo $f; fi; done; grep -s '' ${keysOf(paths)} /dev/null`,
          ];
}

/** Reads everything the items are about, and the manifest, in one go. */
export function snapshotScript(items: readonly Item[]): string {
    const sysctls = sysctlsOf(items);
    const hasTunnel = items.some((item) => item.type === "vxlan");
    const isEncrypted = items.some(({ type }) => type === "xfrm-policy");
    const hasIpv6 = items.some((item) => item.type === "address" && item.netns === undefined && isIpv6(item.address));
    const hostKeys = sysctls.get("") ?? [];
    const inside = lookInside(items, sysctls);
    return [
        "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C",
        "export PATH LC_ALL",
        settleTransactions,
        printManifest,
        "print_manifest",
        // After the token: who changes the kernel while it is looked at is found out at commit.
        readers,
        ...inside.start,
        "echo '@@ links'",
        "ip -j -d addr show",
        // The host's own routes may be very many; the kernel picks these.
        "echo '@@ routes'",
        "ip -4 -j route show table main proto kernel",
        ...(hasIpv6 ? [`${whereIpv6} ip -6 -j route show table main proto kernel`] : []),
        ...(items.some(isOwnRoute) ? ["echo '@@ own routes'", `ip -j ${ownRoutes}`] : []),
        ...(items.some(({ type }) => type === "reply-rule")
            ? ["echo '@@ rules'", "ip -j rule show", `${whereIpv6} ip -6 -j rule show`]
            : []),
        ...(hasTunnel
            ? ["echo '@@ neighbours'", "ip -j neigh show nud permanent", "echo '@@ fdb'", "bridge -j fdb show"]
            : []),
        ...(isEncrypted
            ? [
                  ...["echo '@@ xfrm states'", "ip xfrm state list nokeys"],
                  ...["echo '@@ xfrm policies'", "ip xfrm policy list"],
              ]
            : []),
        ...(items.some(({ type }) => type === "wireguard") ? lookAtWireguard : []),
        ...(items.some(({ type }) => type === "resolver" || type === "names") ? lookAtResolvers : []),
        ...(hostKeys.length > 0 ? ["echo '@@ sysctl '", `read_sysctls ${keysOf(hostKeys)}`] : []),
        ...families.flatMap((family) => [
            `echo '@@ nft ${family}'`,
            `nft -j list table ${family} linuxnet 2>/dev/null`,
        ]),
        "echo '@@ paths'",
        `for f in ${observedPaths.join(" ")}; do if [ -e $f ]; then echo $f; fi; done`,
        ...(items.some(({ type }) => type === "restore-script")
            ? observedFiles.map((path) => `if [ -s ${path} ]; then echo '@@ file ${path}'; cat ${path}; echo; fi`)
            : []),
        ...lookAtNetnsFiles(items),
        ...lookForExceptions(items),
        ...inside.end,
        "echo '@@ end'",
        "",
    ].join("\n");
}

/** Content by path. */
function parseNetnsFiles(body = ""): Map<string, string> {
    const files = new Map<string, string>();
    for (const [, path = "", line] of body.matchAll(/^([^:\n]+)(?::(.*))?$/gm))
        files.set(path, line === undefined ? "" : `${files.get(path) ?? ""}${line}\n`);
    return files;
}

function parseLinks(links: readonly LinkJson[]): Map<string, LinkJson> {
    return new Map(links.filter((link) => link.ifname !== undefined).map((link) => [link.ifname, link]));
}

function parseSysctls(body: string | undefined): Map<string, string> {
    const lines = (body ?? "").split("\n").filter((line) => line !== "");
    return new Map(
        lines.map((line) => {
            const colon = line.indexOf(":");
            // A key may hold several numbers (ip_local_port_range); one blank between them, as sysctl(8) writes it.
            const value = line.slice(colon + 1).replace(/\s+/g, " ");
            return [line.slice(0, colon), value.trim()];
        }),
    );
}

type ChainJson = {
    readonly name: string;
    readonly type?: string;
    readonly hook?: string;
    readonly prio?: number;
    readonly policy?: string;
};

function parseChain({ type, hook, prio, policy }: ChainJson): { hook?: string; comments: string[] } {
    return { ...(hook === undefined ? {} : { hook: `${type} ${hook} ${prio} ${policy}` }), comments: [] };
}

type NftJson = {
    readonly nftables?: readonly {
        readonly chain?: ChainJson;
        readonly counter?: { readonly name: string };
        readonly rule?: { readonly chain: string; readonly comment?: string };
        readonly set?: { readonly name: string; readonly elem?: readonly unknown[] };
        readonly map?: { readonly name: string; readonly elem?: readonly unknown[] };
    }[];
};

function parseTable(body: string | undefined): TableSnapshot {
    const chains = new Map<string, { hook?: string; comments: string[] }>();
    const elements = new Map<string, Map<string, string>>();
    const counters = new Set<string>();
    const json: NftJson = body === undefined || body.trim() === "" ? {} : JSON.parse(body);
    for (const entry of json.nftables ?? []) {
        if (entry.chain !== undefined) chains.set(entry.chain.name, parseChain(entry.chain));
        if (entry.counter !== undefined) counters.add(entry.counter.name);
        if (entry.rule !== undefined) chains.get(entry.rule.chain)?.comments.push(entry.rule.comment ?? "");
        if (entry.set !== undefined) {
            elements.set(entry.set.name, new Map((entry.set.elem ?? []).map((key) => [normaliseParts(key), ""])));
        }
        if (entry.map !== undefined) {
            const pairs = (entry.map.elem ?? []) as [unknown, unknown][];
            elements.set(
                entry.map.name,
                new Map(pairs.map(([key, value]) => [normaliseParts(key), normaliseParts(value)])),
            );
        }
    }
    return { chains, elements, counters };
}

/** Of those that lead to another host. */
function parseFdb(entries: readonly FdbJson[]): Set<string> {
    const sent = entries.filter((entry) => entry.dst !== undefined);
    return new Set(sent.map((entry) => `${entry.ifname} ${entry.mac} ${entry.dst}`));
}

const linesOf = (body = "") => new Set(body.split("\n").filter((line) => line !== ""));

export function parseSnapshot(stdout: string): Snapshot {
    const sections = parseSections(stdout);
    const namespaces = new Map<string, NamespaceSnapshot>();
    // What a transaction reads back stands in one section.
    const shown = parseJsonLines<(LinkJson | RouteJson | RuleJson)[]>(sections.get("links")).flat();
    const rules = [...shown, ...parseJsonLines<RuleJson[]>(sections.get("rules")).flat()];
    const readBack = shown.filter((entry): entry is RouteJson => "dst" in entry);
    namespaces.set("", {
        links: parseLinks(shown.filter((entry): entry is LinkJson => "ifname" in entry)),
        ...(sections.has("routes") ? { routes: parseJsonLines<RouteJson[]>(sections.get("routes")).flat() } : {}),
        ownRoutes: [...readBack, ...parseJsonLines<RouteJson[]>(sections.get("own routes")).flat()],
        rules: rules.filter((entry): entry is RuleJson => "priority" in entry),
        sysctls: parseSysctls(sections.get("sysctl")),
    });
    for (const [name, body] of sections) {
        if (!name.startsWith("namespace ")) continue;
        const netns = name.slice("namespace ".length);
        const [links, routes = [], rules = [], rules6 = []] = parseJsonLines<unknown[]>(body);
        // A name that leads nowhere: ip could not enter.
        if (links === undefined) continue;
        namespaces.set(netns, {
            links: parseLinks(links as LinkJson[]),
            routes: routes as RouteJson[],
            rules: [...rules, ...rules6] as RuleJson[],
            sysctls: parseSysctls(sections.get(`sysctl ${netns}`)),
        });
    }
    const neighbours = parseJsonLines<NeighbourJson[]>(sections.get("neighbours")).flat();
    return {
        namespaces,
        neighbours: new Set(neighbours.map((entry) => `${entry.dev} ${entry.dst} ${entry.lladdr}`)),
        fdb: parseFdb(parseJsonLines<FdbJson[]>(sections.get("fdb")).flat()),
        tables: new Map(families.map((family) => [family, parseTable(sections.get(`nft ${family}`))])),
        paths: linesOf(sections.get("paths")),
        exceptions: linesOf(sections.get("exceptions")),
        ...(sections.has("xfrm states")
            ? { xfrm: parseXfrm(sections.get("xfrm states") ?? "", sections.get("xfrm policies") ?? "") }
            : {}),
        wireguard: parseWireguard(sections.get("wireguard") ?? ""),
        ...parseResolvers(sections),
        files: new Map([
            ...[...sections].flatMap(([name, body]): [string, string][] =>
                name.startsWith("file ") ? [[name.slice(5), body]] : [],
            ),
            ...parseNetnsFiles(sections.get("netns files")),
        ]),
    };
}
