import { parseManifest, printManifest } from "../provider/host/manifest.js";
import { openShell } from "../provider/host/open-shell.js";
import { parseSections } from "../provider/host/sections.js";
import { type Connection, describeConnection } from "../provider/model/connection.js";
import type { World } from "../provider/model/world.js";

const script = `${printManifest}
print_manifest
echo '@@ end'
`;

/** What a host carries, of all stacks. Needs no tools there and writes nothing, not even the machine id of `openHost`. */
export async function readCarried(connection: Connection): Promise<World> {
    const shell = await openShell(connection);
    try {
        const { stdout, stderr } = await shell.run(script, { timeoutMs: connection.operationTimeoutMs });
        if (!stdout.includes("\n@@ end")) {
            throw new Error(`${describeConnection(connection)} could not be read: ${stderr.trim()}`);
        }
        return parseManifest(parseSections(stdout)).world;
    } finally {
        shell.close();
    }
}
