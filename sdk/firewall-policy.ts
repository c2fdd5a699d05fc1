import type * as pulumi from "@pulumi/pulumi";
import type { RefValue } from "../provider/model/reference.js";
import { projectAddresses, projectSegment } from "./address-projection.js";
import type { Endpoint } from "./endpoint.js";
import type { Host } from "./host.js";
import type { Network } from "./network.js";
import type { OverlayNetwork } from "./overlay-network.js";
import { splitByHost } from "./policy-targets.js";
import type { ExistingFlows } from "./port-mapping.js";
import { connectionOfFirst, follow, isBranded, type Many, projectMany, projectRef, type Ref } from "./reference.js";
import {
    type CommonArgs,
    findExisting,
    type GetArgs,
    isExisting,
    LinuxnetResource,
    type Lookup,
    type ResourceOptions,
    type Unset,
} from "./resource.js";
import type { Sandbox } from "./sandbox.js";

export interface FirewallPolicyArgs extends CommonArgs {
    /**
     * What the policy protects: endpoints, all endpoints of a sandbox, those of a network (now and later), of an
     * OverlayNetwork, or a host itself: its own ports, not those it publishes. A change of a host's policies stands only when
     * a new connection to it succeeds within `connection.confirmTimeoutMs`; else the host takes it back by itself.
     *
     * Targets may be on several hosts: each of them gets a policy with the same rules, `<name>` the first one and
     * `<name>-<host>` the others; they have to be given as the resources, not in Outputs or as references. In place;
     * replaces when it leaves its host.
     */
    target: Many<PolicyTarget>;
    /** What may come in. In place. @default [] */
    ingress?: pulumi.Input<pulumi.Input<IngressRuleArgs>[]>;
    /** What may go out. In place. @default [] */
    egress?: pulumi.Input<pulumi.Input<EgressRuleArgs>[]>;
    /** What happens to packets no rule matches, in the directions that have rules. In place. @default "drop" */
    defaultAction?: pulumi.Input<RuleAction>;
    /** Lower is asked first, ties by name. In place. @default 0 */
    priority?: pulumi.Input<number>;
    /** Connections the policy no longer allows may go on ("drain"), or end ("cut"). In place. @default "drain" */
    existingFlows?: pulumi.Input<ExistingFlows>;
}

/** The kinds that can be protected, and that can be a peer. */
export type PolicyTarget = Ref<Endpoint | Sandbox | Network | OverlayNetwork | Host>;

/**
 * The other side of a rule: a resource, a CIDR, an address, or "any", "host", "internal" (any network of this host),
 * "external" (outside them). Only a reference to a network opens the path from it; CIDRs and keywords never do.
 *
 * An Endpoint or Network of another host has to share an OverlayNetwork with the target; it is known by its addresses
 * (of a Network its range), which the policy follows in the same `up`. A Sandbox of another host is refused: name its
 * Endpoint. A Network means its own host's part, an OverlayNetwork the whole segment.
 */
export type PolicyPeer = PolicyTarget | string;

/** What a rule says, in either direction. The first match decides. */
export interface RuleArgs {
    action: pulumi.Input<RuleAction>;
    /** Names ("tcp", "udp", "sctp", "icmp", "icmpv6", "esp", "ah", "gre") or IANA numbers. @default "tcp" with `ports`, else every protocol */
    protocol?: Many<string | number>;
    /** Numbers, ranges "8000-8010", or with their protocol "5432/tcp". @default every port */
    ports?: Many<number | string>;
    /**
     * Types by name ("echo-request") or number: of ICMP for IPv4, with protocol "icmp" or without one, or of ICMPv6 with
     * protocol "icmpv6". @default every type
     */
    icmpTypes?: Many<string | number>;
    /**
     * What a refused peer is told, with action "reject". "tcp-reset" is for tcp; other packets of the same rule get
     * "port-unreachable". @default "admin-prohibited"
     */
    rejectWith?: pulumi.Input<RejectWith>;
    /** Beyond the limit the rule does not match, so the next one is asked. New connections count, not their packets. */
    limit?: pulumi.Input<LimitArgs>;
    /**
     * Writes the first packet of each matching connection to the kernel's log, at most 10 a second after 20 at once: true
     * with the prefix "linuxnet <policy>: ", or a prefix of at most 64 characters. @default false
     */
    log?: pulumi.Input<boolean | string>;
    /** At most 120 characters; the kernel keeps it with the rule and its counter, cut to 118 bytes. */
    description?: pulumi.Input<string>;
}

export interface IngressRuleArgs extends RuleArgs {
    /** Who the packet comes from. @default "any" */
    from?: Many<PolicyPeer>;
}

export interface EgressRuleArgs extends RuleArgs {
    /** Who the packet goes to. @default "any" */
    to?: Many<PolicyPeer>;
}

/** How often a rule matches; `rate`, `connections` or both. Each endpoint or host that is a target counts by itself. */
export interface LimitArgs {
    /** New connections in a time: "100/second", "20/minute"; per second, minute, hour or day. */
    rate?: pulumi.Input<string>;
    /** Matches beyond the rate that are let through at once. @default the rate */
    burst?: pulumi.Input<number>;
    /**
     * Counts each source address by itself (IPv6: each /64). Up to 65536 are known at a time, further ones are beyond the
     * limit. @default false
     */
    perSource?: pulumi.Input<boolean>;
    /** Connections open at one time. */
    connections?: pulumi.Input<number>;
}

/** A peer in canonical form: one on another host has the addresses it is known by; `segment`: a whole OverlayNetwork. */
export type PeerValue = (RefValue & { readonly addresses?: string[]; readonly segment?: true }) | string;

/** Rules in canonical form. */
export type IngressRule = pulumi.Unwrap<RuleArgs> & { readonly from?: PeerValue[] };
export type EgressRule = pulumi.Unwrap<RuleArgs> & { readonly to?: PeerValue[] };

export type RuleAction = "allow" | "drop" | "reject";
export type RejectWith = "tcp-reset" | "port-unreachable" | "host-unreachable" | "admin-prohibited" | "no-route";

const definition = {
    kind: "firewall-policy",
    title: "FirewallPolicy",
    handler: `exports.handler = () => require("pulumi-linuxnet/provider").firewallPolicy;`,
} as const;

const unset: Unset<FirewallPolicy> = {
    target: undefined,
    ingress: undefined,
    egress: undefined,
    defaultAction: undefined,
    priority: undefined,
    existingFlows: undefined,
};

const kinds = ["endpoint", "sandbox", "network", "host"] as const;

/**
 * Who may talk to whom. A packet must pass the egress of its source and the ingress of its destination. Replies, ARP,
 * neighbour discovery and questions to the network's own resolver always pass.
 */
export class FirewallPolicy extends LinuxnetResource<"firewall-policy"> {
    declare readonly target: pulumi.Output<RefValue[]>;
    declare readonly ingress: pulumi.Output<IngressRule[] | undefined>;
    declare readonly egress: pulumi.Output<EgressRule[] | undefined>;
    declare readonly defaultAction: pulumi.Output<RuleAction | undefined>;
    declare readonly priority: pulumi.Output<number | undefined>;
    declare readonly existingFlows: pulumi.Output<ExistingFlows | undefined>;

    /** With targets on several hosts it is the policy of the first one, and the parent of one `<name>-<host>` for each other. */
    constructor(name: string, args: FirewallPolicyArgs, opts?: ResourceOptions) {
        const [own, ...others] = isExisting(args)
            ? []
            : splitByHost(`${definition.title} "${name}": target`, args?.target);
        const target = others.length > 0 ? own?.targets : args?.target;
        const project = (at: string) => ({
            props: {
                ...unset,
                ...args,
                target: projectMany(`${at}: target`, target, projectTarget),
                ingress: projectRules(`${at}: ingress`, args.ingress, "from"),
                egress: projectRules(`${at}: egress`, args.egress, "to"),
            },
            connection: connectionOfFirst(`${at}: target`, kinds, target, firstNetwork),
        });
        super(definition, name, args, project, opts);
        for (const { host, targets } of others) {
            // Aliases of the parent are the children's too.
            const { aliases: _, ...options } = opts ?? {};
            const ofHost = { ...args, target: targets as PolicyTarget[] };
            new FirewallPolicy(`${name}-${host}`, ofHost, { ...options, parent: this });
        }
    }

    /** True for a FirewallPolicy, also of another installed copy of the package. */
    static override isInstance(obj: unknown): obj is FirewallPolicy {
        return isBranded(obj, "firewall-policy");
    }

    /**
     * A policy another stack manages: observed, never changed or deleted.
     * @param lookup its output `reference`, from a StackReference
     */
    static get(name: string, lookup: Lookup<FirewallPolicy>, args: GetArgs, opts?: ResourceOptions): FirewallPolicy {
        return new FirewallPolicy(name, findExisting(definition, name, lookup, unset, args.host) as never, opts);
    }
}

function projectRules(at: string, rules: unknown, peer: "from" | "to"): unknown {
    return follow(rules, (list) => {
        if (!Array.isArray(list)) return list;
        return list.map((element, index) => follow(element, (rule) => projectRule(`${at}[${index}]`, rule, peer)));
    });
}

function projectRule(at: string, rule: unknown, peer: "from" | "to"): unknown {
    if (typeof rule !== "object" || rule === null || !(peer in rule)) return rule;
    const value = (rule as Record<string, unknown>)[peer];
    return value === undefined ? rule : { ...rule, [peer]: projectMany(`${at}.${peer}`, value, projectPeer) };
}

function projectPeer(peer: unknown, at: string): unknown {
    return follow(peer, (known) => {
        if (typeof known === "string") return known;
        if (isBranded(known, "overlay-network")) return projectSegment(known);
        return { ...(projectRef(at, kinds, known) as RefValue), ...projectAddresses(known) };
    });
}

/** An OverlayNetwork stands for its networks, one a host. */
function projectTarget(target: unknown, at: string): unknown {
    if (!isBranded(target, "overlay-network")) return follow(target, (known) => projectSettled(known, at));
    return networksOf(target).map((network) => projectRef(at, ["network"], network));
}

function projectSettled(target: unknown, at: string): unknown {
    if (!isBranded(target, "overlay-network")) return projectRef(at, kinds, target);
    throw new Error(
        `${at}: an OverlayNetwork has to be given as it is, not inside an Output: it stands for several networks.`,
    );
}

function networksOf(overlay: unknown): Network[] {
    return Object.values((overlay as OverlayNetwork).networks);
}

function firstNetwork(target: unknown): unknown {
    return isBranded(target, "overlay-network") ? networksOf(target)[0] : target;
}
