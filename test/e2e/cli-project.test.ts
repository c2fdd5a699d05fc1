import { expect, test } from "vitest";
import { createHost, snapshotHost } from "../../lab/index.js";
import { makeProductionProject } from "./production.js";

test("command line: the repository's root deploys to the host of the stack's configuration, twice the same", async () => {
    await using host = await createHost({ sudoUser: true });
    const before = await snapshotHost(host);
    await using project = await makeProductionProject(host.connection);
    expect(await project.pulumi("up", "--yes", "--stack", "test")).toMatch(/\+ \d+ created\n/);
    expect(JSON.parse((await host.exec("ip -json netns list")).stdout)).toHaveLength(10);
    expect(JSON.parse((await host.exec("ip -json link show type bridge")).stdout)).toHaveLength(4);

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
