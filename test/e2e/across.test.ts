import * as linuxnet from "pulumi-linuxnet";
import { afterEach, expect, test } from "vitest";
import type { LabHost } from "../../lab/index.js";
import { layTestBed } from "../integration/test-bed.js";
import { ask, type Place, serve } from "../integration/traffic.js";

const bed = layTestBed(2);

afterEach(() => bed.expectAsBefore());

/**
 * A segment over hosts a and b with `db` on b and `web` on the host named: published on a and on its own host, allowed to
 * ask `db`. One policy protects both, on whatever hosts they are.
 */
function layout(webOn: "a" | "b") {
    const [a, b] = bed.hosts.map(({ connection }, i) => new linuxnet.Host(i === 0 ? "a" : "b", { connection })) as [
        linuxnet.Host,
        linuxnet.Host,
    ];
    const mesh = new linuxnet.OverlayNetwork("mesh", { hosts: [a, b], subnet: "10.90.0.0/16", vni: 90 });
    const webHost = webOn === "a" ? a : b;
    const db = new linuxnet.Sandbox("db", { host: b }).connect(mesh);
    const web = new linuxnet.Sandbox("web", { host: webHost }).connect(mesh);
    const ports = { hostPort: 8080, targetPort: 80 };
    const page = new linuxnet.PortMapping("page", { target: web, publishOn: a, ...ports });
    new linuxnet.PortMapping("own", { target: web, ...ports, hostPort: 8081 });
    new linuxnet.FirewallPolicy("db-access", {
        target: db,
        ingress: [{ action: "allow", from: web, ports: 80 }],
    });
    new linuxnet.FirewallPolicy("ssh", {
        target: [db, mesh.on(a)],
        egress: [{ action: "drop", ports: 22 }, { action: "allow" }],
    });
    return { web: web.address, db: db.address, bindings: page.bindings };
}

test("an endpoint moves to another host: ports and policies about it follow in one up", async () => {
    const [hostA, hostB] = bed.hosts as [LabHost, LabHost];
    await using stack = await bed.lab.up(() => layout("a"));
    const outside = { machine: bed.client };
    const page = `tcp ${hostA.address}:8080`;

    async function expectWebOn(machine: LabHost, answer: string): Promise<void> {
        const { web, db } = stack.outputs;
        const place = (sandbox: string, on: LabHost): Place => ({ machine: on, sandbox });
        await using _web = await serve(place("web", machine), "web", "tcp:80");
        await using _db = await serve(place("db", hostB), "db", "tcp:80", "tcp:81");
        expect(await ask(outside, page)).toEqual({ [page]: answer });
        expect(await ask(outside, `tcp ${machine.address}:8081`)).toEqual({
            [`tcp ${machine.address}:8081`]: `web to ${bed.client.address}`,
        });
        const asked = { [`tcp ${db}:80`]: `db to ${web}`, [`tcp ${db}:81`]: "nothing" };
        expect(await ask(place("web", machine), ...Object.keys(asked))).toEqual(asked);
        expect((await stack.preview()).changes).toEqual({ same: expect.any(Number) });
    }

    expect(stack.outputs.bindings).toMatchObject([{ hostPort: 8080, targetAddress: stack.outputs.web }]);
    await expectWebOn(hostA, `web to ${bed.client.address}`);
    const before = stack.outputs.web;
    await stack.update(() => layout("b"));
    expect(stack.outputs.web).not.toBe(before);
    expect(stack.outputs.bindings).toMatchObject([{ hostPort: 8080, targetAddress: stack.outputs.web }]);
    await expectWebOn(hostB, "web to 10.90.0.1");
    await stack.update(() => layout("a"));
    await expectWebOn(hostA, `web to ${bed.client.address}`);
});
