import type { Readable, Writable } from "node:stream";

/** A running `sh` on a host, whatever carries its three pipes. */
export interface ShellProcess {
    readonly stdin: Writable;
    readonly stdout: Readable;
    readonly stderr: Readable;
    /** Resolves once, when the process or its connection is gone, with the reason as a clause: `the host closed the connection`. */
    readonly ended: Promise<ProcessEnd>;
    /** Drops the pipes and the connection at once; safe to call twice. */
    destroy(): void;
}

export interface ProcessEnd {
    readonly reason: string;
    /** Set when the process ended by itself and said so. */
    readonly exitCode?: number;
}
