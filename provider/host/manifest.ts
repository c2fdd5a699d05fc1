import { identityDirectory, parseIdentity, printIdentity } from "../kernel/identity.js";
import { type Item, rankOf, typeOf } from "../kernel/item.js";
import type { HostIdentity } from "../model/identity.js";
import { type BaseObject, type HostObject, hasKeys } from "../model/object.js";
import { World } from "../model/world.js";
import { quote, renderKept } from "./quote.js";
import { parseJsonLines } from "./sections.js";

/** What the host carries, of all stacks: one JSON file an object, and a token that changes with each transaction. */
export const manifestDirectory = "/var/lib/linuxnet";
/** Lock and undo of the running transaction; gone with the last object. */
export const runDirectory = "/run/linuxnet";

export interface Manifest {
    readonly world: World;
    /** "0" for a host without objects. */
    readonly generation: string;
    /** A transaction runs, or was killed: whoever gets the lock next ends it, even if he has nothing else to do. */
    readonly isUnfinished: boolean;
    /** Absent: no Host made one yet, or the last one took it along. */
    readonly identity?: HostIdentity | undefined;
}

/** Shell function `print_manifest`. The token comes first: objects that are newer than it are found out at commit. */
export const printManifest = `${printIdentity}print_manifest() {
    print_identity
    echo '@@ generation'
    g=0
    if [ -s ${manifestDirectory}/generation ]; then read -r g <${manifestDirectory}/generation; fi
    echo "$g"
    echo '@@ unfinished'
    if [ -s ${runDirectory}/undo ] || { [ "$g" = 0 ] && [ -e ${runDirectory}/lock ]; }; then echo yes; fi
    echo '@@ objects'
    for f in ${manifestDirectory}/objects/*.json; do
        if [ -f "$f" ]; then cat ${manifestDirectory}/objects/*.json; fi
        break
    done
}
`;

/** @throws Error when a newer version of the provider wrote the manifest. */
export function parseManifest(sections: ReadonlyMap<string, string>): Manifest {
    const objects = new Map<string, HostObject>();
    let base: BaseObject | undefined;
    for (const object of parseJsonLines<HostObject | BaseObject>(sections.get("objects"))) {
        if (object.schemaVersion !== 1) {
            throw new Error(
                `${manifestDirectory} on the host was written by a newer pulumi-linuxnet (schema ${object.schemaVersion}). Update the package.`,
            );
        }
        if (object.kind === "base") base = object;
        else objects.set(object.key, object);
    }
    return {
        world: new World(objects, base),
        generation: sections.get("generation")?.trim() || "0",
        isUnfinished: sections.get("unfinished")?.trim() === "yes",
        identity: parseIdentity(sections.get("identity")),
    };
}

/** Where the restore script finds what rebuilds an object. */
export const fragmentPath = (key: string) => `${manifestDirectory}/objects/${key}.restore`;

/** Where the keys of an object are: of mode 0600, written by us and read by the host alone. */
export const keyPath = (key: string) => `${manifestDirectory}/objects/${key}.keys`;

/** The planner's lines for an object's items, as the restore script reads them; sorted by rank over all objects. */
export function renderFragment(items: readonly Item[]): string {
    const lines = items.flatMap((item) => {
        if (item.type === "restore-script" || item.type === "restore-unit") return [];
        const rank = String(rankOf(item)).padStart(2, "0");
        return typeOf(item)
            .add(item)
            .flatMap((line) => renderKept(line) ?? [])
            .map((kept) => `${rank} ${kept}\n`);
    });
    return lines.join("");
}

/**
 * Shell commands that make the manifest say `after`. `prepare` writes beside it, so that no half file is ever read, and
 * begins to bring that to the disk, which goes on while the kernel works; `settle` waits for it. `finish` only renames and
 * removes: when its first line fails there is a way back, later only a way on; its last line returns when the disk has
 * it. `resume` is the same after it was cut off anywhere; the file that holds it returns 1 when it cannot.
 */
export interface ManifestChange {
    readonly prepare: readonly string[];
    readonly settle: readonly string[];
    readonly finish: readonly string[];
    readonly resume: readonly string[];
}

/** fsync(2) costs a journal commit a file, syncfs(2) one commit and what all others have written; so many files even out. */
const maximumFsyncs = 32;

/** Files of a change that never came to its end; the next one would publish them. */
export const dropPreparedFiles = `rm -f ${manifestDirectory}/new/*`;

/**
 * @param fragments what the restore script needs of objects whose items changed, by key
 * @param keyFiles keys of objects that come or change, by key of the object
 * @param leavesHost the host's identity goes with its last object
 */
export function renderManifestChange(
    before: World,
    after: World,
    changed: Iterable<string>,
    fragments: ReadonlyMap<string, string>,
    keyFiles: ReadonlyMap<string, string>,
    generation: string,
    leavesHost = false,
): ManifestChange {
    const directory = manifestDirectory;
    if (after.objects.size === 0) {
        const identity = leavesHost ? ` ${identityDirectory}` : "";
        const removal = `rm -rf ${directory}/objects ${directory}/new ${directory}/generation${identity}`;
        // The folder may be gone: when the transaction that ended it was cut off behind its last step.
        const finish = [removal, `[ ! -d ${directory} ] || sync ${directory}`];
        return { prepare: [], settle: [], finish, resume: finish.map((line) => `${line} || return 1`) };
    }
    const writes: string[] = [];
    const deletions: string[] = [];
    const entries: [string, HostObject | BaseObject | undefined][] = [...changed].map((key) => [
        key,
        after.objects.get(key),
    ]);
    if (before.base !== after.base) entries.push(["base", after.base]);
    for (const [key, object] of entries) {
        const file = `${directory}/objects/${key}`;
        if (object === undefined) deletions.push(`${file}.json ${file}.restore`);
        else writes.push(`printf '%s\\n' ${quote(JSON.stringify(object))} >${directory}/new/${key}.json`);
        if (hasKeys(before.objects.get(key)) && !hasKeys(object)) deletions.push(keyPath(key));
    }
    for (const [key, text] of keyFiles) {
        writes.push(`(umask 077; printf '%s' ${quote(text)} >${directory}/new/${key}.keys)`);
    }
    for (const [key, text] of fragments) {
        writes.push(`printf '%s' ${quote(text)} >${directory}/new/${key}.restore`);
    }
    const ready = `[ -d ${directory}/new ] || mkdir -p ${directory}/objects ${directory}/new`;
    const flush = writes.length > maximumFsyncs ? `sync -f ${directory}/new` : `sync ${directory}/new/*`;
    const move = `mv -f ${directory}/new/* ${directory}/objects/`;
    const finish = [
        ...(deletions.length > 0 ? [`rm -f ${deletions.join(" ")}`] : []),
        `echo ${generation} >${directory}/generation`,
        `sync ${directory}/objects`,
    ];
    return {
        prepare: [
            // What a power cut left there belongs to nobody.
            `{ ${ready}; } && for f in ${directory}/new/*; do [ ! -e "$f" ] || ${dropPreparedFiles}; break; done`,
            ...writes,
            // Not a builtin and not one process each: one, beside the kernel's work. It must hold neither lock nor pipe.
            ...(writes.length > 0 ? [`{ ${flush} </dev/null >/dev/null 2>&1 9>&- & }; p=$!`] : []),
        ],
        settle: writes.length > 0 ? ["wait $p"] : [],
        finish: [...(writes.length > 0 ? [move] : []), ...finish],
        resume: [
            `for f in ${directory}/new/*; do [ ! -e "$f" ] || ${move} || return 1; break; done`,
            ...finish.map((line) => `${line} || return 1`),
        ],
    };
}
