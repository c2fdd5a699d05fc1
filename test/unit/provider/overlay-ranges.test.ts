import { expect, test } from "vitest";
import { unknown } from "../../../provider/kinds/unknown.js";
import { overlayRangesHandler } from "../../../provider/overlay-ranges.js";

const request = { segment: "mesh", hosts: ["a", "b"], subnet: "10.64.0.0/16" };

test("overlay ranges: check assigns them, and later ones follow from what is stored", async () => {
    const { inputs } = await overlayRangesHandler.check({}, request);
    expect(inputs["ranges"]).toMatchObject({ a: { ipRange: "10.64.0.0/24" }, b: { ipRange: "10.64.1.0/24" } });
    const { outs } = await overlayRangesHandler.create(inputs);
    const same = await overlayRangesHandler.check(inputs, request);
    expect((await overlayRangesHandler.diff("ranges", outs, same.inputs)).changes).toBe(false);
    const next = await overlayRangesHandler.check(inputs, { ...request, hosts: ["b"] });
    expect(next.inputs["ranges"]).toEqual({ b: { ipRange: "10.64.1.0/24", gateway: "10.64.1.1" } });
    expect(await overlayRangesHandler.diff("ranges", outs, next.inputs)).toMatchObject({ changes: true, replaces: [] });
    expect((await overlayRangesHandler.update("ranges", outs, next.inputs)).outs).toEqual(next.inputs);
});

test("overlay ranges: are unknown with what they follow from", async () => {
    for (const also of [{ subnet: unknown }, { subnet: ["10.64.0.0/16", unknown] }, { given: { a: unknown } }]) {
        const { inputs, failures } = await overlayRangesHandler.check({}, { ...request, ...also });
        expect([inputs["ranges"], failures]).toEqual([unknown, []]);
    }
});

test.each([
    [{ subnet: "10.64.0.0/24" }, "10.64.0.0/24 has room for 1 ranges of /24, but there are 2 hosts."],
    [{ subnet: 7 }, "subnet: "],
    [{ prefixPerHost: "24" }, "prefixPerHost: "],
    [{ given: { x: "10.64.0.0/24" } }, "ranges.x: is not one of the hosts (a, b)."],
    [{ given: { a: 7 } }, "ranges.a: "],
])("overlay ranges: refuses %o", async (wrong, message) => {
    const { failures } = await overlayRangesHandler.check({}, { ...request, ...wrong });
    expect(failures).toEqual([{ property: "", reason: expect.stringContaining(`OverlayNetwork "mesh": ${message}`) }]);
});
