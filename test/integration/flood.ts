import { type Place, startTimeoutMs } from "./traffic.js";

const script = `
const targets = process.argv.slice(1);
const net = require("node:net"), dgram = require("node:dgram");
const ignore = () => undefined;
const seen = (protocol, from) => console.log(protocol + " from " + from.replace("::ffff:", ""));
net.createServer((socket) => { seen("tcp", socket.remoteAddress ?? "?"); socket.on("error", ignore).destroy(); }).listen(80, "0.0.0.0");
const listener = dgram.createSocket("udp4").on("message", (_data, { address }) => seen("udp", address));
listener.bind(80, () => console.log("ready"));
const sender = dgram.createSocket("udp4").on("error", ignore).bind(0);
let attempts = 0;
setInterval(() => {
    for (const target of targets) {
        const [host, port] = target.split(":");
        attempts++;
        sender.send("?", Number(port), host, ignore);
        if (attempts % 5 !== 0) continue;
        const socket = net.connect({ host, port: Number(port) }).on("error", ignore);
        setTimeout(() => socket.destroy(), 100);
    }
}, 2);
`;

/** A place that attempts tcp connections and udp packets all the time, and listens on port 80 of both itself. */
export interface Flood extends AsyncDisposable {
    /** "tcp from 172.20.0.2": what has arrived here, each once. */
    arrived(): string[];
}

/** @param targets `address:port` */
export async function flood(place: Place, ...targets: string[]): Promise<Flood> {
    const command = [process.execPath, "-e", script, ...targets];
    const process_ = await place.machine.spawn(command, { sandbox: place.sandbox });
    await process_.waitFor("ready", startTimeoutMs);
    return {
        arrived: () => [...new Set(process_.output().split("\n"))].filter((line) => line.includes(" from ")).sort(),
        [Symbol.asyncDispose]: () => process_.stop(),
    };
}
