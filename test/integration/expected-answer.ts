import { evaluateAll } from "../../provider/evaluator/evaluate.js";
import type { Judgement, Packet } from "../../provider/evaluator/packet.js";
import { send } from "../../provider/evaluator/sender.js";
import { addressFor, endpointAt, type Site } from "../../provider/evaluator/site.js";
import { isIpv6 } from "../../provider/model/ipv6.js";
import { openPorts } from "../layouts.js";
import type { Probe } from "./prober.js";

/** A packet with what the evaluator says of it, and what should be seen of that. */
export interface Question {
    readonly packet: Packet;
    readonly probe: Probe;
    /** Several when it is published to several targets. */
    readonly said: readonly Judgement[];
    /** Any of these answers agrees. */
    readonly expected: readonly string[];
    /** What kind of way the packet takes, for the count of what was tried. */
    readonly path: Path;
}

const paths = [
    "within a sandbox",
    "without a route",
    "on one bridge",
    "between networks",
    "from a sandbox to no sandbox",
    "from the host to no sandbox",
    "from the host to a sandbox",
    "from outside to no sandbox",
    "from outside to a sandbox",
] as const;
const publishedPaths = [
    "published from a sandbox",
    "published from the host",
    "published from outside",
    "hairpin to itself",
] as const;

type Path = `${string} ${(typeof paths | typeof publishedPaths)[number]}`;

/** Each way of each protocol. */
export const allPaths: readonly Path[] = [
    ...["tcp", "udp", "icmp", "tcp6", "udp6", "icmpv6"].flatMap((protocol) =>
        paths.map((path): Path => `${protocol} ${path}`),
    ),
    ...["tcp", "udp", "tcp6", "udp6"].flatMap((protocol) => publishedPaths.map((path): Path => `${protocol} ${path}`)),
];

/** @param names key of a sandbox -> name of its place */
export function ask(id: string, packet: Packet, site: Site, names: ReadonlyMap<string, string>): Question {
    const said = evaluateAll(packet, site);
    const { from, source, to, protocol, port } = packet;
    const endpoint =
        typeof from === "object" && "endpoint" in from ? site.world.get("endpoint", from.endpoint) : undefined;
    const sandbox = typeof from === "object" && "sandbox" in from ? from.sandbox : endpoint?.sandbox;
    const place = from === "host" ? "host" : sandbox === undefined ? "outside" : (names.get(sandbox) ?? "");
    const own = source ?? (endpoint === undefined ? undefined : addressFor(to, endpoint, site));
    const expected = [...new Set(said.flatMap((each) => answersOf(each, packet, place, site, names)))];
    const isAnswered = !expected.includes("nothing");
    const isServed = isAnswered && expected.length === 1 && said[0]?.verdict === "pass" && expected[0] !== "refused";
    const probe: Probe = {
        id,
        from: place,
        ...(own === undefined ? {} : { source: own }),
        to,
        protocol: String(protocol),
        ...(port === undefined ? {} : { port }),
        spoofs: source !== undefined,
        // What is outside forgets nothing of what it was sent, so its connections are not kept.
        hold: isServed && protocol === "tcp" && place !== "outside",
        answers: isAnswered,
    };
    return {
        packet,
        probe,
        said,
        expected,
        path: `${protocol}${isIpv6(to) && port !== undefined ? "6" : ""} ${pathOf(packet, said[0] as Judgement, site)}`,
    };
}

function answersOf(
    { verdict, stage, reaches, target, source }: Judgement,
    { protocol }: Packet,
    place: string,
    { world }: Site,
    names: ReadonlyMap<string, string>,
): readonly string[] {
    // Before its first route a sandbox says so itself.
    if (stage === "route" && verdict === "drop") return ["unreachable"];
    if (verdict === "drop") return ["nothing"];
    // The sender's own kernel holds the socket while the answer comes: it shows with the next attempt only.
    if (verdict === "reject") return place === "host" ? ["unreachable", "nothing"] : ["unreachable"];
    if (reaches === "nobody") return ["nothing", "unreachable"];
    if (String(protocol).startsWith("icmp")) return ["reply"];
    const isOnHost = typeof reaches !== "object";
    const key = isOnHost
        ? ""
        : "sandbox" in reaches
          ? reaches.sandbox
          : world.get("endpoint", reaches.endpoint)?.sandbox;
    const receiver = isOnHost ? reaches : names.get(key ?? "");
    const isListening = openPorts.includes(target.port ?? 0) || !isOnHost;
    return [isListening ? `${receiver} at ${target.address}:${target.port} to ${source}` : "refused"];
}

function pathOf(packet: Packet, said: Judgement, site: Site): (typeof paths | typeof publishedPaths)[number] {
    const sending = send(packet, site);
    if (sending.way !== "side") return sending.way === "within" ? "within a sandbox" : "without a route";
    const { at, endpoint } = sending.side;
    const target = endpointAt(said.target.address, site);
    const isPublished = said.target.address !== packet.to;
    if (isPublished && target !== undefined && endpoint?.sandbox === target.sandbox) return "hairpin to itself";
    const from = typeof at === "object" ? "a sandbox" : at === "host" ? "the host" : at;
    if (isPublished) return `published from ${from}`;
    if (target === undefined) return `from ${from} to no sandbox`;
    if (from === "a sandbox")
        return typeof at === "object" && at.key === target.network ? "on one bridge" : "between networks";
    return `from ${from} to a sandbox`;
}
