import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { LabHost } from "../../lab/index.js";
import * as here from "../../provider/index.js";
import type { Handler } from "../../provider/lifecycle.js";
import type { Kind } from "../../provider/model/kind.js";
import { startRun } from "../../provider/sessions.js";

/** What stacks call. */
export interface Provider {
    readonly handlers: Readonly<Record<Kind, Handler>>;
    /** Begins another run of the engine. */
    startRun(): Promise<void>;
}

/** The provider in this process. */
export const providerHere: Provider = {
    handlers: {
        host: here.host,
        network: here.network,
        sandbox: here.sandbox,
        endpoint: here.endpoint,
        "port-mapping": here.portMapping,
        "firewall-policy": here.firewallPolicy,
        "overlay-tunnel": here.overlayTunnel,
    },
    startRun,
};

/** The provider (as `npm run build` made it) in a process of its own that can be killed; the next call starts another. */
export interface ProviderProcess extends Provider, AsyncDisposable {
    /** SIGKILL, and waits for its end. What it was asked for meanwhile fails. */
    kill(): Promise<void>;
}

interface Call {
    resolve(result: unknown): void;
    reject(error: Error): void;
}

const program = join(__dirname, "provider-child.mjs");

/** @param isOn the machine that the transport "local" finds itself on */
export async function startProvider(isOn: LabHost): Promise<ProviderProcess> {
    const inside = await isOn.spawn("echo ready; exec sleep infinity");
    await inside.waitFor("ready");
    const folder = mkdtempSync(join(tmpdir(), "linuxnet-test-"));
    // The transport "local" starts `sh`; this one starts on the host.
    writeFileSync(join(folder, "sh"), `#!/bin/sh\nexec nsenter -t ${childOf(inside.pid)} -n -m -p -u -i -- sh "$@"\n`, {
        mode: 0o755,
    });
    const calls = new Map<number, Call>();
    let count = 0;
    let child: ChildProcess | undefined;

    function start(): ChildProcess {
        const env = { ...process.env, PATH: `${folder}:${process.env["PATH"]}` };
        const started = spawn(process.execPath, [program], { env, stdio: ["pipe", "pipe", "inherit"] });
        started.stdin?.on("error", () => undefined);
        createInterface({ input: started.stdout as NodeJS.ReadableStream }).on("line", (line) => {
            const { id, result, error } = JSON.parse(line);
            const call = calls.get(id);
            calls.delete(id);
            if (error === undefined) call?.resolve(result);
            else call?.reject(new Error(error));
        });
        started.once("exit", () => {
            if (child === started) child = undefined;
            for (const { reject } of calls.values()) reject(new Error("the provider was killed"));
            calls.clear();
        });
        return started;
    }

    function ask(handler: string, method: string, args: readonly unknown[]): Promise<never> {
        child ??= start();
        const id = ++count;
        child.stdin?.write(`${JSON.stringify({ id, handler, method, args })}\n`);
        return new Promise((resolve, reject) => calls.set(id, { resolve: resolve as Call["resolve"], reject }));
    }

    function handlerOf(kind: Kind): Handler {
        const { check, diff } = providerHere.handlers[kind];
        const name = kind.replace(/-(.)/g, (_dash, letter: string) => letter.toUpperCase());
        return {
            check,
            diff,
            create: (...args) => ask(name, "create", args),
            read: (...args) => ask(name, "read", args),
            update: (...args) => ask(name, "update", args),
            delete: (...args) => ask(name, "delete", args),
        };
    }

    async function kill(): Promise<void> {
        const killed = child;
        if (killed === undefined) return;
        const ended = once(killed, "exit");
        killed.kill("SIGKILL");
        await ended;
    }

    return {
        handlers: Object.fromEntries(
            (Object.keys(providerHere.handlers) as Kind[]).map((kind) => [kind, handlerOf(kind)]),
        ) as Provider["handlers"],
        startRun: async () => (child === undefined ? undefined : ask("sessions", "startRun", [])),
        kill,
        async [Symbol.asyncDispose]() {
            await kill();
            await inside.stop();
            rmSync(folder, { recursive: true });
        },
    };
}

/** What runs inside a machine is the child of the nsenter that was started. */
function childOf(pid: number): number {
    return Number(readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim());
}
