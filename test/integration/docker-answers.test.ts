import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { compareAnswers } from "../../bench/answers/compare.js";
import { renderAnswers } from "../../bench/answers/table.js";

test("docker: its containers and sandboxes are answered the same about names, but for what docs/names.md explains", async () => {
    const { answers } = await compareAnswers();
    const unexplained = answers.filter(
        ({ docker, ours, difference }) => (docker === ours) !== (difference === undefined),
    );
    expect(unexplained).toEqual([]);
    const page = readFileSync(join(__dirname, "../../docs/names.md"), "utf8");
    const { different, same } = renderAnswers(answers);
    for (const table of [different, same]) expect(page).toContain(table.join("\n"));
}, 180_000);
