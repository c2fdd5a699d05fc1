import { restoreScriptPath } from "../kernel/file.js";
import { type Item, keyOf, observe } from "../kernel/item.js";
import { describeLines } from "../kernel/netns-file.js";
import { isEmpty, plan } from "../kernel/plan.js";
import { baseTables } from "../kernel/ruleset.js";
import { parseSnapshot } from "./snapshot.js";

const readBack = new Set<Item["type"]>(["netns", "bridge", "veth", "vxlan", "wireguard", "address", "route", "rule"]);

/** The read-back planned again: no difference is the proof that the kernel did what it was told. */
export function differenceAfter(touched: readonly Item[], stdout: string): string[] {
    const snapshot = parseSnapshot(stdout);
    // What was touched in a namespace by other tools than ip alone is not read back.
    const isRead = (item: Item) =>
        readBack.has(item.type) && snapshot.namespaces.has(("netns" in item && item.netns) || "");
    const wanted = touched.filter(isRead);
    return describeDifference(observe(wanted, snapshot), wanted);
}

/** What differs, in words a user of ip(8) and nft(8) knows: one text for each thing that is missing or has another value. */
export function describeDifference(actual: readonly Item[], wanted: readonly Item[]): string[] {
    const seen = new Map(actual.map((item) => [keyOf(item), item]));
    const differing = wanted.flatMap((item) => {
        const found = seen.get(keyOf(item));
        // A word to others leaves nothing that could be missing.
        if (found === item || item.type === "announcement") return [];
        if (found === undefined && item.type === "ruleset")
            return baseTables.map(({ family }) => `${titleOf(item)}: table ${family} linuxnet is missing`);
        if (found === undefined) return [`${titleOf(item)} is missing`];
        return describeChange(found, item).map((words) => `${titleOf(item)}: ${words}`);
    });
    // What nothing can be done about, or has to be, is no difference.
    return differing.length === 0 || isEmpty(plan(actual, wanted)) ? [] : differing;
}

const names: Readonly<Record<string, string>> = { mtuBytes: "MTU", mac: "MAC", peerMac: "MAC", via: "gateway" };

function describeChange(found: Item, wanted: Item): string[] {
    if (found.type === "netns-file" && wanted.type === "netns-file") return describeLines(found, wanted);
    const actual = found as unknown as Record<string, unknown>;
    const changed = Object.entries(wanted).filter(
        ([name, value]) => actual[name] !== value && JSON.stringify(actual[name]) !== JSON.stringify(value),
    );
    const flaws = "flaws" in found ? (found.flaws ?? []) : [];
    return [
        ...flaws,
        ...changed.map(([name, value]) => `${names[name] ?? name} is ${show(actual[name])}, not ${show(value)}`),
    ];
}

function show(value: unknown): string {
    if (value === undefined || value === "") return "none";
    if (Array.isArray(value)) return value.join(" . ");
    return typeof value === "object"
        ? Object.entries(value ?? {})
              .flat()
              .join(" ")
        : String(value);
}

const at = (netns: string | undefined) => (netns === undefined ? "" : ` in ${netns}`);

function titleOf(item: Item): string {
    switch (item.type) {
        case "ruleset":
            return "nftables";
        case "chain":
            return `chain ${item.name} of table inet linuxnet`;
        case "counter":
            return `counter ${item.name} of table inet linuxnet`;
        case "meter":
            return `set ${item.name} of table inet linuxnet`;
        case "element":
            return `element ${item.key.join(" . ")} of ${item.set} in table ${item.family} linuxnet`;
        case "netns":
            return `namespace ${item.name}`;
        case "bridge":
        case "vxlan":
        case "wireguard":
            return `interface ${item.name}`;
        case "veth":
            return `interface ${item.name} (${item.peerName} in ${item.netns})`;
        case "address":
            return `address ${item.address} on ${item.dev}${at(item.netns)}`;
        case "route":
            return `route to ${item.to} in table ${item.table}${at(item.netns)}`;
        case "rule":
            return `rule from ${item.from} lookup ${item.table}${at(item.netns)}`;
        case "reply-rule":
            return `${item.family === 6 ? "IPv6 " : ""}rule iif ${item.from} fwmark 0x${item.mark.toString(16)} lookup ${item.mark}`;
        case "neighbour":
            return `neighbour ${item.address} on ${item.dev}`;
        case "fdb":
            return `forwarding entry ${item.mac} on ${item.dev}`;
        case "barrier":
            return `unreachable route to ${item.to}`;
        case "wireguard-peer":
            return `WireGuard peer ${item.publicKey} (${item.address}) on ${item.dev}`;
        case "wireguard-key":
            return `WireGuard key of ${item.dev}`;
        case "sysctl":
            return `sysctl ${item.key}${at(item.netns)}`;
        case "exception":
            return `the exception for our networks in ${item.tool} (${item.chain}: ${item.rule})`;
        case "xfrm-policy":
            return `IPsec policy ${item.direction} ${item.source} to ${item.destination} udp port ${item.port}`;
        case "xfrm-send":
            return `IPsec association to ${item.destination} (reqid ${item.reqid})`;
        case "xfrm-receive":
            return `IPsec associations from ${item.source} (reqid ${item.reqid})`;
        case "resolver":
            return `the resolver at ${item.addresses.join(" and ")} (port ${item.port})`;
        case "names":
            return `file /run/linuxnet-dns/names/${item.network}/${item.endpoint}`;
        case "restore-script":
            return `file ${restoreScriptPath}`;
        case "restore-unit":
            return "systemd units of the restore script";
        default:
            return keyOf(item);
    }
}
