import { writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { createStack, type Stack } from "../../demo/stack.js";
import { describeWay, type Way } from "../../demo/way.js";
import type { LabHost } from "../../lab/index.js";

export const repository = resolve(__dirname, "../..");
export const examples = join(repository, "examples");

/** Runs an example's program through the engine, and destroys what it made, whatever happens. */
export async function withStack(
    example: string,
    configure: Parameters<typeof createStack>[1],
    use: (stack: Stack) => Promise<void>,
): Promise<void> {
    // "." is the repository itself: its Pulumi.yaml is the production layout.
    const stack = await createStack(example === "." ? repository : join(examples, example), configure);
    try {
        await use(stack);
    } finally {
        await stack.destroy();
        stack.remove();
    }
}

/** Brings it up; after that neither the program nor the hosts have anything to change. */
export async function upTwice<Outputs>(stack: Stack): Promise<Outputs> {
    await stack.up();
    await stack.previewNothing();
    await stack.refreshNothing();
    return (await stack.outputs()) as Outputs;
}

/** The stack configuration `linuxnet:hosts` of programs for several hosts; keys go into the stack's folder. */
export function configureHosts(hosts: Readonly<Record<string, LabHost>>) {
    return (folder: string): Record<string, string> => {
        const entries = Object.entries(hosts).flatMap(([name, { connection }]) => {
            const keyFile = join(folder, `${name}.key`);
            writeFileSync(keyFile, connection.privateKey, { mode: 0o600 });
            return [
                [`linuxnet:hosts.${name}.host`, connection.host],
                [`linuxnet:hosts.${name}.hostKey`, connection.hostKey],
                [`linuxnet:hosts.${name}.privateKeyFile`, keyFile],
            ];
        });
        return Object.fromEntries(entries);
    };
}

export function inWords(ways: readonly Way[]): string[] {
    return ways.map(describeWay).sort();
}
