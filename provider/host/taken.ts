import { type Item, keyOf, typeOf } from "../kernel/item.js";
import { ofMaker } from "../model/foreign.js";
import { Refusal } from "../model/refusal.js";
import { type Answer, isInTheWay, type parseListeners } from "./failure.js";

/**
 * Namespaces, and routes in those of others, have names of the user's choice: unknown to the manifest, they are others'.
 * What is to be kept is looked at under the lock.
 */
export function mayBeOurs(before: readonly Item[], after: readonly Item[]): Item[] {
    const known = new Set(before.map(keyOf));
    const isOfOthers = (item: Item) =>
        ["netns", "netns-file", "kept"].includes(item.type) || (item.type === "route" && item.isShared === true);
    return [...before, ...after.filter((item) => !known.has(keyOf(item)) && !isOfOthers(item))];
}

/** @throws Refusal when a process listens where a port is to be published. */
export function refuseListeners(listeners: ReturnType<typeof parseListeners>, items: readonly Item[]): void {
    for (const item of items) {
        for (const claim of typeOf(item).claims?.(item) ?? []) {
            if (!("port" in claim)) continue;
            const holder = listeners.find(
                (listener) =>
                    listener.protocol === claim.protocol &&
                    listener.port === claim.port &&
                    isInTheWay(listener, claim.address),
            );
            if (holder === undefined) continue;
            const { argument = "hostPort" } = claim;
            throw new Refusal(
                `host port ${claim.port}/${claim.protocol} is in use by ${holder.process}, which listens on ${holder.address}. ` +
                    `Choose another ${argument}, or stop it.`,
            );
        }
    }
}

/** @throws Refusal when somebody behind a bridge of others has an address that is to be used there. */
export function refuseAnswering(answers: readonly Answer[], items: readonly Item[]): void {
    for (const item of items) {
        for (const claim of typeOf(item).claims?.(item) ?? []) {
            if (!("unanswered" in claim)) continue;
            const holder = answers.find(({ dev, address }) => dev === claim.dev && address === claim.unanswered);
            if (holder === undefined) continue;
            throw new Refusal(
                `address ${holder.address} is in use on bridge ${holder.dev} by somebody else: ${holder.mac} answers for it. ` +
                    `Choose another ${claim.argument}.`,
            );
        }
    }
}

/** Interfaces are named by hashes: one that is there is a left-over of ours and is looked at. A namespace is not. */
export function refuseTaken(what: string, repair: boolean): void {
    if (!repair && !what.startsWith("network namespace")) return;
    const name = /"(.*)"/.exec(what)?.[1] ?? "";
    const advice = what.startsWith("network namespace")
        ? `Choose another name, join it with namespace: "${name}", or take it over with adopt: true.`
        : what.startsWith("the file")
          ? 'It stays as it is with dns: { mode: "none" } on the sandbox; to have the names of its networks there, remove it.'
          : "Remove it by hand (ip link del).";
    throw new Refusal(`${what}${ofMaker(name)} exists on the host already and is not of this provider. ${advice}`);
}
