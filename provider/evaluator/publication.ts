import type { Binding, EndpointObject, PortMappingObject } from "../model/object.js";
import { protocolNumber } from "./protocol.js";
import type { Site } from "./site.js";

/** A published port, and who is behind it. */
export interface Publication {
    readonly mapping: PortMappingObject;
    readonly endpoint: EndpointObject;
    readonly port: number;
}

/** Who answers on a port of the host: one published on this very address goes before one on every address. */
export function publicationOf(
    address: string,
    protocol: number,
    port: number | undefined,
    { world }: Site,
): Publication | undefined {
    const found: { readonly publication: Publication; readonly isSpecific: boolean }[] = [];
    for (const mapping of port === undefined ? [] : world.all("port-mapping")) {
        const endpoint = world.get("endpoint", mapping.endpoint);
        for (const binding of mapping.bindings) {
            if (endpoint === undefined || protocolNumber(binding.protocol) !== protocol) continue;
            if (binding.hostAddress !== undefined && binding.hostAddress !== address) continue;
            const target = targetPort(binding, port as number);
            if (target === undefined) continue;
            found.push({
                publication: { mapping, endpoint, port: target },
                isSpecific: binding.hostAddress !== undefined,
            });
        }
    }
    return (found.find(({ isSpecific }) => isSpecific) ?? found[0])?.publication;
}

/** Ranges are published port by port, in their order. */
function targetPort({ hostPort, targetPort }: Binding, port: number): number | undefined {
    return hostPort.first <= port && port <= hostPort.last ? targetPort.first + port - hostPort.first : undefined;
}
