import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { createLab } from "../../lab/index.js";
import { generateKeyPair } from "../../lab/key-pair.js";
import { makeScript, type Project } from "./project.js";

const program = `
const { triggers, deleteUnreachable } = values;
const host = new linuxnet.Host("edge", { connection: values.connection, triggers, deleteUnreachable });
const labels = values.labels || {};
const front = new linuxnet.Network("front", { host, subnet: "172.20.0.0/24" });
const web = new linuxnet.Sandbox("web", { host });
const endpoint = web.connect(front);
new linuxnet.PortMapping("http", { target: endpoint, hostPort: 8080, targetPort: 80, labels });
new linuxnet.FirewallPolicy("access", { target: endpoint, ingress: [{ action: "allow" }], labels });
new linuxnet.OverlayTunnel("segment", { network: front, vni: 42, labels });
module.exports = { id: host.id };
`;
const resources = ["Host", "Network", "Sandbox", "Endpoint", "PortMapping", "FirewallPolicy", "OverlayTunnel"];

const options = ["--yes", "--skip-preview", "--stack", "test"];
const change = (project: Project, values: object) =>
    writeFileSync(join(project.folder, "values.json"), JSON.stringify(values));

/** What it printed, of a run that has to fail. */
async function failure(project: Project, ...args: readonly string[]): Promise<string> {
    const run = project.start(...args, ...options);
    expect(await run.ended).not.toBe(0);
    return run.output();
}

test("machines: another one is refused by every kind, takes the place by triggers, and may be gone", async () => {
    await using lab = await createLab({ hosts: 2 });
    const [first, second] = lab.hosts;
    const { connection } = first;
    await using project = await makeScript(program, { connection });
    const objects = async (host: typeof first) =>
        (await host.exec("ls /var/lib/linuxnet/objects 2>/dev/null | grep -c 'json$'", { check: false })).stdout;
    await project.pulumi("up", ...options);
    expect(await objects(first)).toBe("7");

    // Another machine behind the address: named with both ids by read, update and delete of each kind, and not touched.
    const other = "0123456789abcdef0123456789abcdef";
    await first.exec(`cp -p /etc/machine-id /root/machine-id; echo ${other} >/etc/machine-id`);
    change(project, { connection, labels: { a: "1" } });
    const both = `another machine answers: its machine id is ${other}, not ${first.machineId}.`;
    for (const command of ["refresh", "up", "destroy"]) {
        const words = await failure(project, command, ...(command === "refresh" ? [] : ["--continue-on-error"]));
        // What others hang on is not asked once those have failed.
        const asked = command === "refresh" ? resources : resources.slice(4);
        for (const kind of asked)
            expect(words, `${command} ${kind}`).toMatch(new RegExp(`${kind} "[a-z-]+" on .*${both}`));
    }
    await first.exec("cp -p /root/machine-id /etc/machine-id; rm /root/machine-id");
    expect(await objects(first)).toBe("7");

    // It takes the place of the first one: everything is made anew, and nothing is deleted over the old connection.
    const moved = { connection: second.connection, triggers: ["second"] };
    change(project, moved);
    expect(await project.pulumi("up", ...options)).toMatch(/\+-7 replaced/);
    expect([await objects(first), await objects(second)]).toEqual(["7", "7"]);
    await project.pulumi("preview", "--expect-no-changes", "--stack", "test");

    // One that does not answer: an error that tells what to do. To say that it may be gone runs nothing on it.
    const vanish = () =>
        second.exec("nft -f -", {
            stdin: `table inet gone { counter dials { }; chain in { type filter hook input priority -400;
                tcp dport 22 tcp flags syn counter name dials reject with tcp reset; }; }`,
        });
    await vanish();
    expect(await failure(project, "destroy")).toContain(
        "If the machine is gone for good, delete with LINUXNET_DELETE_UNREACHABLE=true",
    );
    change(project, { ...moved, deleteUnreachable: true });
    expect(await project.pulumi("up", ...options)).toMatch(/~ 7 updated/);

    // A machine that answers and lets nobody in is not gone, whoever says so.
    await second.exec("nft delete table inet gone; mv /etc/ssh/authorized_keys/root /root/keys");
    expect(await failure(project, "destroy")).toContain("no credential was accepted");

    // With the word given: one dial for all, a warning, and an empty state.
    await vanish();
    const destroyed = await project.pulumi("destroy", ...options);
    expect(destroyed).toContain("warning: root@");
    expect(destroyed).toContain("taken for gone (deleteUnreachable): what it carries is forgotten, not deleted.");
    expect((await second.exec("nft list counter inet gone dials")).stdout).toMatch(/packets 1 /);
    expect(JSON.parse(await project.exportState()).deployment.resources ?? []).toEqual([]);
});

test("machines: credentials of stack configuration rotate without a diff line, for refresh and destroy too", async () => {
    await using lab = await createLab();
    const [host] = lab.hosts;
    const { privateKey, ...connection } = host.connection;
    await using project = await makeScript(program, { connection });
    const set = (key: string) =>
        project.pulumi(
            "config",
            "set-all",
            "--path",
            "--secret",
            `linuxnet:hosts.edge.privateKey=${key}`,
            "--stack",
            "test",
        );
    await set(privateKey);
    await project.pulumi("up", ...options);
    const rotated = generateKeyPair();
    await host.exec("cat >/etc/ssh/authorized_keys/root", { stdin: `${rotated.public}\n` });
    expect(await failure(project, "refresh")).toContain("no credential was accepted");
    await set(rotated.private);
    await project.pulumi("preview", "--expect-no-changes", "--stack", "test");
    await project.pulumi("refresh", "--run-program", "--expect-no-changes", ...options);
    const state = await project.exportState();
    for (const key of [privateKey, rotated.private]) expect(state).not.toContain(key.split("\n")[2]);
    await project.pulumi("destroy", "--run-program", ...options);
});
