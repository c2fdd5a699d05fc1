import { type Place, startTimeoutMs } from "./traffic.js";

const script = `
const [host, port, everyMs] = process.argv.slice(1);
const socket = require("node:dgram").createSocket("udp4").on("error", () => undefined);
const open = new Set();
let sent = 0;
socket.on("message", (text) => open.delete(Number(text)));
const timer = setInterval(() => { open.add(++sent); socket.send(String(sent), Number(port), host, () => undefined); }, Number(everyMs));
process.on("SIGTERM", () => {
    clearInterval(timer);
    setTimeout(() => { console.log("sent " + sent + " lost " + open.size); process.exit(0); }, 3000);
});
console.log("pid " + process.pid);
`;

const echoScript = `
const socket = require("node:dgram").createSocket("udp4");
socket.on("message", (data, { address, port }) => socket.send(data, port, address, () => undefined));
socket.bind(Number(process.argv[1]), () => console.log("ready"));
`;

/** Sends back what comes to a UDP port. */
export async function echo(place: Place, port: number): Promise<AsyncDisposable> {
    const server = await place.machine.spawn([process.execPath, "-e", echoScript, String(port)], {
        sandbox: place.sandbox,
    });
    await server.waitFor("ready", startTimeoutMs);
    return { [Symbol.asyncDispose]: () => server.stop() };
}

/** Numbered UDP packets, one every few milliseconds, to somebody who sends them back. */
export interface Flow {
    /** Stops, waits for what is under way, and says how many never came back. */
    end(): Promise<{ readonly sent: number; readonly lost: number }>;
}

export async function startFlow(place: Place, host: string, port: number, everyMs: number): Promise<Flow> {
    const command = [process.execPath, "-e", script, host, String(port), String(everyMs)];
    const sender = await place.machine.spawn(command, { sandbox: place.sandbox });
    await sender.waitFor("pid ", startTimeoutMs);
    const [, pid = ""] = /pid (\d+)/.exec(sender.output()) ?? [];
    return {
        async end() {
            await place.machine.exec(["kill", "-TERM", pid]);
            await sender.waitFor("lost ", startTimeoutMs);
            const [, sent, lost] = /sent (\d+) lost (\d+)/.exec(sender.output()) ?? [];
            await sender.stop();
            return { sent: Number(sent), lost: Number(lost) };
        },
    };
}
