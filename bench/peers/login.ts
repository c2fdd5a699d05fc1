import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { LabHost } from "../../lab/index.js";

/** How programs that read files log in to a host; the folder is the bench's own and goes with it. */
export interface Login extends Disposable {
    readonly folder: string;
    readonly address: string;
    readonly keyFile: string;
    readonly knownHosts: string;
}

export function writeLogin({ address, connection }: LabHost): Login {
    const folder = mkdtempSync(join(tmpdir(), "linuxnet-bench-"));
    const keyFile = join(folder, "key");
    const knownHosts = join(folder, "known_hosts");
    writeFileSync(keyFile, connection.privateKey, { mode: 0o600 });
    writeFileSync(knownHosts, `${address} ${connection.hostKey}\n`);
    return {
        ...{ folder, address, keyFile, knownHosts },
        [Symbol.dispose]: () => rmSync(folder, { recursive: true, force: true }),
    };
}

/** Options of ssh(1) for this login and nothing else of this machine's. */
export function sshOptions({ keyFile, knownHosts }: Login): string[] {
    const options = [`IdentityFile=${keyFile}`, "IdentitiesOnly=yes", `UserKnownHostsFile=${knownHosts}`];
    return ["-F", "none", ...[...options, "BatchMode=yes", "LogLevel=ERROR"].flatMap((option) => ["-o", option])];
}
