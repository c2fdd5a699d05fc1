import type { LabMachine } from "../../lab/index.js";
import type { Judgement, Packet } from "../../provider/evaluator/packet.js";
import { send } from "../../provider/evaluator/sender.js";
import type { Site } from "../../provider/evaluator/site.js";
import { factsScript, parseFacts } from "../../provider/host/facts.js";
import { parseManifest, printManifest } from "../../provider/host/manifest.js";
import { parseSections } from "../../provider/host/sections.js";
import { isIpv6 } from "../../provider/model/ipv6.js";
import type { Dice } from "../dice.js";
import {
    type At,
    type Declared,
    type Ground,
    openPorts,
    publishedPorts,
    rollPacket,
    rollRules,
    subnets,
} from "../layouts.js";
import { openStack, type Resource, type Stack } from "./driver.js";
import { ask, type Question } from "./expected-answer.js";
import { startProber } from "./prober.js";
import type { TestBed } from "./test-bed.js";

/** A packet of which the kernel and the evaluator do not think the same. */
export interface Disagreement {
    readonly said: readonly Judgement[];
    /** The packet, what the evaluator says and why, and what was seen. */
    readonly text: string;
}

/** A random layout on a host, with somebody who listens everywhere. */
export interface LaidOut {
    readonly stack: Stack;
    /** Publishes and polices at random, in place of what was published and policed before. */
    rollRules(): Promise<void>;
    rollPackets(count: number): readonly Packet[];
    /** Sends the packets, and sees who gets them. */
    compare(packets: readonly Packet[], seen?: (question: Question) => void): Promise<Disagreement[]>;
    /** What becomes of connections that the last comparison left open: how many there are, and those that ended. */
    askHeld(): Promise<{ readonly count: number; readonly ended: readonly string[] }>;
    /** The resources, one a line. */
    print(): string;
}

/** The layout is gone when `use` has ended. */
export async function withLayout(
    bed: TestBed,
    dice: Dice,
    ground: Ground,
    use: (layout: LaidOut) => Promise<void>,
): Promise<void> {
    const around = {
        host: bed.host.address,
        outside: bed.client.address,
        host6: bed.host.ipv6Address,
        outside6: bed.client.ipv6Address,
    };
    await using _switches = await quietHost(bed, ground.bridgeNetfilter);
    await using _routes = await bed.routeOutside(...subnets);
    await using _loopback = await routeLoopback(bed);
    await using stack = await openStack(bed.host);
    const resources = new Map<string, Resource>();
    const key = ({ kind, at }: At) => resources.get(`${kind} ${at}`)?.id.split(".")[0] ?? "";
    const declare = (declared: readonly Declared[]) => declareAll(stack, resources, declared);
    await declare([...ground.networks, ...ground.sandboxes]);
    await declare(ground.endpoints);

    await using onHost = await startProber(bed.host);
    await using outside = await startProber(bed.client);
    const sandboxes = ground.sandboxes.map(({ name }) => {
        const resource = resources.get(`sandbox ${name}`) as Resource<"sandbox">;
        return { name, key: key({ kind: "sandbox", at: name }), path: resource.outs.namespace };
    });
    const names = new Map(sandboxes.map((each) => [each.key, each.name]));
    await Promise.all(sandboxes.map(({ path }) => announceOwn(bed, path)));
    const places = Object.fromEntries(sandboxes.map(({ name, path }) => [name, path]));
    const all = [...openPorts, ...publishedPorts];
    const ports = Object.fromEntries(sandboxes.map(({ name }) => [name, all]));
    await Promise.all([
        onHost.listen({ host: "", ...places }, { host: openPorts, ...ports }),
        outside.listen({ outside: "" }, { outside: openPorts }),
    ]);

    let rules: Declared[] = [];
    let site: Site | undefined;
    let held: readonly string[] = [];
    let asked = 0;
    await use({
        stack,
        async rollRules() {
            const before = rules;
            rules = rollRules(dice, ground, around);
            const names = rules.map(({ kind, name }) => `${kind} ${name}`);
            const gone = before.map(({ kind, name }) => `${kind} ${name}`).filter((each) => !names.includes(each));
            await Promise.all([declare(rules), ...gone.map((each) => resources.get(each)?.delete())]);
            for (const each of gone) resources.delete(each);
            site = await readSite(bed);
        },
        rollPackets: (count) => Array.from({ length: count }, () => rollPacket(dice, ground, around, key)),
        async compare(packets, seen) {
            if (site === undefined) throw new Error("there are no rules yet");
            const now = site;
            const questions = packets
                .filter((packet) => isForeseen(packet, now))
                .map((packet) => ask(String(++asked), packet, now, names));
            questions.forEach((question) => void seen?.(question));
            const probes = questions.map(({ probe }) => probe);
            const answers = {
                ...(await onHost.ask(probes.filter(({ from }) => from !== "outside"))),
                ...(await outside.ask(probes.filter(({ from }) => from === "outside"))),
            };
            held = probes.filter(({ hold }) => hold).map(({ id }) => id);
            return questions.flatMap(({ packet, probe, said, expected }): Disagreement[] => {
                const answer = answers[probe.id] ?? "";
                if (expected.includes(answer)) return [];
                const reasons = said.map(({ stage, reason }) => `${stage}: ${reason}`).join("; ");
                const lines = [
                    JSON.stringify(packet),
                    `expected ${expected.join(" or ")} (${reasons})`,
                    `got ${answer}`,
                ];
                return [{ said, text: lines.join("\n    ") }];
            });
        },
        async askHeld() {
            const answers = Object.entries(await onHost.again(held));
            const ended = answers.filter(([, answer]) => !answer.includes(" to ")).map((each) => each.join(": "));
            return { count: answers.length, ended };
        },
        print: () =>
            [...ground.networks, ...ground.endpoints, ...rules]
                .map(({ kind, name, args }) => `${kind} ${name} ${JSON.stringify(args)}`)
                .join("\n"),
    });
}

/**
 * Linux asks for a neighbour in the name of whoever sends first (arp_announce 0 of ip-sysctl). Packets from an address of
 * another endpoint then keep everybody waiting: the guard drops such a request, and the next one comes a second later.
 */
async function announceOwn(bed: TestBed, namespace: string): Promise<void> {
    const name = namespace.split("/").at(-1);
    await bed.host.exec(`ip netns exec ${name} sysctl -qw net.ipv4.conf.all.arp_announce=2`);
}

/**
 * Over IPv6 a program in a sandbox without a default route is asked for once more, with one of its addresses as source
 * (ip6_dst_lookup_tail), and so leaves by the table of an endpoint: which one is the kernel's choice.
 */
function isForeseen(packet: Packet, site: Site): boolean {
    const isUnbound = typeof packet.from === "object" && "sandbox" in packet.from;
    return !(isUnbound && isIpv6(packet.to) && send(packet, site).way === "none");
}

/** Makes what is not there, and changes what is there in place. */
async function declareAll(stack: Stack, made: Map<string, Resource>, declared: readonly Declared[]): Promise<void> {
    const resolve = (value: unknown): unknown => {
        if (Array.isArray(value)) return value.map(resolve);
        if (typeof value !== "object" || value === null) return value;
        if ("at" in value && "kind" in value) return made.get(`${value.kind} ${value.at}`);
        return Object.fromEntries(Object.entries(value).map(([name, entry]) => [name, resolve(entry)]));
    };
    const declare = {
        network: stack.network,
        sandbox: stack.sandbox,
        endpoint: stack.endpoint,
        "port-mapping": stack.portMapping,
        "firewall-policy": stack.firewallPolicy,
        "overlay-tunnel": stack.overlayTunnel,
    };
    await Promise.all(
        declared.map(async ({ kind, name, args }) => {
            const resolved = resolve(args) as Record<string, unknown>;
            const there = made.get(`${kind} ${name}`);
            if (there === undefined) made.set(`${kind} ${name}`, (await declare[kind](name, resolved)) as Resource);
            else await there.update({ hostAddress: undefined, ingress: undefined, egress: undefined, ...resolved });
        }),
    );
}

/** What the host carries, as its own files say, and what it is without us. */
async function readSite({ host }: TestBed): Promise<Site> {
    const { stdout } = await host.exec(`${printManifest}\nprint_manifest\necho '@@ end'`);
    const facts = await host.exec(factsScript);
    return { world: parseManifest(parseSections(stdout)).world, facts: parseFacts(facts.stdout) };
}

/** The global switches as rolled; and ICMP errors without a limit to their number, so that every refusal is told. */
async function quietHost({ host, client }: TestBed, isFiltering: boolean): Promise<AsyncDisposable> {
    const errors = { [ratemask]: "0", [ratelimit6]: "0" };
    const switches = Object.fromEntries(filtering.map((path) => [path, isFiltering ? "1" : "0"]));
    const undo = [await write(host, { ...switches, ...errors }), await write(client, errors)];
    return {
        async [Symbol.asyncDispose]() {
            await write(host, undo[0] ?? {});
            await write(client, undo[1] ?? {});
        },
    };
}

const filtering = ["ip", "ip6"].map((family) => `/proc/sys/net/bridge/bridge-nf-call-${family}tables`);
const ratemask = "/proc/sys/net/ipv4/icmp_ratemask";
const ratelimit6 = "/proc/sys/net/ipv6/icmp/ratelimit";

/** Writes files; what was in them before. */
async function write(machine: LabMachine, files: Readonly<Record<string, string>>): Promise<Record<string, string>> {
    const before = (await machine.exec(["cat", ...Object.keys(files)])).stdout.split("\n");
    const lines = Object.entries(files).map(([path, text]) => `echo ${text} >${path}`);
    await machine.exec(lines.join(" && "));
    return Object.fromEntries(Object.keys(files).map((path, i) => [path, before[i] ?? ""]));
}

/** The client sends what is for 127.0.0.0/8 to the host, as an attacker on its segment would. */
async function routeLoopback({ client, host }: TestBed): Promise<AsyncDisposable> {
    const lines = [
        `ip route VERB 127.0.0.0/8 via ${host.address} table 127`,
        "ip rule VERB pref 100 to 127.0.0.0/8 lookup 127",
    ];
    const local = ["ip rule add pref 32000 lookup local", "ip rule del pref 0"];
    const change = (verb: string) => lines.map((line) => line.replace("VERB", verb));
    await client.exec([...change("add"), ...local].join(" && "));
    const back = ["ip rule add pref 0 lookup local", "ip rule del pref 32000"];
    return { [Symbol.asyncDispose]: async () => void (await client.exec([...back, ...change("del")].join(" && "))) };
}
