import type { Answer } from "./compare.js";

const cell = (text: string) => text.replaceAll("|", "\\|");

/** Rows of Markdown: first what differs, with the reason, then what is the same. */
export function renderAnswers(answers: readonly Answer[]): { different: string[]; same: string[] } {
    const isSame = ({ docker, ours }: Answer) => docker === ours;
    const asked = ({ title, from }: Answer) => `${title} (\`${from}\`)`;
    return {
        different: answers
            .filter((answer) => !isSame(answer))
            .map(
                (answer) =>
                    `| ${asked(answer)} | ${cell(answer.docker)} | ${cell(answer.ours)} | ${answer.difference ?? "not explained"} |`,
            ),
        same: answers.filter(isSame).map((answer) => `| ${asked(answer)} | ${cell(answer.ours)} |`),
    };
}
