import { cpSync, mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { createHost, snapshotHost } from "../../lab/index.js";
import { makeProject } from "./project.js";

const root = join(__dirname, "..", "..");

test("command line: the repository's root deploys the production layout to the host of the stack's configuration", async () => {
    await using host = await createHost({ sudoUser: true });
    const { connection } = host;
    const before = await snapshotHost(host);
    // A copy: a stack writes its configuration beside Pulumi.yaml.
    const install = async (folder: string) => {
        cpSync(join(root, "Pulumi.yaml"), join(folder, "Pulumi.yaml"));
        mkdirSync(join(folder, "examples"));
        cpSync(join(root, "examples", "production"), join(folder, "examples", "production"), { recursive: true });
        symlinkSync(join(root, "node_modules"), join(folder, "node_modules"));
        writeFileSync(join(folder, "key"), connection.privateKey, { mode: 0o600 });
        const config = {
            "linuxnet:host": connection.host,
            "linuxnet:user": connection.user,
            "linuxnet:sudo": "true",
            "linuxnet:hostKey": connection.hostKey,
            "linuxnet:privateKeyFile": join(folder, "key"),
        };
        writeFileSync(join(folder, "Pulumi.test.yaml"), JSON.stringify({ config }));
    };
    await using project = await makeProject({}, { install });
    const first = await project.pulumi("up", "--yes", "--stack", "test");
    expect(first).toMatch(/\+ \d+ created\n/);
    expect((await host.exec("ip netns list")).stdout.split("\n")).toHaveLength(10);
    expect(await lines(host.exec("ip -json link show type bridge"))).toHaveLength(4);

    const second = await project.pulumi("up", "--yes", "--stack", "test");
    expect(
        second
            .split(/^Resources:$/m)
            .slice(1)
            .join(),
    ).not.toMatch(/created|updated|replaced|deleted/);
    expect(second).toMatch(/Resources:\n +\d+ unchanged\n/);
    await project.pulumi("preview", "--expect-no-changes", "--refresh", "--stack", "test");

    await project.pulumi("destroy", "--yes", "--stack", "test");
    expect(await snapshotHost(host)).toEqual(before);
});

async function lines(result: Promise<{ readonly stdout: string }>): Promise<unknown[]> {
    return JSON.parse((await result).stdout);
}
