import { writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import type { Knocker } from "../../demo/matrix.js";
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
export function configureHosts(
    hosts: Readonly<Record<string, LabHost>>,
    config: Readonly<Record<string, string>> = {},
) {
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
        return { ...Object.fromEntries(entries), ...config };
    };
}

export function inWords(ways: readonly Way[]): string[] {
    return ways.map(describeWay).sort();
}

/** The ways, and the same ones over IPv6. */
export function inBothFamilies(ways: readonly Way[]): Way[] {
    return ways.flatMap((way) => [way, { ...way, by: `${way.by} over IPv6` }]);
}

/** Everybody tries each door in IPv6 too: at the address that the interface with the door's address has beside it. */
export async function withIpv6(knockers: readonly Knocker[]): Promise<Knocker[]> {
    const beside = await pairAddresses(knockers);
    return knockers.map((knocker) => ({
        ...knocker,
        doors: knocker.doors.flatMap((door) => {
            const address = beside.get(door.address);
            if (address === undefined) throw new Error(`Nobody with ${door.address} has an IPv6 address beside it.`);
            return [door, { ...door, address, by: `${door.by} over IPv6` }];
        }),
    }));
}

/** From an IPv4 address to the IPv6 address of the same interface, as the kernel shows them. */
async function pairAddresses(knockers: readonly Knocker[]): Promise<Map<string, string>> {
    const pairs = new Map<string, string>();
    for (const machine of new Set(knockers.map((knocker) => knocker.machine))) {
        const own = knockers.filter((knocker) => knocker.machine === machine);
        const commands = own.map(
            ({ namespace }) => `ip ${namespace === undefined ? "" : `-n ${namespace} `}-json address`,
        );
        for (const line of (await machine.run(commands.join("\n"))).trim().split("\n")) {
            const links: { addr_info?: { family: string; scope: string; local: string }[] }[] = JSON.parse(line);
            for (const { addr_info = [] } of links) {
                const global = addr_info.find(({ family, scope }) => family === "inet6" && scope === "global");
                const [four] = addr_info.filter(({ family }) => family === "inet");
                if (four !== undefined && global !== undefined) pairs.set(four.local, global.local);
            }
        }
    }
    return pairs;
}
