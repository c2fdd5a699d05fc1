import fc from "fast-check";
import { expect, test } from "vitest";
import { evaluate } from "../../../provider/evaluator/evaluate.js";
import type { Packet } from "../../../provider/evaluator/packet.js";
import { isOfHost } from "../../../provider/evaluator/site.js";
import { rollDice } from "../../dice.js";
import { type At, type Declared, rollGround, rollPacket, rollRules } from "../../layouts.js";
import { empty, facts, keyOf, put, ref, host as theHost } from "../kinds/build.js";
import { type Outcome, renderedHost } from "./rendered.js";

const around = { host: "192.0.2.10", outside: "198.51.100.7" };
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

test("evaluator: agrees with the rendered rules on every packet of every layout", () => {
    fc.assert(
        fc.property(fc.nat(), (seed) => {
            const { world, packets, declared } = roll(seed);
            const site = { world, facts };
            const send = renderedHost(world, facts);
            for (const packet of packets) {
                const said = evaluate(packet, site);
                const { address, port } = said.target;
                const sent = send(packet);
                // Who has the gateway's address already is translated to it, and nobody sees that.
                const isUnseen = sent.isMasqueraded && isOfHost(sent.source, site);
                const expected: Outcome = {
                    verdict: said.verdict,
                    target: port === undefined ? address : `${address}:${port}`,
                    isMasqueraded: said.verdict === "pass" && (said.source !== sent.source || isUnseen),
                    source: sent.source,
                };
                expect(sent, explain(packet, said.reason, declared)).toEqual(expected);
            }
        }),
        { numRuns: 80 },
    );
});

function explain(packet: Packet, reason: string, declared: readonly Declared[]): string {
    const lines = declared.map(({ kind, name, args }) => `${kind} ${name} ${JSON.stringify(args)}`);
    return `${JSON.stringify(packet)}: ${reason}\n${lines.join("\n")}`;
}
