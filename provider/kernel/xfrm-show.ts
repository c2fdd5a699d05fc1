import { algorithm } from "./xfrm.js";

/** What `ip xfrm` shows, as far as it is read: no keys. */
export interface XfrmSnapshot {
    readonly states: readonly XfrmState[];
    /** One text each, with one blank between words. */
    readonly policies: readonly string[];
}

export interface XfrmState {
    readonly source: string;
    readonly destination: string;
    readonly spi: string;
    readonly reqid: number;
}

/** Blocks begin at the margin. */
const blocksOf = (text: string) =>
    text
        .split(/\n(?=src )/)
        .map((block) => block.replace(/\s+/g, " ").trim())
        .filter((block) => block.startsWith("src "));

/** Of `ip xfrm state list nokeys` and `ip xfrm policy list`; associations of other kinds than ours are left out. */
export function parseXfrm(states: string, policies: string): XfrmSnapshot {
    const esp = /^src (\S+) dst (\S+) proto esp spi 0x(\w+) reqid (\d+) mode transport .*flag (?:\S+ )*esn /;
    return {
        states: blocksOf(states).flatMap((block) => {
            const [, source = "", destination = "", spi = "", reqid] = esp.exec(block) ?? [];
            if (reqid === undefined || !block.includes(` ${algorithm} `)) return [];
            return [{ source, destination, spi: `0x${spi}`, reqid: Number(reqid) }];
        }),
        policies: blocksOf(policies).map((block) => `${block} `),
    };
}
