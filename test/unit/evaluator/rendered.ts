import type { Judgement, Packet } from "../../../provider/evaluator/packet.js";
import { locate, send } from "../../../provider/evaluator/sender.js";
import { hostSource, isOfHost, subnetFor } from "../../../provider/evaluator/site.js";
import { plan } from "../../../provider/kernel/plan.js";
import { icmpTypeName } from "../../../provider/model/icmp-type.js";
import { isIpv6 } from "../../../provider/model/ipv6.js";
import { hostInterfaceOf, interfaceOf } from "../../../provider/model/object.js";
import type { HostFacts, World } from "../../../provider/model/world.js";
import { allItems } from "../kinds/build.js";
import { createTracer, type Packet as Seen } from "../kinds/tracer.js";

export interface Outcome extends Pick<Judgement, "verdict"> {
    readonly target: string;
    /** Whom the receiver sees; empty when there is none. */
    readonly source: string;
}

const uplink = "eth0";

/**
 * Sends packets through the rendered rules of a world, hook by hook as the kernel does (Documentation: nft(8), HOOKS).
 * Several outcomes: connections are dealt out to several targets, some perhaps more than once in a round.
 */
export function renderedHost(world: World, facts: HostFacts): (packet: Packet) => readonly Outcome[] {
    const site = { world, facts };
    const { nft } = plan([], allItems(world));
    const trace = createTracer(nft.map((line) => line.args.join(" ")).join("\n"));

    return (packet) => {
        const [first, turns] = sendInTurn(packet, 0);
        return [first, ...Array.from({ length: turns - 1 }, (_, i) => sendInTurn(packet, i + 1)[0])];
    };

    /** The outcome, and among how many turns this is one. */
    function sendInTurn(packet: Packet, turn: number): [Outcome, number] {
        const { to, port, protocol } = packet;
        const sending = send(packet, site);
        const asSent = port === undefined ? to : `${to}:${port}`;
        if (sending.way !== "side") {
            const verdict = sending.way === "within" ? "pass" : "drop";
            const source = sending.way === "within" ? sending.source : "";
            return [{ verdict, target: asSent, source }, 1];
        }
        const { at, address: source, endpoint } = sending.side;
        const iifname = typeof at === "object" ? interfaceOf(at) : at === "outside" ? uplink : undefined;
        const common: Omit<Seen, "hook"> = {
            ...(iifname === undefined ? {} : { iifname }),
            saddr: source,
            protocol: String(protocol),
            ...(port === undefined ? {} : { dport: port }),
            icmpType: String(icmpTypeName("icmp", packet.icmpType ?? "echo-request")),
            ...(protocol === "icmpv6" ? { icmpv6Type: "echo-request" } : {}),
            local: isOfHost(to, site) ? [to] : [],
            state: packet.state ?? "new",
            turn,
        };
        const dropped: [Outcome, number] = [{ verdict: "drop", target: asSent, source: "" }, 1];
        if (endpoint !== undefined) {
            const frame = {
                iifname: hostInterfaceOf(endpoint),
                etherSource: endpoint.macAddress,
                etherType: isIpv6(to) ? "ip6" : "ip",
            };
            const seen = trace({ ...common, ...frame, family: "bridge", hook: "prerouting", daddr: to });
            if (seen.verdict !== "accept") return dropped;
        }
        const isFromHost = at === "host";
        const early = trace({ ...common, hook: isFromHost ? "output" : "prerouting", daddr: to });
        if (!isFromHost && early.verdict !== "accept") return dropped;

        const turns = early.turns ?? 1;
        const [, address2 = to, port2 = port] = /^(.*):(\d+)$/.exec(early.dnat ?? "") ?? [];
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
            const verdict = filtered.verdict === "reject" ? "reject" : "drop";
            return [{ verdict, target, source: "" }, turns];
        }
        const leaves = hook === "input" ? undefined : trace({ ...translated, hook: "postrouting", oifname });
        const masquerade =
            typeof place === "object" ? (subnetFor(to, place)?.gateway ?? "") : hostSource(address2, site);
        return [{ verdict: "pass", target, source: leaves?.isMasqueraded ? masquerade : source }, turns];
    }
}
