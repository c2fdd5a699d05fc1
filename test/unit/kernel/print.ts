import type { Line } from "../../../provider/kernel/line.js";
import type { Plan } from "../../../provider/kernel/plan.js";

/** A line as one reads it: `ip -n web link set dev eth0 up`. */
export function printLine(line: Line): string {
    const inside = line.netns === undefined ? "" : ` -n ${line.netns}`;
    return `${line.tool}${inside} ${line.args.join(" ")}`;
}

/** A plan as one reads it, in the order in which the host works. */
export function printPlan(plan: Plan): string {
    const part = (name: string, lines: readonly Line[]) =>
        lines.length === 0 ? [] : [`# ${name}`, ...lines.map(printLine)];
    return [...part("remove", plan.remove), ...part("nft", plan.nft), ...part("add", plan.add), ""].join("\n");
}
