import { type ChildProcess, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { existsSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { commandEnvironment, type EnteredCommand, killGroup } from "./exec.js";
import type { KeyPair } from "./key-pair.js";
import { systemPath } from "./requirements.js";

/** A way into a machine that shares nothing with this one but the network: one ssh connection for all commands. */
export type SshEntrance = {
    enter(argv: readonly string[]): Promise<EnteredCommand>;
    /** Drops the connection; the next command makes a new one. */
    close(): Promise<void>;
};

const dialTimeoutMs = 30_000;

/** @param folder where the connection's files go: keys and its socket. */
export function openSshEntrance(name: string, address: string, key: KeyPair, hostKey: KeyPair, folder: string) {
    const [keyFile, knownHosts, socket] = ["control-key", "known-hosts", "control"].map((file) => join(folder, file));
    writeFileSync(keyFile as string, key.private, { mode: 0o600 });
    writeFileSync(knownHosts as string, `${address} ${hostKey.public}\n`);
    const options = ["BatchMode=yes", "LogLevel=ERROR", `UserKnownHostsFile=${knownHosts}`, "IdentitiesOnly=yes"];
    const login = ["-F", "none", "-i", keyFile as string, ...options.flatMap((option) => ["-o", option])];
    const target = `root@${address}`;
    let master: ChildProcess | undefined;
    let opening: Promise<void> | undefined;

    const open = async () => {
        rmSync(socket as string, { force: true });
        // curve25519: the default exchange with sntrup761 takes seconds where the processor is emulated.
        const more = ["-o", "KexAlgorithms=curve25519-sha256", "-o", `ConnectTimeout=${dialTimeoutMs / 1000}`];
        const args = ["--pdeathsig", "KILL", "ssh", ...login, ...more, "-M", "-N", "-S", socket as string, target];
        const child = spawn("setpriv", args, {
            detached: true,
            env: { PATH: systemPath },
            stdio: ["ignore", "ignore", "pipe"],
        });
        let stderr = "";
        child.stderr.setEncoding("utf8").on("data", (text: string) => {
            stderr += text;
        });
        child.unref();
        (child.stderr as unknown as { unref(): void }).unref();
        master = child;
        const deadline = Date.now() + dialTimeoutMs;
        while (!existsSync(socket as string)) {
            if (hasEnded(child) || Date.now() > deadline) {
                child.kill("SIGKILL");
                throw new Error(`${name} cannot be entered by ssh: ${stderr.trim() || "no answer"}`);
            }
            await sleep(10);
        }
    };

    const entrance: SshEntrance = {
        async enter(argv) {
            if (master === undefined || hasEnded(master)) {
                opening ??= open().finally(() => {
                    opening = undefined;
                });
            }
            await opening;
            const token = randomBytes(6).toString("hex");
            const through = (command: string): [string, ...string[]] => [
                ...(["ssh", ...login, "-S", socket as string, "-o", "ControlMaster=no", target] as const),
                command,
            ];
            const environment = Object.entries(commandEnvironment).map(([key, value]) => `${key}=${value}`);
            const words = ["env", "-i", ...environment, "sh", "-c", insideScript, "sh", token, ...argv];
            return {
                argv: through(`exec ${words.map(quote).join(" ")}`),
                kill: (pid) => {
                    const [file, ...args] = through(`kill -KILL -- "-$(cat /run/lab/commands/${token})"`);
                    const killer = spawn(file, args, { env: { PATH: systemPath }, stdio: "ignore" });
                    killer.once("error", () => killGroup(pid));
                    killer.once("close", () => killGroup(pid));
                },
            };
        },
        async close() {
            const child = master;
            master = undefined;
            if (child === undefined || hasEnded(child)) return;
            const ended = once(child, "close").catch(() => undefined);
            child.ref();
            child.kill("SIGKILL");
            await ended;
        },
    };
    return entrance;
}

/** sshd makes a session, and so a process group, of each command: its id is what must be killed. */
const insideScript = `cd /
token=/run/lab/commands/$1
shift
echo $$ >$token
"$@"
code=$?
rm -f $token
exit $code`;

function hasEnded(child: ChildProcess): boolean {
    return child.exitCode !== null || child.signalCode !== null;
}

function quote(word: string): string {
    return `'${word.replaceAll("'", "'\\''")}'`;
}
