import type { NetworkObject } from "../model/object.js";
import type { Judgement, Packet, Stage } from "./packet.js";
import { askPolicies, type Direction } from "./policy.js";
import { protocolNumber } from "./protocol.js";
import { type Publication, publicationsOf } from "./publication.js";
import { locate, type Side, send } from "./sender.js";
import {
    addressFor,
    hostSource,
    isLoopback,
    isOfHost,
    isOfOthers,
    isOn,
    networkOf,
    networkOfGateway,
    type Site,
    subnetFor,
} from "./site.js";

type Decision = Pick<Judgement, "verdict" | "stage" | "reason">;

const pass = (stage: Stage, reason: string): Decision => ({ verdict: "pass", stage, reason });
const drop = (stage: Stage, reason: string): Decision => ({ verdict: "drop", stage, reason });

/**
 * Says whether a packet passes, who decides that and why, and how it is translated: from what the resources mean, not
 * from the rules they are rendered to. Published to several targets, it is the packet that goes to the first of them.
 *
 * Policies on the host itself are not asked yet. Limits of rules count as kept. It does not know what is not of this
 * project: firewalls of others, processes (whether anybody listens), other hosts.
 * @throws Error when the sender is no object of the host, or a protocol has no such name
 */
export function evaluate(packet: Packet, site: Site): Judgement {
    const [judgement] = evaluateAll(packet, site) as [Judgement];
    return judgement;
}

/** One judgement for each target that new connections to a published port are dealt out to; else one alone. */
export function evaluateAll(packet: Packet, site: Site): readonly Judgement[] {
    const protocol = protocolNumber(packet.protocol);
    const sending = send(packet, site);
    const { to, port } = packet;
    const target = { address: to, ...(port === undefined ? {} : { port }) };
    if (sending.way === "none") return [{ ...drop("route", sending.reason), target, source: "" }];
    if (sending.way === "within") {
        const decision = pass("route", "it does not leave the sandbox");
        return [{ ...decision, reaches: { sandbox: sending.sandbox }, target, source: sending.source }];
    }
    const { side: source } = sending;
    const refusal = judgeSource(source, to, site);
    if (refusal !== undefined) return [{ ...refusal, target, source: source.address }];

    const common = { source, protocol, icmpType: packet.icmpType ?? "echo-request", site };
    if (!isOfHost(to, site)) return [judgeWay({ ...common, target: locate(to, site), port }, packet)];
    const published = publicationsOf(to, protocol, port, site).map((publication): Way => {
        const { endpoint, address } = publication;
        const behind: Side = { at: networkOf(endpoint, site), address, endpoint };
        return { ...common, target: behind, port: publication.port, publication };
    });
    const ways: Way[] = published.length > 0 ? published : [{ ...common, target: { at: "host", address: to }, port }];
    return ways.map((way) => judgeWay(way, packet));
}

/** A packet between its sender and where it goes after DNAT. */
interface Way {
    readonly source: Side;
    readonly target: Side;
    readonly protocol: number;
    readonly port: number | undefined;
    readonly icmpType: string | number;
    readonly publication?: Publication;
    readonly site: Site;
}

function judgeWay(way: Way, { state }: Packet): Judgement {
    const { target, port } = way;
    const decision = state === "established" ? pass("established", "its connection is there already") : judge(way);
    return {
        ...decision,
        ...(decision.verdict === "pass" ? { reaches: receiver(target) } : {}),
        target: { address: target.address, ...(port === undefined ? {} : { port }) },
        source: seenSource(way),
    };
}

function receiver({ at, endpoint }: Side): Judgement["reaches"] & {} {
    if (typeof at !== "object") return at;
    return endpoint === undefined ? "nobody" : { endpoint: endpoint.key };
}

/** What is wrong with the sender's address, whatever it is sent to. */
function judgeSource({ at, address, endpoint }: Side, to: string, site: Site): Decision | undefined {
    if (endpoint !== undefined && addressFor(address, endpoint, site) !== address) {
        return drop("port guard", `endpoint "${endpoint.name}" may not send from ${address}, which is not its own`);
    }
    if (at !== "host" && (isLoopback(to) || isLoopback(address))) {
        return drop("loopback guard", "127.0.0.0/8 and ::1 are for the host itself only");
    }
    return undefined;
}

function judge(way: Way): Decision {
    const { source, target } = way;
    if (source.at === "host" && typeof target.at !== "object") return pass("host", "the host itself is not held up");
    return target.at === "host" ? judgeInput(way) : judgePassage(way);
}

/** To the host itself. */
function judgeInput(way: Way): Decision {
    const { source, target, site } = way;
    const gateway = networkOfGateway(target.address, site);
    if (source.at === "outside") {
        if (gateway === undefined || isOfOthers(gateway)) return pass("host", "the host's own ports are not held up");
        return drop("gateway address", `${target.address} is the gateway of ${quote(gateway)}, for its endpoints only`);
    }
    const network = source.at as NetworkObject;
    const isOwn = gateway?.key === network.key;
    if (network.internal && !isOwn) {
        return drop("internal", `${quote(network)} is internal: of the host it reaches its gateway only`);
    }
    if (gateway !== undefined && !isOwn) {
        return drop("gateway address", `${target.address} is the gateway of ${quote(gateway)}, for its endpoints only`);
    }
    if (network.hostAccess === false) return drop("host access", noHostAccess(network));
    const said = rule(way, "egress");
    if (said === undefined && denies(network)) return drop("default policy", denied(network));
    return said?.decision ?? pass("host", said?.reason ?? `${quote(network)} reaches the host`);
}

/** From network to network, to or from the outside, and from the host to a network. */
function judgePassage(way: Way): Decision {
    const { source, target, publication } = way;
    const [from, to] = [source.at, target.at].map((at) => (typeof at === "object" ? at : undefined));
    if (from === undefined && to === undefined) return pass("host", "neither side is of this host");
    const isSame = from?.key === to?.key;
    const internal = source.at === "host" || isSame ? undefined : [from, to].find((network) => network?.internal);
    if (internal !== undefined) return drop("internal", `${quote(internal)} is internal: no way in or out`);

    if (source.at === "host" && to?.hostAccess === false && publication === undefined) {
        return drop("host access", noHostAccess(to));
    }

    const egress = rule(way, "egress");
    if (egress?.decision !== undefined) return egress.decision;
    if (egress === undefined && denies(from)) return drop("default policy", denied(from));
    const ingress = rule(way, "ingress");
    if (ingress?.decision !== undefined) return ingress.decision;
    if (ingress === undefined && denies(to)) return drop("default policy", denied(to));

    if (source.at === "host") return pass("host", ingress?.reason ?? "the host reaches its networks");
    if (publication !== undefined) {
        return pass("publication", `published by "${publication.mapping.name}"${also(ingress?.reason)}`);
    }
    if (from !== undefined && isSame) {
        if (from.isolateEndpoints) return drop("isolation", `${quote(from)} isolates its endpoints from each other`);
        return pass("networks", ingress?.reason ?? egress?.reason ?? `both are on ${quote(from)}`);
    }
    if (from !== undefined && to !== undefined) {
        if (ingress?.opensPath) return pass("ingress policy", ingress.reason);
        return drop(
            "networks",
            `${quote(from)} and ${quote(to)} are closed to each other, and no policy opens the path`,
        );
    }
    if (from !== undefined) return pass("networks", egress?.reason ?? `${quote(from)} reaches the outside`);
    if (to?.directAccess && ingress !== undefined) return pass("ingress policy", ingress.reason);
    return drop("networks", `${quote(to)} is closed to the outside, and this is not published`);
}

interface Said {
    /** Absent when the next stage is asked. */
    readonly decision?: Decision;
    readonly reason: string;
    readonly opensPath: boolean;
}

function rule(way: Way, direction: Direction): Said | undefined {
    const [asked, peer] = direction === "egress" ? [way.source, way.target] : [way.target, way.source];
    if (asked.endpoint === undefined) return undefined;
    const { protocol, port, icmpType, site } = way;
    const ruling = askPolicies(asked.endpoint, direction, { peer, protocol, port, icmpType }, site);
    if (ruling === undefined) return undefined;
    const { action, reason, opensPath } = ruling;
    if (action === "allow") return { reason, opensPath };
    return { decision: { verdict: action, stage: `${direction} policy`, reason }, reason, opensPath };
}

/** External addresses are kept: masquerade is for what goes out, what comes back to where it started, and loopback. */
function seenSource({ source, target, publication, site }: Way): string {
    const { at, address } = source;
    if (typeof target.at === "object") {
        const own = subnetFor(address, target.at);
        const gateway = own?.gateway ?? address;
        if (isLoopback(address)) return gateway;
        const isOwn = source.endpoint !== undefined && source.endpoint.sandbox === target.endpoint?.sandbox;
        return publication !== undefined && (isOwn || isOn(address, target.at)) ? gateway : address;
    }
    const leaves = typeof at === "object" && target.at === "outside";
    return leaves && at.masquerade && !at.internal ? hostSource(target.address, site) : address;
}

/** Nothing passes in a direction that no policy speaks of. */
const denies = (network: NetworkObject | undefined) => network?.defaultPolicy === "deny";
const denied = (network: NetworkObject | undefined) =>
    `no policy speaks of it, and the default policy of ${quote(network)} is deny`;
const noHostAccess = (network: NetworkObject) => `${quote(network)} and the host are closed to each other (hostAccess)`;

const quote = (network: NetworkObject | undefined) => `network "${network?.name}"`;
const also = (reason: string | undefined) => (reason === undefined ? "" : `, and ${reason}`);
