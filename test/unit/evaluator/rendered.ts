import type { Judgement, Packet } from "../../../provider/evaluator/packet.js";
import { locate, send } from "../../../provider/evaluator/sender.js";
import { isOfHost } from "../../../provider/evaluator/site.js";
import { plan } from "../../../provider/kernel/plan.js";
import { hostInterfaceOf, interfaceOf } from "../../../provider/model/object.js";
import type { HostFacts, World } from "../../../provider/model/world.js";
import { allItems } from "../kinds/build.js";
import { createTracer, type Packet as Seen } from "../kinds/tracer.js";

export interface Outcome extends Pick<Judgement, "verdict"> {
    readonly target: string;
    /** Before it is masqueraded. */
    readonly source: string;
    readonly isMasqueraded: boolean;
}

const uplink = "eth0";

/** Sends packets through the rendered rules of a world, hook by hook as the kernel does (Documentation: nft(8), HOOKS). */
export function renderedHost(world: World, facts: HostFacts): (packet: Packet) => Outcome {
    const site = { world, facts };
    const { nft } = plan([], allItems(world));
    const trace = createTracer(nft.map((line) => line.args.join(" ")).join("\n"));

    return (packet) => {
        const { to, port, protocol } = packet;
        const sending = send(packet, site);
        const asSent = port === undefined ? to : `${to}:${port}`;
        if (sending.way !== "side") {
            const verdict = sending.way === "within" ? "pass" : "drop";
            const source = sending.way === "within" ? sending.source : "";
            return { verdict, target: asSent, source, isMasqueraded: false };
        }
        const { at, address: source, endpoint } = sending.side;
        const iifname = typeof at === "object" ? interfaceOf(at) : at === "outside" ? uplink : undefined;
        const common: Omit<Seen, "hook"> = {
            ...(iifname === undefined ? {} : { iifname }),
            saddr: source,
            protocol: String(protocol),
            ...(port === undefined ? {} : { dport: port }),
            local: isOfHost(to, site) ? [to] : [],
            state: packet.state ?? "new",
        };
        if (endpoint !== undefined) {
            const frame = { iifname: hostInterfaceOf(endpoint), etherSource: endpoint.macAddress, etherType: "ip" };
            const seen = trace({ ...common, ...frame, family: "bridge", hook: "prerouting", daddr: to });
            if (seen.verdict !== "accept") return { verdict: "drop", target: asSent, source, isMasqueraded: false };
        }
        const isFromHost = at === "host";
        const early = trace({ ...common, hook: isFromHost ? "output" : "prerouting", daddr: to });
        if (!isFromHost && early.verdict !== "accept")
            return { verdict: "drop", target: asSent, source, isMasqueraded: false };

        const [address2 = to, port2 = port] = early.dnat?.split(":") ?? [];
        const isDnat = early.dnat !== undefined;
        const target = port2 === undefined ? address2 : `${address2}:${port2}`;
        const place = isOfHost(address2, site) ? "host" : locate(address2, site).at;
        const oifname = typeof place === "object" ? interfaceOf(place) : place === "outside" ? uplink : "lo";
        const translated = {
            ...common,
            daddr: address2,
            ...(port2 === undefined ? {} : { dport: Number(port2) }),
            isDnat,
        };
        // The output hook still has the interface from before DNAT; packets to the host itself have none in input.
        const hook = isFromHost ? "output" : place === "host" ? "input" : "forward";
        const filtered = trace({ ...translated, hook, ...(hook === "input" ? {} : { oifname }) });
        if (filtered.verdict !== "accept") {
            return { verdict: filtered.verdict === "reject" ? "reject" : "drop", target, source, isMasqueraded: false };
        }
        const leaves = hook === "input" ? undefined : trace({ ...translated, hook: "postrouting", oifname });
        return { verdict: "pass", target, source, isMasqueraded: leaves?.isMasqueraded ?? false };
    };
}
