import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import * as pulumi from "@pulumi/pulumi";
import * as linuxnet from "pulumi-linuxnet";
import { afterEach, expect, test } from "vitest";
import { layTestBed } from "../integration/test-bed.js";
import { makeScript } from "./project.js";

const bed = layTestBed();

afterEach(async () => {
    await bed.expectAsBefore();
});

/** Everything that can come from another resource's outputs does: in its first preview nearly all is unknown. */
function computed() {
    const edge = new linuxnet.Host("edge", { connection: pulumi.output(bed.host.connection) });
    const third = edge.machineId.apply((id) => 20 + (Number.parseInt(id.slice(0, 2), 16) % 4));
    const front = new linuxnet.Network("front", { host: edge, subnet: pulumi.interpolate`172.${third}.0.0/24` });
    const [web, api] = ["web", "api"].map((name) => new linuxnet.Sandbox(name, { host: edge }));
    const webFront = new linuxnet.Endpoint("web-front", {
        sandbox: pulumi.output(web as linuxnet.Sandbox),
        network: front,
    });
    const next = webFront.address.apply((address) => address.replace(/\d+$/, (last) => `${Number(last) + 100}`));
    const apiFront = (api as linuxnet.Sandbox).connect(front, {
        ipv4Address: next,
        labels: { neighbour: webFront.address, mac: webFront.macAddress },
    });
    const http = new linuxnet.PortMapping("http", { target: webFront.urn.apply(() => webFront), targetPort: 80 });
    new linuxnet.FirewallPolicy("api-access", {
        target: [apiFront],
        ingress: [
            { action: "allow", from: [webFront, pulumi.interpolate`${front.gateway}/32`], ports: [http.hostPort] },
            { action: "drop", from: front.subnet },
        ],
    });
    return { address: apiFront.address, port: http.hostPort };
}

test("preview: unknown values anywhere; then a second preview and a refresh are empty", async () => {
    await using stack = await bed.lab.up<object>(() => ({}));
    expect((await stack.preview(computed)).changes).toEqual({ same: 1, create: 8 });
    expect((await stack.update(computed)).changes).toEqual({ same: 1, create: 8 });
    expect(stack.outputs).toMatchObject({ address: expect.stringMatching(/\.102$/), port: 20000 });
    expect((await stack.preview()).changes).toEqual({ same: 9 });
    expect((await stack.refresh()).changes).toEqual({ same: 9 });
    expect((await stack.update()).changes).toEqual({ same: 9 });
});

/** The same program twice: `version` changes everything that may change in place. */
function layout(version: 1 | 2) {
    const labels = { version: `${version}` };
    const isSecond = version === 2;
    const edge = new linuxnet.Host("edge", { connection: bed.host.connection, labels });
    const front = new linuxnet.Network("front", {
        host: edge,
        subnet: "172.20.0.0/24",
        labels,
        mtu: isSecond ? 1400 : 1500,
        masquerade: isSecond,
        name: isSecond ? "facade" : "front",
    });
    const web = new linuxnet.Sandbox("web", {
        host: edge,
        labels,
        sysctls: { "net.ipv4.ip_unprivileged_port_start": isSecond ? 80 : 443 },
    });
    // Automatic, and there before the engine has ever heard of the static one that would have been the first.
    const early = new linuxnet.Sandbox("early", { host: edge }).connect(front);
    const webFront = web.connect(front, {
        labels: { ...labels, after: early.address },
        ipv4Address: isSecond ? "172.20.0.7" : "172.20.0.2",
    });
    new linuxnet.PortMapping("http", { target: webFront, labels, hostPort: isSecond ? 8081 : 8080, targetPort: 80 });
    new linuxnet.FirewallPolicy("access", {
        target: webFront,
        labels,
        ingress: isSecond ? [{ action: "allow", ports: [80] }] : [],
        ...(isSecond ? {} : { egress: [{ action: "reject", to: "external" }] }),
    });
    return { hostInterface: webFront.hostInterface, early: early.address };
}

test("preview: what changes in place is shown and done as an update, and interfaces live on", async () => {
    await using stack = await bed.lab.up(() => layout(1));
    const indexes = async () =>
        JSON.parse((await bed.host.exec("ip -j link show type veth; true")).stdout).map(
            ({ ifindex, ifname }: { ifindex: number; ifname: string }) => `${ifindex} ${ifname}`,
        );
    const made = await indexes();
    expect(made.join()).toContain(stack.outputs.hostInterface);
    expect(stack.outputs.early).toBe("172.20.0.3");
    expect((await stack.preview(() => layout(2))).changes).toEqual({ same: 3, update: 6 });
    expect((await stack.update(() => layout(2))).changes).toEqual({ same: 3, update: 6 });
    expect(stack.outputs.early).toBe("172.20.0.3");
    expect(await indexes()).toEqual(made);
    const inside = (
        await bed.host.exec("ip -j addr show dev front; cat /proc/sys/net/ipv4/ip_unprivileged_port_start", {
            sandbox: "web",
        })
    ).stdout;
    expect(inside).toContain('"mtu":1400');
    expect(inside).toContain('"local":"172.20.0.7"');
    expect(inside).toMatch(/\n80$/);
    expect((await stack.preview()).changes).toEqual({ same: 9 });
    expect((await stack.refresh()).changes).toEqual({ same: 9 });
});

test("preview: --replace creates before it deletes, and what is new stays", async () => {
    await using project = await makeScript(
        `const host = new linuxnet.Host("edge", { connection: values.connection });
        const front = new linuxnet.Network("front", { host, subnet: "172.20.0.0/24" });
        const web = new linuxnet.Sandbox("web", { host });
        const endpoint = web.connect(front, { ipv4Address: "172.20.0.6" });
        module.exports = { network: front.id, sandbox: web.id, endpoint: endpoint.id };`,
        { connection: bed.host.connection },
    );
    const up = ["up", "--yes", "--skip-preview", "--stack", "test"];
    const outputs = async () => JSON.parse(await project.pulumi("stack", "output", "--json", "--stack", "test"));
    await project.pulumi(...up);
    const old = await outputs();
    const urn = (kind: string, name: string) => `urn:pulumi:test::lab::pulumi-nodejs:dynamic/linuxnet:${kind}::${name}`;
    await project.pulumi(...up, "--replace", urn("Network", "front"), "--replace", urn("Sandbox", "web"));
    const anew = await outputs();
    for (const key of ["network", "sandbox", "endpoint"]) expect(anew[key], key).not.toBe(old[key]);
    await bed.host.exec("ping -c 1 -W 2 172.20.0.1", { sandbox: "web" });
    await project.pulumi("preview", "--expect-no-changes", "--stack", "test");
    await project.pulumi("refresh", "--yes", "--skip-preview", "--expect-no-changes", "--stack", "test");
    await project.pulumi("destroy", "--yes", "--skip-preview", "--stack", "test");
});

test("preview: an attachable network takes endpoints of another stack, and is not deleted under them", async () => {
    const backend = mkdtempSync(join(tmpdir(), "linuxnet-test-"));
    const environment = { PULUMI_BACKEND_URL: pathToFileURL(backend).href, PULUMI_CONFIG_PASSPHRASE: "shared" };
    try {
        await using platform = await makeScript(
            `const host = new linuxnet.Host("edge", { connection: values.connection });
            const front = new linuxnet.Network("front", { host, subnet: "172.20.0.0/24", attachable: true });
            const closed = new linuxnet.Network("closed", { host, subnet: "172.21.0.0/24" });
            module.exports = { host: host.reference, front: front.reference, closed: closed.reference };`,
            { connection: bed.host.connection },
            { projectName: "platform", environment },
        );
        const app = (network: string) =>
            makeScript(
                `const pulumi = require("@pulumi/pulumi");
                const platform = new pulumi.StackReference("organization/platform/test");
                const host = linuxnet.Host.get("edge", platform.getOutput("host"), { connection: values.connection });
                const front = linuxnet.Network.get("front", platform.getOutput("front"), { host });
                const web = new linuxnet.Sandbox("web", { host });
                const endpoint = new linuxnet.Endpoint("web-front", { sandbox: web, network: platform.getOutput("${network}") });
                module.exports = { subnet: front.subnet, address: endpoint.address };`,
                { connection: bed.host.connection },
                { projectName: network, environment },
            );
        const up = ["up", "--yes", "--skip-preview", "--stack", "test"];
        const down = ["destroy", "--yes", "--skip-preview", "--stack", "test"];
        await platform.pulumi(...up);
        await using refused = await app("closed");
        await expect(refused.pulumi(...up)).rejects.toThrow(
            'network "closed" of stack platform/test is not attachable. Set attachable: true on it.',
        );
        await refused.pulumi(...down);

        await using attached = await app("front");
        await attached.pulumi(...up);
        expect(JSON.parse(await attached.pulumi("stack", "output", "--json", "--stack", "test"))).toEqual({
            subnet: "172.20.0.0/24",
            address: "172.20.0.2",
        });
        await bed.host.exec("ping -c 1 -W 2 172.20.0.1", { sandbox: "web" });
        expect(await attached.exportState()).not.toContain(bed.host.connection.privateKey.split("\n")[2]);
        await attached.pulumi("preview", "--expect-no-changes", "--stack", "test");
        await attached.pulumi("refresh", "--yes", "--skip-preview", "--expect-no-changes", "--stack", "test");
        await expect(platform.pulumi(...down)).rejects.toThrow(
            'it is still used by endpoint "web-front" of stack front/test. Remove those first.',
        );
        await attached.pulumi(...down);
        // What it only looked at is still there.
        await platform.pulumi("refresh", "--yes", "--skip-preview", "--stack", "test");
        await platform.pulumi(...down);
    } finally {
        rmSync(backend, { recursive: true });
    }
});
