import type { PolicyRule } from "./object.js";

/** ICMP types by name, as nft(8) writes them. */
const icmpTypes: Readonly<Record<string, number>> = {
    "echo-reply": 0,
    "destination-unreachable": 3,
    "source-quench": 4,
    redirect: 5,
    "echo-request": 8,
    "router-advertisement": 9,
    "router-solicitation": 10,
    "time-exceeded": 11,
    "parameter-problem": 12,
    "timestamp-request": 13,
    "timestamp-reply": 14,
    "info-request": 15,
    "info-reply": 16,
    "address-mask-request": 17,
    "address-mask-reply": 18,
};

/** The same of ICMPv6, without those that always pass. */
const icmpv6Types: Readonly<Record<string, number>> = {
    "destination-unreachable": 1,
    "packet-too-big": 2,
    "time-exceeded": 3,
    "parameter-problem": 4,
    "echo-request": 128,
    "echo-reply": 129,
    "nd-redirect": 137,
};

type Icmp = "icmp" | "icmpv6";

/** Names of the types of one of the two. */
export function icmpTypeNames(of: Icmp): string[] {
    return Object.keys(of === "icmp" ? icmpTypes : icmpv6Types);
}

/** The number of a type by its name or number; `undefined`: it is none of this protocol. */
export function icmpTypeNumber(of: Icmp, type: string | number): number | undefined {
    const numbers = of === "icmp" ? icmpTypes : icmpv6Types;
    if (typeof type === "string" && Object.hasOwn(numbers, type)) return numbers[type];
    const text = String(type);
    return /^\d{1,3}$/.test(text) && Number(text) <= 255 ? Number(text) : undefined;
}

/** The name of a type where it has one, else its number. */
export function icmpTypeName(of: Icmp, type: string | number): string | number {
    const number = icmpTypeNumber(of, type);
    const [name] = Object.entries(of === "icmp" ? icmpTypes : icmpv6Types).find(([, each]) => each === number) ?? [];
    return name ?? type;
}

/** Whose types the rule names: those of ICMP for IPv4 unless its protocol is icmpv6. */
export function speaksOfIcmpv6({ protocols }: Pick<PolicyRule, "protocols">): boolean {
    return protocols.some((protocol) => protocol === "icmpv6" || protocol === 58);
}
