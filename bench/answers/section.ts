import type { Goal } from "../goals.js";
import { say, title } from "../report.js";
import { compareAnswers } from "./compare.js";
import { renderAnswers, unexplained } from "./table.js";

/** What programs are answered about names in containers of Docker and in sandboxes. */
export async function benchAnswers(): Promise<Goal[]> {
    title("Questions about names in containers of Docker, and in sandboxes laid out alike");
    const compared = await compareAnswers().catch((error: Error) => error);
    if (compared instanceof Error) {
        say(`  not compared: ${compared.message.split("\n")[0]}`);
        return [];
    }
    const { answers, version } = compared;
    const { different, same } = renderAnswers(answers);
    say(["", `| asked (in) | Docker ${version} | here | why |`, "|---|---|---|---|", ...different].join("\n"));
    say(["", "| asked (in) | both |", "|---|---|", ...same, ""].join("\n"));
    return [
        {
            title: "answers that differ from Docker's without a reason",
            measured: unexplained(answers).length,
            limit: 0,
            unit: "answers",
        },
    ];
}
