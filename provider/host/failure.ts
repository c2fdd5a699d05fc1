import { isEvery, shareFamily } from "../model/host-address.js";
import type { PortProtocol } from "../model/object.js";
import { parseSections } from "./sections.js";
import type { ScriptResult } from "./shell.js";
import type { RenderedTransaction } from "./transaction.js";

/** A step of a transaction failed and the host put everything back. */
export class TransactionFailed extends Error {
    override readonly name = "TransactionFailed";
}

/** Others kept the host to themselves for too long; nothing was done. */
export class HostBusy extends Error {
    override readonly name = "HostBusy";
}

/** What a trial of the kernel said: our sentence, and the kernel's words. */
export function describeLacking(said: string): string {
    const [sentence = "", ...words] = said.trim().split("\n");
    const reason = words.map((word) => word.replace(/^(RTNETLINK answers|Error): /, "")).join("; ");
    return reason === "" ? sentence : `${sentence} It says: ${reason}.`;
}

/** Where a batch of ip(8) or bridge(8), or a file of nft(8), failed: the number of the line, from 1. */
const failedLine = /^(?:Command failed -:|\/dev\/stdin:)(\d+)/;

/** The kernel's own words, and the line of ours that they answer. */
export function describeFailure(result: ScriptResult, transaction: RenderedTransaction): string {
    const failed = parseSections(result.stdout).get("failed")?.trim();
    if (failed === undefined) {
        const words = result.stderr.trim() === "" ? "" : `: ${result.stderr.trim().split("\n").slice(0, 3).join("; ")}`;
        return `the change was interrupted on the host (exit code ${result.exitCode})${words}. The next operation finishes it or takes it back.`;
    }
    const group = transaction.steps[Number(failed)];
    const words = result.stderr.split("\n").map((line) => line.trim());
    const at = words.flatMap((line) => failedLine.exec(line)?.[1] ?? [])[0];
    const line = group?.lines[at === undefined ? (group.lines.length === 1 ? 0 : -1) : Number(at) - 1];
    const reason =
        words
            .filter((word) => !word.startsWith("Command failed -") && !/^[\^~\s]*$/.test(word))
            // nft shows the line itself below its words, a shell its own name before them.
            .filter((word) => group?.tool !== "nft" || !group.lines.some(({ args }) => args.join(" ").startsWith(word)))
            .map((word) => word.replace(/^(\/dev\/stdin:[\d:-]+ |\S*sh: (line )?\d+: )/, ""))
            .map((word) => word.replace(/^(RTNETLINK answers|Error): /, ""))
            .slice(0, 3)
            .join("; ") || "no reason given";
    // Its words are a sentence of ours.
    if (group?.tool === "require") return `${reason} The host was put back as it was.`;
    const tool = group === undefined || group.tool === "command" ? "" : group.tool;
    const step = line === undefined ? (group?.tool ?? `write the ${failed}`) : `${tool} ${line.args.join(" ")}`.trim();
    return `\`${step}\` failed: ${reason}. The host was put back as it was.${adviceFor(reason)}${adviceOfIpsec(step, reason)}`;
}

/** Numbers and selectors are given once on a host, whoever uses them. */
function adviceOfIpsec(step: string, reason: string): string {
    if (!reason.includes("File exists")) return "";
    if (step.startsWith("xfrm receive"))
        return " Somebody else has an association of that number (`ip xfrm state`). Give the segment another key: the numbers follow from it.";
    return step.startsWith("ip xfrm policy")
        ? " Somebody else has a policy for the same packets (`ip xfrm policy`). Give the segment another port."
        : "";
}

/** What the kernel means by words that say little. */
function adviceFor(reason: string): string {
    if (/Unknown device type|Operation not supported|Protocol error/.test(reason)) {
        return " Its kernel lacks what this needs: see the Host's output capabilities, or run `linuxnet doctor`.";
    }
    if (/\/var\/lib\/linuxnet.*No space left/.test(reason)) return " Its disk is full.";
    return /No space left|Cannot allocate|No buffer space/.test(reason)
        ? " The host is out of memory or of kernel table space."
        : "";
}

interface Listener {
    readonly protocol: PortProtocol;
    readonly address: string;
    readonly port: number;
    readonly process: string;
}

/** `ss -Hlntup` lines: protocol, state, queues, local address, peer, users:(("nginx",pid=1,fd=6)). */
export function parseListeners(body: string): Listener[] {
    return body
        .split("\n")
        .filter((line) => line.trim() !== "")
        .map((line) => {
            const [protocol, , , , local = ""] = line.trim().split(/\s+/);
            const [, name, pid] = /\(\("([^"]*)",pid=(\d+)/.exec(line) ?? [];
            const process = name === undefined ? "a process of the host" : `${name} (pid ${pid})`;
            const colon = local.lastIndexOf(":");
            return {
                protocol: protocol as PortProtocol,
                address: local.slice(0, colon).replace(/^\[|\]$|%.*$/g, ""),
                port: Number(local.slice(colon + 1)),
                process,
            };
        });
}

/** Somebody behind a bridge of others who has an address. */
export interface Answer {
    readonly dev: string;
    readonly address: string;
    readonly mac: string;
}

/** Lines of bridge, address and MAC. */
export function parseAnswers(body: string): Answer[] {
    return body
        .split("\n")
        .map((line) => line.trim().split(" "))
        .flatMap(([dev = "", address, mac]) =>
            address === undefined || mac === undefined ? [] : [{ dev, address, mac }],
        );
}

/** Whether a listener and a published address are in each other's way. */
export function isInTheWay(listener: Listener, published: string): boolean {
    const address = listener.address.replace(/^::ffff:/, "");
    // ss(8) shows a socket of both families as "*".
    const listened = address === "*" ? undefined : address;
    if (!shareFamily(listened, published)) return false;
    return isEvery(listened) || isEvery(published) || listened === published;
}
