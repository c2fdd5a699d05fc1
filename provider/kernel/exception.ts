import type { FirewallException } from "../model/object.js";
import type { ItemType } from "./item.js";
import { command, must } from "./line.js";

/** A rule of ours in a firewall of somebody else; each carries a mark, so that only ours are taken back. */
export interface ExceptionItem extends FirewallException {
    readonly type: "exception";
}

type Tool = FirewallException["tool"];

const mark = "linuxnet";

/** The zone of firewall-cmd(1); none: its default zone. */
const zoneOf = (chain: string) => (chain === "trusted" ? ["--zone=trusted"] : []);

/** What a tool needs as words behind its script: `$1`, `$2`, ... */
function wordsOf({ tool, chain, rule }: FirewallException): string[] {
    switch (tool) {
        case "nft":
            return [...chain.split(" "), `${rule} comment "${mark}"`];
        case "ufw":
            return rule.split(" ");
        case "firewalld":
            return [rule, ...zoneOf(chain)];
        default:
            return [tool, chain, ...rule.replace(" -j ", ` -m comment --comment ${mark} -j `).split(" ")];
    }
}

interface Scripts {
    /** Succeeds when the rule is there. */
    readonly look: string;
    /** Neither fails nor does it twice when it is there already. */
    readonly add: string;
    /** Does nothing when it is not there: its firewall may be gone by now. */
    readonly remove: string;
}

const iptables = (() => {
    // Distributions with one iptables only call it so.
    const prepare = 't=$1 c=$2; shift 2; command -v "$t" >/dev/null || t=${t%-*};';
    const look = '"$t" -w 5 -C "$c" "$@" 2>/dev/null';
    // Docker keeps the chain that it finds when it starts, so at boot the exception may be there first.
    const make = 'if [ "$c" = DOCKER-USER ]; then "$t" -w 5 -N "$c" 2>/dev/null; fi;';
    return {
        look: `${prepare} ${look}`,
        add: `${prepare} ${look} && exit; ${make} "$t" -w 5 -I "$c" "$@"`,
        remove: `${prepare} ${look} || exit 0; "$t" -w 5 -D "$c" "$@"`,
    };
})();

const lookByNft = `nft -s list chain "$1" "$2" "$3" 2>/dev/null | sed 's/^[[:space:]]*//' | grep -qxF "$4"`;

const scripts: Readonly<Record<Tool, Scripts>> = {
    nft: {
        look: lookByNft,
        add: `${lookByNft} || nft insert rule "$1" "$2" "$3" "$4"`,
        // nft deletes by handle only.
        remove: `nft -s -a list chain "$1" "$2" "$3" 2>/dev/null | sed 's/^[[:space:]]*//' | while read -r l; do case $l in "$4 # handle "*) nft delete rule "$1" "$2" "$3" handle "\${l##* }" || exit ;; esac; done`,
    },
    "iptables-nft": iptables,
    "iptables-legacy": iptables,
    "ip6tables-nft": iptables,
    "ip6tables-legacy": iptables,
    ufw: {
        look: `ufw show added | grep -qxF "ufw $* comment '${mark}'"`,
        add: `ufw "$@" comment ${mark} >/dev/null`,
        // "route allow ..." is deleted by "route delete allow ...", "allow ..." by "delete allow ...".
        remove: `ufw show added 2>/dev/null | grep -qxF "ufw $* comment '${mark}'" || exit 0; r=; if [ "$1" = route ]; then r=route; shift; fi; ufw $r delete "$@" >/dev/null`,
    },
    // At runtime only: its own files stay as they are. A reload of it keeps interfaces where they are.
    firewalld: {
        look: 'r=$1; shift; firewall-cmd -q "$@" "--query-$r"',
        add: 'r=$1; shift; firewall-cmd -q "$@" "--add-$r"',
        remove: 'r=$1; shift; firewall-cmd -q "$@" "--query-$r" || exit 0; firewall-cmd -q "$@" "--remove-$r"',
    },
};

const shell = (item: FirewallException, verb: keyof Scripts) => [
    ...["sh", "-c", scripts[item.tool][verb], "sh"],
    ...wordsOf(item),
];

/** The command that tells whether the rule is there. */
export function lookForException(item: ExceptionItem): readonly string[] {
    return shell(item, "look");
}

/** The command that a user would type for the same, without our mark. */
export function renderByHand({ tool, chain, rule }: FirewallException): string {
    switch (tool) {
        case "nft":
            return `nft 'insert rule ${chain} ${rule}'`;
        case "iptables-nft":
        case "ip6tables-nft":
            return `${tool.replace("-nft", "")} -I ${chain} ${rule}`;
        case "iptables-legacy":
        case "ip6tables-legacy":
            return `${tool} -I ${chain} ${rule}`;
        case "ufw":
            return `ufw ${rule}`;
        case "firewalld":
            return ["firewall-cmd --permanent", ...zoneOf(chain), `--add-${rule}`].join(" ");
    }
}

export const exceptionType: ItemType<ExceptionItem> = {
    key: ({ tool, chain, rule }) => `exception in ${tool}, ${chain}: ${rule}`,
    parents: () => [],
    add: (item) => [
        must(
            `The exception that cooperate asks for cannot be written into the other firewall. Type \`${renderByHand(item)}\` on the host, or take cooperate out of its Host.`,
            ...shell(item, "add"),
        ),
    ],
    remove: (item) => [command(...shell(item, "remove"))],
    observe: (item, snapshot) => (snapshot.exceptions.has(exceptionType.key(item)) ? item : undefined),
};
