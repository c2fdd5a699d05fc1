import { type Place, startTimeoutMs } from "./traffic.js";

// Small udp packets with a number each, at a steady rate; whoever echoes them says which have arrived.
const script = `
const [host, port, rate, patienceMs] = JSON.parse(process.argv[1]);
const socket = require("node:dgram").createSocket("udp4");
const waiting = new Map();
const counts = { sent: 0, judged: 0, lost: 0, lostInRow: 0 };
let inRow = 0;
socket.on("message", (data) => void waiting.delete(Number(data)));
// An address that nobody has at the moment is told by ICMP: that packet is lost as any other.
socket.on("error", () => undefined);
// A packet without an answer is lost when it has had its time.
const judge = () => {
    for (; counts.judged < counts.sent; counts.judged++) {
        const sentAt = waiting.get(counts.judged);
        if (sentAt !== undefined && performance.now() - sentAt < patienceMs) return;
        if (waiting.delete(counts.judged)) {
            counts.lost++;
            counts.lostInRow = Math.max(counts.lostInRow, ++inRow);
        } else inRow = 0;
    }
};
socket.connect(Number(port), host, () => {
    let lastAt = performance.now(), due = 0;
    setInterval(() => {
        const now = performance.now();
        // What a busy machine was late with is not made up for.
        due = Math.min(due + (rate * (now - lastAt)) / 1000, counts.sent + 10);
        lastAt = now;
        for (; counts.sent < due; counts.sent++) {
            waiting.set(counts.sent, now);
            socket.send(String(counts.sent), () => undefined);
        }
    }, 1);
    setInterval(() => { judge(); console.log(JSON.stringify({ ...counts, at: Date.now() })); }, 20);
});
`;

export interface StreamCounts {
    readonly sent: number;
    /** Of those sent: answered, or lost because no answer came in a second. */
    readonly judged: number;
    readonly lost: number;
    /** The longest row of lost packets. */
    readonly lostInRow: number;
    /** When this was said, in milliseconds since 1970. */
    readonly at: number;
}

/** A place that sends udp packets all the time to somebody who answers each with itself ({@link serveEcho}). */
export interface Stream extends AsyncDisposable {
    /** What it says at the moment. */
    counts(): StreamCounts;
    /** Once all that were sent up to now have been judged. */
    settled(): Promise<StreamCounts>;
}

export async function startStream(place: Place, host: string, port: number, perSecond = 1000): Promise<Stream> {
    const argv = [process.execPath, "-e", script, JSON.stringify([host, port, perSecond, 1000])];
    const sender = await place.machine.spawn(argv, { sandbox: place.sandbox });
    await sender.waitFor("\n", startTimeoutMs);
    const counts = () => JSON.parse(sender.output().split("\n").at(-2) ?? "") as StreamCounts;
    return {
        counts,
        async settled() {
            // What it said last may be older than this call, on a busy machine by much.
            const calledAt = Date.now();
            const until = async (isSo: () => boolean) => {
                while (!isSo()) await new Promise((resolve) => setTimeout(resolve, 20));
            };
            await until(() => counts().at > calledAt);
            const { sent } = counts();
            await until(() => counts().judged >= sent);
            return counts();
        },
        [Symbol.asyncDispose]: () => sender.stop(),
    };
}

const echoScript = `
const socket = require("node:dgram").createSocket("udp4");
socket.on("message", (data, { address, port }) => socket.send(data, port, address, () => undefined));
socket.bind(Number(process.argv[1]), () => console.log("ready"));
`;

/** Answers each udp packet at a port with itself. */
export async function serveEcho({ machine, sandbox }: Place, port: number): Promise<AsyncDisposable> {
    const server = await machine.spawn([process.execPath, "-e", echoScript, String(port)], { sandbox });
    await server.waitFor("ready", startTimeoutMs);
    return server;
}
