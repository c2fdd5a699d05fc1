import type { LabHost } from "../../lab/index.js";

/** Look-ups from one sandbox. */
export interface LookUps {
    readonly asked: number;
    /** Without an answer within a second, or with another one than an address. */
    readonly lost: number;
    readonly perSecond: number;
    readonly p50Us: number;
    readonly p99Us: number;
}

/**
 * Asks for names by UDP, each question from a port of its own among 64 sockets. `perSecond` 0: as fast as it is answered,
 * 32 questions at a time; else so many a second.
 */
const script = `
const { createSocket } = require("node:dgram");
const { server, names, perSecond, seconds } = JSON.parse(process.argv[1]);
const times = [], waiting = new Map();
let asked = 0, lost = 0;
const sockets = Array.from({ length: 64 }, () => createSocket("udp4"));
const ask = () => {
    const id = asked++ & 0xffff;
    const labels = names[asked % names.length].split(".").map((label) => String.fromCharCode(label.length) + label).join("");
    const head = Buffer.from([id >> 8, id & 255, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    const question = Buffer.concat([head, Buffer.from(labels + "\\0", "latin1"), Buffer.from([0, 1, 0, 1])]);
    waiting.set(id, process.hrtime.bigint());
    sockets[asked % 64].send(question, 53, server);
};
const hear = (answer) => {
    const id = answer.readUInt16BE(0), since = waiting.get(id);
    if (since === undefined) return;
    waiting.delete(id);
    if ((answer[3] & 15) !== 0 || answer.readUInt16BE(6) === 0) lost++;
    else times.push(Number(process.hrtime.bigint() - since) / 1000);
    if (perSecond === 0 && Date.now() < end) ask();
};
for (const socket of sockets) socket.on("message", hear);
const start = Date.now(), end = start + seconds * 1000;
if (perSecond === 0) for (let i = 0; i < 32; i++) ask();
else {
    const pace = setInterval(() => {
        if (Date.now() >= end) return clearInterval(pace);
        while (asked < ((Date.now() - start) * perSecond) / 1000) ask();
    }, 1);
}
setTimeout(() => {
    times.sort((a, b) => a - b);
    const at = (part) => Math.round(times[Math.floor(times.length * part)] ?? -1);
    console.log(JSON.stringify({ asked, lost: lost + waiting.size, perSecond: Math.round(times.length / seconds), p50Us: at(0.5), p99Us: at(0.99) }));
    process.exit(0);
}, seconds * 1000 + 1000);
`;

/** @param perSecond 0: as many as are answered */
export async function measureLookUps(
    host: LabHost,
    sandbox: string,
    questions: { readonly server: string; readonly names: readonly string[] },
    perSecond: number,
    seconds: number,
): Promise<LookUps> {
    const argument = JSON.stringify({ ...questions, perSecond, seconds });
    const { stdout } = await host.exec([process.execPath, "-e", script, argument], {
        sandbox,
        timeoutMs: (seconds + 30) * 1000,
    });
    return JSON.parse(stdout);
}

/** What the host's resolvers take together: memory that is theirs (proportional set size, proc_pid_smaps(5)), and time. */
export async function weighResolvers(
    host: LabHost,
): Promise<{ processes: number; megabytes: number; cpuSeconds: number }> {
    const { stdout } = await host.exec(`for p in $(cat /run/linuxnet-dns/views/*/pid); do
    awk '$1 == "Pss:" { printf "%s ", $2 }' /proc/$p/smaps_rollup
    awk '{ print $14 + $15 }' /proc/$p/stat
done`);
    const rows = stdout
        .trim()
        .split("\n")
        .map((line) => line.split(" ").map(Number));
    const sum = (column: number) => rows.reduce((total, row) => total + (row[column] ?? 0), 0);
    // Ticks of proc_pid_stat(5) are a hundredth of a second on Linux.
    return { processes: rows.length, megabytes: sum(0) / 1024, cpuSeconds: sum(1) / 100 };
}
