import fc from "fast-check";
import { expect, test } from "vitest";
import { evaluateAll } from "../../../provider/evaluator/evaluate.js";
import type { Judgement, Packet } from "../../../provider/evaluator/packet.js";
import { rollDice } from "../../dice.js";
import { type At, type Declared, rollGround, rollPacket, rollRules } from "../../layouts.js";
import { empty, facts, keyOf, put, ref, host as theHost } from "../kinds/build.js";
import { type Outcome, renderedHost } from "./rendered.js";

const around = {
    host: "192.0.2.10",
    outside: "198.51.100.7",
    host6: "2001:db8::10",
    outside6: "2001:db8:7::7",
};
const packetsEach = 100;

function toRefs(value: unknown): unknown {
    if (Array.isArray(value)) return value.map(toRefs);
    if (typeof value !== "object" || value === null) return value;
    if ("at" in value && "kind" in value) return ref((value as At).kind, (value as At).at);
    const entries = Object.entries(value).filter(([, entry]) => entry !== undefined);
    return Object.fromEntries(entries.map(([name, entry]) => [name, toRefs(entry)]));
}

const hasHost = ({ kind }: Declared) => kind === "network" || kind === "sandbox";

/** A world by a seed, and packets for it. */
function roll(seed: number) {
    const dice = rollDice(seed);
    const ground = rollGround(dice);
    const declared = [...ground.networks, ...ground.sandboxes, ...ground.endpoints, ...rollRules(dice, ground, around)];
    const world = declared.reduce(
        (before, each) =>
            put(before, each.kind, each.name, {
                ...(hasHost(each) ? { host: theHost } : {}),
                ...(toRefs(each.args) as object),
            }),
        empty,
    );
    const packets = Array.from({ length: packetsEach }, () =>
        rollPacket(dice, ground, around, ({ kind, at }) => keyOf(kind, at)),
    );
    return { world, packets, declared };
}

test("evaluator: agrees with the rendered rules on every packet of every layout", { timeout: 300_000 }, () => {
    fc.assert(
        fc.property(fc.nat(), (seed) => {
            const { world, packets, declared } = roll(seed);
            const site = { world, facts };
            const send = renderedHost(world, facts);
            for (const packet of packets) {
                const said = evaluateAll(packet, site);
                const sent = send(packet);
                const expected = said.map(inRules);
                const reasons = said.map(({ reason }) => reason).join("; ");
                expect(unique(sent), explain(packet, reasons, declared)).toEqual(unique(expected));
            }
        }),
        { numRuns: 80 },
    );
});

/** What the rules should show of a judgement. */
function inRules({ verdict, target, source }: Judgement): Outcome {
    const { address, port } = target;
    const seen = verdict === "pass" ? source : "";
    return { verdict, target: port === undefined ? address : `${address}:${port}`, source: seen };
}

/** Each once, in an order that is the same for the same ones. */
function unique(outcomes: readonly Outcome[]): readonly string[] {
    const inOrder = ({ verdict, target, source }: Outcome) => `${verdict} ${target} from ${source}`;
    return [...new Set(outcomes.map(inOrder))].sort();
}

function explain(packet: Packet, reason: string, declared: readonly Declared[]): string {
    const lines = declared.map(({ kind, name, args }) => `${kind} ${name} ${JSON.stringify(args)}`);
    return `${JSON.stringify(packet)}: ${reason}\n${lines.join("\n")}`;
}
