import type { Answer } from "./compare.js";

export const cell = (text: string) => text.replaceAll("|", "\\|");

export const asked = ({ title, from }: Pick<Answer, "title" | "from">) => `${title} (\`${from}\`)`;

const isSame = ({ docker, ours }: Answer) => docker === ours;

/** Those that differ without a reason, or have a reason and do not. */
export function unexplained(answers: readonly Answer[]): Answer[] {
    return answers.filter((answer) => isSame(answer) !== (answer.difference === undefined));
}

/** Rows of Markdown: first what differs, with the reason, then what is the same. */
export function renderAnswers(answers: readonly Answer[]): { different: string[]; same: string[] } {
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
