import { createHash } from "node:crypto";
import { expect, test } from "vitest";
import { observedFiles, restoreScriptPath } from "../../../provider/kernel/file.js";
import { type Item, observe } from "../../../provider/kernel/item.js";
import { firewallUnit, restoreScript, restoreUnit, restoreVersion } from "../../../provider/kernel/restore.js";
import { baseTables, renderBase } from "../../../provider/kernel/ruleset.js";
import type { Snapshot } from "../../../provider/kernel/snapshot.js";
import { baseItems, updateBase } from "../../../provider/kinds/base.js";
import { empty, facts } from "../kinds/build.js";

test("restore: a changed script, unit or base ruleset has a version of its own, or hosts would keep the old one", () => {
    const text = [restoreScript, restoreUnit, firewallUnit, ...baseTables.flatMap(renderBase)]
        .join("\n")
        .replaceAll(`linuxnet-restore ${restoreVersion}`, "");
    expect({ version: restoreVersion, sha256: createHash("sha256").update(text).digest("hex").slice(0, 16) }).toEqual({
        version: 8,
        // When this differs: raise restoreVersion, and write both here.
        sha256: "5d80f8cf19a37822",
    });
});

const contents = [restoreScript, restoreUnit, firewallUnit];

/** The versions that a host shows whose files say this; `undefined`: the file is not there. */
function versionsOf(...texts: readonly (string | undefined)[]): (number | undefined)[] {
    const files = observedFiles.flatMap((path, i) => (texts[i] === undefined ? [] : [[path, texts[i]] as const]));
    const snapshot: Snapshot = {
        namespaces: new Map(),
        neighbours: new Set(),
        fdb: new Set(),
        tables: new Map(),
        paths: new Set(),
        files: new Map(files),
        exceptions: new Set(),
    };
    const items: Item[] = [
        { type: "restore-script", version: restoreVersion },
        { type: "restore-unit", version: restoreVersion },
    ];
    const seen = new Map(
        observe(items, snapshot).map((item) => [item.type, "version" in item ? item.version : undefined]),
    );
    return [seen.get("restore-script"), seen.get("restore-unit")];
}

const newer = (text: string) =>
    text.replace(`linuxnet-restore ${restoreVersion}`, `linuxnet-restore ${restoreVersion + 5}`);

test.each([
    ["as they are written", contents, [restoreVersion, restoreVersion]],
    ["not there", [], [undefined, undefined]],
    ["cut short", contents.map((text) => text.slice(0, 60)), [0, 0]],
    ["empty", contents.map(() => ""), [1, 1]],
    ["of the first version", ["#!/bin/sh\necho\n", "[Unit]\n"], [1, 1]],
    ["of a newer provider", contents.map(newer), [restoreVersion + 5, restoreVersion + 5]],
    ["without one of the units", contents.slice(0, 2), [restoreVersion, 1]],
])("restore: files %s", (_title, texts, versions) => {
    expect(observedFiles[0]).toBe(restoreScriptPath);
    expect(versionsOf(...texts)).toEqual(versions);
});

test("restore: a base of an older provider is brought up, that of a newer one is left", () => {
    const { base } = empty;
    if (base === undefined) throw new Error("no base");
    const { restoreVersion: _none, ...first } = base;
    expect(baseItems(first, empty)).toContainEqual({ type: "restore-script", version: 1 });
    expect(baseItems(first, empty)).toContainEqual({ type: "ruleset", version: 1 });
    expect(updateBase(first, empty, facts)).toEqual(base);
    expect(updateBase(base, empty, facts)).toBe(base);
    const later = { ...base, restoreVersion: restoreVersion + 1 };
    expect(updateBase(later, empty, facts)).toBe(later);
});

test("base: whose business routing is follows who routes; uplinks that were closed on a router stay so", () => {
    const { base } = empty;
    if (base === undefined) throw new Error("no base");
    const guards = (some: typeof base) => baseItems(some, empty).filter(({ type }) => type === "element").length;
    const routed = updateBase(base, empty, { ...facts, isRouter: true });
    expect(routed).toEqual({ ...base, becameRouter: true });
    expect([guards(base), guards(routed)]).toEqual([base.openedUplinks.length, 0]);
    expect(updateBase(routed, empty, { ...facts, isRouter: true })).toBe(routed);
    expect(updateBase(routed, empty, facts)).toEqual(base);
    const bridged = updateBase(base, empty, { ...facts, bridges: ["eth0", "br-app"] });
    expect(bridged).toEqual({ ...base, openedBridges: ["eth0"] });
    expect(guards(bridged)).toBe(guards(base) + 1);
    // Away for a moment.
    expect(updateBase(bridged, empty, facts)).toBe(bridged);
    const wasRouter = { ...base, wasRouter: true };
    expect(updateBase(wasRouter, empty, { ...facts, isRouter: true })).toBe(wasRouter);
});
