import type { LabMachine } from "../../lab/index.js";
import { median, range } from "../measure.js";

// Perl and not Node: a blocking connect(2) is timed to the microsecond, without an event loop between.
const server = `
$SIG{CHLD} = "IGNORE";
my ($port) = @ARGV;
use Socket;
socket(my $listener, PF_INET, SOCK_STREAM, 0);
setsockopt($listener, SOL_SOCKET, SO_REUSEADDR, 1);
bind($listener, sockaddr_in($port, INADDR_ANY)) && listen($listener, 4096) or die $!;
socket(my $datagrams, PF_INET, SOCK_DGRAM, 0);
bind($datagrams, sockaddr_in($port, INADDR_ANY)) or die $!;
$| = 1;
print "ready\\n";
if (fork) { while (1) { accept(my $socket, $listener); close $socket } }
while (1) { my $from = recv($datagrams, my $data, 64, 0); send($datagrams, $data, 0, $from) }
`;

const client = `
use Socket;
use Time::HiRes qw(clock_gettime CLOCK_MONOTONIC);
my ($count, $protocol, @targets) = @ARGV;
for (1 .. $count) {
    print join(" ", map {
        my ($host, $port) = split /:/;
        my $to = sockaddr_in($port, inet_aton($host));
        my $took;
        if ($protocol eq "tcp") {
            socket(my $socket, PF_INET, SOCK_STREAM, 0);
            setsockopt($socket, SOL_SOCKET, SO_LINGER, pack("ii", 1, 0));
            my $start = clock_gettime(CLOCK_MONOTONIC);
            connect($socket, $to) or die "connect to $_: $!";
            $took = clock_gettime(CLOCK_MONOTONIC) - $start;
            close $socket;
        } else {
            socket(my $socket, PF_INET, SOCK_DGRAM, 0);
            connect($socket, $to) or die $!;
            my $start = clock_gettime(CLOCK_MONOTONIC);
            send($socket, "?", 0);
            recv($socket, my $data, 64, 0);
            $took = clock_gettime(CLOCK_MONOTONIC) - $start;
        }
        int($took * 1e9);
    } @targets), "\\n";
}
`;

/** Answers new connections and datagrams on a port of a sandbox, until the lab ends. */
export async function startServer(host: LabMachine, sandbox: string, port: number): Promise<void> {
    const { waitFor } = await host.spawn(["perl", "-e", server, String(port)], { sandbox });
    await waitFor("ready");
}

/**
 * Microseconds of a new connection, or of a new flow's first answer, to two targets in turns: the quickest tenth, because what
 * else the machine does, and on which processor the answering process happens to be, only adds to it.
 */
export interface FirstPacket {
    readonly protocol: "tcp" | "udp";
    readonly micros: readonly [number, number];
    /** Median of second / first over ten parts of the turns. */
    readonly ratio: number;
}

/** @param targets `address:port` */
export async function measureFirstPackets(
    from: LabMachine,
    protocol: FirstPacket["protocol"],
    targets: readonly [string, string],
    turns: number,
): Promise<FirstPacket> {
    const { stdout } = await from.exec(["perl", "-e", client, String(turns + 100), protocol, ...targets], {
        timeoutMs: 120_000,
    });
    // The first ones load what both need.
    const pairs = stdout
        .split("\n")
        .slice(100)
        .map((line) => line.split(" ").map(Number) as [number, number]);
    const side = (index: 0 | 1, part = pairs) => {
        const sorted = part.map((pair) => pair[index]).sort((a, b) => a - b);
        return (sorted[Math.floor(sorted.length / 10)] ?? Number.NaN) / 1000;
    };
    const tenth = Math.ceil(pairs.length / 10);
    const ratios = range(10).map((i) => {
        const part = pairs.slice(i * tenth, (i + 1) * tenth);
        return side(1, part) / side(0, part);
    });
    return { protocol, micros: [side(0), side(1)], ratio: median(ratios) };
}
