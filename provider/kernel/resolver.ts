import { isEqual } from "../model/equal.js";
import type { ItemType } from "./item.js";
import type { Line } from "./line.js";
import type { Snapshot } from "./snapshot.js";

/**
 * A dnsmasq(8) on the host, for all sandboxes that see the same: the names of the same networks, and the same servers
 * behind. Who asks is led to it by the ruleset (`resolvers`), so it needs neither port 53 nor an address of a network.
 */
export interface ResolverItem {
    readonly type: "resolver";
    /** Names it by what it answers: one that would answer otherwise is another one. */
    readonly view: string;
    readonly port: number;
    /** Of the host itself: 127.64.0.0/10, and `fd…` where the sandboxes have IPv6. */
    readonly addresses: readonly string[];
    /** Keys of the networks whose names it knows. */
    readonly networks: readonly string[];
    /** What else it is told, as dnsmasq(8) has it, without spaces; where no server is named, whom the host asks is asked. */
    readonly options: readonly string[];
}

/** Where resolvers are: addresses of the host's own, of each family. */
export const resolverRanges = { 4: "127.64.0.0/10", 6: "fd53:7a1c:9e0b::/48" } as const;

/** What an endpoint is called, for the resolvers that know its network; hosts(5). */
export interface NamesItem {
    readonly type: "names";
    /** Keys. */
    readonly network: string;
    readonly endpoint: string;
    readonly addresses: readonly string[];
    /** The first one is what a look-up by address answers. */
    readonly names: readonly string[];
}

/** The words of a line are never empty. */
const list = (words: readonly string[]) => (words.length === 0 ? "-" : words.join(","));

const wordsOf = (item: ResolverItem) => [
    item.view,
    String(item.port),
    list(item.addresses),
    list(item.networks),
    ...item.options,
];

/** It is started before anybody is led to it, and stopped when nobody is any more: see `plan`. */
export const resolverType: ItemType<ResolverItem> = {
    key: (item) => `resolver ${item.view}`,
    parents: () => [],
    add: (item) => [{ tool: "resolver", args: ["start", ...wordsOf(item)] }],
    remove: (item) => [{ tool: "resolver", args: ["stop", item.view] }],
    observe: (item, { resolvers }) => (resolvers?.get(item.view) === wordsOf(item).join(" ") ? item : undefined),
};

const put = (item: NamesItem): Line => ({
    tool: "names",
    args: [item.network, item.endpoint, list(item.addresses), ...item.names],
});

export const namesType: ItemType<NamesItem> = {
    key: (item) => `names ${item.endpoint}`,
    parents: () => [],
    add: (item) => [put(item)],
    change: (from, to) => (from.network === to.network ? [put(to)] : undefined),
    remove: (item) => [{ tool: "names", args: [item.network, item.endpoint] }],
    observe(item, { names }) {
        const lines = names?.get(`${item.network}/${item.endpoint}`);
        if (lines === undefined) return undefined;
        const shown = lines.map((line) => line.split(" "));
        const wanted = item.addresses.map((address) => [address, ...item.names]);
        return isEqual(shown, wanted)
            ? item
            : { ...item, addresses: shown.map(([address = ""]) => address), names: [] };
    },
};

/** Where resolvers and their names are: in memory, the restore script makes them anew at boot. */
const folder = "/run/linuxnet-dns";

/** Shell function `is_serving` for the folder of a view: its process (`$server`) is known by its name too, numbers are used again. */
const isServing = `dns=${folder}
is_serving() {
    server= comm=
    if [ -s $1/pid ]; then read -r server <$1/pid; fi
    if [ -n "$server" ] && [ -r /proc/$server/comm ]; then read -r comm </proc/$server/comm; fi
    [ "$comm" = dnsmasq ]
}
`;

/**
 * Shell functions `start_resolver` and `stop_resolver` (and four for these); arguments as in the lines above. systemd watches a resolver where
 * there is one, else a shell does. It reads its files as nobody, so they are for everybody to read.
 */
export const resolverFunctions = `${isServing}start_resolver() {
    v=$dns/views/$1 w=
    if [ -s $v/words ]; then IFS= read -r w <$v/words; fi
    if [ "$w" = "$*" ] && is_serving $v; then return; fi
    for i in 1 2 3 4 5 6 7 8 9 10; do
        if [ ! -d $dns/leaving/$1.ends ]; then break; fi
        sleep 0.05
    done
    finish_resolver $1
    if mkdir -p $dns/views && mv $dns/leaving/$1 $v 2>/dev/null; then
        rmdir $dns/leaving 2>/dev/null
        if is_serving $v; then kill -HUP $server && return; fi
    fi
    if [ -d $v ]; then set_aside $1 && end_resolver $1; fi
    (
        umask 022
        mkdir -p $v/networks $dns/names || exit
        IFS=,
        {
            printf '%s\\n' port=$2 bind-interfaces no-hosts local-ttl=0 pid-file=$v/pid
            for a in $3; do
                echo "listen-address=$a"
                case $a in *:*) ip -6 address replace "$a/128" dev lo nodad || exit ;; esac
            done
            for n in $4; do
                if [ "$n" = - ]; then break; fi
                mkdir -p $dns/names/$n && : >$v/networks/$n || exit
                echo "addn-hosts=$dns/names/$n"
            done
            shift 4
            for o; do
                # Came with 2.87 and 2.88.
                case $o in fast-dns-retry=* | filter-AAAA) dnsmasq --help | grep -q -e "--\${o%=*}" || continue ;; esac
                echo "$o"
            done
        } >$v/conf || exit
    ) && printf '%s\\n' "$*" >$v/words || { echo "the files of the resolver in $dns could not be written" >&2; return 1; }
    if launch_resolver $1; then return; fi
    # One whose folder somebody removed still has the address.
    w=$(grep -lsF "$v/conf" /proc/[0-9]*/cmdline | cut -d/ -f3)
    if [ -n "$w" ]; then
        if [ -d /run/systemd/system ]; then systemctl --quiet stop "linuxnet-dns-$1" 2>/dev/null; fi
        kill -9 $w 2>/dev/null
        if launch_resolver $1; then return; fi
    fi
    echo "the resolver does not start: $(cat $v/log 2>/dev/null)" >&2
    set_aside $1 && end_resolver $1
    rmdir $dns/views $dns 2>/dev/null
    return 1
}
launch_resolver() {
    rm -f $v/log
    if [ -d /run/systemd/system ]; then
        systemd-run --quiet --collect --unit="linuxnet-dns-$1" --description='Names of sandboxes of pulumi-linuxnet' \\
            -p Restart=always -p RestartSec=200ms -p StartLimitIntervalSec=0 \\
            sh -c "exec dnsmasq -k -C $v/conf 2>$v/log" </dev/null 9>&- || return 1
    else
        setsid sh -c "while [ -e $v/conf ]; do dnsmasq -k -C $v/conf 2>$v/log; sleep 0.2; done" </dev/null >/dev/null 2>&1 9>&- &
    fi
    for i in 0.01 0.01 0.01 0.01 0.02 0.05 0.1 0.2 0.5 1 1; do
        if is_serving $v; then return; fi
        if [ -s $v/log ]; then break; fi
        sleep $i
    done
    is_serving $v
}
set_aside() { mkdir -p $dns/leaving && mv $dns/views/$1 $dns/leaving/$1; }
stop_resolver() {
    set_aside $1 || return
    # Answers may be on their way, so it goes on for a moment; unless nobody is left who asks.
    if rmdir $dns/views 2>/dev/null; then
        for v in $dns/leaving/*; do
            v=\${v%.ends}
            end_resolver \${v##*/}
        done
    else
        { sleep 2; end_resolver $1; } </dev/null >/dev/null 2>&1 9>&- &
    fi
}
end_resolver() {
    # Who has the folder has the process: it may be needed again meanwhile.
    mv $dns/leaving/$1 $dns/leaving/$1.ends 2>/dev/null
    finish_resolver $1
}
finish_resolver() {
    old=$dns/leaving/$1.ends w= a=
    if [ ! -d $old ]; then return 0; fi
    if [ -s $old/words ]; then read -r w w a w <$old/words; fi
    # Who asks again from the same port would go on to one that is no more.
    if [ -n "$a" ] && command -v conntrack >/dev/null; then
        for a in "\${a%%,*}" "\${a##*,}"; do conntrack -D -r "$a" >/dev/null 2>&1; done
    fi
    if is_serving $old; then kill $server; fi
    if [ -d /run/systemd/system ]; then systemctl --quiet stop "linuxnet-dns-$1" 2>/dev/null; fi
    case $a in *:*) ip -6 address del "\${a##*,}/128" dev lo 2>/dev/null ;; esac
    rm -rf $old
    rmdir $dns/leaving $dns/names/* $dns/names $dns 2>/dev/null
    :
}
`;

/** Shell functions `put_names`, arguments as in the lines above, and `reload_resolvers` for all that know the networks put into. */
export const namesFunctions = `${isServing}reload=
put_names() {
    case " $reload " in *" $1 "*) ;; *) reload="$reload $1" ;; esac
    f=$dns/names/$1/$2
    if [ $# = 2 ]; then rm -f $f; return; fi
    if [ ! -d $dns/names/$1 ]; then (umask 022; mkdir -p $dns/names/$1) || return; fi
    a=$3
    shift 3
    while :; do
        echo "\${a%%,*} $*"
        case $a in *,*) a=\${a#*,} ;; *) break ;; esac
    done >$f
}
reload_resolvers() {
    for n in $reload; do
        for v in $dns/views/*/networks/$n; do
            if is_serving \${v%/networks/*}; then kill -HUP $server; fi
        done
        rmdir $dns/names/$n 2>/dev/null
    done
    rmdir $dns/names $dns 2>/dev/null
    reload=
}
`;

/** Shell commands that print what is there. */
export const lookAtResolvers = [
    "echo '@@ resolvers'",
    `${isServing}for v in $dns/views/*; do if is_serving $v; then cat $v/words; fi; done`,
    "echo '@@ names'",
    `(cd ${folder}/names 2>/dev/null && grep -rs '' .)`,
];

/** What `lookAtResolvers` prints: the words of each that serves, and the lines of each file. */
export function parseResolvers(sections: ReadonlyMap<string, string>): Pick<Snapshot, "names" | "resolvers"> {
    const lines = (name: string) => (sections.get(name) ?? "").split("\n").filter((line) => line !== "");
    const names = new Map<string, string[]>();
    for (const line of lines("names")) {
        const [, path = "", text = ""] = /^\.\/([^:]*):(.*)$/.exec(line) ?? [];
        names.set(path, [...(names.get(path) ?? []), text]);
    }
    return { names, resolvers: new Map(lines("resolvers").map((line) => [line.slice(0, line.indexOf(" ")), line])) };
}
