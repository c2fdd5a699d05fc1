import { z } from "zod";
import { type FirewallPolicyObject, hostTarget, type Peer, type PolicyRule } from "../model/object.js";
import { formatPortRange, parsePortRange } from "../model/port-range.js";
import { parseId, type RefValue } from "../model/reference.js";
import { Refusal } from "../model/refusal.js";
import { type FarRef, farRef, locate, segmentRef } from "./elsewhere.js";
import { type BuildContext, defined, type ObjectKind, ownName } from "./kind.js";
import { policyAcross, refuseOtherSegment } from "./policy-across.js";
import { endpointsUnder } from "./policy-match.js";
import { holdersOf, refuseUnguarded } from "./policy-rules.js";
import { buildRare, rareArguments, refineRare } from "./rule-arguments.js";
import { addressOrCidr, adopt, known, labels, later, many, ref, shape } from "./schema.js";

const keyword = z.literal(["any", "host", "internal", "external"]);
const peerRef = farRef("endpoint", "sandbox", "network");
const peer = z.union([peerRef, segmentRef, keyword, addressOrCidr], {
    error: ({ input }) =>
        problemOfAddress(input) ??
        'an Endpoint, Sandbox or Network, an address or CIDR, "any", "host", "internal" or "external" is expected',
});

/** Why a text that is meant as an address, or a network, is none. */
function problemOfAddress(input: unknown): string | undefined {
    const isMeant = typeof input === "string" && /^[0-9a-f]*[.:][0-9a-f.:/]*(%.*)?$/i.test(input);
    return isMeant ? addressOrCidr.safeParse(input).error?.issues[0]?.message : undefined;
}

const protocol = z.union(
    [
        z.literal(["tcp", "udp", "sctp", "icmp", "icmpv6", "esp", "ah", "gre"]),
        z
            .int()
            .min(1, "an IANA protocol number from 1 to 255 is expected")
            .max(255, "an IANA protocol number from 1 to 255 is expected"),
    ],
    '"tcp", "udp", "sctp", "icmp", "icmpv6" or an IANA protocol number is expected',
);

/** A port or range of the target, with a protocol of its own or without: `5432`, `"8000-8010"`, `"53/udp"`. */
const rulePort = z
    .union(
        [z.number(), z.string()],
        'a port, a range such as "8000-8010", or a port with its protocol such as "53/udp" is expected',
    )
    .transform((value, context) => {
        const [, range = "", protocol] = /^(.*?)(\/(?:tcp|udp|sctp))?$/s.exec(String(value)) ?? [];
        try {
            const port = formatPortRange(parsePortRange(range));
            return protocol === undefined ? port : `${port}${protocol}`;
        } catch {
            const message =
                'is no port (1-65535), no range such as "8000-8010" and no port with its protocol such as "53/udp"';
            context.issues.push({ code: "custom", message, input: value });
            return z.NEVER;
        }
    });

const rule = (direction: "from" | "to") => refineRare(plainRule(direction));

const plainRule = (direction: "from" | "to") =>
    shape({
        action: z.literal(["allow", "drop", "reject"], '"allow", "drop" or "reject" is expected'),
        [direction]: many(peer).optional(),
        protocol: many(protocol).default([]),
        ports: many(rulePort).default([]),
        ...rareArguments,
        description: z.string().max(120, "must have at most 120 characters").optional(),
    }).refine(
        (value) => !value["ports"] || (value["ports"] as unknown[]).length === 0 || takesPorts(value["protocol"]),
        {
            message: "has ports, which only tcp, udp and sctp have; leave protocol or ports out",
        },
    );

function takesPorts(protocols: unknown): boolean {
    return (
        !Array.isArray(protocols) ||
        protocols.every((each) => typeof each !== "number" && !["icmp", "icmpv6", "esp", "ah", "gre"].includes(each))
    );
}

const schema = shape({
    target: many(ref("endpoint", "sandbox", "network", "host")).refine(
        (targets) => targets.length > 0,
        "is empty. Name at least one Endpoint, Sandbox, Network or Host",
    ),
    ingress: z.array(known(rule("from"))).optional(),
    egress: z.array(known(rule("to"))).optional(),
    defaultAction: z.literal(["drop", "reject", "allow"], '"drop", "reject" or "allow" is expected').default("drop"),
    priority: z.int().default(0),
    existingFlows: later("Established connections go on until they end.", "drain"),
    adopt,
    labels,
});

export interface RuleInputs {
    readonly action: PolicyRule["action"];
    readonly from?: unknown[];
    readonly to?: unknown[];
    readonly protocol: (string | number)[];
    readonly ports: (string | number)[];
    readonly icmpTypes?: (string | number)[];
    readonly rejectWith?: PolicyRule["rejectWith"];
    readonly limit?: PolicyRule["limit"];
    readonly log?: boolean | string;
    readonly description?: string;
}

export interface PolicyInputs {
    readonly target: RefValue[];
    readonly ingress?: RuleInputs[];
    readonly egress?: RuleInputs[];
    readonly defaultAction: FirewallPolicyObject["defaultAction"];
    readonly priority: number;
    readonly labels: Record<string, string>;
}

/** The key of a referenced object of this very host. */
function localKey(reference: RefValue, path: string, context: BuildContext<FirewallPolicyObject>): string {
    const { key, machineId } = parseId(reference.id);
    if (machineId !== context.facts.machineId) {
        throw new Refusal(`${path} is on another host than the policy. Make a policy for each host.`);
    }
    if (key !== hostTarget && !context.world.objects.has(key)) {
        throw new Refusal(`${path} is not on the host any more. Run \`pulumi up --refresh\`.`);
    }
    return key;
}

/** What the host sends itself goes over lo and always passes. @throws Refusal */
function refuseHostPeers(targets: readonly string[], sides: readonly (readonly PolicyRule[] | undefined)[]): void {
    if (targets.some((target) => target !== hostTarget)) return;
    const peers = sides.flatMap((rules) => (rules ?? []).flatMap((rule) => rule.peers));
    if (peers.some((each) => "keyword" in each && each.keyword === "host")) {
        throw new Refusal(
            'the peer "host" can never match where the Host is the target: its own traffic to itself always passes. Leave the peer out.',
        );
    }
}

/** @throws Refusal */
function refuseUnguardedTargets(targets: readonly string[], { world }: BuildContext<FirewallPolicyObject>): void {
    for (const target of targets) {
        const networks = [target, ...endpointsUnder(target, world).map((endpoint) => endpoint.network)];
        for (const key of networks) {
            const network = world.get("network", key);
            if (network?.bridge?.isManaged === false) refuseUnguarded(network, "this policy");
        }
    }
}

function buildPeer(value: unknown, path: string, context: BuildContext<FirewallPolicyObject>): Peer {
    if (typeof value === "object") {
        const located = locate(value, context.facts.machineId);
        if ("problem" in located) throw new Refusal(`${path} ${located.problem}`);
        const { id, kind, addresses, segment } = located.value as FarRef;
        if (addresses !== undefined) return { remote: id, addresses };
        const object = localKey({ kind, id }, path, context);
        return segment === undefined ? { object } : { object, segment };
    }
    if (keyword.safeParse(value).success) return { keyword: value as "any" };
    return { cidr: String(value) };
}

function buildRules(
    rules: readonly RuleInputs[],
    direction: "ingress" | "egress",
    context: BuildContext<FirewallPolicyObject>,
): PolicyRule[] {
    const side = direction === "ingress" ? "from" : "to";
    return rules.map((input, i) =>
        defined({
            action: input.action,
            peers: (input[side] ?? ["any"]).map((value, j) =>
                buildPeer(value, `${direction}[${i}].${side}[${j}]`, context),
            ),
            protocols: input.protocol,
            ports: input.ports.map((port) => {
                const [range = "", protocol] = String(port).split("/");
                return defined({ range: parsePortRange(range), protocol: protocol as "tcp" | undefined });
            }),
            ...buildRare(input),
            description: input.description,
        }),
    ) as PolicyRule[];
}

/** Ordered rules on traffic to and from endpoints, or the host itself; it lives in the chains of what it targets. */
export const firewallPolicy: ObjectKind<FirewallPolicyObject> = {
    kind: "firewall-policy",
    schema: schema,
    replaces: [],
    chosen: [],
    across: policyAcross,

    build(raw, context) {
        const inputs = raw as unknown as PolicyInputs;
        if (inputs.ingress === undefined && inputs.egress === undefined) {
            throw new Refusal(
                "it has neither ingress nor egress. Give one of them; [] means: only the default action.",
            );
        }
        const targets = inputs.target.map((target, i) => localKey(target, `target[${i}]`, context));
        refuseUnguardedTargets(targets, context);
        const ingress = inputs.ingress && buildRules(inputs.ingress, "ingress", context);
        const egress = inputs.egress && buildRules(inputs.egress, "egress", context);
        refuseHostPeers(targets, [ingress, egress]);
        refuseOtherSegment(targets, { ingress, egress }, context.world);
        return defined({
            schemaVersion: 1,
            kind: "firewall-policy",
            key: context.key,
            generation: context.generation,
            owner: context.owner,
            name: ownName(context),
            labels: inputs.labels,
            targets,
            host: inputs.target.find(({ kind }) => kind === "host")?.id,
            ingress,
            egress,
            defaultAction: inputs.defaultAction,
            priority: inputs.priority,
        }) as FirewallPolicyObject;
    },

    twins(raw, { world }) {
        const keys = (raw as unknown as PolicyInputs).target.map(({ id }) => parseId(id).key).sort();
        const [first = ""] = keys;
        return world.policiesOn(first).filter(({ targets }) => [...targets].sort().join() === keys.join());
    },

    items: () => [],

    affects: holdersOf,

    dependents: () => [],
    outputs: () => ({}),
};
