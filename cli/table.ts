import CliTable from "cli-table3";
import pc from "picocolors";

const { env, stdout } = process;

/** Colours for a terminal, none in a pipe; NO_COLOR (no-color.org) and FORCE_COLOR decide before that. */
export const paint = pc.createColors(
    !env["NO_COLOR"] && (Boolean(env["FORCE_COLOR"]) || (stdout.isTTY === true && env["TERM"] !== "dumb")),
);

const gap = "  ";
const edges = ["top", "top-mid", "top-left", "top-right", "bottom", "bottom-mid", "bottom-left", "bottom-right"];
const lines = ["left", "left-mid", "mid", "mid-mid", "right", "right-mid"];
const nothing = Object.fromEntries([...edges, ...lines].map((name) => [name, ""]));

/** Lines of columns. The last column is wrapped to the terminal's width; in a pipe each line stays whole. */
export function renderTable(head: readonly string[], rows: readonly (readonly string[])[]): string {
    const last = head.length - 1;
    const widths = head
        .slice(0, last)
        .map((title, i) => Math.max(title.length, ...rows.map((row) => widthOf(row[i] ?? ""))));
    const taken = widths.reduce((sum, width) => sum + width + gap.length, 0);
    const left = (stdout.columns ?? 0) - taken;
    const table = new CliTable({
        chars: { ...nothing, middle: gap },
        style: { "padding-left": 0, "padding-right": 0, head: [], border: [] },
        head: head.map((title) => paint.dim(title)),
        ...(stdout.isTTY && left >= 20 ? { colWidths: [...widths, left], wordWrap: true } : {}),
    });
    table.push(...rows.map((row) => [...row]));
    return table
        .toString()
        .split("\n")
        .map((line) => line.trimEnd())
        .join("\n");
}

/** Columns on a screen, of the widest line. */
function widthOf(cell: string): number {
    // biome-ignore lint/suspicious/noControlCharactersInRegex: colours are escape sequences
    const plain = cell.replace(/\x1b\[\d+m/g, "");
    return Math.max(...plain.split("\n").map((line) => line.length));
}

export function print(text: string): void {
    process.stdout.write(`${text}\n`);
}
