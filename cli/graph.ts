import { InvalidArgumentError } from "commander";
import { describeConnection } from "../provider/model/connection.js";
import { readCarried } from "./carried.js";
import { drawLayout } from "./graph/layout.js";
import { connectionOf, type TargetOptions } from "./target.js";

/** Prints the layout of a host as text that Graphviz or Mermaid draws. */
export async function graph(target: string | undefined, options: TargetOptions & { format: string }): Promise<void> {
    const { format } = options;
    if (format !== "dot" && format !== "mermaid") {
        throw new InvalidArgumentError(`--format is "dot" or "mermaid", not "${format}".`);
    }
    const connection = await connectionOf(target, options);
    const drawing = drawLayout((await readCarried(connection)).world, describeConnection(connection));
    const render =
        format === "dot"
            ? (await import("./graph/dot.js")).renderDot
            : (await import("./graph/mermaid.js")).renderMermaid;
    process.stdout.write(render(drawing));
}
