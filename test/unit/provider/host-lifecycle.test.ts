import { expect, test } from "vitest";
import { hostHandler } from "../../../provider/host-lifecycle.js";

const owner = { name: "edge", project: "p", stack: "dev" };

async function outputsWith(connection: object): Promise<Record<string, unknown>> {
    const { inputs, failures } = await hostHandler.check({}, { owner, connection });
    expect(failures).toEqual([]);
    return (await hostHandler.update("id", { underlayAddress: "10.0.0.5" }, inputs)).outs;
}

test("host: users reach it at connection.host, behind a bastion at its own address", async () => {
    expect(await outputsWith({ host: "edge" })).toMatchObject({ publicAddress: "edge", address: "edge" });
    const proxy = { host: "bastion" };
    expect(await outputsWith({ host: "edge", proxy })).toMatchObject({
        publicAddress: "10.0.0.5",
        address: "10.0.0.5",
    });
});

test("host: commandConnection carries what @pulumi/command knows: one bastion", async () => {
    const proxy = [{ host: "bastion", password: "a" }, { host: "second" }];
    expect((await outputsWith({ host: "edge", privateKey: "k", proxy }))["commandConnection"]).toEqual({
        host: "edge",
        port: 22,
        user: "root",
        privateKey: "k",
        proxy: { host: "bastion", port: 22, user: "root", password: "a" },
    });
    expect((await outputsWith({ host: "edge", transport: "openssh" }))["commandConnection"]).toEqual({ host: "edge" });
});
