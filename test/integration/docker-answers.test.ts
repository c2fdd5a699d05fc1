import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { compareAnswers } from "../../bench/answers/compare.js";
import { asked, cell, renderAnswers, unexplained } from "../../bench/answers/table.js";

test("docker: its containers and sandboxes are answered the same about names, but for what docs/names.md explains", async () => {
    const { answers, version } = await compareAnswers();
    const page = readFileSync(join(__dirname, "../../docs/names.md"), "utf8");
    const rows = page.split("\n");
    const shown = answers.map((answer) => rows.find((row) => row.startsWith(`| ${asked(answer)} |`)));
    expect(shown).toEqual(answers.map(({ ours }) => expect.stringContaining(` ${cell(ours)} |`)));
    // Of another Docker the page says nothing.
    if (!page.includes(`containers of Docker ${version.split(".", 2).join(".")} `)) return;
    expect(unexplained(answers)).toEqual([]);
    const { different, same } = renderAnswers(answers);
    for (const table of [different, same]) expect(page).toContain(table.join("\n"));
}, 180_000);
