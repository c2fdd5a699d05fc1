import { type Item, keyOf, typeOf } from "../kernel/item.js";
import { Refusal } from "../model/refusal.js";
import { isInTheWay, type parseListeners } from "./failure.js";

/** A namespace's name is the user's choice, so one that the manifest does not know is somebody else's. */
export function mayBeOurs(before: readonly Item[], after: readonly Item[]): Item[] {
    const known = new Set(before.map(keyOf));
    return [...before, ...after.filter((item) => !known.has(keyOf(item)) && item.type !== "netns")];
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
            throw new Refusal(
                `host port ${claim.port}/${claim.protocol} is in use by ${holder.process}, which listens on ${holder.address}. ` +
                    "Choose another hostPort, or stop it.",
            );
        }
    }
}

/** Interfaces are named by hashes: one that is there is a left-over of ours and is looked at. A namespace is not. */
export function refuseTaken(what: string, repair: boolean): void {
    if (!repair && !what.startsWith("network namespace")) return;
    const advice = what.startsWith("network namespace")
        ? "Choose another name, or remove it (ip netns del)."
        : "Remove it by hand (ip link del).";
    throw new Refusal(`${what} exists on the host already and is not of this provider. ${advice}`);
}
