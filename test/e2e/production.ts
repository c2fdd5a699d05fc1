import { cpSync, mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { LabConnection } from "../../lab/index.js";
import { makeProject, type Project } from "./project.js";

const root = join(__dirname, "..", "..");

/**
 * The repository's root as a project, with a stack configuration file that names the host. A copy, because a stack
 * writes its configuration beside Pulumi.yaml.
 */
export function makeProductionProject(connection: LabConnection): Promise<Project> {
    const install = async (folder: string) => {
        cpSync(join(root, "Pulumi.yaml"), join(folder, "Pulumi.yaml"));
        mkdirSync(join(folder, "examples"));
        cpSync(join(root, "examples", "production"), join(folder, "examples", "production"), { recursive: true });
        symlinkSync(join(root, "node_modules"), join(folder, "node_modules"));
        writeFileSync(join(folder, "key"), connection.privateKey, { mode: 0o600 });
        const config = {
            "linuxnet:host": connection.host,
            "linuxnet:user": connection.user,
            "linuxnet:hostKey": connection.hostKey,
            "linuxnet:privateKeyFile": join(folder, "key"),
            ...(connection.sudo ? { "linuxnet:sudo": "true" } : {}),
        };
        // JSON is YAML.
        writeFileSync(join(folder, "Pulumi.test.yaml"), JSON.stringify({ config }));
    };
    return makeProject({}, { install });
}
