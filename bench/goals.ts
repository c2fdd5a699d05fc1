/** What was set out to reach, and what was measured. */
export interface Goal {
    readonly title: string;
    readonly measured: number;
    readonly limit: number;
    readonly unit: "x" | "ms" | "trips" | "pairs" | "answers";
}

const format = ({ unit }: Goal, value: number) =>
    unit === "x" ? value.toFixed(value < 0.1 ? 4 : 2) : `${Number(value.toFixed(2))} ${unit}`;

/** A line for each goal; nothing fails, because a machine that others use too is no judge. */
export function renderGoals(goals: readonly Goal[]): string {
    const lines = goals.map((goal) => {
        const verdict = goal.measured <= goal.limit ? "met " : "OVER";
        return `  ${verdict}  ${goal.title}: ${format(goal, goal.measured)} (goal ${format(goal, goal.limit)})`;
    });
    return ["Goals", ...lines, ""].join("\n");
}
