import type { LabMachine, LabProcess } from "../../lab/index.js";
import type { Resource } from "./driver.js";

/** Where traffic starts or ends: a machine of the lab, or a sandbox on it. */
export interface Place {
    readonly machine: LabMachine;
    readonly sandbox?: string;
}

export function inside(machine: LabMachine, sandbox: Resource<"sandbox">): Place {
    return { machine, sandbox: sandbox.outs.name };
}

/** Runs a command at a place; a text by `sh -c`. */
export async function run(place: Place, command: string | readonly string[]): Promise<string> {
    return (await place.machine.exec(command, { sandbox: place.sandbox })).stdout;
}

const isVm = process.env["LINUXNET_LAB_DRIVER"] === "vm";
/**
 * How long silence must last to count as no answer: an emulated processor is some ten times slower. After 3 seconds
 * without an answer to ARP the kernel itself says "unreachable".
 */
const patienceMs = isVm ? 2500 : 600;
export const startTimeoutMs = isVm ? 60_000 : 10_000;

const node = (script: string, args: readonly string[]) => [process.execPath, "-e", script, ...args];

const serverScript = `
const [name, ...ports] = process.argv.slice(1);
const net = require("node:net"), dgram = require("node:dgram");
let starting = ports.length;
const started = () => { if (--starting === 0) console.log("ready"); };
for (const entry of ports) {
    const [, protocol, version, port, given] = /^(tcp|udp)(6?):(\\d+)(?::(.*))?$/.exec(entry);
    const address = given ?? (version === "6" ? "::" : "0.0.0.0");
    if (protocol === "tcp") {
        net.createServer((socket) => {
            const from = socket.remoteAddress.replace("::ffff:", "");
            socket.on("error", () => socket.destroy());
            socket.on("data", () => socket.write(name + " to " + from + "\\n"));
        }).listen({ port: Number(port), host: address, ipv6Only: true }, started);
    } else {
        const type = address.includes(":") ? "udp6" : "udp4";
        const socket = dgram.createSocket({ type, ipv6Only: type === "udp6" });
        socket.on("message", (_data, { address, port }) => {
            console.log("got " + _data + " from " + address);
            socket.send(name + " to " + address, port, address, () => undefined);
        });
        socket.bind(Number(port), address, started);
    }
}
`;

/**
 * Starts a server that answers everybody with its name and with the address it sees: `web to 198.18.0.2`.
 * @param ports `tcp:80`, `udp:53`, `tcp:80:127.0.0.1`; over IPv6 `tcp6:80`, `udp6:53`
 */
export async function serve(place: Place, name: string, ...ports: string[]): Promise<LabProcess> {
    const server = await place.machine.spawn(node(serverScript, [name, ...ports]), { sandbox: place.sandbox });
    await server.waitFor("ready", startTimeoutMs);
    return server;
}

const askScript = `
const [timeout, ...questions] = process.argv.slice(1);
const net = require("node:net"), dgram = require("node:dgram"), { execFile } = require("node:child_process");
const words = { ECONNREFUSED: "refused", ECONNRESET: "refused", EHOSTUNREACH: "unreachable", ENETUNREACH: "unreachable" };
const word = (error) => words[error.code] ?? error.code;
const ask = (question) => new Promise((resolve) => {
    const [protocol, target, , source] = question.split(" ");
    const [, inBrackets, plain, port] = /^(?:\\[(.*)\\]|([^:]*))(?::(\\d+))?$/.exec(target) ?? [];
    const host = inBrackets ?? plain ?? target;
    const timer = setTimeout(() => resolve("nothing"), Number(timeout));
    const answer = (text) => { clearTimeout(timer); resolve(String(text).trim()); };
    if (protocol === "icmp") {
        execFile("ping", ["-c1", "-W" + timeout / 1000, ...(source ? ["-I", source] : []), host], (error, stdout) => {
            answer(!error ? "reply" : /nreachable|rohibited|iltered/.test(stdout) ? "unreachable" : "nothing");
        });
    } else if (protocol === "udp") {
        const socket = dgram.createSocket(host.includes(":") ? "udp6" : "udp4");
        socket.on("error", (error) => answer(word(error)));
        socket.on("message", answer);
        const failed = (error) => { if (error) answer(word(error)); };
        socket.bind(0, source, () => socket.connect(Number(port), host, (error) => {
            if (error) failed(error);
            else socket.send("?", failed);
        }));
    } else {
        const socket = net.connect({ host, port: Number(port), localAddress: source });
        socket.on("error", (error) => answer(word(error)));
        socket.on("connect", () => socket.write("?"));
        socket.on("data", answer);
    }
});
Promise.all(questions.map(async (question) => [question, await ask(question)])).then((answers) => {
    process.stdout.write(JSON.stringify(Object.fromEntries(answers)));
    process.exit(0);
});
`;

/**
 * Asks from one place, all questions at once: `tcp 172.20.0.2:80`, `udp [fd00::2]:53`, `icmp 172.20.0.1`, each also
 * with ` from <own address>`. The answer of each is the server's, "reply" to a ping, "refused" (reset), "unreachable"
 * (an ICMP error, also a reject), or "nothing".
 */
export async function ask(place: Place, ...questions: string[]): Promise<Record<string, string>> {
    return JSON.parse(await run(place, node(askScript, [String(patienceMs), ...questions])));
}

/** The same with the answers that are expected beside the questions, for a comparison. */
export async function answersTo(place: Place, expected: Record<string, string>): Promise<Record<string, string>> {
    return ask(place, ...Object.keys(expected));
}

/** Asks the same question from `source` so many times, each by a connection of its own: how often each answer came. */
export async function tally(
    place: Place,
    question: string,
    source: string,
    count: number,
): Promise<Record<string, number>> {
    const questions = Array.from({ length: count }, (_, i) => `${question} from ${source} #${i}`);
    const counts: Record<string, number> = {};
    for (const answer of Object.values(await ask(place, ...questions))) counts[answer] = (counts[answer] ?? 0) + 1;
    return counts;
}

const talkScript = `
const [protocol, host, port, source] = process.argv.slice(1);
const net = require("node:net"), dgram = require("node:dgram");
const say = (text) => console.log(String(text).trim());
process.on("uncaughtException", (error) => say("error " + error.code));
if (protocol === "udp") {
    const socket = dgram.createSocket("udp4");
    socket.on("message", say);
    socket.bind(Number(source ?? 0), () => socket.connect(Number(port), host));
    let count = 0;
    setInterval(() => socket.send(String(++count), () => undefined), 20);
} else {
    const socket = net.connect({ host, port: Number(port) });
    socket.on("data", say);
    socket.on("close", () => { say("closed"); process.exit(0); });
    setInterval(() => socket.write("?"), 20);
}
`;

/** A conversation: one connection, or one udp flow, with a question every 20 ms. */
export interface Talk extends AsyncDisposable {
    /** Resolves with the next answers; throws when there are none for long, or when it ended. */
    next(): Promise<string>;
    output(): string;
}

/** Starts a conversation and waits for its first answer. */
export async function talk(place: Place, question: string, sourcePort?: number): Promise<Talk> {
    const [protocol = "", target = ""] = question.split(" ");
    const args = [protocol, ...target.split(":"), ...(sourcePort === undefined ? [] : [String(sourcePort)])];
    const process = await place.machine.spawn(node(talkScript, args), { sandbox: place.sandbox });
    await process.waitFor(" to ", startTimeoutMs);
    return {
        output: process.output,
        async next() {
            const seen = process.output().length;
            for (let waited = 0; waited < 4 * patienceMs; waited += 20) {
                const fresh = process.output().slice(seen);
                if (/closed|error/.test(process.output())) throw new Error(`the conversation ended: ${fresh}`);
                // The first line may have been on its way already.
                const lines = fresh.split("\n").filter((line) => line !== "");
                if (lines.length > 2) return lines.slice(1).join("\n");
                await new Promise((resolve) => setTimeout(resolve, 20));
            }
            throw new Error(`the conversation stands still; it said last: ${process.output().slice(-80)}`);
        },
        [Symbol.asyncDispose]: () => process.stop(),
    };
}

// perl is in every Debian; node has no packet sockets (packet(7): AF_PACKET 17, SOCK_RAW 3).
const frameScript = `
my ($name, @frames) = @ARGV;
open(my $file, "<", "/sys/class/net/$name/ifindex") or die $!;
my $index = <$file>;
socket(my $socket, 17, 3, 0) or die $!;
for my $frame (@frames) {
    send($socket, pack("H*", $frame), 0, pack("S n i S C C a8", 17, 3, $index, 0, 0, 6, "")) or die $!;
}
`;

/** Sends Ethernet frames as they are, in hexadecimal; padded to the shortest length. */
export async function sendFrames(place: Place, interfaceName: string, ...frames: string[]): Promise<void> {
    const whole = frames.map((frame) => frame.replace(/[^0-9a-f]/g, "").padEnd(120, "0"));
    await run(place, ["perl", "-e", frameScript, interfaceName, ...whole]);
}

// SCTP's INIT (RFC 9260, 3.3.2) with its CRC32c, which connection tracking checks; few kernels have sockets for it.
const initScript = `
my ($host, $port, $source) = @ARGV;
sub crc { my $crc = 0xffffffff; for (unpack("C*", shift)) { $crc ^= $_; $crc = $crc & 1 ? ($crc >> 1) ^ 0x82f63b78 : $crc >> 1 for 1..8 } ~$crc & 0xffffffff }
my $init = pack("C C n N N n n N", 1, 0, 20, 42, 65536, 1, 1, 1);
my $bare = pack("n n N N", $source, $port, 0, 0) . $init;
my $packet = pack("n n N V", $source, $port, 0, crc($bare)) . $init;
socket(my $socket, 2, 3, 132) or die $!;
send($socket, $packet, 0, pack("S n C4 x8", 2, 0, split(/\\./, $host))) or die $!;
`;

/** Sends the first packet of an SCTP association; nobody has to answer. */
export async function sendSctpInit(place: Place, host: string, port: number, sourcePort: number): Promise<void> {
    await run(place, ["perl", "-e", initScript, host, String(port), String(sourcePort)]);
}

/** Counts the frames that match (nft) and arrive at an interface of a sandbox from now on. */
export async function countFrames(place: Place, interfaceName: string, match: string): Promise<() => Promise<number>> {
    await run(
        place,
        `nft -f - <<'END'
table netdev watch
delete table netdev watch
table netdev watch {
    chain arriving {
        type filter hook ingress device "${interfaceName}" priority -500; policy accept;
        ${match} counter
    }
}
END`,
    );
    return async () => {
        const { nftables } = JSON.parse(await run(place, "nft -j list table netdev watch"));
        const rule = nftables.find((entry: object) => "rule" in entry).rule;
        return rule.expr.at(-1).counter.packets;
    };
}
