import type { MeterItem } from "../kernel/stateful.js";
import type { RuleLimit } from "../model/object.js";
import { formatRate, parseRate } from "../model/rate.js";
import { type Family, hasIpv6, type Side } from "./policy-match.js";

/** What keeps a rule within its limit. */
interface RenderedLimit {
    readonly items: readonly MeterItem[];
    /** One for each rule to be written of a match of this family (`undefined`: any): it matches as long as the limit is kept. */
    statements(family: Family | undefined): string[];
}

export const unlimited: RenderedLimit = { items: [], statements: () => [""] };

/** Who is counted by itself, and for which packets. */
interface Counted {
    readonly name: string;
    readonly family?: Family;
    readonly key: string;
    readonly keyType: MeterItem["keyType"];
}

/** One key for all packets: a constant is none to nft, so it is a mark without its bits. */
const together: Counted = { name: "all", key: "meta mark & 0x0", keyType: "mark" };
const ofSource4: Counted = { name: "ip", family: "ip", key: "ip saddr", keyType: "ipv4_addr" };
/** Whoever has one address of a /64 has all of them. */
const ofSource6: Counted = {
    name: "ip6",
    family: "ip6",
    key: "ip6 saddr & ffff:ffff:ffff:ffff::",
    keyType: "ipv6_addr",
};

/** @param id what the rule is known by on the host */
export function renderLimit(limit: RuleLimit, id: string, side: Side): RenderedLimit {
    const perSource = hasIpv6(side) ? [ofSource4, ofSource6] : [ofSource4];
    const all = (limit.perSource ? perSource : [together]).map((counted) => renderFor(counted, limit, id));
    return {
        items: all.flatMap(({ items }) => items),
        statements: (wanted) =>
            all
                .filter(({ family }) => family === undefined || wanted === undefined || family === wanted)
                .map(({ statement }) => statement),
    };
}

function renderFor({ name, family, key, keyType }: Counted, { rate, burst, connections }: RuleLimit, id: string) {
    const items: MeterItem[] = [];
    const statements: string[] = [];
    if (rate !== undefined) {
        const parsed = parseRate(rate);
        const atOnce = burst ?? parsed.count;
        const meter = `rate_${name}_${id}`;
        // A source that is forgotten before its allowance is whole again would get it for nothing.
        const timeoutSeconds = Math.ceil(2 * parsed.periodSeconds * Math.max(1, atOnce / parsed.count));
        items.push({ type: "meter", name: meter, keyType, timeoutSeconds });
        statements.push(`update @${meter} { ${key} limit rate ${formatRate(parsed)} burst ${atOnce} packets }`);
    }
    if (connections !== undefined) {
        const meter = `connections_${name}_${id}`;
        items.push({ type: "meter", name: meter, keyType });
        statements.push(`add @${meter} { ${key} ct count ${connections} }`);
    }
    return { family, items, statement: statements.join(" ") };
}
