import type { BoxName } from "./layout.js";

/** What is asked in a box, and why the answers differ where they do. */
export interface Question {
    readonly title: string;
    readonly from: BoxName;
    /** For sh(1), with the functions below; what it prints is the answer. */
    readonly ask: string;
    /** Asked once `cache` is gone. */
    readonly isAfterwards?: true;
    /** Absent: both sides answer the same. */
    readonly difference?: string;
}

/** One line each, with what varies from one question to the next (order, identifiers, times) taken out. */
export const functions = `
line() { tr -s '\\n\\t ' ' ' | sed 's/ $//'; }
# The addresses that programs get from glibc.
found() { echo $(getent ahosts "$1" | awk '$2 == "STREAM" { print $1 }' | sort); }
ask() {
    out=$(dig +tries=1 +time=5 +noall +comments +answer "$@" 2>&1)
    got=$(printf '%s\\n' "$out" | awk '!/^;/ && NF > 4 { for (i = 5; i <= NF; i++) printf "%s ", $i; print "" }' | sort | line)
    [ -n "$got" ] || got=$(printf '%s\\n' "$out" | sed -n 's/.*status: \\([A-Z]*\\).*/\\1/p')
    echo "\${got:-no answer}"
}
# How long an answer is, and how it came.
size() {
    dig +tries=1 +time=5 +stats "$@" 2>&1 | awk '
        /Truncated/ { how = "truncated, then " }
        /flags:.* tc/ { how = how "cut short, " }
        /ANSWER:/ { sub(/.*ANSWER: /, ""); sub(/,.*/, ""); count = $0 }
        /SERVER:/ { by = /TCP/ ? "TCP" : "UDP" }
        END { print how by ", " count " records" }'
}
`;

const plain = "Names without a dot, and those in the networks' domains, are no others' business.";

export const questions: readonly Question[] = [
    { title: "own name", from: "web", ask: "found web" },
    { title: "a neighbour's name", from: "web", ask: "found api" },
    { title: "its alias", from: "web", ask: "found backend" },
    { title: "an alias with a dot", from: "web", ask: "found v1.backend" },
    { title: "name and network", from: "web", ask: "found api.front" },
    { title: "its alias and network", from: "web", ask: "found backend.front" },
    { title: "in capitals", from: "web", ask: "ask API" },
    { title: "with the last dot", from: "web", ask: "ask api." },
    { title: "an alias of two", from: "web", ask: "found pool" },
    {
        title: "which of the two comes first",
        from: "web",
        ask: "for i in $(seq 40); do dig +short pool | head -1; done | sort -u | line",
    },
    { title: "over TCP", from: "web", ask: "ask +tcp api" },
    { title: "IPv6", from: "web", ask: "ask api AAAA" },
    { title: "IPv6 of what has none", from: "db", ask: "ask api AAAA" },
    { title: "another type", from: "web", ask: "ask api MX" },
    {
        title: "time to live",
        from: "web",
        ask: "dig +noall +answer api | awk '{ print $2 }'",
        difference: "Docker lets askers keep a name for ten minutes; here a name that moves is found at once.",
    },
    {
        title: "a name on both networks",
        from: "api",
        ask: "found api",
        difference: "Docker answers by the first network that knows the name, we by all of them.",
    },
    { title: "neighbours on either network", from: "api", ask: "found web; found db" },
    { title: "a name of a network it is not in", from: "web", ask: "ask db" },
    { title: "an alias of a network it is not in", from: "web", ask: "ask reader" },
    { title: "nobody's name", from: "web", ask: "ask nobody" },
    { title: "nobody's name on the network", from: "web", ask: "ask nobody.front" },
    { title: "an address", from: "web", ask: "ask -x 172.30.1.11" },
    { title: "an IPv6 address", from: "web", ask: "ask -x fd00:30:1::11" },
    { title: "nobody's address", from: "web", ask: "ask -x 172.30.1.99" },
    { title: "an address of a network it is not in", from: "web", ask: "ask -x 172.30.2.20" },
    { title: "an external name", from: "web", ask: "found www.example" },
    { title: "an external name with IPv4 only", from: "web", ask: "ask four.example AAAA" },
    { title: "an external alias", from: "web", ask: "ask alias.example" },
    { title: "external mail servers", from: "web", ask: "ask www.example MX" },
    { title: "an external service", from: "web", ask: "ask _http._tcp.example SRV" },
    { title: "an external address", from: "web", ask: "ask -x 192.0.2.10" },
    { title: "an external name that is not there", from: "web", ask: "ask nobody.example" },
    { title: "an external answer of 800 bytes", from: "web", ask: "size long.example TXT" },
    { title: "the same without EDNS", from: "web", ask: "size +noedns long.example TXT" },
    { title: "of 1,600 bytes", from: "web", ask: "size longer.example TXT" },
    { title: "of 6,000 bytes", from: "web", ask: "size longest.example TXT" },
    { title: "of 6,000 bytes, over TCP", from: "web", ask: "size +tcp longest.example TXT" },
    { title: "forty external addresses", from: "web", ask: "getent ahostsv4 many.example | grep -c STREAM" },
    { title: "a neighbour on an internal network", from: "db", ask: "found api" },
    {
        title: "an external name on an internal network",
        from: "db",
        ask: "ask www.example",
        difference: "Docker 20.10 lets the question run into its limit of time; here it fails at once.",
    },
    {
        title: "an external address on an internal network",
        from: "db",
        ask: "ask -x 192.0.2.10",
        difference: "The same.",
    },
    { title: "an external name, on this and another network", from: "api", ask: "ask four.example" },
    { title: "search domain", from: "tuned", ask: "found intranet" },
    { title: "search domain and neighbour", from: "tuned", ask: "found api" },
    { title: "ndots: 2, a name with one dot", from: "tuned", ask: "found a.b" },
    { title: "the only server refuses", from: "cut", ask: "ask www.example" },
    { title: "a neighbour, with that server", from: "cut", ask: "found api" },
    { title: "the first server refuses, the second answers", from: "second", ask: "found www.example" },
    { title: "the first server is silent, the second answers", from: "silent", ask: "found www.example" },
    {
        title: "its own hostname",
        from: "web",
        ask: '[ "$(found "$(hostname)")" ] && echo found',
        difference:
            "A container has a hostname of its own. In a sandbox `hostname` says the host's name, which is nobody's on its networks; programs that look it up need it in `extraHosts`, or nss-myhostname(8).",
    },
    { title: "a name that is gone", from: "web", ask: "ask cache", isAfterwards: true },
    { title: "an alias of two, one of which is gone", from: "web", ask: "found pool", isAfterwards: true },
    { title: "an address that is gone", from: "web", ask: "ask -x 172.30.1.12", isAfterwards: true },
    { title: "no search domain", from: "web", ask: "found intranet" },
    { title: "options", from: "web", ask: "grep options /etc/resolv.conf | line" },
    { title: "options given", from: "tuned", ask: "grep -E 'options|search' /etc/resolv.conf | line" },
    {
        title: "extra hosts",
        from: "web",
        ask: "found registry; found gateway",
        difference:
            "`host-gateway` of Docker is the address of its default bridge, ours that of the network's gateway, in both families.",
    },
    {
        title: "the host",
        from: "web",
        ask: "found host.docker.internal",
        difference: "Docker on Linux has the name when it is given by `--add-host`.",
    },
    { title: "extra hosts, by dig", from: "web", ask: "ask registry" },
    { title: "at 127.0.0.11", from: "web", ask: "ask @127.0.0.11 api" },
    {
        title: "at the gateway",
        from: "web",
        ask: "ask @172.30.1.1 api",
        difference: "Docker answers inside the container alone.",
    },
    { title: "at the gateway of another network", from: "web", ask: "ask @172.30.2.1 api" },
    { title: "localhost", from: "web", ask: "found localhost" },
    { title: "localhost, by dig", from: "web", ask: "ask localhost" },
    {
        title: "nslookup",
        from: "web",
        ask: "nslookup api | awk '/^Address/ { print $2 }' | line",
        difference: "Both name the server in resolv.conf: there 127.0.0.11, here the gateway. 127.0.0.11 answers too.",
    },
    {
        title: "nslookup of an address",
        from: "web",
        ask: "nslookup 172.30.1.11 | grep -o 'name = .*' | line",
    },
    {
        title: "Node dns.lookup",
        from: "web",
        ask: `$node -e 'require("dns").lookup("api", { all: true }, (e, a) => console.log(e ? e.code : a.map((b) => b.address).sort().join(" ")))'`,
    },
    {
        title: "Node dns.resolve4",
        from: "web",
        ask: `$node -e 'require("dns").resolve4("api", (e, a) => console.log(e ? e.code : a.join(" ")))'`,
    },
    {
        title: "Node dns.resolve6",
        from: "web",
        ask: `$node -e 'require("dns").resolve6("api", (e, a) => console.log(e ? e.code : a.join(" ")))'`,
    },
    {
        title: "Node dns.reverse",
        from: "web",
        ask: `$node -e 'require("dns").reverse("172.30.1.11", (e, a) => console.log(e ? e.code : a.join(" ")))'`,
    },
];

/** Names of nobody outside, and whether they come up there. */
export const leaks: readonly (Omit<Question, "from" | "ask"> & { readonly name: string })[] = [
    { title: "asked for outside: nobody's name", name: "nobody", difference: plain },
    { title: "asked for outside: nobody's name on the network", name: "nobody.front", difference: plain },
    { title: "asked for outside: a name of a network it is not in", name: "db", difference: plain },
    { title: "asked for outside: a neighbour's name", name: "api" },
    { title: "asked for outside: nobody's address", name: "99.1.30.172.in-addr.arpa" },
];
