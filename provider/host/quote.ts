import type { Line } from "../kernel/line.js";
import { listNetnsFiles, writeNetnsFiles } from "../kernel/netns-file.js";
import { namesFunctions, resolverFunctions } from "../kernel/resolver.js";
import { mergeSets } from "../kernel/wireguard.js";
import { loadAssociations } from "../kernel/xfrm-load.js";
import { isIpv6, parseIpv6 } from "../model/ipv6.js";

/** A text as one word of POSIX sh. The only place where data meets shell syntax. */
export function quote(text: string): string {
    return /^[A-Za-z0-9_./:=@%+,-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}

/** Ends the here-documents of scripts; no line of ours is this word alone. */
const end = "LINUXNET_END";

/** Words of a batch file of ip(8) or bridge(8): split at blanks, quotes but no escapes, "#" starts a comment anywhere. */
function batchWord(word: string): string {
    if (/^[A-Za-z0-9_.:/@,+()-]+$/.test(word)) return word;
    if (/["#\\\n\r]/.test(word)) throw new Error(`cannot be written in a batch file: ${JSON.stringify(word)}`);
    return `"${word}"`;
}

function hereDocument(lines: readonly string[]): string {
    return `<<'${end}'`.concat("%TAIL%\n", lines.join("\n"), `\n${end}\n`);
}

/**
 * An item's line as it is kept for the restore script: tool, namespace or "-", text. Nothing for what is not rebuilt:
 * connections are gone after a reboot, nobody has to be told what he knows, and the script does not write itself.
 */
export function renderKept(line: Line): string | undefined {
    if (line.isMomentary) return undefined;
    const at = `${line.tool} ${line.netns ?? "-"}`;
    switch (line.tool) {
        case "ip":
        case "ip6":
        case "bridge":
            return `${at} ${line.args.map(batchWord).join(" ")}`;
        case "nft":
        case "sysctl":
        case "xfrm":
        case "wg":
        case "names":
        case "resolver":
            return `${at} ${line.args.join(" ")}`;
        case "command":
            return `${at} ${line.args.map(quote).join(" ")}`;
        case "require": {
            const [sentence = "", ...words] = line.args;
            return `command - ${words.map(quote).join(" ")} || echo ${quote(`linuxnet: ${sentence}`)} >&2`;
        }
        default:
            return undefined;
    }
}

function writeSysctl(line: Line): string {
    const [key = "", value] = line.args;
    const path = quote(`/proc/sys/${key}`);
    const { guard } = line;
    if (guard !== undefined) {
        const holds = (file: string, sign: string, text: string) => `[ "$(cat ${file})" ${sign} ${quote(text)} ]`;
        const conditions = [
            `[ -e ${path} ]`,
            ...(guard.over === undefined ? [] : [holds(path, "=", guard.over)]),
            ...(guard.unless === undefined ? [] : [holds(quote(`/proc/sys/${guard.unless}`), "!=", "1")]),
        ];
        return `if ${conditions.join(" && ")}; then printf '%s\\n' ${quote(value ?? "")} >${path}; fi`;
    }
    if (value === undefined)
        return `if v=$(unshare --net cat ${path} 2>/dev/null); then printf '%s\\n' "$v" >${path}; fi`;
    return `printf '%s\\n' ${quote(value)} >${path}`;
}

/** Lines for one tool in one namespace: one process. */
export interface Group {
    readonly tool: Line["tool"];
    readonly netns: string | undefined;
    readonly lines: readonly Line[];
}

/** Of a file that goes; the others name how it is written. */
const isRemoval = ({ args }: Line) => args.length === 1;

/** Neighbouring lines for one tool in one namespace, in order. */
export function groupLines(lines: readonly Line[]): Group[] {
    const groups: { tool: Line["tool"]; netns: string | undefined; lines: Line[] }[] = [];
    for (const line of lines) {
        const last = groups.at(-1);
        if (last?.tool === line.tool && last.netns === line.netns && line.tool !== "command") last.lines.push(line);
        else groups.push({ tool: line.tool, netns: line.netns, lines: [line] });
    }
    return groups;
}

/** /proc writes an IPv6 address in full, conntrack(8) in short. */
function formsOf(value: string): string[] {
    if (!isIpv6(value)) return [value];
    const digits = parseIpv6(value).toString(16).padStart(32, "0");
    return [value, digits.match(/.{4}/g)?.join(":") ?? ""];
}

/**
 * Deletes connections. `conntrack -D` walks the kernel's whole table (10 ms where it has room for many), so the table is read
 * once, and only what is seen in it is deleted. /proc shows it ten times faster; newer kernels may be without that file.
 */
function cutFlows(lines: readonly Line[]): string {
    const wanted = [...new Set(lines.flatMap((line) => formsOf(line.args.at(-1) ?? "")))];
    const pattern = quote(`=(${wanted.map((value) => value.replaceAll(".", "\\.")).join("|")}) `);
    const table = "/proc/net/nf_conntrack";
    const cuts = lines.map((line) => {
        const words = line.args.map(quote).join(" ");
        const seen = formsOf(line.args.at(-1) ?? "").map((value) => `*=${value}' '*`);
        return `case $f in ${seen.join("|")}) conntrack -D ${words} >/dev/null 2>&1 ;; esac`;
    });
    const read = `if [ -e ${table} ]; then grep -oE ${pattern} ${table}; else conntrack -L 2>/dev/null | grep -oE ${pattern}; fi`;
    return `f=$(${read})\nif [ -n "$f" ]; then\n${cuts.join("\n")}\n:\nfi\n`;
}

/**
 * Shell text for a group; `tail` follows the command on its line (`|| fail 3`), `force` goes on after errors, `shows` are
 * batch lines whose JSON is printed when all went well: reading back costs no process of its own.
 */
export function renderGroup(group: Group, tail: string, force = false, shows: readonly string[] = []): string {
    const { netns, lines } = group;
    const flag = force ? " -force" : shows.length > 0 ? " -j -d" : "";
    switch (group.tool) {
        case "ip":
        case "ip6":
        case "bridge": {
            // Not `ip -n`: it copies the table of mounts, and each namespace is a mount (1,000 of them cost half as much again).
            const inside = netns === undefined ? "" : `nsenter --net=${quote(`/run/netns/${netns}`)} `;
            const batch = hereDocument([...lines.map((line) => line.args.map(batchWord).join(" ")), ...shows]);
            const tool = group.tool === "ip6" ? "ip -6" : group.tool;
            return `${inside}${tool}${flag} -batch - ${batch}`.replace("%TAIL%", ` ${tail}`);
        }
        case "nft":
            return `nft -f - ${hereDocument(lines.map((line) => line.args.join(" ")))}`.replace("%TAIL%", ` ${tail}`);
        case "sysctl": {
            const writes = lines.map((line) => (force ? `${writeSysctl(line)} || :` : writeSysctl(line)));
            if (netns === undefined) return `{ ${writes.join(force ? "; " : " && ")}; } ${tail}\n`;
            const script = force ? writes : ["set -e", ...writes];
            return `nsenter --net=${quote(`/run/netns/${netns}`)} sh ${hereDocument(script)}`.replace(
                "%TAIL%",
                ` ${tail}`,
            );
        }
        case "conntrack":
            return cutFlows(lines);
        case "file": {
            const writes = lines.map((line) => {
                const [path = "", content = ""] = line.args;
                const folder = quote(path.slice(0, path.lastIndexOf("/")));
                const fresh = quote(`${path}.new`);
                // On the disk before it has its name: a power cut must not leave half of it.
                const write = `printf '%s' ${quote(content)} >${fresh} && sync ${fresh} && mv -f ${fresh} ${quote(path)}`;
                return `mkdir -p ${folder} && ${write}`;
            });
            return `{ ${writes.join(" && ")}; } ${tail}\n`;
        }
        case "require": {
            const tests = lines.map(({ args: [sentence = "", ...words] }) => {
                return `{ ${words.map(quote).join(" ")} || { echo ${quote(sentence)} >&2; false; }; }`;
            });
            return `{ ${tests.join(" && ")}; } </dev/null ${tail}\n`;
        }
        case "xfrm": {
            const batch = hereDocument(lines.map((line) => line.args.join(" ")));
            return `${loadAssociations}load_associations '${flag.trim()}' ${batch}`.replace("%TAIL%", () => ` ${tail}`);
        }
        case "wg": {
            const sets = mergeSets(lines.map(({ args }) => args)).map((words) => words.map(quote).join(" "));
            return `{ ${sets.join(force ? "; " : " && ")}; } </dev/null ${tail}\n`;
        }
        case "netns-file": {
            const folderOf = ({ args: [path = ""] }: Line) => quote(path.slice(0, path.lastIndexOf("/")));
            const foldersOf = (of: readonly Line[]) => [...new Set(of.map(folderOf))].join(" ");
            const [gone, written] = [lines.filter(isRemoval), lines.filter((line) => !isRemoval(line))];
            const remove = `{ rm -f ${gone.map(({ args }) => quote(args[0] ?? "")).join(" ")} && { rmdir ${foldersOf(gone)} 2>/dev/null || :; }; } ${tail}\n`;
            const write = `write_netns_files ${foldersOf(written)} ${hereDocument(listNetnsFiles(written))}`;
            return [
                ...(gone.length > 0 ? [remove] : []),
                ...(written.length > 0 ? [writeNetnsFiles, write.replace("%TAIL%", () => ` ${tail}`)] : []),
            ].join("");
        }
        case "resolver": {
            const calls = lines.map(({ args: [verb, ...words] }) => `${verb}_resolver ${words.map(quote).join(" ")}`);
            return `${resolverFunctions}{ ${calls.join(force ? "; " : " && ")}; } ${tail}\n`;
        }
        case "names": {
            const calls = lines.map(({ args }) => `put_names ${args.map(quote).join(" ")}`);
            return `${namesFunctions}{ ${calls.join(" && ")} && reload_resolvers; } ${tail}\n`;
        }
        case "command":
            return `${lines.map((line) => line.args.map(quote).join(" ")).join("\n")} </dev/null ${tail}\n`;
    }
}
