import * as pulumi from "@pulumi/pulumi";
import type { HostRange } from "../provider/model/subnet-ranges.js";

/** What the ranges of a segment follow from, as the program gives it. */
export interface OverlayRangesArgs {
    /** Name of the segment, for messages. */
    readonly segment: string;
    /** Names of the hosts, in the order of the program. */
    readonly hosts: readonly string[];
    readonly subnet: unknown;
    readonly prefixPerHost: unknown;
    /** Ranges that the program chose. */
    readonly given: unknown;
}

/**
 * Keeps in state which part of a segment each host has, so that a host that comes or goes moves no address of the others.
 * Part of OverlayNetwork; touches no host.
 */
export class OverlayRanges extends pulumi.CustomResource {
    declare readonly ranges: pulumi.Output<Readonly<Record<string, HostRange>>>;

    constructor(name: string, args: OverlayRangesArgs, opts: pulumi.CustomResourceOptions) {
        const props = {
            ...args,
            ranges: undefined,
            __provider: `exports.handler = () => require("pulumi-linuxnet/provider").overlayRanges;`,
        };
        super("pulumi-nodejs:dynamic/linuxnet:OverlayRanges", name, props, opts);
    }
}
