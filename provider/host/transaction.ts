import { identityDirectory, raiseEpoch } from "../kernel/identity.js";
import { type Claim, type Item, typeOf } from "../kernel/item.js";
import { type Line, withoutIpv6 } from "../kernel/line.js";
import { type Plan, plan } from "../kernel/plan.js";
import { recoverScript } from "../kernel/restore.js";
import type { HostIdentity } from "../model/identity.js";
import type { World } from "../model/world.js";
import { renderConfirmation } from "./confirmation.js";
import {
    dropPreparedFiles,
    type ManifestChange,
    manifestDirectory,
    printManifest,
    renderManifestChange,
    runDirectory,
} from "./manifest.js";
import { type Group, groupLines, quote, renderGroup } from "./quote.js";
import { readBackLines } from "./snapshot.js";

/**
 * Exit codes of a transaction's script. `unconfirmed`: all is done but the manifest, and the host waits for a new connection
 * to confirm it. Everything else but `done` left the host as it was.
 */
export const exits = { done: 0, locked: 74, stale: 75, taken: 76, failed: 77, unconfirmed: 78, lacking: 79 } as const;

export interface Transaction {
    readonly before: readonly Item[];
    readonly after: readonly Item[];
    readonly worldBefore: World;
    readonly worldAfter: World;
    /** Keys of objects whose manifest entry comes, changes or goes. */
    readonly changed: Iterable<string>;
    /** What the restore script needs of objects whose items come or change, by key. */
    readonly fragments: ReadonlyMap<string, string>;
    /** Keys of objects that come or change, by key of the object. @default none */
    readonly keyFiles?: ReadonlyMap<string, string>;
    readonly generationBefore: string;
    readonly generationAfter: string;
    /** The host's own, that the items were worked out with. */
    readonly identity?: HostIdentity | undefined;
    /** The host's identity goes with its last object. */
    readonly leavesHost?: boolean;
    /** Who holds the lock meanwhile, for others who wait. */
    readonly owner: string;
    /** How long this script waits for the lock before it gives up. */
    readonly lockWaitMs: number;
    /** How long a change that may lock us out waits for its confirmation. */
    readonly confirmTimeoutMs: number;
    /** The kernel has no IPv6. @default false */
    readonly lacksIpv6?: boolean | undefined;
    /** Ports (`tcp 80`) whose listeners were looked at and do not collide. */
    readonly waivedPorts: ReadonlySet<string>;
}

/** A transaction as shell text, and the steps in it by number, for messages. */
export interface RenderedTransaction {
    readonly script: string;
    readonly steps: readonly Group[];
    /** Nothing to do in the kernel. */
    readonly isEmpty: boolean;
    /** Items that come or change. */
    readonly touched: readonly Item[];
}

/** The kernel has all of the change, and only renames are left. */
const manifestStage = 4;

const nftGroup = (lines: readonly Line[]): Group[] =>
    lines.length === 0 ? [] : [{ tool: "nft", netns: undefined, lines }];

/**
 * The host lock. Its file goes with the last object, so a lock won on a file that is gone meanwhile does not count.
 * Since when it is held is the age of the owner's file, which costs nobody anything but those who wait.
 * What a killed transaction left is ended first; who planned from what was seen before that looks again.
 */
function renderLock(owner: string, lockWaitMs: number): string {
    return `r=${runDirectory}
while :; do
    [ -d $r ] || mkdir -p -m 700 $r
    exec 9>>$r/lock
    flock -w ${lockWaitMs / 1000} 9 || {
        echo '@@ locked'; echo $(($(date +%s) - $(stat -c %Y $r/owner || date +%s))); cat $r/owner; exit ${exits.locked}
    }
    if [ $r/lock -ef /proc/self/fd/9 ]; then break; fi
done
printf '%s\\n' ${quote(owner)} >$r/owner
recovered=
${recoverScript}if [ -s $r/undo ]; then exit ${exits.failed}; fi
`;
}

/**
 * The steps back, for each stage that was reached: best effort, in reverse. Changes are in `back.add` both ways. Once the
 * manifest is being changed the way out is forward, unless not even its first line could be done.
 */
function renderUndo(back: Plan, manifestChange: ManifestChange): string {
    // `ip neigh` ends the whole batch at its first error, -force or not (iproute2 6.1), so it goes last and alone.
    const endsBatch = (line: Line) => line.tool === "ip" && line.args[0] === "neigh";
    const force = (lines: readonly Line[]) =>
        [lines.filter((line) => !endsBatch(line)), lines.filter(endsBatch)]
            .flatMap(groupLines)
            .map((group) => renderGroup(group, "2>/dev/null || :", true));
    const sections: string[] = [];
    if (back.remove.length > 0) sections.push("if [ $s -ge 3 ]; then :", ...force(back.remove), "fi");
    if (back.nft.length > 0) {
        sections.push(
            "if [ $s -ge 2 ]; then :",
            ...nftGroup(back.nft).map((group) => renderGroup(group, "2>/dev/null || :")),
            "fi",
        );
    }
    if (back.add.length > 0) sections.push("if [ $s -ge 1 ]; then :", ...force(back.add), "fi");
    const lines = [
        `if [ $s -ge ${manifestStage} ]; then`,
        ...manifestChange.resume,
        "else",
        dropPreparedFiles,
        ...sections,
        "fi",
        "return 0",
    ];
    return `${lines.join("\n")}\n`;
}

function claimsOf(items: readonly Item[]): Claim[] {
    return items.flatMap((item) => typeOf(item).claims?.(item) ?? []);
}

/**
 * Names, ports and addresses that must be free, and what the kernel must be able to do, looked at under the lock.
 * @param before what is there: its addresses are answered for, by us
 */
function renderClaims(
    added: readonly Item[],
    touched: readonly Item[],
    before: readonly Item[],
    waivedPorts: ReadonlySet<string>,
): string {
    const claims = claimsOf(added);
    const paths = claims.flatMap((claim) => ("path" in claim ? [claim] : []));
    const lines = paths.map(
        ({ path, what }) =>
            `if [ -e ${quote(path)} ]; then echo '@@ taken'; echo ${quote(what)}; exit ${exits.taken}; fi`,
    );
    const trials = new Map(
        claimsOf(touched).flatMap((claim) => ("works" in claim ? [[claim.lacking, claim.works]] : [])),
    );
    for (const [lacking, words] of trials) {
        const trial = `${words.map(quote).join(" ")} </dev/null 2>&1`;
        lines.push(`w=$(${trial}) || { echo '@@ lacking'; echo ${quote(lacking)}; echo "$w"; exit ${exits.lacking}; }`);
    }
    const ports = claims.flatMap((claim) =>
        "port" in claim && !waivedPorts.has(`${claim.protocol} ${claim.port}`)
            ? [`${claim.protocol}:${claim.port}`]
            : [],
    );
    if (ports.length > 0) lines.push(lookForListeners(ports));
    const wiresOf = (items: readonly Item[]) =>
        claimsOf(items).flatMap((claim) => ("unanswered" in claim ? `${claim.dev}/${claim.unanswered}` : []));
    const ours = new Set(wiresOf(before));
    const wires = wiresOf(added).filter((wire) => !ours.has(wire));
    if (wires.length > 0) lines.push(lookForAnswers(wires));
    return lines.join("\n");
}

/** Shell text that ends the script when somebody listens on one of these ports (`tcp:80`). */
function lookForListeners(ports: readonly string[]): string {
    // Not a filter of ss: an argument ends at 128 KiB (execve(2)), and its program at 64 KiB, which is 4,000 ports. To ask
    // whose they are (-p) reads every process of the host, so that is asked only where there are some.
    const protocols = ports.some((port) => port.startsWith("sctp")) ? "tuS" : "tu";
    return [
        `w=${quote(` ${[...new Set(ports)].join(" ")} `)}`,
        "listening() {",
        `    ss -Hln${protocols}$1 | while read -r p s i o a rest; do`,
        '        case $w in *" $p:${a##*:} "*) echo "$p $s $i $o $a $rest" ;; esac',
        "    done",
        "}",
        `if [ -n "$(listening)" ]; then echo '@@ listening'; listening p; exit ${exits.taken}; fi`,
    ].join("\n");
}

/**
 * Shell text that ends the script when somebody answers for one of these addresses (`br0/10.0.0.2`). The host's own neighbour
 * table asks, by ARP or neighbour solicitation: at once and a second later, where nobody answers. An ip(8) before 5.16 has no
 * word for it; an entry to be confirmed at everybody is asked for too.
 */
function lookForAnswers(wires: readonly string[]): string {
    return `w=${quote(` ${[...new Set(wires)].join(" ")} `)}
answering() {
    ip neigh show nud reachable | while read -r a i d l m o; do
        case $w in *" $d/$a "*) echo "$d $a $m" ;; esac
    done
}
forget() { for p in $w; do ip neigh flush to "\${p#*/}" dev "\${p%%/*}" 2>/dev/null; done; }
forget
for p in $w; do
    ip neigh add "\${p#*/}" dev "\${p%%/*}" use 2>/dev/null ||
        ip neigh add "\${p#*/}" dev "\${p%%/*}" lladdr ff:ff:ff:ff:ff:ff nud probe 2>/dev/null
done
n=0
while [ $n -lt 13 ] && [ -z "$(answering)" ]; do sleep 0.1 || sleep 1; n=$((n + 1)); done
a=$(answering)
forget
if [ -n "$a" ]; then echo '@@ answering'; echo "$a"; exit ${exits.taken}; fi`;
}

/**
 * One operation, one round trip: lock, check that nobody was faster, apply, read back, write the manifest, release.
 * The way back travels with it, in a file while the transaction runs, so that the host undoes it without us.
 */
export function renderTransaction(transaction: Transaction): RenderedTransaction {
    const { before, after, worldBefore, worldAfter, changed, generationBefore, generationAfter } = transaction;
    const planFor = (from: readonly Item[], to: readonly Item[]): Plan => {
        const steps = plan(from, to);
        if (!transaction.lacksIpv6) return steps;
        return { ...steps, remove: steps.remove.map(withoutIpv6), add: steps.add.map(withoutIpv6) };
    };
    const steps = planFor(before, after);
    const manifestChange = renderManifestChange(
        worldBefore,
        worldAfter,
        changed,
        transaction.fragments,
        transaction.keyFiles ?? new Map(),
        generationAfter,
        transaction.leavesHost,
    );
    const undo = renderUndo(planFor(after, before), manifestChange);
    const { id = "", epoch = "" } = transaction.identity ?? {};
    const orFail = (line: string) => `${line} || fail manifest`;
    const mustConfirm = steps.touched.some((item) => typeOf(item).mayLockOut?.(item));
    const confirmation = mustConfirm
        ? renderConfirmation(generationAfter, transaction.confirmTimeoutMs, manifestStage)
        : { begin: [], handOver: [] };
    const orRefuse = (lines: readonly string[]) => lines.map((line) => `${line} || fail confirmation\n`).join("");
    const stages = [
        { name: 1, groups: groupLines(steps.remove) },
        { name: 2, groups: nftGroup(steps.nft) },
        { name: 3, groups: groupLines(steps.add) },
    ].filter(({ groups }) => groups.length > 0);
    const numbered: Group[] = [];
    const apply = stages.flatMap(({ name, groups }) => [
        `s=${name}; echo $s >>$r/stage`,
        ...groups.map((group, i) => {
            const tail = `|| fail ${numbered.push(group) - 1}`;
            const isLast = !groups.slice(i + 1).some(({ tool, netns }) => tool === group.tool && netns === group.netns);
            const shows = name === 3 && isLast ? readBackLines(steps.touched, group) : [];
            if (shows.length === 0) return renderGroup(group, tail);
            const section = group.netns === undefined ? "links" : `namespace ${group.netns}`;
            return `echo ${quote(`@@ ${section}`)}\n${renderGroup(group, tail, false, shows)}`;
        }),
    ]);
    const script = `trap '' HUP INT PIPE TERM
umask 022
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C
export PATH LC_ALL
${printManifest}
${raiseEpoch}
${renderLock(transaction.owner, transaction.lockWaitMs)}
fail() {
    echo "@@ failed"
    echo "$1"
    if [ $s -ge ${manifestStage} ]; then s=3; echo $s >>$r/stage; fi
    . $r/undo
    : >$r/undo
    exit ${exits.failed}
}
g=0
if [ -s /var/lib/linuxnet/generation ]; then read -r g </var/lib/linuxnet/generation; fi
i=
if [ -s ${identityDirectory}/id ]; then read -r i <${identityDirectory}/id; fi
raise_epoch || { echo '@@ failed'; echo identity; exit ${exits.failed}; }
if [ -n "$recovered" ] || [ "$g $i $e" != ${quote(`${generationBefore} ${id} ${epoch}`)} ]; then
    print_manifest; exit ${exits.stale}
fi
${renderClaims(steps.added, steps.touched, before, transaction.waivedPorts)}
s=0; echo $s >$r/stage
printf '%s' ${quote(undo)} >$r/undo
${orRefuse(confirmation.begin)}${manifestChange.prepare.map(orFail).join("\n")}
${apply.join("\n")}
${manifestChange.settle.map(orFail).join("\n")}
${orRefuse(confirmation.handOver)}${mustConfirm ? `exit ${exits.unconfirmed}\n` : ""}s=${manifestStage}; echo $s >>$r/stage
${manifestChange.finish.map((line, i) => (i === 0 ? orFail(line) : `${line} || exit ${exits.failed}`)).join("\n")}
: >$r/undo
${worldAfter.objects.size === 0 ? `rmdir ${manifestDirectory} 2>/dev/null || :\nrm -rf $r` : ""}
echo '@@ done'
`;
    return { script, steps: numbered, isEmpty: numbered.length === 0, touched: steps.touched };
}
