import type { LabHost } from "../../lab/index.js";

/** A way between two hosts that is measured: from a namespace of the one (or the host itself) to an address of the other. */
export interface Path {
    readonly name: string;
    readonly hosts: readonly [LabHost, LabHost];
    /** Network namespaces on the two; undefined: the host itself. */
    readonly namespaces: readonly [string | undefined, string | undefined];
    /** Of the second one. */
    readonly address: string;
}

export function underlayPath(hosts: Path["hosts"]): Path {
    return { name: "bare underlay", hosts, namespaces: [undefined, undefined], address: hosts[1].address };
}
