import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Machine } from "../../demo/machine.js";
import { quoteWord } from "../../demo/runtime.js";

type Runner = Pick<Machine, "run">;

export interface Scan {
    /** `198.18.0.2 tcp 80`: who answered with SYN and ACK, or with a datagram. */
    readonly answered: readonly string[];
    /** `172.20.0.2 tcp 80`: what came in at sandboxes, answered or not. */
    readonly arrived: readonly string[];
    /** How many SYNs came in at the host; each was sent once. */
    readonly synCount: number;
}

const script = readFileSync(join(__dirname, "scan.py"), "utf8");
const source = 40_000;
export const tcpPorts = 65_535;
/** The well-known ones, and what else has a name in /etc/services; at least 1,000. */
const udpPorts = [...new Set([...Array.from({ length: 1023 }, (_, i) => i + 1), ...namedUdpPorts()])];

function namedUdpPorts(): number[] {
    return [...readFileSync("/etc/services", "utf8").matchAll(/\s(\d+)\/udp/g)].map(([, port]) => Number(port));
}

/** Tries every TCP port and the usual UDP ports of addresses from outside. @param namespaces of the sandboxes */
export async function scan(
    scanner: { readonly machine: Runner; readonly address: string },
    host: Runner,
    namespaces: readonly string[],
    addresses: readonly string[],
): Promise<Scan> {
    const sandboxes = namespaces.map(
        (name): Runner => ({
            run: (command) => host.run(`ip netns exec ${name} sh -c ${quoteWord(command)}`),
        }),
    );
    const sent = `ip saddr ${scanner.address}`;
    const answers = ["tcp flags & (syn | ack) == syn | ack", `udp dport ${source}`];
    await watch(host, "prerouting", [`${sent} tcp sport ${source} tcp flags & (syn | ack | rst) == syn counter`]);
    await watch(
        scanner.machine,
        "input",
        answers.map((match) => `${match} add @seen { ip saddr . meta l4proto . th sport }`),
    );
    for (const each of sandboxes) {
        await watch(each, "prerouting", [
            `${sent} th sport ${source} add @seen { ip daddr . meta l4proto . th dport }`,
        ]);
    }
    const words = [scanner.address, String(source), `1-${tcpPorts}`, udpPorts.join(","), ...addresses];
    await scanner.machine.run(`python3 -c ${quoteWord(script)} ${words.join(" ")}`);
    const { synCount } = await endWatch(host);
    const { seen: answered } = await endWatch(scanner.machine);
    const arrived: string[] = [];
    for (const each of sandboxes) arrived.push(...(await endWatch(each)).seen);
    return { answered, arrived: arrived.sort(), synCount };
}

async function watch(machine: Runner, hook: string, rules: readonly string[]): Promise<void> {
    await machine.run(`nft -f - <<'END'
table inet watch {
    set seen {
        type ipv4_addr . inet_proto . inet_service
        size 65535
        flags dynamic
    }
    chain watch {
        type filter hook ${hook} priority -400; policy accept;
        ${rules.join("\n        ")}
    }
}
END`);
}

async function endWatch(machine: Runner): Promise<{ seen: string[]; synCount: number }> {
    const shown = JSON.parse(await machine.run("nft -j list table inet watch && nft delete table inet watch"));
    const entries: Record<string, { elem?: unknown[]; expr?: { counter?: { packets: number } }[] }>[] = shown.nftables;
    const elements = entries.flatMap(({ set }) => set?.elem ?? []) as { concat: (string | number)[] }[];
    const counters = entries.flatMap(({ rule }) => rule?.expr ?? []).flatMap(({ counter }) => counter?.packets ?? []);
    return { seen: elements.map(({ concat }) => concat.join(" ")).sort(), synCount: counters[0] ?? 0 };
}
