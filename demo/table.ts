import Table from "cli-table3";
import colors from "picocolors";
import { compareWays, describeWay, type Way, without } from "./way.js";

/** What the matrix is made of, in the order of its columns and rows. */
export interface MatrixShape {
    readonly sources: readonly string[];
    readonly services: readonly string[];
}

/**
 * The matrix as text: a row for each service, a column for each source; a cell names the networks by which one reaches
 * the other. Where that is not what is expected the cell says how they differ.
 */
export function renderMatrix(shape: MatrixShape, expected: readonly Way[], observed: readonly Way[]): string {
    const { missing, unexpected } = compareWays(expected, observed);
    const table = new Table({
        head: ["to \\ from", ...shape.sources.map(breakName)].map((name) => colors.bold(name)),
        colAligns: ["left", ...shape.sources.map(() => "center" as const)],
        // Its own colours do not ask whether there is a terminal.
        style: { head: [], border: [], compact: true, "padding-left": 0, "padding-right": 1 },
        chars: { ...noLines, mid: "-", "left-mid": "-", "mid-mid": "-", "right-mid": "-" },
    });
    for (const to of shape.services) {
        const cells = shape.sources.map((from) => {
            const at = (ways: readonly Way[]) => initials(ways.filter((way) => way.from === from && way.to === to));
            const [agreed, more, less] = [at(without(observed, unexpected)), at(unexpected), at(missing)];
            const difference = `${more && `+${more}`}${less && `-${less}`}`;
            if (difference !== "") return `${colors.green(agreed)}${colors.bgRed(colors.white(difference))}`;
            if (agreed !== "") return colors.green(agreed);
            return to.startsWith(`${from}:`) ? "" : colors.dim(".");
        });
        table.push([to, ...cells]);
    }
    return table.toString();
}

const noLines = Object.fromEntries(
    ["top", "top-mid", "top-left", "top-right", "bottom", "bottom-mid", "bottom-left", "bottom-right"]
        .concat("left", "right", "middle")
        .map((name) => [name, ""]),
);

/** What the letters of a matrix mean. */
export function renderLegend(ways: readonly Way[]): string {
    const names = [...new Set(ways.map(({ by }) => by))].sort();
    const letters = names.map((name) => `${colors.green(initial(name))} ${name}`);
    return `Reached by: ${[...letters, `${colors.dim(".")} not at all`].join(", ")}. As expected, unless it is red.`;
}

/** How expected and observed differ, a line each; none when they do not. */
export function renderDifferences(expected: readonly Way[], observed: readonly Way[]): string[] {
    const { missing, unexpected } = compareWays(expected, observed);
    return [
        ...unexpected.map((way) => `open, but expected closed: ${describeWay(way)}`),
        ...missing.map((way) => `closed, but expected open: ${describeWay(way)}`),
    ];
}

function initials(ways: readonly Way[]): string {
    return ways
        .map(({ by }) => initial(by))
        .sort()
        .join("");
}

function initial(name: string): string {
    return name.slice(0, 1).toUpperCase();
}

/** A long name in two lines: at its hyphen, or in the middle. */
function breakName(name: string): string {
    if (name.length <= 7) return name;
    const hyphen = name.indexOf("-");
    return hyphen > 0 ? name.replace("-", "-\n") : `${name.slice(0, 6)}-\n${name.slice(6)}`;
}
