import * as pulumi from "@pulumi/pulumi";
import { follow, isBranded } from "./reference.js";

/** Addresses that the program gives to endpoints, by what they are attached to; they go with the program's objects. */
const given = new WeakMap<object, Set<string>>();

/** A segment's hosts share its addresses. */
function keyOf(network: unknown): object | undefined {
    if (isBranded(network, "network")) return network.__linuxnet.overlay ?? network;
    return typeof network === "object" && network !== null ? network : undefined;
}

/** Notes what an endpoint of the program is given: at once what is plain, when it is known what is an Output. */
export function noteStaticAddresses(network: unknown, addresses: readonly unknown[]): void {
    const key = keyOf(network);
    if (key === undefined) return;
    const known = given.get(key) ?? new Set();
    given.set(key, known);
    for (const address of addresses) {
        follow(address, (text) => {
            if (typeof text === "string") known.add(text);
        });
    }
}

/**
 * What an endpoint that is given none must not take: the addresses of a family that the program gives to others on the
 * network, wherever they stand in it. The engine makes resources in any order.
 *
 * @param isWanted which addresses
 * @param after looked up when this is known, which is as late as the endpoint allows
 * @returns their texts with spaces between them; `undefined` when there are none
 */
export function listStaticAddresses(
    network: unknown,
    isWanted: (address: string) => boolean,
    after: readonly unknown[],
): pulumi.Output<string | undefined> {
    return pulumi.all(after as pulumi.Input<unknown>[]).apply(() => {
        const key = keyOf(network);
        const listed = [...((key && given.get(key)) ?? [])].filter(isWanted);
        return listed.length === 0 ? undefined : listed.join(" ");
    });
}
