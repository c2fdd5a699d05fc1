import { expect } from "vitest";
import type { LabHost } from "../../lab/index.js";
import { macOf } from "../../provider/model/mac.js";

type Json = Record<string, unknown>;

/** What a host carries of ours, in a form in which two hosts with the same objects are equal; compare with `toEqual`. */
export type HostState = {
    /** By namespace; "" is the host itself. */
    readonly links: Readonly<Record<string, unknown>>;
    readonly routes: Readonly<Record<string, readonly string[]>>;
    readonly rules: Readonly<Record<string, readonly string[]>>;
    readonly forwarding: readonly string[];
    readonly neighbours: readonly string[];
    readonly tables: Readonly<Record<string, unknown>>;
    readonly sysctls: readonly string[];
    /** File below /var/lib/linuxnet, but for the host's identity -> its content without what changes with each creation. */
    readonly files: Readonly<Record<string, unknown>>;
    /** Lines of the files below /etc/netns. */
    readonly names: string;
    /** What is left of a transaction: nothing, at any time. */
    readonly leftOvers: string;
};

const script = `section() { printf '\\n=== %s\\n' "$1"; }
show() { section "addr $1"; ip $2 -j -d addr; section "route $1"; ip $2 -j route show table all; section "rule $1"; ip $2 -j rule; }
show "" ""
for n in $(ls /run/netns 2>/dev/null); do
    show "$n" "-n $n"
    section "sysctl $n"; nsenter --net=/run/netns/$n sh -c 'cd /proc/sys && grep -s . net/ipv4/ip_unprivileged_port_start net/ipv4/ip_default_ttl net/core/somaxconn'
done
section neigh; ip -j neigh show nud permanent
section fdb; bridge -j fdb show
section nft; nft -j -s list ruleset
section sysctl; cd /proc/sys && grep -s . net/ipv4/conf/*/forwarding net/ipv4/conf/l[a-z]*/route_localnet net/ipv4/conf/l[a-z]*/send_redirects
section files; cd /var/lib/linuxnet 2>/dev/null && find . -path ./identity -prune -o -type f -print | sort | while read -r f; do echo "@ $f"; cat "$f"; done
section names; cd /etc/netns 2>/dev/null && grep -s '' */* | sed 's/ *$//' | grep -v ':$' | sort
section left; if [ -f /run/linuxnet/undo ]; then cat /run/linuxnet/undo; fi
exit 0`;

/** Everything of a host that its objects decide, in one command. */
export async function readHostState(host: Pick<LabHost, "exec" | "address" | "machineId">): Promise<HostState> {
    const { stdout } = await host.exec(script);
    const sections = new Map<string, string>();
    const anonymous = withoutReplyMarks(stdout)
        .replaceAll(host.address, "HOST")
        .replaceAll(macOf(host.address), "HOST-MAC")
        .replaceAll(host.machineId, "MACHINE");
    for (const part of anonymous.split(/^=== /m)) {
        const end = part.indexOf("\n");
        if (end > 0) sections.set(part.slice(0, end), part.slice(end + 1).trim());
    }
    const text = (name: string) => sections.get(name) ?? "";
    const json = (name: string): Json[] => JSON.parse(text(name) || "[]");
    const namespaces = [...sections.keys()].flatMap((name) => /^addr (.*)$/.exec(name)?.[1] ?? []);
    const rename = renameTables(namespaces.map((name) => [name, json(`rule ${name}`)] as const));
    const each = <T>(read: (name: string) => T) => Object.fromEntries(namespaces.map((name) => [name, read(name)]));
    return {
        links: each((name) => describeLinks(json(`addr ${name}`), name === "")),
        routes: each((name) =>
            json(`route ${name}`)
                .filter(({ dev }) => name !== "" || !["eth0", "lo"].includes(String(dev)))
                // They come with a bridge's carrier.
                .filter(({ type }) => type !== "multicast")
                .map((route) => rename(name, words(route, ["type", "dst", "gateway", "dev", "table", "prefsrc"])))
                .sort(),
        ),
        rules: each((name) =>
            json(`rule ${name}`)
                .map((rule) => rename(name, words(rule, ["priority", "src", "table"])))
                .sort(),
        ),
        forwarding: json("fdb")
            .filter(({ dst, state }) => dst !== undefined || state === "static")
            .map((entry) => words(entry, ["ifname", "mac", "dst", "master", "state"]))
            .sort(),
        neighbours: json("neigh")
            .map((entry) => words(entry, ["dev", "dst", "lladdr"]))
            .sort(),
        tables: describeTables(JSON.parse(text("nft") || "{}").nftables ?? []),
        sysctls: [
            ...text("sysctl").split("\n"),
            ...namespaces.flatMap((name) => (name === "" ? [] : `${name}: ${text(`sysctl ${name}`)}`)),
        ],
        files: describeFiles(text("files"), rename),
        names: text("names"),
        leftOvers: text("left"),
    };
}

function words(entry: Json, names: readonly string[]): string {
    return names.flatMap((name) => (entry[name] === undefined ? [] : `${name} ${entry[name]}`)).join(", ");
}

/** Routing tables are numbered in the order in which endpoints came; here they are called by their endpoint's address. */
function renameTables(rules: readonly (readonly [string, readonly Json[]])[]): (netns: string, text: string) => string {
    const names = new Map<string, string>();
    for (const [netns, entries] of rules) {
        for (const { priority, src } of entries) if (src !== "all") names.set(`${netns} ${priority}`, `of ${src}`);
    }
    return (netns, text) =>
        text.replace(/\b(table|priority|lookup) (\d+)/g, (all, word, number) => {
            const name = names.get(`${netns} ${number}`);
            return name === undefined ? all : `${word} ${name}`;
        });
}

/** Interfaces without what the kernel chose: indexes, MACs of veths and tunnels. */
function describeLinks(links: readonly Json[], isHost: boolean): Json {
    const described = links
        .filter(({ ifname }) => !isHost || !["eth0", "lo"].includes(String(ifname)))
        .map((link): [string, unknown] => {
            const info = (link["linkinfo"] ?? {}) as Json;
            const kind = info["info_kind"];
            const data = (info["info_data"] ?? {}) as Json;
            const port = (info["info_slave_data"] ?? {}) as Json;
            const hasOwnMac = !isHost || kind === "bridge";
            const dataNames = [
                "id",
                "local",
                "port",
                "learning",
                "nf_call_iptables",
                "nf_call_ip6tables",
                "forward_delay",
            ];
            const portNames = ["hairpin", "learning", "neigh_suppress", "flood", "mcast_flood", "bcast_flood"];
            const addresses = (link["addr_info"] as Json[]).map((entry) =>
                words(entry, ["local", "prefixlen", "scope"]),
            );
            return [
                String(link["ifname"]),
                {
                    about: words(link, ["mtu", "master", "ifalias", "group", "inet6_addr_gen_mode"]),
                    isUp: (link["flags"] as string[]).includes("UP"),
                    mac: hasOwnMac ? link["address"] : "any",
                    kind: `${kind} ${words(data, dataNames)}`,
                    port: words(port, portNames),
                    addresses: addresses.sort(),
                },
            ];
        });
    return Object.fromEntries(described.sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** nft's JSON without handles and without what counters have counted; elements and chains in order of their names, rules in their own. */
function describeTables(entries: readonly Record<string, Json>[]): Json {
    const described = new Map<string, unknown>();
    const rules = new Map<string, unknown[]>();
    for (const entry of entries) {
        const [kind = "", { handle: _, ...all } = {}] = Object.entries(entry)[0] ?? [];
        if (kind === "metainfo") continue;
        const { packets: _packets, bytes: _bytes, ...value } = all;
        const name = `${kind} ${value["family"]} ${value["table"] ?? ""} ${value["name"] ?? value["chain"]}`;
        if (kind === "rule") {
            const list = rules.get(name) ?? [];
            rules.set(name, [...list, { expr: value["expr"], comment: value["comment"] }]);
            continue;
        }
        const elements = ((value["elem"] ?? []) as unknown[]).map((element) => JSON.stringify(element)).sort();
        described.set(name, { ...value, elem: elements });
    }
    return Object.fromEntries([...described, ...rules].sort(([a], [b]) => (a < b ? -1 : 1)));
}

function describeFiles(text: string, rename: (netns: string, text: string) => string): Json {
    const files = text
        .split(/^@ /m)
        .slice(1)
        .map((part): [string, unknown] => {
            const end = part.indexOf("\n");
            const [path, content] = [part.slice(0, end), part.slice(end + 1)];
            if (path === "./generation") return [path, "a token"];
            if (path.endsWith(".restore")) {
                const lines = content.trim().split("\n");
                return [path, lines.map((line) => rename(line.split(" ")[2] ?? "", line)).sort()];
            }
            if (!path.endsWith(".json")) return [path, content];
            const { generation: _generation, routingTable: _table, host: _host, ...object } = JSON.parse(content);
            return [path, object];
        });
    return Object.fromEntries(files);
}

/** Which of two states a host is in. @throws with the difference from the first when it is in none of them. */
export async function expectOneOf(
    host: LabHost,
    what: string,
    states: Readonly<Record<string, HostState>>,
): Promise<string> {
    const now = await readHostState(host);
    const found = Object.entries(states).find(([, state]) => JSON.stringify(state) === JSON.stringify(now));
    if (found === undefined)
        expect(now, `${what}: ${Object.keys(states).join(" or ")}`).toEqual(Object.values(states)[0]);
    return found?.[0] ?? "";
}

/** Marks are handed out in the order in which tunnels come; here they are numbered by tunnel and peer. */
function withoutReplyMarks(stdout: string): string {
    const marks = [...stdout.matchAll(/^.*"kind":"overlay-tunnel".*$/gm)].flatMap(([object]) => {
        const [, key] = /"key":"(\w+)"/.exec(object) ?? [];
        return [...object.matchAll(/"replyMark":(\d+)/g)].map(([, mark = ""], i) => ({ mark, peer: `${key} ${i}` }));
    });
    marks.sort((a, b) => (a.peer < b.peer ? -1 : 1));
    let text = stdout;
    for (const [i, { mark }] of marks.entries()) {
        const number = 1999000000 + i;
        text = text.replaceAll(mark, String(number));
        text = text.replaceAll(`0x${Number(mark).toString(16)}`, `0x${number.toString(16)}`);
    }
    return text;
}
