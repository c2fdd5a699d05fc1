import { parseSections } from "./sections.js";
import type { ScriptResult } from "./shell.js";
import type { RenderedTransaction } from "./transaction.js";

/** A step of a transaction failed and the host put everything back. */
export class TransactionFailed extends Error {
    override readonly name = "TransactionFailed";
}

/** The kernel's own words, and the line of ours that they answer. */
export function describeFailure(result: ScriptResult, transaction: RenderedTransaction): string {
    const failed = parseSections(result.stdout).get("failed")?.trim() ?? "";
    const group = transaction.steps[Number(failed)];
    const words = result.stderr
        .split("\n")
        .map((line) => line.replace(/^(RTNETLINK answers|Error): /, "").trim())
        .filter((line) => line !== "" && !/^\^[\^~\s]*$/.test(line));
    const at = words.map((line) => /^Command failed -:(\d+)$/.exec(line)?.[1]).find((line) => line !== undefined);
    const line = at === undefined ? undefined : group?.lines[Number(at) - 1];
    const reason =
        words
            .filter((word) => !word.startsWith("Command failed -"))
            .slice(0, 3)
            .join("; ") || "no reason given";
    const step = line === undefined ? (group?.tool ?? failed) : `${group?.tool} ${line.args.join(" ")}`;
    return `\`${step}\` failed: ${reason}. The host was put back as it was.${adviceFor(reason)}`;
}

/** What the kernel means by words that say little. */
function adviceFor(reason: string): string {
    if (/Unknown device type|Operation not supported|Protocol error/.test(reason)) {
        return " Its kernel lacks what this needs: see the Host's output capabilities, or run `linuxnet doctor`.";
    }
    return /No space left|Cannot allocate|No buffer space/.test(reason)
        ? " The host is out of memory or of kernel table space."
        : "";
}

interface Listener {
    readonly address: string;
    readonly port: number;
    readonly process: string;
}

/** `ss -Hlntp` lines: state, queues, local address, peer, users:(("nginx",pid=1,fd=6)). */
export function parseListeners(body: string): Listener[] {
    return body
        .split("\n")
        .filter((line) => line.trim() !== "")
        .map((line) => {
            const local = line.trim().split(/\s+/)[3] ?? "";
            const [, name, pid] = /\(\("([^"]*)",pid=(\d+)/.exec(line) ?? [];
            const process = name === undefined ? "a process of the host" : `${name} (pid ${pid})`;
            const colon = local.lastIndexOf(":");
            return {
                address: local.slice(0, colon).replace(/^\[|\]$|%.*$/g, ""),
                port: Number(local.slice(colon + 1)),
                process,
            };
        });
}

/** Whether a listener and a published address are in each other's way. */
export function isInTheWay(listener: Listener, published: string | undefined): boolean {
    const everywhere = ["0.0.0.0", "*", "::"].includes(listener.address);
    return published === undefined || everywhere || listener.address === published;
}
