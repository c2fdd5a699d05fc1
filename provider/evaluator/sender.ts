import type { EndpointObject, NetworkObject } from "../model/object.js";
import type { Packet } from "./packet.js";
import { defaultEndpoint, endpointAt, hostSource, isWithin, networkOf, type Site } from "./site.js";

/** A place in the policies' sense, with the address seen there: the host, the outside, or a network of the host. */
export interface Side {
    readonly at: "host" | "outside" | NetworkObject;
    readonly address: string;
    /** Whose the address is, on a network. */
    readonly endpoint?: EndpointObject;
}

/** How a packet leaves its sender. */
export type Sending =
    | { readonly way: "side"; readonly side: Side }
    /** It never leaves the sandbox. */
    | { readonly way: "within"; readonly sandbox: string; readonly source: string }
    | { readonly way: "none"; readonly reason: string };

/** @throws Error when the sender is no object of the host */
export function send(packet: Packet, site: Site): Sending {
    const { from, to } = packet;
    if (from === "host") {
        return { way: "side", side: { at: "host", address: packet.source ?? hostSource(to, site) } };
    }
    if ("outside" in from) return { way: "side", side: { at: "outside", address: packet.source ?? from.outside } };
    const bound = "endpoint" in from ? site.world.get("endpoint", from.endpoint) : undefined;
    const sandbox = site.world.get("sandbox", "sandbox" in from ? from.sandbox : (bound?.sandbox ?? ""));
    if (sandbox === undefined) throw new Error("the sender is no sandbox and no endpoint of this host");
    const own = site.world.endpointsOf(sandbox.key);
    if (isWithin(to, "127.0.0.0/8") || own.some((endpoint) => endpoint.ipv4Address === to)) {
        return { way: "within", sandbox: sandbox.key, source: packet.source ?? bound?.ipv4Address ?? to };
    }
    const wanted = packet.source ?? bound?.ipv4Address;
    const speaker = own.find((endpoint) => endpoint.ipv4Address === wanted);
    const onLink = own.find((endpoint) => isWithin(to, networkOf(endpoint, site).subnet));
    // What speaks as an endpoint with a gateway goes by that endpoint, whatever the sandbox's other routes say.
    const leaves =
        speaker !== undefined && !networkOf(speaker, site).internal
            ? speaker
            : (onLink ?? defaultEndpoint(sandbox, site));
    if (leaves === undefined) {
        return { way: "none", reason: `sandbox "${sandbox.name}" has no route to ${to}` };
    }
    const address = wanted ?? leaves.ipv4Address;
    return { way: "side", side: { at: networkOf(leaves, site), address, endpoint: leaves } };
}

/** Where a destination is. */
export function locate(address: string, site: Site): Side {
    const endpoint = endpointAt(address, site);
    if (endpoint !== undefined) return { at: networkOf(endpoint, site), address, endpoint };
    const network = site.world.all("network").find(({ subnet }) => isWithin(address, subnet));
    return { at: network ?? "outside", address };
}
