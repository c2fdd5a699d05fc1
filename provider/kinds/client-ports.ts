import type { Binding } from "../model/object.js";
import { formatPortRange } from "../model/port-range.js";
import type { ClientPorts } from "../model/world.js";
import { meet } from "./port-bindings.js";

/** A program of the host that is handed such a port hears nobody who comes by it: the mapping takes what is new. */
export function warnOfClients(bindings: readonly Binding[], clientPorts: ClientPorts | undefined): string[] {
    if (clientPorts === undefined) return [];
    const given = bindings
        .map(({ hostPort }) => hostPort)
        .filter((range) => meet(range, clientPorts))
        .filter((range) => !clientPorts.reserved.some(({ first, last }) => first <= range.first && range.last <= last));
    const ports = [...new Set(given.map(formatPortRange))].join(",");
    if (ports === "") return [];
    return [
        `host port ${ports} is among those that the kernel hands out to programs (${clientPorts.first}-${clientPorts.last}). ` +
            "One that is handed it gets no new connections there. Choose a port outside, or reserve it on the host: " +
            `sysctl net.ipv4.ip_local_reserved_ports=${[...clientPorts.reserved.map(formatPortRange), ports].join(",")}`,
    ];
}
