import { parseCapabilities } from "../../provider/host/facts.js";
import { parseListeners } from "../../provider/host/failure.js";
import { parseManifest } from "../../provider/host/manifest.js";
import { parseJsonLines, parseSections } from "../../provider/host/sections.js";
import { parseOtherFirewalls } from "../../provider/kernel/other-firewalls.js";
import type { OtherFirewall, World } from "../../provider/model/world.js";

/** A chain of the kernel's, as `nft -j list chains` shows it; iptables-nft's are among them. */
export interface Chain {
    readonly family: string;
    readonly table: string;
    readonly name: string;
    /** Of a base chain. */
    readonly hook?: string;
    readonly policy?: string;
}

export interface Interface {
    readonly name: string;
    readonly forwards: boolean;
    /** rp_filter in force: the stricter of the interface's and "all" (ip-sysctl). */
    readonly reversePath: "off" | "strict" | "loose";
    readonly mtuBytes: number;
}

/** What the checks look at. */
export interface HostState {
    readonly world: World;
    readonly capabilities: readonly string[];
    readonly missingTools: readonly string[];
    readonly packageManager: string | undefined;
    readonly kernel: string;
    readonly nftables: string;
    /** `undefined`: nft is there but does not answer in JSON. */
    readonly chains: readonly Chain[] | undefined;
    /** What others drop. */
    readonly otherFirewalls: readonly OtherFirewall[];
    readonly ufwIsEnabled: boolean;
    /** Files that switch IPv4 forwarding off at boot. */
    readonly forwardingFiles: readonly string[];
    /** Those with a default route, the preferred one first. */
    readonly uplinks: readonly Interface[];
    /** `undefined`: br_netfilter is not loaded. */
    readonly bridgeSwitches: readonly boolean[] | undefined;
    /** `undefined`: connection tracking is not loaded. */
    readonly connections: { readonly inUse: number; readonly maximum: number } | undefined;
    readonly listeners: ReturnType<typeof parseListeners>;
}

type LinkJson = { readonly ifname?: string; readonly mtu?: number };
type RouteJson = { readonly dev?: string; readonly metric?: number };

/** @throws Error when the script did not come to its end. */
export function parseHostState(stdout: string): HostState {
    if (!stdout.includes("\n@@ end")) throw new Error("the host's answer is not complete. Run the same command again.");
    const sections = parseSections(stdout);
    const text = (name: string) => (sections.get(name) ?? "").trim();
    const lines = (name: string) =>
        text(name)
            .split("\n")
            .filter((line) => line !== "");
    const [inUse, maximum] = lines("connections").map(Number);
    const switches = lines("bridge switches");
    const uplinks = parseUplinks(lines("interfaces"), sections.get("links"), sections.get("routes"));
    return {
        world: parseManifest(sections).world,
        capabilities: parseCapabilities(stdout),
        missingTools: lines("missing"),
        packageManager: lines("package manager")[0],
        kernel: text("kernel"),
        nftables: /v([\d.]+)/.exec(text("nftables"))?.[1] ?? "",
        chains: text("chains") === "" ? undefined : parseChains(text("chains")),
        otherFirewalls: parseOtherFirewalls(
            sections,
            uplinks.map(({ name }) => name),
        ),
        ufwIsEnabled: text("ufw") === "enabled",
        forwardingFiles: lines("forwarding files"),
        uplinks,
        bridgeSwitches: switches.length === 0 ? undefined : switches.map((value) => value === "1"),
        connections: inUse === undefined || maximum === undefined ? undefined : { inUse, maximum },
        listeners: parseListeners(text("listeners")),
    };
}

function parseChains(json: string): Chain[] {
    const { nftables = [] } = JSON.parse(json) as { nftables?: { chain?: Chain }[] };
    return nftables.flatMap(({ chain }) => (chain === undefined ? [] : [chain]));
}

function parseUplinks(rows: readonly string[], links: string | undefined, routes: string | undefined): Interface[] {
    const switches = new Map(
        rows.map((row) => row.split(" ")).map(([name = "", ...values]) => [name, values.map(Number)]),
    );
    const mtus = new Map(
        parseJsonLines<LinkJson[]>(links)
            .flat()
            .map(({ ifname, mtu }) => [ifname, mtu ?? 0]),
    );
    const byMetric = parseJsonLines<RouteJson[]>(routes)
        .flat()
        .sort((a, b) => (a.metric ?? 0) - (b.metric ?? 0));
    const names = [...new Set(byMetric.flatMap(({ dev }) => dev ?? []))];
    const all = switches.get("all")?.[1] ?? 0;
    return names.map((name) => {
        const [forwarding = 0, own = 0] = switches.get(name) ?? [];
        const reversePath = (["off", "strict", "loose"] as const)[Math.max(all, own)] ?? "off";
        return { name, forwards: forwarding === 1, reversePath, mtuBytes: mtus.get(name) ?? 0 };
    });
}
