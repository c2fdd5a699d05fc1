import type { LabHost } from "../../lab/index.js";
import { Endpoint, Host, OverlayNetwork, Sandbox } from "../../sdk/index.js";
import { range } from "../measure.js";

/** How much of the segment is declared. */
export interface SegmentSize {
    /** Of the lab's hosts the first ones. */
    readonly hosts: number;
    readonly endpointsPerHost: number;
    /** Sandboxes that the first host has besides. @default 0 */
    readonly further?: number;
    /** Each sandbox has an endpoint on each of them. @default 1 */
    readonly segments?: number;
}

/** Endpoints that are declared, in the order of their hosts; arrays of equal length. */
export interface SegmentOutputs {
    readonly hosts: readonly number[];
    readonly namespaces: readonly string[];
    readonly addresses: readonly string[];
}

/** A program: segments over the hosts, with as many sandboxes on each; its outputs are those of the first segment. */
export function declareSegment(machines: readonly LabHost[], size: SegmentSize) {
    const { hosts, endpointsPerHost, further = 0, segments = 1 } = size;
    const used = machines.slice(0, hosts).map(({ name, connection }) => new Host(name, { connection }));
    const [mesh, ...others] = range(segments).map((i) => {
        return new OverlayNetwork(`mesh-${i}`, { hosts: used, subnet: `10.${64 + 4 * i}.0.0/14`, vni: 64 + i });
    });
    if (mesh === undefined) throw new RangeError("segments: at least one is needed.");
    const joined = used.flatMap((host, index) =>
        range(endpointsPerHost + (index === 0 ? further : 0)).map((i) => {
            const name = `app-${index + 1}-${i + 1}`;
            const sandbox = new Sandbox(name, { host });
            const endpoint = new Endpoint(`${name}-mesh`, { sandbox, network: mesh.on(host) });
            for (const [j, other] of others.entries()) {
                new Endpoint(`${name}-other-${j}`, { sandbox, network: other.on(host) });
            }
            return { index, namespace: sandbox.name, address: endpoint.address };
        }),
    );
    return {
        hosts: joined.map(({ index }) => index),
        namespaces: joined.map(({ namespace }) => namespace),
        addresses: joined.map(({ address }) => address),
    };
}
