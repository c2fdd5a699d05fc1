import { isEqual } from "../model/equal.js";
import type { ItemType } from "./item.js";
import { command, type Line } from "./line.js";

/**
 * A file that `ip netns exec` puts in place of the one in /etc (ip-netns(8)). Programs that run hold it by a mount, so it is
 * written into, never replaced.
 */
export interface NetnsFileItem {
    readonly type: "netns-file";
    /** Name of the namespace. */
    readonly netns: string;
    readonly file: "hosts" | "resolv.conf";
    /** Each once. Those of hosts may stand in any order; many files have the same ones, which then travel once. */
    readonly lines: readonly string[];
    /** The servers that the host itself asks are named too, behind the first line. */
    readonly hasHostServers?: true;
}

/** /etc/netns, made with the first file in it. */
export interface NetnsFolderItem {
    readonly type: "netns-folder";
}

const folder = "/etc/netns";

/**
 * Where the host says whom it asks. The first may name a resolver on the host itself, which nobody else reaches; the others
 * say whom that one asks.
 */
const hostServerFiles = [
    "/etc/resolv.conf",
    "/run/systemd/resolve/resolv.conf",
    "/run/NetworkManager/no-stub-resolv.conf",
];

/** What has to be read of the host to see whether a file is as it should be. */
export const netnsFileSources = (item: NetnsFileItem): string[] =>
    item.hasHostServers ? [netnsFilePath(item), ...hostServerFiles] : [netnsFilePath(item)];

/** The lines that `write_netns_files` finds. */
function hostServers(files: ReadonlyMap<string, string>): string[] {
    for (const path of hostServerFiles) {
        const words = (files.get(path) ?? "").split("\n").map((line) => line.trim().split(/[ \t]+/));
        const servers = words.flatMap(([word, address = ""]) =>
            word === "nameserver" && /^[0-9A-Fa-f.:]+$/.test(address) && !/^127\.|^::1$|^0\.0\.0\.0$/.test(address)
                ? [`nameserver ${address}`]
                : [],
        );
        if (servers.length > 0) return servers;
    }
    return [];
}

export const netnsFilePath = ({ netns, file }: Pick<NetnsFileItem, "netns" | "file">) => `${folder}/${netns}/${file}`;

const write = (item: NetnsFileItem): Line => {
    const how = item.file === "hosts" ? "merge" : item.hasHostServers ? "ask" : "write";
    return { tool: "netns-file", args: [netnsFilePath(item), how, ...item.lines] };
};

export const netnsFileType: ItemType<NetnsFileItem> = {
    key: (item) => `file ${netnsFilePath(item)}`,
    parents: () => [],
    claims: (item) => [{ path: netnsFilePath(item), what: `the file "${netnsFilePath(item)}"` }],
    add: (item) => [write(item)],
    change: (_from, to) => [write(to)],
    remove: (item) => [{ tool: "netns-file", args: [netnsFilePath(item)] }],
    observe(item, { files }) {
        const text = files.get(netnsFilePath(item));
        if (text === undefined) return undefined;
        const isServer = (line: string) => item.hasHostServers === true && line.startsWith("nameserver ");
        const all = text.split("\n").flatMap((line) => line.trimEnd() || []);
        const lines = all.filter((line) => !isServer(line));
        if (item.hasHostServers && !isEqual(all.filter(isServer), hostServers(files))) {
            const { hasHostServers: _, ...found } = item;
            return { ...found, lines };
        }
        const wanted = new Set(item.lines);
        const isSame =
            item.file === "hosts"
                ? lines.length === wanted.size && lines.every((line) => wanted.has(line))
                : lines.join("\n") === item.lines.join("\n");
        return isSame ? item : { ...item, lines };
    },
};

export const netnsFolderType: ItemType<NetnsFolderItem> = {
    key: () => "netns-folder",
    parents: () => [],
    add: () => [],
    remove: () => [command("sh", "-c", `rmdir ${folder} 2>/dev/null || :`)],
    observe: (item) => item,
};

/** Which lines differ, for messages. */
export function describeLines(found: NetnsFileItem, wanted: NetnsFileItem): string[] {
    const missing = wanted.lines.filter((line) => !found.lines.includes(line));
    const more = found.lines.filter((line) => !wanted.lines.includes(line));
    const isStale = wanted.hasHostServers === true && found.hasHostServers !== true;
    const stale = isStale ? ["names other servers than those that the host asks"] : [];
    const words = [
        ...stale,
        ...missing.map((line) => `has no line "${line}"`),
        ...more.map((line) => `has a line "${line}"`),
    ];
    if (words.length === 0) return ["has its lines in another order"];
    return words.length > 3 ? [...words.slice(0, 3), `${words.length - 3} lines more differ`] : words;
}

/**
 * What `write_netns_files` reads: each line once (`L <line>`), then each file by the numbers of its lines, as ranges
 * (`F <how> <path> 1-3,7`).
 */
export function listNetnsFiles(lines: readonly Line[]): string[] {
    const numbers = new Map<string, number>();
    const texts: string[] = [];
    const files = lines.map(({ args: [path, how, ...own] }) => {
        const ranges: [number, number][] = [];
        for (const text of own) {
            const number = numbers.get(text) ?? texts.push(`L ${text}`);
            numbers.set(text, number);
            const last = ranges.at(-1);
            if (last !== undefined && last[1] === number - 1) last[1] = number;
            else ranges.push([number, number]);
        }
        return `F ${how} ${path} ${ranges.map(([first, last]) => (first === last ? first : `${first}-${last}`)).join(",")}`;
    });
    return [...texts, ...files];
}

/**
 * Shell function `write_netns_files`; its arguments are the folders of the files. It needs one process for any number of these.
 *
 * A look-up may read a file, block by block, while this one writes. So a line of hosts that stays stays where it is; what
 * goes is overwritten with blanks as long as it was, and what comes takes the place of blanks or follows at the end: whatever
 * mix of old and new is read, all that is in both is in it. resolv.conf is one block. What is shorter by then ends in blanks or
 * empty lines, which are cut off last, so that there is no moment between two sizes.
 */
export const writeNetnsFiles = `write_netns_files() {
    for f in "$@"; do
        shift
        if [ ! -d "$f" ]; then set -- "$@" "$f"; fi
    done
    if [ $# -gt 0 ]; then mkdir -p "$@" || return 1; fi
    t=$(awk '
        function find_servers(file,  row, part) {
            while ((getline row <file) > 0) {
                if (split(row, part, " ") < 2 || part[1] != "nameserver" || part[2] !~ /^[0-9A-Fa-f.:]+$/) continue
                if (part[2] !~ /^127\\.|^::1$|^0\\.0\\.0\\.0$/) server[++servers] = "nameserver " part[2]
            }
            close(file)
        }
        function find_all_servers() {
            if (looked++) return
${hostServerFiles.map((path) => `            if (!servers) find_servers("${path}")`).join("\n")}
        }
        function want(how, numbers,  ranges, range, ends, i, j, k) {
            count = 0
            ranges = split(numbers, range, ",")
            for (i = 1; i <= ranges; i++) {
                if (split(range[i], ends, "-") == 1) ends[2] = ends[1]
                for (j = ends[1] + 0; j <= ends[2] + 0; j++) {
                    wanted[++count] = line[j]
                    if (how != "ask" || count > 1) continue
                    find_all_servers()
                    for (k = 1; k <= servers; k++) wanted[++count] = server[k]
                }
            }
        }
        function read_old(path,  row) {
            rows = size = 0
            while ((getline row <path) > 0) { old[++rows] = row; size += length(row) + 1 }
            close(path)
        }
        function merge(path,  i, j, key, missing, changed, added, fresh) {
            for (i = 1; i <= count; i++) missing[wanted[i]]
            for (i = 1; i <= rows; i++) {
                key = old[i]
                sub(/ +$/, "", key)
                if (key in missing) delete missing[key]
                else if (key != "") { changed = 1; gsub(/./, " ", old[i]) }
            }
            for (i = 1; i <= count; i++) {
                if (!(wanted[i] in missing)) continue
                for (j = 1; j <= rows; j++) if (old[j] ~ /^ *$/ && length(old[j]) >= length(wanted[i])) break
                if (j > rows) { fresh[++added] = wanted[i]; continue }
                old[j] = wanted[i] substr(old[j], length(wanted[i]) + 1)
                changed = 1
            }
            for (i = rows; i > 0 && !added && old[i] ~ /^ *$/; i--) size -= length(old[i]) + 1
            if (i < rows && !added) cut(path)
            if (!changed && !added) return
            begin()
            if (changed) for (i = 1; i <= rows; i++) print old[i]
            for (i = 1; i <= added; i++) print fresh[i]
            end(changed ? "1<>" : ">>", path)
        }
        function write(path,  i, text, old_size) {
            for (i = 1; i <= count; i++) text = text wanted[i] "\\n"
            old_size = size
            size = length(text)
            if (size < old_size) cut(path)
            while (length(text) < old_size) text = text "\\n"
            begin()
            printf "%s", text
            end("1<>", path)
        }
        function cut(path) { shorter[size] = shorter[size] " " path }
        # Not by awk itself, which cannot write into a file that is there.
        function begin() { printf "printf %%s \\047" }
        function end(how, path) { print "\\047 " how path " || return 1"; written[++files] = path }
        $1 == "L" { line[++lines] = substr($0, 3); next }
        { want($2, $4); read_old($3); if ($2 == "merge") merge($3); else write($3) }
        END {
            for (size in shorter) print "truncate -s " size shorter[size] " || return 1"
            # A power cut must not leave them empty; as with the manifest, many are brought to the disk at once.
            if (!files) exit
            if (files > 32) { printf "sync -f"; files = 1 } else printf "sync"
            for (i = 1; i <= files; i++) printf " %s", written[i]
            print " || return 1"
        }
    ') || return 1
    eval "$t"
}
`;
