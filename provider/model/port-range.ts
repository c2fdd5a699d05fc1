/** An inclusive range of ports. */
export interface PortRange {
    readonly first: number;
    readonly last: number;
}

/** A port or a range: `80`, `"80"`, `"8000-8010"`. @throws Error when the value is neither. */
export function parsePortRange(value: number | string): PortRange {
    const [, from, to = from] = /^(\d{1,5})(?:\s*-\s*(\d{1,5}))?$/.exec(String(value).trim()) ?? [];
    const [first, last] = [Number(from), Number(to)];
    const isPort = (port: number) => port >= 1 && port <= 65535;
    if (!isPort(first) || !isPort(last)) {
        throw new Error(`"${value}" is not a port (1-65535) or a range such as 8000-8010`);
    }
    if (last < first) throw new Error(`"${value}" ends before it begins`);
    return { first, last };
}

/** `80` or `"8000-8010"`: a number when it is a single port, as users write it. */
export function formatPortRange(range: PortRange): number | string {
    return range.first === range.last ? range.first : `${range.first}-${range.last}`;
}

/** Ports are looked up by blocks of 64, so that neither a long range nor a crowded host has many entries to look at. */
export function blocksOf({ first, last }: PortRange): number[] {
    const [from, to] = [first >> 6, last >> 6];
    return Array.from({ length: to - from + 1 }, (_, i) => from + i);
}
