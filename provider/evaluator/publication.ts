import { familiesOf, isEvery } from "../model/host-address.js";
import { isIpv6 } from "../model/ipv6.js";
import {
    type Binding,
    type EndpointObject,
    type PortMappingObject,
    type PortTarget,
    targetsOf,
} from "../model/object.js";
import { protocolNumber } from "./protocol.js";
import { addressFor, type Site } from "./site.js";

/** A published port, and who is behind it. */
export interface Publication {
    readonly mapping: PortMappingObject;
    readonly endpoint: EndpointObject;
    /** The endpoint's, of the family that was asked. */
    readonly address: string;
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
    site: Site,
): readonly Publication[] {
    const { world } = site;
    // ::1 stays with the host: what is translated back to it would be dropped on its way.
    if (port === undefined || address === "::1") return [];
    const family = isIpv6(address) ? 6 : 4;
    const found = world.all("port-mapping").flatMap((mapping) =>
        mapping.bindings.flatMap((binding) => {
            const { hostAddress, hostPort } = binding;
            if (protocolNumber(binding.protocol) !== protocol) return [];
            const isSpecific = !isEvery(hostAddress);
            if (!familiesOf(hostAddress).includes(family) || (isSpecific && hostAddress !== address)) return [];
            if (port < hostPort.first || port > hostPort.last) return [];
            const publications = targetsOf(mapping).flatMap((target): Publication[] => {
                const endpoint = target.weight === 0 ? undefined : world.get("endpoint", target.endpoint);
                const own = endpoint === undefined ? undefined : addressFor(address, endpoint, site);
                if (endpoint === undefined || own === undefined) return [];
                return [{ mapping, endpoint, address: own, port: targetPort(binding, target, port) }];
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
