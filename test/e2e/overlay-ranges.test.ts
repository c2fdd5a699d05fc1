import { Host, OverlayNetwork, Sandbox } from "pulumi-linuxnet";
import { expect, test } from "vitest";
import { createLab, type LabHost } from "../../lab/index.js";

/** A segment over the named hosts, with a sandbox on each. */
function layOut(hosts: Readonly<Record<string, LabHost>>, names: readonly string[]) {
    const made = names.map((name) => new Host(name, { connection: hosts[name]?.connection ?? { host: "nobody" } }));
    const mesh = new OverlayNetwork("mesh", { hosts: made, subnet: "10.64.0.0/16", vni: 42 });
    const addresses = made.map((host, i) => {
        const endpoint = new Sandbox(`app-${names[i]}`, { host }).connect(mesh);
        return [names[i] ?? "", endpoint.address] as const;
    });
    return Object.fromEntries(addresses);
}

test("overlay network: whichever host comes or goes, the preview knows it and nobody else's address moves", async () => {
    await using lab = await createLab({ hosts: 3 });
    const [a, b, c] = lab.hosts as [LabHost, LabHost, LabHost];
    const hosts = { a, b, c };
    await using stack = await lab.up(() => layOut(hosts, ["a", "b"]));
    expect(stack.outputs).toEqual({ a: "10.64.0.2", b: "10.64.1.0" });
    // In front of the others.
    const more = () => layOut(hosts, ["c", "a", "b"]);
    const plan = await stack.preview(more);
    expect(plan.changes).toMatchObject({ create: 5, update: 3 });
    expect((await stack.update(more)).changes).toEqual(plan.changes);
    expect(stack.outputs).toEqual({ a: "10.64.0.2", b: "10.64.1.0", c: "10.64.2.0" });
    expect((await stack.preview(more)).changes).toEqual({ same: 18 });
    const fewer = () => layOut(hosts, ["c", "b"]);
    expect((await stack.update(fewer)).changes).toMatchObject({ delete: 5, update: 3 });
    expect(stack.outputs).toEqual({ b: "10.64.1.0", c: "10.64.2.0" });
});
