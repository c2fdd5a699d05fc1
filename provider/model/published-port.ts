import type { PortProtocol } from "./object.js";
import { formatPortRange, parsePortRange } from "./port-range.js";

export const portProtocols: readonly PortProtocol[] = ["tcp", "udp", "sctp"];

/** A published port as Compose writes it, in parts; absent: what Compose leaves open. */
export interface PublishedPort {
    readonly targetPort: number | string;
    readonly hostPort?: number | string;
    readonly hostAddress?: string;
    readonly protocol?: PortProtocol;
}

const form =
    '[address:][host port:]target port[/protocol] is expected, as in "8080:80", "127.0.0.1:53:53/udp" or "8000-8010:80-90"';

/**
 * Compose's short form: `"80"`, `"8080:80"`, `"443:443/tcp"`, `"127.0.0.1:53:53/udp"`, `"127.0.0.1::80"`, `"[::1]:80:80"`,
 * `"8000-8010:80-90"`. The address is not looked into.
 *
 * @throws Error naming the part that is wrong
 * @see https://docs.docker.com/reference/compose-file/services/#short-syntax-4
 */
export function parsePublishedPort(text: string): PublishedPort {
    const [, place = "", protocol] = /^([^/]*)(?:\/(.*))?$/s.exec(text.trim()) ?? [];
    const known = portProtocols.find((each) => each === protocol);
    if (protocol !== undefined && known === undefined) {
        throw new Error(`"${text}" ends in "/${protocol}"; "/tcp", "/udp" or "/sctp" is expected`);
    }
    const [, hostAddress, ports = ""] = /^(?:(\[[^\]]*\]|[^:]*):)?([^:]*:[^:]*|[^:]*)$/.exec(place) ?? [];
    const [first = "", second] = ports.split(":");
    const [host, target] = second === undefined ? [hostAddress, first] : [first, second];
    if (!isPorts(target) || (host !== undefined && host !== "" && !isPorts(host))) {
        throw new Error(`"${text}" is no published port: ${form}`);
    }
    // "8080:80" has no address, "::80" neither; "127.0.0.1::80" leaves the port open.
    const address = second === undefined ? undefined : hostAddress;
    if (address === "" || (host === "" && address === undefined)) {
        throw new Error(`"${text}" begins with ":" and nothing before it: ${form}`);
    }
    return {
        targetPort: range(text, target),
        ...(host === undefined || host === "" ? {} : { hostPort: range(text, host) }),
        ...(address === undefined ? {} : { hostAddress: address.replace(/^\[|\]$/g, "") }),
        ...(known === undefined ? {} : { protocol: known }),
    };
}

const isPorts = (text: string) => /^\d+(\s*-\s*\d+)?$/.test(text);

function range(text: string, ports: string): number | string {
    try {
        return formatPortRange(parsePortRange(ports));
    } catch (error) {
        throw new Error(`"${text}": ${(error as Error).message}`);
    }
}
