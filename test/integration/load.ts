import { type Place, startTimeoutMs } from "./traffic.js";

// A connection that gets no answer has failed: a lost first packet alone is sent again after a second, and is counted apart.
const script = `
const [host, ports, rate, kept] = JSON.parse(process.argv[1]);
const net = require("node:net"), dgram = require("node:dgram");
const counts = { opened: 0, answered: 0, late: 0, kept: 0, failures: {} };
const failed = (why) => { counts.failures[why] = (counts.failures[why] ?? 0) + 1; };
let open = 0;
const connect = (port) => {
    counts.opened++;
    open++;
    const startedAt = performance.now();
    let isOver = false;
    const socket = net.connect({ host, port, noDelay: true });
    const end = (why) => {
        if (isOver) return;
        isOver = true;
        open--;
        clearTimeout(timer);
        // By a reset, so that neither side keeps the port for a minute.
        socket.resetAndDestroy();
        if (why !== undefined) return failed(why);
        counts.answered++;
        if (performance.now() - startedAt > 950) counts.late++;
    };
    const timer = setTimeout(end, 8000, "no answer");
    socket.on("error", (error) => end(error.code)).on("close", () => end("closed"));
    socket.on("connect", () => socket.write("?")).on("data", () => end());
};
let next = 0;
const beganAt = performance.now();
let due = 0;
setInterval(() => {
    due = (rate * (performance.now() - beganAt)) / 1000;
    // A machine that cannot keep up is not asked for more at once, and what it missed is not made up for.
    for (; counts.opened < due && open < 300; next++) connect(ports[next % ports.length]);
}, 2);
setInterval(() => console.log(JSON.stringify(counts)), 50);

// One connection and one udp flow that stay, on each of these ports: the next question goes out with the answer to the last.
for (const port of kept) {
    const socket = net.connect({ host, port, noDelay: true });
    const flow = dgram.createSocket("udp4");
    for (const [what, send, listener] of [
        ["kept tcp", () => socket.write("?"), socket],
        ["kept udp", () => flow.send("?", () => undefined), flow],
    ]) {
        let timer;
        const ask = () => { timer = setTimeout(failed, 8000, what + ": no answer"); send(); };
        listener.on("error", (error) => failed(what + ": " + error.code)).on("close", () => failed(what + ": closed"));
        listener.on(what === "kept tcp" ? "data" : "message", () => { clearTimeout(timer); counts.kept++; setTimeout(ask, 5); });
        listener.on("connect", ask);
    }
    flow.connect(port, host);
}
`;

export interface LoadCounts {
    readonly opened: number;
    readonly answered: number;
    /** Of those answered: after more than 950 ms, as when the first packet had to be sent again. */
    readonly late: number;
    /** Answers to questions on the connections and flows that stay. */
    readonly kept: number;
    /** By what happened: ECONNREFUSED, "no answer", "kept udp: no answer". */
    readonly failures: Readonly<Record<string, number>>;
}

/** A place that opens new connections all the time, asks one question on each, and waits for the answer. */
export interface Load extends AsyncDisposable {
    /** Once all that were opened up to now have come to their end. */
    settled(): Promise<LoadCounts>;
    /** What it says at the moment. */
    counts(): LoadCounts;
}

export interface LoadOptions {
    readonly host: string;
    /** Taken in turn. */
    readonly ports: readonly number[];
    readonly perSecond: number;
    /** Ports with one connection and one udp flow that stay. */
    readonly kept?: readonly number[];
}

export async function startLoad(place: Place, { host, ports, perSecond, kept = [] }: LoadOptions): Promise<Load> {
    const args = JSON.stringify([host, ports, perSecond, kept]);
    const process_ = await place.machine.spawn([process.execPath, "-e", script, args], { sandbox: place.sandbox });
    await process_.waitFor("\n", startTimeoutMs);
    const counts = () => JSON.parse(process_.output().split("\n").at(-2) ?? "") as LoadCounts;
    const ended = ({ answered, failures }: LoadCounts) =>
        answered + Object.values(failures).reduce((sum, count) => sum + count, 0);
    return {
        counts,
        async settled() {
            const { opened } = counts();
            while (ended(counts()) < opened) await new Promise((resolve) => setTimeout(resolve, 50));
            return counts();
        },
        [Symbol.asyncDispose]: () => process_.stop(),
    };
}
