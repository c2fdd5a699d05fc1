import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { execa } from "execa";
import { range } from "../measure.js";
import { bridge, createCommands, deleteCommands, dropBridge, makeBridge } from "./layout.js";
import { type Login, sshOptions } from "./login.js";

/** What a peer does with a number of endpoints. */
export interface Peer {
    create(count: number): Promise<void>;
    delete(count: number): Promise<void>;
}

/** A playbook: one task a piece of work, the endpoints in a loop; facts are not gathered, the connection is pipelined. */
function playbook(bridgeCommands: readonly string[], commandsOf: (index: number) => string[], count: number): string {
    const shell = (commands: readonly string[]) => commands.join(" && ");
    const items = range(count).map((i) => ({ name: `endpoint ${i}`, commands: shell(commandsOf(i)) }));
    const bridgeTask = { name: bridge, "ansible.builtin.shell": shell(bridgeCommands) };
    const endpointTask = {
        name: "endpoints",
        "ansible.builtin.shell": "{{ item.commands }}",
        loop: items,
        loop_control: { label: "{{ item.name }}" },
    };
    const isCreate = commandsOf === createCommands;
    // A playbook is YAML, and JSON is YAML.
    return JSON.stringify([
        {
            hosts: "all",
            gather_facts: false,
            tasks: isCreate ? [bridgeTask, endpointTask] : [endpointTask, bridgeTask],
        },
    ]);
}

/** ansible-core over one connection that stays open. */
export function openAnsible(bin: string, login: Login): Peer {
    const inventory = join(login.folder, "inventory");
    const python = "ansible_python_interpreter=/usr/bin/python3";
    writeFileSync(inventory, `${login.address} ansible_user=root ${python}\n`);
    const env = {
        ANSIBLE_PIPELINING: "True",
        ANSIBLE_SSH_ARGS: [...sshOptions(login), "-o", "ControlMaster=auto", "-o", "ControlPersist=60s"].join(" "),
        ANSIBLE_SSH_CONTROL_PATH_DIR: join(login.folder, "cp"),
        ANSIBLE_HOME: join(login.folder, "ansible"),
        ANSIBLE_NOCOLOR: "1",
    };
    const play = async (text: string) => {
        const file = join(login.folder, "playbook.yml");
        writeFileSync(file, text);
        await execa(join(bin, "ansible-playbook"), ["-i", inventory, file], { env, cwd: login.folder });
    };
    return {
        create: (count) =>
            play(
                playbook(
                    makeBridge.map((line) => `ip ${line}`),
                    createCommands,
                    count,
                ),
            ),
        delete: (count) => play(playbook([`ip ${dropBridge}`], deleteCommands, count)),
    };
}
