import type { ItemType } from "./item.js";
import { ip, ip6, type Line } from "./line.js";

/**
 * Sends what a network of the host answers back the way its question came: `iif <bridge> fwmark <mark> lookup <table>`
 * (ip-rule(8)). Without the interface the mark would count for the tunnel's own packets too, which carry that of what is
 * inside them, and send these round in a circle.
 */
export interface ReplyRuleItem {
    readonly type: "reply-rule";
    readonly family: 4 | 6;
    /** The bridge that the answers come from. */
    readonly from: string;
    /** Of the connection; its number is that of the table too. */
    readonly mark: number;
}

/** Behind the kernel's own rule for the host's addresses, before all that say "main". ip(8) shows no family, so each has its own. */
const priorities = { 4: 1080, 6: 1081 } as const;

function line({ family, from, mark }: ReplyRuleItem, verb: "add" | "del"): Line {
    const words = ["rule", verb, "priority", priorities[family], "iif", from, "fwmark", mark, "lookup", mark];
    return family === 6 ? ip6(undefined, ...words) : ip(undefined, ...words);
}

export const replyRuleType: ItemType<ReplyRuleItem> = {
    key: ({ family, from, mark }) => `reply-rule ${family} ${from} ${mark}`,
    // The kernel keeps a rule whose interface is gone.
    parents: () => [],
    add: (item) => [line(item, "add")],
    remove: (item) => [line(item, "del")],
    observe(item, snapshot) {
        const rules = snapshot.namespaces.get("")?.rules ?? [];
        const isIt = (rule: (typeof rules)[number]) =>
            rule.priority === priorities[item.family] &&
            rule.iif === item.from &&
            Number(rule.fwmark) === item.mark &&
            String(rule.table) === String(item.mark);
        return rules.some(isIt) ? item : undefined;
    },
};
