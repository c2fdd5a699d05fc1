import type { EndpointObject, NetworkObject } from "../model/object.js";
import type { Packet } from "./packet.js";
import {
    addressFor,
    defaultEndpoint,
    endpointAt,
    hostSource,
    isLoopback,
    isOn,
    networkAround,
    networkOf,
    type Site,
} from "./site.js";

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
    const none: Sending = { way: "none", reason: `sandbox "${sandbox.name}" has no route to ${to}` };
    const own = site.world.endpointsOf(sandbox.key);
    const addressOf = (endpoint: EndpointObject) => addressFor(to, endpoint, site);
    const wanted = packet.source ?? (bound === undefined ? undefined : addressOf(bound));
    // Bound to an endpoint that has no address of this family.
    if (bound !== undefined && wanted === undefined) return none;
    if (isLoopback(to) || own.some((endpoint) => addressOf(endpoint) === to)) {
        return { way: "within", sandbox: sandbox.key, source: wanted ?? to };
    }
    const speaker = wanted === undefined ? undefined : own.find((endpoint) => addressOf(endpoint) === wanted);
    const onLink = own.find((endpoint) => isOn(to, networkOf(endpoint, site)));
    // What speaks as an endpoint with a gateway goes by that endpoint, whatever the sandbox's other routes say.
    const leaves =
        speaker !== undefined && !networkOf(speaker, site).internal
            ? speaker
            : (onLink ?? defaultEndpoint(to, sandbox, site));
    if (leaves === undefined) return none;
    const address = wanted ?? addressOf(leaves) ?? "";
    return { way: "side", side: { at: networkOf(leaves, site), address, endpoint: leaves } };
}

/** Where a destination is. */
export function locate(address: string, site: Site): Side {
    const endpoint = endpointAt(address, site);
    if (endpoint !== undefined) return { at: networkOf(endpoint, site), address, endpoint };
    return { at: networkAround(address, site) ?? "outside", address };
}
