import type { LabSandbox } from "./exec.js";
import type { LabMachine } from "./machine.js";

/**
 * What somebody who knocks at a port sees: an answer; "closed" = refused or reset; "unreachable" = an ICMP error or
 * the sender's own firewall said so; "timeout" = nothing came back.
 */
export type LabProbeResult = "open" | "closed" | "unreachable" | "timeout";

/** How {@link Lab.probe} asks. */
export type LabProbeOptions = {
    /** The network namespace inside `from` to ask from. @default the machine's own */
    readonly sandbox?: LabSandbox | undefined;
    /** A UDP port is "open" only when its server answers the text `probe`. @default "tcp" */
    readonly protocol?: "tcp" | "udp" | undefined;
    /** Milliseconds until "timeout". @default 1000 */
    readonly timeoutMs?: number | undefined;
};

/** Asks one machine whether it reaches a port of an address. */
export async function probePort(
    from: LabMachine,
    address: string,
    port: number,
    { sandbox, protocol = "tcp", timeoutMs = 1_000 }: LabProbeOptions = {},
): Promise<LabProbeResult> {
    // Node itself, as the error codes of other tools are texts that differ between versions.
    const argv = [process.execPath, "-e", probeScript, protocol, address, String(port), String(timeoutMs)];
    const { stdout } = await from.exec(argv, { sandbox, timeoutMs: timeoutMs + 10_000 });
    const result = resultOfCode[stdout];
    if (result === undefined) throw new Error(`Probing ${address} port ${port} from ${from.name} failed: ${stdout}`);
    return result;
}

const resultOfCode: Readonly<Record<string, LabProbeResult>> = {
    open: "open",
    timeout: "timeout",
    ETIMEDOUT: "timeout",
    ECONNREFUSED: "closed",
    ECONNRESET: "closed",
    EHOSTUNREACH: "unreachable",
    ENETUNREACH: "unreachable",
    EACCES: "unreachable",
    EPERM: "unreachable",
};

const probeScript = `
const [protocol, host, port, timeoutMs] = process.argv.slice(1);
const say = (text) => { process.stdout.write(text); process.exit(0); };
setTimeout(() => say("timeout"), Number(timeoutMs));
if (protocol === "udp") {
    const family = host.includes(":") ? "udp6" : "udp4";
    const socket = require("node:dgram").createSocket(family);
    socket.on("error", (error) => say(error.code));
    socket.on("message", () => say("open"));
    socket.connect(Number(port), host, () => socket.send("probe", (error) => { if (error) say(error.code); }));
} else {
    const socket = require("node:net").connect({ host, port: Number(port) });
    socket.on("error", (error) => say(error.code));
    socket.on("connect", () => say("open"));
}
`;
