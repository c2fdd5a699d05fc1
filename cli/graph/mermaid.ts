import type { Drawing, GraphEdge, GraphNode } from "./layout.js";

const arrows: Readonly<Record<GraphEdge["kind"], string>> = {
    attached: "---",
    published: "==>",
    allowed: "-.->",
    tunnel: "<-->",
};

const quote = (lines: readonly string[]) =>
    `"${lines.map((line) => line.replace(/[#"<>&]/g, (each) => `#${each.charCodeAt(0)};`)).join("<br/>")}"`;

function renderNode({ id, label, kind }: GraphNode): string {
    if (kind === "network") return `${id}([${quote(label)}])`;
    return kind === "endpoint" ? `${id}[${quote(label)}]` : `${id}{{${quote(label)}}}`;
}

/** A Mermaid flowchart, https://mermaid.js.org/syntax/flowchart.html */
export function renderMermaid({ title, nodes, frames, edges }: Drawing): string {
    return [
        "---",
        `title: ${JSON.stringify(title)}`,
        "---",
        "flowchart LR",
        ...nodes.map((node) => `    ${renderNode(node)}`),
        ...frames.flatMap((frame) => [
            `    subgraph ${frame.id}[${quote(frame.label)}]`,
            ...frame.nodes.map((node) => `        ${renderNode(node)}`),
            "    end",
        ]),
        ...edges.map(({ from, to, label, kind }) => {
            const text = label === "" ? "" : `|${quote([label])}|`;
            return `    ${from} ${arrows[kind]}${text} ${to}`;
        }),
        "",
    ].join("\n");
}
