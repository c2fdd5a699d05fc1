/**
 * Each rule of ours carries a hash of its own text in its comment. The kernel keeps comments as they are and never edits a
 * rule in place: one that somebody put in its stead has no such comment, or another, whatever form `nft list` gives to
 * its text (which differs between versions of nft).
 */

const description = /^(.*?)(?: comment "([^"]*)")?$/s;

/** FNV-1a, 32 bits: told apart is what changed by accident or by hand, not what was forged. */
export function hash(text: string): string {
    let value = 0x811c9dc5;
    for (const byte of new TextEncoder().encode(text)) value = Math.imul(value ^ byte, 0x01000193) >>> 0;
    return value.toString(16).padStart(8, "0");
}

/** The comment of a rule: its description, if it has one, and the hash. */
export function markOf(rule: string): string {
    const words = description.exec(rule)?.[2];
    return `${words === undefined ? "" : `${words} `}#${hash(rule)}`;
}

/** The rule as it is written. */
export function marked(rule: string): string {
    return `${description.exec(rule)?.[1]} comment "${markOf(rule)}"`;
}
