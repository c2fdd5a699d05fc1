/** An inclusive range of ports. */
export interface PortRange {
    readonly first: number;
    readonly last: number;
}

function parsePort(text: string): number {
    const port = Number(text);
    if (!/^\d+$/.test(text) || port < 1 || port > 65535) {
        throw new Error(`"${text}" is not a port (1-65535) or a range such as 8000-8010`);
    }
    return port;
}

/** A port or a range: `80`, `"80"`, `"8000-8010"`. */
export function parsePortRange(value: number | string): PortRange {
    const [from = "", to] = String(value).trim().split("-");
    const first = parsePort(from.trim());
    const last = to === undefined ? first : parsePort(to.trim());
    if (last < first) throw new Error(`"${value}" ends before it begins`);
    return { first, last };
}

/** `80` or `"8000-8010"`: a number when it is a single port, as users write it. */
export function formatPortRange(range: PortRange): number | string {
    return range.first === range.last ? range.first : `${range.first}-${range.last}`;
}
