import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { execa } from "execa";
import * as linuxnet from "pulumi-linuxnet";
import { expect, test } from "vitest";
import { createLab, type HostSnapshot, type LabHost, snapshotHost } from "../../lab/index.js";
import { makeProject, type Project } from "./project.js";

const command = join(__dirname, "../../dist/cli/index.js");
const compiler = join(__dirname, "../../node_modules/typescript/bin/tsc");

/** One or several of each kind, with arguments at and off their defaults, and names that are hard to write. */
function layout(connection: linuxnet.ConnectionArgs) {
    const host = new linuxnet.Host("edge", { connection });
    const front = new linuxnet.Network("front", { host, subnet: "172.20.0.0/24", labels: { "of team": "blue" } });
    const data = new linuxnet.Network("new data!", {
        ...{ host, name: "data", subnet: "172.21.0.0/24", gateway: "172.21.0.9", ipRange: "172.21.0.0/25" },
        ...{ reserved: ["172.21.0.77"], internal: true, isolateEndpoints: true, masquerade: false, mtu: 1400 },
        ...{ hostAccess: false, defaultPolicy: "deny" },
    });
    const web = new linuxnet.Sandbox("web", { host, sysctls: { "net.ipv4.ip_unprivileged_port_start": "80" } });
    const api = new linuxnet.Sandbox("2-api", { host, name: "api" });
    const webFront = web.connect(front, { gatewayPriority: 10, interfaceName: "eth0" });
    const webData = web.connect(data, { gatewayPriority: "never", macAddress: "02:00:00:00:00:07" });
    const apiFront = api.connect(front, { ipv4Address: "172.20.0.40" });
    new linuxnet.PortMapping("web", { target: webFront, hostPort: 8080, targetPort: 80 });
    new linuxnet.PortMapping("free", { target: apiFront, targetPort: "80-81", protocol: ["tcp", "udp"] });
    new linuxnet.PortMapping("dns", {
        target: apiFront,
        hostPort: "5300-5301",
        targetPort: "53-54",
        protocol: "udp",
        hostAddress: "127.0.0.1",
    });
    new linuxnet.FirewallPolicy("delete", {
        target: [webData, api],
        ingress: [
            {
                action: "allow",
                from: [webFront, front, "10.0.0.7", "10.1.0.0/16", "host"],
                ports: [80, "90-92", "53/udp"],
                description: 'the "API"',
            },
            { action: "reject", protocol: ["icmp", 47] },
            { action: "allow", ports: 93, limit: { rate: "20/minute", burst: 5, perSource: true, connections: 9 } },
            { action: "reject", icmpTypes: ["echo-request", 42], rejectWith: "host-unreachable", log: "no ping: " },
        ],
        egress: [],
        ...{ defaultAction: "reject", priority: -3 },
    });
    new linuxnet.OverlayTunnel("far", {
        ...{ network: front, vni: 42, port: 4790 },
        peers: [{ underlayAddress: "198.18.255.254", ipRange: "172.20.0.128/28" }],
    });
}

async function kernel(host: LabHost): Promise<Omit<HostSnapshot, "files">> {
    const { files: _, ...rest } = await snapshotHost(host);
    return rest;
}

const manifest = async (host: LabHost) => (await host.exec("cat /var/lib/linuxnet/objects/*.json")).stdout;

const printProgram = async (host: LabHost, key: string, ...options: string[]) => {
    writeFileSync(key, host.connection.privateKey, { mode: 0o600 });
    const login = ["--key", key, "--host-key", host.connection.hostKey];
    const words = ["import", `root@${host.address}`, ...login, ...options];
    return (await execa(process.execPath, [command, ...words])).stdout;
};

/** A project with the program that `linuxnet import` prints for a host. */
async function importProject(host: LabHost): Promise<{ project: Project; program: string }> {
    const project = await makeProject({
        "Pulumi.yaml": "name: imported\nruntime: nodejs\n",
        "package.json": '{ "name": "imported", "main": "index.js" }\n',
        "tsconfig.json":
            '{ "compilerOptions": { "strict": true, "module": "nodenext", "target": "es2022", "types": [] } }',
    });
    const program = await printProgram(host, join(project.folder, "key"));
    writeFileSync(join(project.folder, "index.ts"), `${program}\n`);
    // Once, with all checks, in place of Pulumi's own compiler at each of its runs.
    await execa(process.execPath, [compiler, "-p", project.folder]);
    return { project, program };
}

test("linuxnet import: the program of a host, a stack or a resource compiles, adopts all, changes nothing and gives it back", async () => {
    await using lab = await createLab();
    const [host] = lab.hosts;
    const clean = await snapshotHost(host);
    await using stack = await lab.up(() => layout(host.connection), { projectName: "shop", stackName: "dev" });
    const before = { kernel: await kernel(host), manifest: await manifest(host) };
    const { project, program } = await importProject(host);
    await using _project = project;
    const print = async (...options: string[]) => {
        const text = await printProgram(host, join(project.folder, "key"), ...options);
        return [...text.matchAll(/new linuxnet\.(\w+)\("([^"]+)"/g)].map(([, kind, name]) => `${kind} ${name}`);
    };
    expect(await print("--stack", "shop/dev")).toHaveLength(13);
    expect(await print("--name", "free")).toEqual([
        ...["Host host", "Network front", "Sandbox 2-api", "Endpoint 2-api-front", "PortMapping free"],
    ]);
    await expect(print("--stack", "prod")).rejects.toThrow(
        "The host carries nothing of that. Its objects are of the stacks shop/dev.",
    );
    expect(program).not.toContain("PRIVATE KEY");
    expect(await project.pulumi("up", "--yes", "--skip-preview", "--stack", "test")).toMatch(/\+ 14 created\n/);
    expect(await kernel(host)).toEqual(before.kernel);
    expect(await manifest(host)).toContain('"project":"imported"');
    await project.pulumi("preview", "--expect-no-changes", "--refresh", "--stack", "test");
    await project.pulumi("up", "--yes", "--skip-preview", "--expect-no-changes", "--stack", "test");
    // Who had it before has nothing to change either.
    expect((await stack.refresh()).changes).toEqual({ same: 14 });
    await project.pulumi("destroy", "--yes", "--skip-preview", "--stack", "test");
    expect({ kernel: await kernel(host), manifest: await manifest(host) }).toEqual(before);
    expect((await stack.preview()).changes).toEqual({ same: 14 });
    await stack.destroy();
    expect(await snapshotHost(host)).toEqual(clean);
});

test("linuxnet import: what others made is used as the program says, and is as it was afterwards", async () => {
    await using lab = await createLab();
    const [host] = lab.hosts;
    await host.exec(`ip link add br-app type bridge; ip link set br-app addrgenmode none; ip link set br-app up; ip address add 10.5.0.1/24 dev br-app
        ip netns add box; ip link add veth-box type veth peer name eth0 netns box; ip link set veth-box addrgenmode none; ip link set veth-box master br-app up
        ip -n box link set eth0 addrgenmode none; ip -n box link set eth0 up; ip -n box address add 10.5.0.20/24 dev eth0; ip -n box route add default via 10.5.0.1
        ip netns add plain; ip link add docker0 type bridge; ip link set docker0 addrgenmode none; ip address add 172.17.0.1/16 dev docker0`);
    await expect.poll(async () => (await host.exec("ip -br link show br-app")).stdout).toMatch(/br-app +UP/);
    const before = await snapshotHost(host);
    const inside = () =>
        host.exec("ip -n box -j addr; ip -n box -j route show table all; ip -n box -j rule; ip -n plain -j addr");
    const boxBefore = await inside();
    const { project, program } = await importProject(host);
    await using _project = project;
    expect(program).toContain("// docker0 is of Docker.");
    expect(await project.pulumi("up", "--yes", "--skip-preview", "--stack", "test")).toMatch(/\+ 6 created\n/);
    await project.pulumi("preview", "--expect-no-changes", "--refresh", "--stack", "test");
    expect((await host.exec("nft list set bridge linuxnet endpoints")).stdout).toContain("veth-box");
    await project.pulumi("destroy", "--yes", "--skip-preview", "--stack", "test");
    expect(await snapshotHost(host)).toEqual(before);
    expect(await inside()).toEqual(boxBefore);
});

test("retainOnDelete: what a stack leaves is taken up by its own program, or adopted by another", async () => {
    await using lab = await createLab();
    const [host] = lab.hosts;
    const clean = await snapshotHost(host);
    const program = (name: string, args: object, options: object) => () => {
        const edge = new linuxnet.Host("edge", { connection: host.connection });
        const front = new linuxnet.Network(`${name}front`, { host: edge, subnet: "172.20.0.0/24", ...args }, options);
        const web = new linuxnet.Sandbox(`${name}web`, { host: edge, name: "web", ...args }, options);
        new linuxnet.Endpoint(`${name}web-front`, { sandbox: web, network: front, ...args }, options);
    };
    const options = { projectName: "shop", stackName: "dev" };
    await using dev = await lab.up(program("", {}, { retainOnDelete: true }), options);
    const made = await kernel(host);
    await dev.destroy();
    expect(await kernel(host)).toEqual(made);
    // Its own: no adopt.
    await dev.update();
    expect(await kernel(host)).toEqual(made);
    await dev.destroy();
    await using other = await lab.up(program("our-", { adopt: true }, {}), { ...options, stackName: "prod" });
    expect(await kernel(host)).toEqual(made);
    expect((await other.preview()).changes).toEqual({ same: 5 });
    await expect(dev.update(program("their-", {}, {}))).rejects.toThrow(
        /overlaps 172\.20\.0\.0\/24 of network "our-front" of .*prod\. Choose another subnet\. To take over what is there set adopt: true\./,
    );
    // Without adopt it is its own, and goes with it.
    expect((await other.update(program("our-", {}, {}))).changes).toEqual({ same: 2, update: 3 });
    await other.destroy();
    await dev.destroy();
    expect(await snapshotHost(host)).toEqual(clean);
});
