import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { execa } from "execa";
import { range } from "../measure.js";
import type { Peer } from "./ansible.js";
import { createCommands, deleteCommands, dropBridge, makeBridge } from "./layout.js";
import type { Login } from "./login.js";

/** A deploy: one operation for the bridge and one for each endpoint. */
function deploy(operations: readonly (readonly [name: string, commands: readonly string[]])[]): string {
    return `from pyinfra.operations import server

for name, commands in ${JSON.stringify(operations)}:
    server.shell(name=name, commands=commands)
`;
}

export function openPyinfra(bin: string, login: Login): Peer {
    const inventory = join(login.folder, "inventory.py");
    const data = {
        ssh_user: "root",
        ssh_key: login.keyFile,
        ssh_known_hosts_file: login.knownHosts,
        ssh_strict_host_key_checking: "yes",
    };
    writeFileSync(inventory, `hosts = [(${JSON.stringify(login.address)}, ${JSON.stringify(data)})]\n`);
    const play = async (operations: Parameters<typeof deploy>[0]) => {
        const file = join(login.folder, "deploy.py");
        writeFileSync(file, deploy(operations));
        await execa(join(bin, "pyinfra"), ["-y", inventory, file], { cwd: login.folder });
    };
    const each = (commandsOf: (index: number) => string[], count: number) =>
        range(count).map((i) => [`endpoint ${i}`, commandsOf(i)] as const);
    return {
        create: (count) => play([["bridge", makeBridge.map((line) => `ip ${line}`)], ...each(createCommands, count)]),
        delete: (count) => play([...each(deleteCommands, count), ["bridge", [`ip ${dropBridge}`]]]),
    };
}
