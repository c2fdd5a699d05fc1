import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import * as entry from "../../../provider/index.js";
import { explain } from "../../../provider/lifecycle.js";

const root = join(__dirname, "../../../provider");

test("entry: has the names that are written into users' state, each a whole provider", () => {
    expect(Object.keys(entry).sort()).toEqual([
        "endpoint",
        "firewallPolicy",
        "host",
        "network",
        "overlayRanges",
        "overlayTunnel",
        "portMapping",
        "sandbox",
    ]);
    for (const provider of Object.values(entry)) {
        expect(Object.keys(provider).sort()).toEqual([
            "check",
            "configure",
            "create",
            "delete",
            "diff",
            "read",
            "update",
        ]);
    }
});

/** Files that are loaded with a file: what it imports by a statement, except types. */
function loadedWith(file: string, seen = new Set<string>()): Set<string> {
    if (seen.has(file)) return seen;
    seen.add(file);
    const text = readFileSync(file, "utf8");
    for (const [, imported, from = ""] of text.matchAll(
        /^(?:import|export) (?!type )((?:[^;]*?) from )?"([^"]+)";/gms,
    )) {
        const names = /^\{(.*)\} from $/s.exec(imported ?? "")?.[1];
        // With isolatedModules an import of types alone, each marked, is dropped too.
        if (names?.split(",").every((name) => name.trim() === "" || name.trim().startsWith("type "))) continue;
        if (from.startsWith(".")) loadedWith(join(file, "..", from.replace(/\.js$/, ".ts")), seen);
        else seen.add(from);
    }
    return seen;
}

test("entry: loads nothing with it, because every preview waits for it", () => {
    expect([...loadedWith(join(root, "index.ts"))]).toEqual([join(root, "index.ts")]);
});

test("check and diff: load no ssh", () => {
    const loaded = [...loadedWith(join(root, "lifecycle.ts"))];
    expect(loaded).toContain("zod");
    expect(loaded.filter((each) => each === "ssh2" || each.startsWith(join(root, "host/")))).toEqual([]);
});

test("purity: model, kernel and kinds load nothing of Node, and nothing of the host", () => {
    for (const folder of ["model", "kernel", "kinds"]) {
        for (const name of readdirSync(join(root, folder))) {
            const outside = [...loadedWith(join(root, folder, name))].filter((each) => !each.startsWith("/"));
            expect(
                outside.filter((each) => !["zod", "ip-address"].includes(each)),
                name,
            ).toEqual([]);
        }
    }
});

const props = {
    owner: { project: "shop", stack: "dev", urn: "urn", name: "web" },
    connection: { host: "edge", user: "deploy", port: 22, transport: "ssh2" },
};

test.each([
    ["an Error", new Error("it broke."), "it broke."],
    ["a text", "it broke.", "it broke."],
    ["an Error that names the host itself", new Error("deploy@edge: no answer."), "no answer."],
])("explain: %s becomes an Error that names resource and host, without a stack trace", (_title, thrown, message) => {
    const error = explain("endpoint", props, thrown);
    expect(error).toBeInstanceOf(Error);
    expect(error.message).toBe(`Endpoint "web" on deploy@edge: ${message}`);
    // As the engine prints errors of read and delete: with the stack behind, which says the message once.
    expect(`${error}: ${error.stack}`).toBe(error.message);
});

test("every call: what goes wrong comes out as such an Error", async () => {
    const broken = { owner: props.owner };
    // The ranges of an overlay are on no host, and nothing of them can break.
    const { overlayRanges: _, ...ofHosts } = entry;
    for (const provider of Object.values(ofHosts)) {
        await expect(provider.create(broken)).rejects.toThrow(/^\w+ "web": /);
        await expect(provider.read("nonsense", broken)).rejects.toThrow(/^\w+ "web": /);
        await expect(provider.delete("nonsense", broken)).rejects.toThrow(/^\w+ "web": /);
    }
});
