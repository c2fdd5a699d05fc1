import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { LabHost } from "../../lab/index.js";

export const fixtures = join(__dirname, "..", "fixtures");
/** A folder for each build whose state is kept; made by `node test/fixtures/make.mjs <name>`. */
export const kept = readdirSync(fixtures, { withFileTypes: true }).filter((entry) => entry.isDirectory());

/** Fills in the places that `make.mjs` left open. */
export function placesOf({ address, machineId, connection }: LabHost): (text: string) => string {
    const places = Object.entries({
        ADDRESS: address,
        MACHINE_ID: machineId,
        PRIVATE_KEY: connection.privateKey,
        HOST_KEY: connection.hostKey,
    });
    return (text) => places.reduce((filled, [place, value]) => filled.replaceAll(`@${place}@`, value), text);
}

/** Makes the host what the kept build of this name left behind: its files, and what they rebuild after a reboot. */
export async function restoreKept(host: LabHost, name: string): Promise<void> {
    const fill = placesOf(host);
    const files: Record<string, { mode: string; text: string }> = JSON.parse(
        readFileSync(join(fixtures, name, "host.json"), "utf8"),
    );
    const lines = Object.entries(files).map(([path, { mode, text }]) => {
        const content = Buffer.from(fill(text)).toString("base64");
        return `echo ${content} | base64 -d >'${path}'; chmod ${mode} '${path}'`;
    });
    const script = ["mkdir -p /var/lib/linuxnet/objects; cd /var/lib/linuxnet", ...lines, "sh ./restore"].join("\n");
    await host.exec("sh -e", { stdin: script });
}
