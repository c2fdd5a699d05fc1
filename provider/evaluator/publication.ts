import { familiesOf, isEvery } from "../model/host-address.js";
import {
    type Binding,
    type EndpointObject,
    type PortMappingObject,
    type PortTarget,
    targetsOf,
} from "../model/object.js";
import { protocolNumber } from "./protocol.js";
import type { Site } from "./site.js";

/** A published port, and who is behind it. */
export interface Publication {
    readonly mapping: PortMappingObject;
    readonly endpoint: EndpointObject;
    readonly port: number;
}

/**
 * Who answers on a port of the host: one published on this very address goes before one on every address. Several
 * when new connections are dealt out to several, whatever their shares are.
 */
export function publicationsOf(
    address: string,
    protocol: number,
    port: number | undefined,
    { world }: Site,
): readonly Publication[] {
    if (port === undefined) return [];
    const found = world.all("port-mapping").flatMap((mapping) =>
        mapping.bindings.flatMap((binding) => {
            const { hostAddress, hostPort } = binding;
            if (protocolNumber(binding.protocol) !== protocol) return [];
            const isSpecific = !isEvery(hostAddress);
            // Packets are IPv4 ones.
            if (!familiesOf(hostAddress).includes(4) || (isSpecific && hostAddress !== address)) return [];
            if (port < hostPort.first || port > hostPort.last) return [];
            const publications = targetsOf(mapping).flatMap((target): Publication[] => {
                const endpoint = target.weight === 0 ? undefined : world.get("endpoint", target.endpoint);
                return endpoint === undefined ? [] : [{ mapping, endpoint, port: targetPort(binding, target, port) }];
            });
            return publications.length === 0 ? [] : [{ publications, isSpecific }];
        }),
    );
    return (found.find(({ isSpecific }) => isSpecific) ?? found[0])?.publications ?? [];
}

/** Ranges are published port by port, in their order. */
function targetPort({ hostPort, targetPort }: Binding, target: PortTarget, port: number): number {
    return (target.port ?? targetPort.first) + port - hostPort.first;
}
