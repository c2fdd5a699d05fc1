import { median, range } from "../measure.js";
import { serveIperf } from "../ports/throughput.js";
import type { Path } from "./path.js";
import type { ProcessorMeter } from "./processor.js";

/** What one way carries. */
export interface PathSpeed {
    readonly name: string;
    /** Of one tcp connection. */
    readonly gigabits: number;
    /** Processor time of the kernels and programs that took part, for one gigabit. */
    readonly cpuMsPerGigabit: number;
    /** Microseconds there and back of a small udp packet. */
    readonly p50: number;
    readonly p99: number;
}

/** What was measured in one turn, way by way. */
export type Turn = readonly PathSpeed[];

const iperfPort = 5201;
const echoPort = 7078;

// Perl and not Node: a blocking recv(2) is timed to the microsecond, without an event loop between.
const echo = `
use Socket;
socket(my $socket, PF_INET, SOCK_DGRAM, 0);
bind($socket, sockaddr_in($ARGV[0], INADDR_ANY)) or die $!;
$| = 1;
print "ready\\n";
while (1) { my $from = recv($socket, my $data, 64, 0); send($socket, $data, 0, $from) }
`;
const ping = `
use Socket;
use Time::HiRes qw(clock_gettime CLOCK_MONOTONIC);
my ($host, $port, $count) = @ARGV;
socket(my $socket, PF_INET, SOCK_DGRAM, 0);
connect($socket, sockaddr_in($port, inet_aton($host))) or die $!;
setsockopt($socket, SOL_SOCKET, SO_RCVTIMEO, pack("qq", 5, 0));
my @times;
for (1 .. $count + 20) {
    my $start = clock_gettime(CLOCK_MONOTONIC);
    send($socket, "?", 0) or die $!;
    defined recv($socket, my $data, 64, 0) or die "no answer: $!";
    push @times, int((clock_gettime(CLOCK_MONOTONIC) - $start) * 1e7) / 10;
}
print join(" ", @times[20 .. $#times]);
`;

/** How the ways are measured. */
export interface Measuring {
    readonly turns: number;
    readonly seconds: number;
    readonly pings: number;
    readonly meter: ProcessorMeter;
    /** Whether the meter knows what the programs take that send and receive; else they say so themselves. */
    readonly metersPrograms: boolean;
}

/** All ways in turns, every other turn in the other order: what the machine does beside it meets all of them alike. */
export async function measurePaths(
    paths: readonly Path[],
    { turns, seconds, pings, meter, metersPrograms }: Measuring,
): Promise<Turn[]> {
    // They end with the lab.
    for (const { hosts, namespaces } of paths) {
        await serveIperf(hosts[1], namespaces[1], iperfPort);
        const server = await hosts[1].spawn(["perl", "-e", echo, String(echoPort)], { sandbox: namespaces[1] });
        await server.waitFor("ready", 60_000);
    }
    const measure = async ({ name, hosts, namespaces, address }: Path): Promise<PathSpeed> => {
        const place = { sandbox: namespaces[0], timeoutMs: 120_000 };
        const echoed = await hosts[0].exec(["perl", "-e", ping, address, String(echoPort), String(pings)], place);
        const times = echoed.stdout
            .split(" ")
            .map(Number)
            .sort((a, b) => a - b);
        const before = meter();
        const iperf = ["iperf3", "-J", "-t", String(seconds), "-c", address, "-p", String(iperfPort)];
        const { end, error } = JSON.parse((await hosts[0].exec(iperf, place)).stdout);
        if (error !== undefined) throw new Error(`iperf3, ${name}: ${error}`);
        const gigabits = (8 * end.sum_received.bytes) / 1e9;
        const { host_total: client, remote_total: server } = end.cpu_utilization_percent;
        const programsMs = metersPrograms ? 0 : 10 * (client + server) * end.sum_sent.seconds;
        return {
            name,
            gigabits: end.sum_received.bits_per_second / 1e9,
            cpuMsPerGigabit: (meter() - before + programsMs) / gigabits,
            ...{ p50: quantile(times, 0.5), p99: quantile(times, 0.99) },
        };
    };
    const all: Turn[] = [];
    for (const turn of range(turns + 1)) {
        const speeds = new Map<Path, PathSpeed>();
        for (const path of turn % 2 === 0 ? paths : [...paths].reverse()) speeds.set(path, await measure(path));
        // The first one fills caches and neighbour tables.
        if (turn > 0) all.push(paths.flatMap((path) => speeds.get(path) ?? []));
    }
    return all;
}

function quantile(sorted: readonly number[], part: number): number {
    return sorted[Math.floor(part * (sorted.length - 1))] ?? Number.NaN;
}

/** Medians over the turns. */
export function typicalSpeeds(turns: readonly Turn[]): PathSpeed[] {
    return (turns[0] ?? []).map(({ name }, i) => {
        const of = (key: "gigabits" | "cpuMsPerGigabit" | "p50" | "p99") =>
            median(turns.map((turn) => turn[i]?.[key] ?? Number.NaN));
        return {
            name,
            gigabits: of("gigabits"),
            cpuMsPerGigabit: of("cpuMsPerGigabit"),
            p50: of("p50"),
            p99: of("p99"),
        };
    });
}

/** A ratio over the turns: its median, and between what half of them are. */
export interface Spread {
    readonly median: number;
    readonly low: number;
    readonly high: number;
}

/** What one way takes or gives / what another does, turn by turn. */
export function compareSpeeds(
    turns: readonly Turn[],
    key: "gigabits" | "cpuMsPerGigabit" | "p50",
    name: string,
    beside: string,
): Spread {
    const of = (turn: Turn, wanted: string) => turn.find((speed) => speed.name === wanted)?.[key] ?? Number.NaN;
    const ratios = turns.map((turn) => of(turn, name) / of(turn, beside)).sort((a, b) => a - b);
    return { median: median(ratios), low: quantile(ratios, 0.25), high: quantile(ratios, 0.75) };
}
