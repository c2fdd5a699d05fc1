import fc from "fast-check";
import { expect, test } from "vitest";
import { LayeredMap } from "../../../provider/model/layered-map.js";

const key = fc.nat({ max: 700 }).map(String);
const changes = fc.array(fc.tuple(key, fc.option(fc.nat(), { nil: undefined })), { maxLength: 400 });

test("layered map: after any changes it holds what a copy of all holds, and those before hold what they held", () => {
    fc.assert(
        fc.property(fc.array(fc.tuple(key, fc.nat())), fc.array(changes, { maxLength: 5 }), (first, steps) => {
            const plain = new Map(first);
            let map = new LayeredMap(new Map(first));
            for (const step of steps) {
                const before = { map, held: new Map(plain) };
                map = map.with(new Map(step));
                for (const [at, value] of new Map(step)) {
                    if (value === undefined) plain.delete(at);
                    else plain.set(at, value);
                }
                for (const [one, held] of [[before.map, before.held] as const, [map, plain] as const]) {
                    expect(new Map(one)).toEqual(held);
                    expect(one.size).toBe(held.size);
                    expect([...one.keys()].sort()).toEqual([...held.keys()].sort());
                    expect([...one.values()].sort()).toEqual([...held.values()].sort());
                    for (const at of ["0", "1", "699"])
                        expect([one.has(at), one.get(at)]).toEqual([held.has(at), held.get(at)]);
                    const visited = new Map<string, number>();
                    one.forEach((value, at) => void visited.set(at, value));
                    expect(visited).toEqual(held);
                }
            }
        }),
    );
});
