import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { listNetnsFiles, writeNetnsFiles } from "../../../provider/kernel/netns-file.js";

let folder: string;
beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), "linuxnet-test-"));
});
afterAll(() => rmSync(folder, { recursive: true }));

const path = (name: string) => join(folder, name);
const read = (name: string) => readFileSync(path(name), "utf8");

/** What a transaction runs. */
function writeFiles(how: "merge" | "write", files: Readonly<Record<string, readonly string[]>>): void {
    const lines = Object.entries(files).map(([name, own]) => ({
        tool: "netns-file" as const,
        args: [path(name), how, ...own],
    }));
    const input = listNetnsFiles(lines).join("\n");
    execFileSync("sh", ["-c", `${writeNetnsFiles}write_netns_files`], { input: `${input}\n` });
}

const linesOf = (name: string) =>
    read(name)
        .split("\n")
        .map((line) => line.trimEnd())
        .filter((line) => line !== "");

test("files: lines that several have travel once, and each names its own by ranges", () => {
    const file = (name: string, ...own: string[]) => ({ tool: "netns-file" as const, args: [name, "merge", ...own] });
    expect(listNetnsFiles([file("/a", "x", "y", "z"), file("/b", "w", "y", "z"), file("/c", "z", "x", "w")])).toEqual([
        "L x",
        "L y",
        "L z",
        "L w",
        "F merge /a 1-3",
        "F merge /b 4,2-3",
        "F merge /c 3,1,4",
    ]);
});

test("hosts: what stays keeps its place, what goes becomes blanks, what comes takes them or follows", () => {
    writeFiles("merge", { hosts: ["# header", "10.0.0.2 web", "10.0.0.3 database", "10.0.0.4 api"] });
    const { ino } = statSync(path("hosts"));
    expect(read("hosts")).toBe("# header\n10.0.0.2 web\n10.0.0.3 database\n10.0.0.4 api\n");
    writeFiles("merge", { hosts: ["# header", "10.0.0.2 web", "10.0.0.4 api"] });
    expect(read("hosts")).toBe("# header\n10.0.0.2 web\n                 \n10.0.0.4 api\n");
    writeFiles("merge", {
        hosts: ["10.0.0.5 cache", "# header", "10.0.0.4 api", "10.0.0.2 web", "10.0.0.6 a-long-name"],
    });
    expect(read("hosts")).toBe("# header\n10.0.0.2 web\n10.0.0.5 cache   \n10.0.0.4 api\n10.0.0.6 a-long-name\n");
    writeFiles("merge", { hosts: ["# header", "10.0.0.2 web"] });
    expect(read("hosts")).toBe("# header\n10.0.0.2 web\n");
    expect(statSync(path("hosts")).ino).toBe(ino);
});

test("hosts: one that says all of it already is not written", () => {
    writeFiles("merge", { same: ["10.0.0.2 web", "10.0.0.3 db"] });
    const { mtimeNs } = statSync(path("same"), { bigint: true });
    writeFiles("merge", { same: ["10.0.0.3 db", "10.0.0.2 web"] });
    expect(statSync(path("same"), { bigint: true }).mtimeNs).toBe(mtimeNs);
});

test("hosts: what somebody else wrote into it goes, whatever it is", () => {
    writeFileSync(path("foreign"), "10.0.0.2 web\n\n'$(id)' `id` %s \\ \t\n  10.0.0.9 other\nno newline at the end");
    writeFiles("merge", { foreign: ["10.0.0.2 web", "10.0.0.3 db"] });
    expect(linesOf("foreign")).toEqual(["10.0.0.2 web", "10.0.0.3 db"]);
});

test("resolv.conf: is in order, also when it gets shorter", () => {
    writeFiles("write", { resolv: ["nameserver 10.0.0.1", "search example.com", "options ndots:0"] });
    const { ino } = statSync(path("resolv"));
    writeFiles("write", { resolv: ["options ndots:0", "nameserver 10.0.0.2"] });
    expect(read("resolv")).toBe("options ndots:0\nnameserver 10.0.0.2\n");
    expect(statSync(path("resolv")).ino).toBe(ino);
    writeFiles("write", { resolv: ["nameserver 10.0.0.1", "nameserver 10.0.0.2", "nameserver 10.0.0.3"] });
    expect(read("resolv")).toBe("nameserver 10.0.0.1\nnameserver 10.0.0.2\nnameserver 10.0.0.3\n");
});

test("hosts: back and forth is where it was", () => {
    const before = ["# header", "10.0.0.2 web", "10.0.0.3 db"];
    writeFiles("merge", { walk: before });
    const text = read("walk");
    for (const other of [
        [],
        ["# header"],
        [...before, "10.0.0.4 api"],
        ["# header", "10.0.0.9 web", "10.0.0.3 db"],
        ["x"],
    ]) {
        writeFiles("merge", { walk: other });
        expect(linesOf("walk").sort()).toEqual([...other].sort());
        writeFiles("merge", { walk: before });
        expect(linesOf("walk").sort()).toEqual([...before].sort());
        expect(read("walk").length).toBe(text.length);
    }
});

test("files: many with the same lines take one run, and all are right", () => {
    const common = Array.from({ length: 300 }, (_, i) => `10.0.${i >> 8}.${i & 255} sandbox-${i}.network sandbox-${i}`);
    const names = Array.from({ length: 100 }, (_, i) => `many-${i}`);
    const all = (lines: readonly string[]) => Object.fromEntries(names.map((name) => [name, [`# ${name}`, ...lines]]));
    writeFiles("merge", all(common.slice(0, 299)));
    writeFiles("merge", all(common.slice(1)));
    for (const name of names) {
        expect(linesOf(name).sort()).toEqual([`# ${name}`, ...common.slice(1)].sort());
        expect(read(name).length).toBeLessThan(common.join("\n").length + 200);
    }
});
