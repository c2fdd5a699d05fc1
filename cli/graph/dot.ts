import type { Drawing, GraphEdge, GraphNode } from "./layout.js";

const shapes: Readonly<Record<GraphNode["kind"], string>> = {
    network: "shape=ellipse, style=filled, fillcolor=lightblue",
    endpoint: "shape=box, style=rounded",
    outside: "shape=plaintext",
};

const strokes: Readonly<Record<GraphEdge["kind"], string>> = {
    attached: "arrowhead=none",
    published: "color=blue, fontcolor=blue",
    allowed: "color=darkgreen, fontcolor=darkgreen, style=dashed, constraint=false",
    tunnel: "dir=both, style=bold",
};

const quote = (text: string) => `"${text.replace(/["\\]/g, "\\$&")}"`;
// "\n" is Graphviz's own escape, so it is put in after quoting.
const label = (lines: readonly string[]) => `"${lines.map((line) => quote(line).slice(1, -1)).join("\\n")}"`;

/** The DOT language, https://graphviz.org/doc/info/lang.html */
export function renderDot({ title, nodes, frames, edges }: Drawing): string {
    const renderNode = (node: GraphNode) => `${node.id} [label=${label(node.label)}, ${shapes[node.kind]}];`;
    return [
        `digraph ${quote(title)} {`,
        "    rankdir=LR;",
        '    node [fontname="sans-serif"];',
        '    edge [fontname="sans-serif", fontsize=10];',
        ...nodes.map((node) => `    ${renderNode(node)}`),
        ...frames.flatMap((frame) => [
            `    subgraph cluster_${frame.id} {`,
            `        label=${label(frame.label)};`,
            ...frame.nodes.map((node) => `        ${renderNode(node)}`),
            "    }",
        ]),
        ...edges.map(({ from, to, label: text, kind }) => {
            const attributes = [...(text === "" ? [] : [`label=${quote(text)}`]), strokes[kind]];
            return `    ${from} -> ${to} [${attributes.join(", ")}];`;
        }),
        "}",
        "",
    ].join("\n");
}
