import { expect, test } from "vitest";
import * as provider from "../../provider/index.js";
import type { Props } from "../../provider/lifecycle.js";
import type { Connection } from "../../provider/model/connection.js";
import { sessionOf, startRun } from "../../provider/sessions.js";
import { openStack, type Resource, type Stack } from "./driver.js";
import { layTestBed } from "./test-bed.js";

const bed = layTestBed();

/** How many scripts a piece of work sends down the stack's connection. */
async function countTrips(stack: Stack, work: () => Promise<unknown>): Promise<number> {
    const { connection } = stack.host.outs as unknown as { readonly connection: Connection };
    const session = await sessionOf(connection);
    const before = session.roundTrips();
    await work();
    return session.roundTrips() - before;
}

test("round trips: one for each create, update and delete of each kind", async () => {
    await using stack = await openStack(bed.host);
    const made: Resource[] = [];
    const makes = async <R extends Resource>(work: () => Promise<R>): Promise<R> => {
        let resource: R | undefined;
        expect(
            await countTrips(stack, async () => {
                resource = await work();
            }),
        ).toBe(1);
        made.push(resource as R);
        return resource as R;
    };
    const network = await makes(() => stack.network("front", { subnet: "172.20.0.0/24" }));
    const sandbox = await makes(() => stack.sandbox("web"));
    const endpoint = await makes(() => stack.endpoint("web-front", { sandbox, network }));
    await makes(() => stack.portMapping("http", { target: endpoint, hostPort: 8080, targetPort: 80 }));
    await makes(() => stack.firewallPolicy("web", { target: endpoint, ingress: [{ action: "allow", from: ["any"] }] }));
    const peers = [{ underlayAddress: "198.18.255.254", ipRange: "172.20.0.128/25" }];
    await makes(() => stack.overlayTunnel("tunnel", { network, vni: 7, peers }));
    for (const resource of made)
        expect(await countTrips(stack, () => resource.update({ labels: { tier: "web" } }))).toBe(1);
    for (const resource of [...made].reverse()) expect(await countTrips(stack, () => resource.delete())).toBe(1);
});

test("round trips: one for all reads of a run, however late they come, and another after a change", async () => {
    await using stack = await openStack(bed.host);
    const network = await stack.network("front", { subnet: "172.20.0.0/24" });
    const { sandbox, endpoint } = await stack.join("web", network);
    const read = ({ id, outs }: Resource) => provider.endpoint.read(id, outs as Props);
    const readAll = async () => {
        for (const resource of [network, sandbox, endpoint]) await read(resource as Resource);
    };
    await startRun();
    expect(await countTrips(stack, readAll)).toBe(1);
    expect(await countTrips(stack, readAll)).toBe(0);
    await bed.host.exec(["ip", "link", "del", endpoint.outs.hostInterface]);
    await sandbox.update({ labels: { tier: "web" } });
    const { props } = await provider.endpoint.read(endpoint.id, endpoint.outs as Props);
    expect(props?.["drift"]).toContainEqual(
        expect.stringContaining(`interface ${endpoint.outs.hostInterface} (front in `),
    );
});
