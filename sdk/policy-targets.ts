import { isBranded, type RefKind } from "./reference.js";

type Host = object;

/** The targets of a policy on one host, as far as the program can tell. */
export interface TargetsOfHost {
    /** Its name; absent where no host can be told. */
    readonly host?: string;
    readonly targets: readonly unknown[];
}

/**
 * Targets host by host, in the order given: one policy is on one host. Those that are only known later go with the others
 * when these are on one host; the provider looks again.
 * @throws Error when they are on several, so that it cannot be told whose they are
 */
export function splitByHost(at: string, target: unknown): readonly TargetsOfHost[] {
    const all = (Array.isArray(target) ? target : [target]).flatMap(networksOf);
    const hosts = new Map<Host, unknown[]>();
    for (const each of all) {
        const host = hostOf(each);
        if (host !== undefined) hosts.set(host, [...(hosts.get(host) ?? []), each]);
    }
    const names = [...hosts.keys()].map(nameOf);
    if (hosts.size < 2) return [{ ...(names[0] === undefined ? {} : { host: names[0] }), targets: all }];
    const unclear = all.findIndex((each) => hostOf(each) === undefined);
    if (unclear >= 0) {
        throw new Error(
            `${at}: the other targets are on several hosts (${names.join(", ")}), and of element ${unclear} that is only known later. ` +
                "Name the resource itself, or make a policy for each host.",
        );
    }
    return [...hosts.values()].map((targets, i) => ({ host: names[i] ?? "", targets }));
}

/** An OverlayNetwork stands for its networks, one a host. */
function networksOf(target: unknown): unknown[] {
    if (!isBranded(target, "overlay-network")) return [target];
    return Object.values((target as unknown as { networks: Record<string, unknown> }).networks);
}

const kinds: readonly RefKind[] = ["endpoint", "sandbox", "network"];

function hostOf(target: unknown): Host | undefined {
    if (isBranded(target, "host")) return target;
    const host = isBranded(target, ...kinds) ? target.__linuxnet.host : undefined;
    return isBranded(host, "host") ? host : undefined;
}

function nameOf(host: Host): string {
    return isBranded(host, "host") ? host.__linuxnet.name : "";
}
