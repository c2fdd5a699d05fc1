import { expect, test } from "vitest";
import { type HostSnapshot, snapshotHost } from "../../lab/index.js";
import { openStack, type Resource, type Stack } from "./driver.js";
import { layTestBed } from "./test-bed.js";
import { ask } from "./traffic.js";

const bed = layTestBed();

/** All of the kernel; the manifest's files say whose the objects are. */
async function kernel(): Promise<Omit<HostSnapshot, "files">> {
    const { files: _, ...rest } = await snapshotHost(bed.host);
    return rest;
}

/** One of each kind, with no argument at its default. */
async function layOut(stack: Stack, adopt: boolean, names = { web: "web", prefix: "" }) {
    const name = (text: string) => `${names.prefix}${text}`;
    const front = await stack.network(name("front"), {
        ...{ subnet: "172.20.0.0/24", mtu: 1400, internal: false, masquerade: false, attachable: true, adopt },
        ...{ gateway: "172.20.0.9", reserved: ["172.20.0.77"], ipRange: "172.20.0.0/25" },
        dns: { domain: "lab" },
    });
    const web = await stack.sandbox(name("web"), {
        ...{ name: names.web, sysctls: { "net.ipv4.ip_default_ttl": "60" }, adopt },
    });
    const webFront = await stack.endpoint(name("web-front"), {
        ...{ sandbox: web, network: front, interfaceName: "eth7", macAddress: "02:00:00:00:00:07", adopt },
        gatewayPriority: 5,
    });
    const http = await stack.portMapping(name("http"), {
        ...{ target: webFront, hostPort: "8080-8081", targetPort: "80-81", protocol: ["tcp", "udp"], adopt },
    });
    const closed = await stack.firewallPolicy(name("closed"), {
        ...{
            target: [webFront, web],
            ingress: [{ action: "allow", from: [front, "198.18.0.0/15"], ports: [80] }],
            adopt,
        },
        ...{ defaultAction: "reject", priority: 3 },
    });
    const peers = [{ underlayAddress: "198.18.255.254", ipRange: "172.20.0.128/28" }];
    const far = await stack.overlayTunnel(name("far"), { network: front, vni: 7, peers, mtu: 1300, adopt });
    return [front, web, webFront, http, closed, far] as const;
}

test("adopt: another stack takes over one of each kind without a change in the kernel, and gives it back", async () => {
    await using dev = await openStack(bed.host, { name: "dev" });
    const made = await layOut(dev, false);
    const manifest = async () => (await bed.host.exec("cat /var/lib/linuxnet/objects/*.json")).stdout;
    const before = [await kernel(), await manifest()];
    {
        await using prod = await openStack(bed.host, { name: "prod" });
        const adopted = await layOut(prod, true, { web: "web", prefix: "our-" });
        expect(await kernel()).toEqual(before[0]);
        for (const resource of [...made, ...adopted]) expect(await resource.refresh()).toEqual([]);
        expect(await kernel()).toEqual(before[0]);
        await expect(made[0].update({ mtu: 1350 })).rejects.toThrow(
            'network "our-front" of stack test/prod has adopted it. Change it there, or remove it here or there.',
        );
        await made[0].update({ mtu: 1400 }).catch(() => undefined);
        // The new owner may change it.
        expect(await adopted[2].update({ ipv4Address: "172.20.0.30" })).toBe("update");
        expect(await kernel()).not.toEqual(before[0]);
    }
    expect([await kernel(), await manifest()]).toEqual(before);
    for (const resource of made) expect(await resource.refresh()).toEqual([]);
});

test("adopt: who was adopted from only gives up the claim to have it back", async () => {
    await using dev = await openStack(bed.host, { name: "dev" });
    await using prod = await openStack(bed.host, { name: "prod" });
    await layOut(dev, false);
    const before = await kernel();
    const adopted = await layOut(prod, true);
    await dev.destroyAll();
    expect(await kernel()).toEqual(before);
    for (const resource of adopted) expect(await resource.refresh()).toEqual([]);
    await adopted[5].delete();
    expect((await bed.host.exec("ip -br link")).stdout).not.toMatch(/^lt/m);
});

test("adopt: what was taken out of the program without a delete comes back with it, under any name", async () => {
    await using dev = await openStack(bed.host, { name: "dev" });
    const made = await layOut(dev, false);
    const before = await kernel();
    for (const resource of [...made].reverse()) resource.forget();
    // The same names are its own, others are adopted.
    for (const resource of await layOut(dev, false)) resource.forget();
    expect(await kernel()).toEqual(before);
    const again = await layOut(dev, true, { web: "web", prefix: "new-" });
    expect(await kernel()).toEqual(before);
    // Without adopt it is the stack's own.
    for (const resource of again) expect(await resource.update({ adopt: undefined })).toBe("update");
    expect(await kernel()).toEqual(before);
});

test("adopt: a name that another resource has become free of is no claim to its object", async () => {
    await using dev = await openStack(bed.host, { name: "dev" });
    await using prod = await openStack(bed.host, { name: "prod" });
    const made = await layOut(dev, false);
    await layOut(prod, true);
    for (const resource of [...made].reverse()) resource.forget();
    await expect(dev.network("front", { subnet: "172.20.0.0/24" })).rejects.toThrow(
        'subnet 172.20.0.0/24 overlaps 172.20.0.0/24 of network "front" of stack test/prod. Choose another subnet. To take over what is there set adopt: true.',
    );
    await using other = await dev.network("front", { subnet: "172.21.0.0/24" });
    await using box = await dev.sandbox("web", { name: "second" });
    await using joined = await dev.endpoint("web-front", { sandbox: box, network: other });
    const place = { machine: bed.host, sandbox: "second" };
    expect(await ask(place, "icmp 172.21.0.1")).toEqual({ "icmp 172.21.0.1": "reply" });
    expect(await joined.refresh()).toEqual([]);
});

test("adopt: an object that differs is refused with the differences, and nothing is touched", async () => {
    await using dev = await openStack(bed.host, { name: "dev" });
    await using prod = await openStack(bed.host, { name: "prod" });
    const [front, web, webFront] = await layOut(dev, false);
    const before = [await kernel(), await snapshotHost(bed.host)];
    const args = { subnet: "172.20.0.0/24", adopt: true };
    await expect(prod.network("front", { ...args, internal: true, gateway: "172.20.0.99" })).rejects.toThrow(
        /it cannot adopt network "front" of stack test\/dev: gateway is "172.20.0.9" there and "172.20.0.99" here; .*internal is false there and true here/,
    );
    const policy = { target: [webFront, web], adopt: true, defaultAction: "reject", priority: 3, ingress: [] };
    await expect(prod.firewallPolicy("closed", policy)).rejects.toThrow("ingress is [");
    await expect(prod.sandbox("box", { name: "web" })).rejects.toThrow(
        'the namespace name "web" is already used by sandbox "web" of stack test/dev. Choose another name. To take over what is there set adopt: true.',
    );
    expect([await kernel(), await snapshotHost(bed.host)]).toEqual(before);
    expect(front.outs.interfaceName).toMatch(/^ln/);
});

test("adopt: with nothing there it is made, and deleted with the resource", async () => {
    const before = await kernel();
    {
        await using dev = await openStack(bed.host, { name: "dev" });
        const made = await layOut(dev, true);
        for (const resource of made as readonly Resource[]) expect(await resource.refresh()).toEqual([]);
    }
    expect(await kernel()).toEqual(before);
});

test("adopt: deleting a Host gives back what a killed create had adopted, and keeps what is retained", async () => {
    await using dev = await openStack(bed.host, { name: "dev" });
    const made = await layOut(dev, false);
    const before = await kernel();
    const prod = await openStack(bed.host, { name: "prod" });
    for (const resource of [...(await layOut(prod, true))].reverse()) resource.forget();
    await prod.destroyAll();
    expect(await kernel()).toEqual(before);
    for (const resource of made) expect(await resource.refresh()).toEqual([]);
    await dev.destroyAll();

    const first = await openStack(bed.host, { name: "dev" });
    const kept = await first.network("kept", { subnet: "172.20.0.0/24", retainOnDelete: true });
    await first.network("killed", { subnet: "172.21.0.0/24" }).then((network) => network.forget());
    kept.forget();
    await first.destroyAll();
    const { stdout } = await bed.host.exec("ip -br -4 address");
    expect(stdout).toContain("172.20.0.1/24");
    expect(stdout).not.toContain("172.21.0.1/24");
    await using last = await openStack(bed.host, { name: "dev" });
    expect((await last.network("kept", { subnet: "172.20.0.0/24" })).outs.interfaceName).toBe(kept.outs.interfaceName);
});
