import { Host, type HostArgs, OverlayNetwork, Sandbox } from "pulumi-linuxnet";
import { expect, test } from "vitest";
import { createLab, type LabHost } from "../../lab/index.js";

/**
 * A segment over the named hosts, with a sandbox on each.
 * @param args of each Host
 */
function layOut(
    hosts: Readonly<Record<string, LabHost>>,
    names: readonly string[],
    vni = 42,
    args: (host: LabHost | undefined) => Partial<HostArgs> = () => ({}),
) {
    const made = names.map((name) => {
        const connection = hosts[name]?.connection ?? { host: "nobody" };
        return new Host(name, { connection, ...args(hosts[name]) });
    });
    const mesh = new OverlayNetwork("mesh", { hosts: made, subnet: "10.64.0.0/16", vni });
    const addresses = made.map((host, i) => {
        const endpoint = new Sandbox(`app-${names[i]}`, { host }).connect(mesh);
        return [names[i] ?? "", endpoint.address] as const;
    });
    return Object.fromEntries(addresses);
}

test("overlay network: whichever host comes or goes, the preview knows it and nobody else's address moves; over IPv6 too", async () => {
    await using lab = await createLab({ hosts: 3 });
    const [a, b, c] = lab.hosts as [LabHost, LabHost, LabHost];
    const hosts = { a, b, c };
    const lay = (...names: readonly string[]) =>
        layOut(hosts, names, 42, (host) => (host === undefined ? {} : { underlayAddress: host.ipv6Address }));
    await using stack = await lab.up(() => lay("a", "b"));
    expect(stack.outputs).toEqual({ a: "10.64.0.2", b: "10.64.1.0" });
    const { stdout } = await a.exec("bridge -json fdb");
    expect(JSON.parse(stdout).flatMap(({ dst = [] }) => dst)).toEqual([b.ipv6Address]);
    // In front of the others.
    const more = () => lay("c", "a", "b");
    const plan = await stack.preview(more);
    expect(plan.changes).toMatchObject({ create: 5, update: 3 });
    expect((await stack.update(more)).changes).toEqual(plan.changes);
    expect(stack.outputs).toEqual({ a: "10.64.0.2", b: "10.64.1.0", c: "10.64.2.0" });
    expect((await stack.preview(more)).changes).toEqual({ same: 18 });
    const fewer = () => lay("c", "b");
    expect((await stack.update(fewer)).changes).toMatchObject({ delete: 5, update: 3 });
    expect(stack.outputs).toEqual({ b: "10.64.1.0", c: "10.64.2.0" });
});

test("overlay network: a host that is down is named, the others are applied, and the next up completes", async () => {
    await using lab = await createLab({ hosts: 3 });
    const [a, b, c] = lab.hosts as [LabHost, LabHost, LabHost];
    const lay = (vni?: number) => () => layOut({ a, b, c }, ["a", "b", "c"], vni);
    const vnis = async () => {
        const shown = await Promise.all(lab.hosts.map((host) => host.exec("ip -d -j link show type vxlan")));
        return shown.map(({ stdout }) => JSON.parse(stdout)[0].linkinfo.info_data.id);
    };
    await using stack = await lab.up(lay(), { environment: { PULUMI_CONTINUE_ON_ERROR: "true" } });
    expect(await vnis()).toEqual([42, 42, 42]);
    const closed =
        "chain in { type filter hook input priority -300; tcp dport 22 ct state new reject with tcp reset; }";
    await c.exec("nft -f -", { stdin: `table inet down {\n${closed}\n}\n` });
    await expect(stack.update(lay(43))).rejects.toThrow(
        `OverlayTunnel "mesh-c" on ${c.connection.user}@${c.address}: `,
    );
    expect(await vnis()).toEqual([43, 43, 42]);
    await c.exec("nft delete table inet down");
    expect((await stack.update()).changes).toMatchObject({ update: 1 });
    expect(await vnis()).toEqual([43, 43, 43]);
});

test("overlay network: of IPv6 alone, whose endpoints reach each other by name", async () => {
    await using lab = await createLab({ hosts: 2 });
    const program = () => {
        const made = lab.hosts.map(({ connection }, i) => new Host(`h${i}`, { connection }));
        const mesh = new OverlayNetwork("mesh", { hosts: made, ipv4: false, subnet: "FD00:64::/48", vni: 64 });
        const apps = made.map((host, i) => new Sandbox(`app-${i}`, { host }).connect(mesh));
        return { addresses: apps.map(({ address }) => address) };
    };
    await using stack = await lab.up(program);
    expect(stack.outputs.addresses).toEqual(["fd00:64::2", "fd00:64:0:1::"]);
    const asked = "getent ahostsv6 app-1 | head -n1; ping -6 -c1 -W5 app-1 >/dev/null && echo reply";
    const { stdout } = await lab.hosts[0].exec(asked, { sandbox: "app-0" });
    expect(stdout.split("\n")).toEqual([expect.stringMatching(/^fd00:64:0:1:: /), "reply"]);
    expect((await stack.preview()).changes).toEqual({ same: 13 });
});
