import { type ChildProcess, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { execa } from "execa";
import { type Login, sshOptions } from "./login.js";

/** Scripts sent through one open connection of the system's ssh. */
export interface ScriptRunner extends AsyncDisposable {
    /** @throws Error with what the script said when it fails. */
    run(script: string): Promise<void>;
}

export async function openScripts(login: Login): Promise<ScriptRunner> {
    const socket = join(login.folder, "control");
    const options = [...sshOptions(login), "-S", socket];
    const target = `root@${login.address}`;
    const master: ChildProcess = spawn("ssh", [...options, "-M", "-N", target], { stdio: "ignore" });
    for (let tries = 0; !existsSync(socket); tries++) {
        if (tries > 500 || master.exitCode !== null) throw new Error(`ssh to ${login.address} does not connect.`);
        await sleep(20);
    }
    return {
        async run(script) {
            await execa("ssh", [...options, target, "sh -e -s"], { input: script });
        },
        async [Symbol.asyncDispose]() {
            master.kill();
        },
    };
}
