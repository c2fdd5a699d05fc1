import { parseManifest, printManifest } from "../provider/host/manifest.js";
import { openShell } from "../provider/host/open-shell.js";
import { parseSections } from "../provider/host/sections.js";
import { type Connection, describeConnection } from "../provider/model/connection.js";
import type { World } from "../provider/model/world.js";

const scriptOf = (more: string) => `${printManifest}
print_manifest
${more}
echo '@@ end'
`;

/**
 * What a host carries, of all stacks. Needs no tools there and writes nothing, not even the machine id of `openHost`.
 * @param more a script whose sections are read along, in the same round trip
 */
export async function readCarried(connection: Connection, more = ""): Promise<{ world: World; stdout: string }> {
    const shell = await openShell(connection);
    try {
        const { stdout, stderr } = await shell.run(scriptOf(more), { timeoutMs: connection.operationTimeoutMs });
        if (!stdout.includes("\n@@ end")) {
            throw new Error(`${describeConnection(connection)} could not be read: ${stderr.trim()}`);
        }
        return { world: parseManifest(parseSections(stdout)).world, stdout };
    } finally {
        shell.close();
    }
}
