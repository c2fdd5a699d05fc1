import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { execa } from "execa";
import { afterAll, beforeAll, expect, test } from "vitest";
import { createLab, type HostSnapshot, type Lab, type LabHost, snapshotHost } from "../../lab/index.js";
import { watchProcesses } from "./process-watch.js";
import { makeScript, type Project } from "./project.js";

const program = `
for (const [name, connection] of Object.entries(values.connections)) {
    const host = new linuxnet.Host(name, { connection });
    // This machine itself is looked at only.
    if (name === "here" || values.isWrong) continue;
    const labels = { version: values.version };
    const front = new linuxnet.Network(name + "-front", { host, subnet: "172.20.0.0/24", labels });
    const web = new linuxnet.Sandbox(name + "-web", { host, labels });
    new linuxnet.PortMapping(name + "-http", { target: web.connect(front), hostPort: 8080, targetPort: 80, labels });
}
`;

const sudoPassword = "SudoPassword4711aZ";
const passphrase = "PassphraseOfTheKey0815bY";
const wrongPassword = "WrongSudoPassword1234cX";
const wrongPassphrase = "WrongPassphrase5678dW";
const folder = mkdtempSync(join(tmpdir(), "linuxnet-test-"));

let lab: Lab;
let hosts: readonly [LabHost, LabHost];
let before: HostSnapshot[];
/** The same key, for ssh2 and for openssh, which takes no passphrase. */
let keys: { readonly encrypted: string; readonly plain: string };

beforeAll(async () => {
    lab = await createLab({ hosts: 2 });
    hosts = lab.hosts as [LabHost, LabHost];
    const path = join(folder, "key");
    await execa("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-f", path]);
    const plain = readFileSync(path, "utf8");
    await execa("ssh-keygen", ["-q", "-p", "-N", passphrase, "-f", path]);
    keys = { encrypted: readFileSync(path, "utf8"), plain };
    const hash = (await execa("openssl", ["passwd", "-6", "-stdin"], { input: sudoPassword })).stdout;
    for (const host of hosts)
        await host.exec(
            `useradd -m -d /run/home-deploy -s /bin/sh -p '${hash}' deploy
            cat >/etc/ssh/authorized_keys/deploy
            printf 'Defaults logfile=/run/lab/logs/sudo\\ndeploy ALL=(ALL) ALL\\n' >/etc/sudoers.d/deploy; chmod 440 /etc/sudoers.d/deploy
            mkdir /run/lab/logs
            sed 's/^LogLevel.*/LogLevel DEBUG3/' /etc/ssh/sshd_config >/run/loud.conf
            /usr/sbin/sshd -p 2222 -f /run/loud.conf -E /run/lab/logs/sshd`,
            { stdin: readFileSync(`${path}.pub`, "utf8") },
        );
    before = await Promise.all(hosts.map(snapshotHost));
});

afterAll(async () => {
    rmSync(folder, { recursive: true });
    await lab[Symbol.asyncDispose]();
});

const body = (key: string) =>
    key
        .trim()
        .split("\n")
        .slice(1, -1)
        // The first lines of the encoding are the same in every key.
        .slice(2);

/** What must be nowhere: the passwords, also in base64, and each distinctive line of the keys. */
function secrets(): string[] {
    const words = [sudoPassword, passphrase, wrongPassword, wrongPassphrase];
    const encoded = words.map((word) => Buffer.from(word).toString("base64").slice(0, -4));
    return [...words, ...encoded, ...body(keys.encrypted), ...body(keys.plain)];
}

const secretsIn = (text: string) => secrets().filter((secret) => text.includes(secret));

/** All files below a folder, but those that the test itself wrote. */
function filesBelow(root: string): string[] {
    return readdirSync(root, { recursive: true, withFileTypes: true })
        .filter((entry) => entry.isFile() && entry.name !== "values.json")
        .map((entry) => join(entry.parentPath, entry.name));
}

function connections(isWrong: boolean, version: string) {
    const login = (host: LabHost) => ({
        host: host.address,
        port: 2222,
        user: "deploy",
        hostKey: host.connection.hostKey,
    });
    const password = isWrong ? wrongPassword : sudoPassword;
    const [edge, far] = hosts;
    const encrypted = { privateKey: keys.encrypted, privateKeyPassword: passphrase };
    const keepAliveMs = version === "1" ? 10_000 : 11_000;
    return {
        edge: { ...login(edge), ...encrypted, sudo: { password }, keepAliveMs },
        far: { ...login(far), transport: "openssh", privateKey: keys.plain, sudo: { password }, keepAliveMs },
        here: { transport: "local", sudo: { password }, keepAliveMs },
        ...(isWrong ? { guess: { ...login(edge), ...encrypted, privateKeyPassword: wrongPassphrase } } : {}),
    };
}

const write = (project: Project, isWrong: boolean, version: string) =>
    writeFileSync(
        join(project.folder, "values.json"),
        JSON.stringify({ isWrong, version, connections: connections(isWrong, version) }),
        { mode: 0o600 },
    );

/** Processes that carry words in their arguments and environment for a moment, here and on a host. */
async function showDecoys(): Promise<void> {
    const here = execa("sh", ["-c", "sleep 0.3", "decoy-here"], { env: { DECOY: "decoy-environment" } });
    const there = hosts[0].exec(["sh", "-c", "sleep 0.3; exit 0", "decoy-there"]);
    await Promise.all([here, there]);
}

test("secrets: keys, passwords and passphrases are in no state, output, log, argument or environment, over all three transports", async () => {
    const temporary = mkdtempSync(join(folder, "tmp-"));
    await using project = await makeScript(program, {}, { environment: { TMPDIR: temporary } });
    const watch = await watchProcesses([...secrets(), "decoy-here", "decoy-environment", "decoy-there"]);
    const said: string[] = [];
    const pulumi = async (...args: string[]) => {
        const [output] = await Promise.all([project.pulumi(...args, "--stack", "test"), showDecoys()]);
        said.push(output);
        return output;
    };

    write(project, true, "1");
    const failing = project.start("up", "--yes", "--skip-preview", "--stack", "test", "--continue-on-error");
    expect(await failing.ended).not.toBe(0);
    said.push(failing.output());
    expect(
        failing.output().match(/sudo did not accept the password\. Correct connection\.sudo\.password\./g)?.length,
    ).toBeGreaterThan(1);
    expect(failing.output()).toContain("could not be decrypted. Correct connection.privateKeyPassword.");

    write(project, false, "1");
    await pulumi("up", "--yes", "--diff");
    write(project, false, "2");
    expect(await pulumi("preview", "--diff")).toContain("[secret]");
    await pulumi("up", "--yes", "--skip-preview", "--diff", "--show-reads", "--show-sames", "--suppress-progress");
    await pulumi("refresh", "--yes", "--diff", "--skip-preview");
    await pulumi("stack", "output", "--json");
    const state = await pulumi("stack", "export");
    await pulumi("stack", "history", "--json");
    const clear = await project.exportState("--show-secrets");
    const onHosts = await Promise.all(
        hosts.map((host) =>
            host.exec(
                "grep -rlFf /dev/stdin /run/lab/logs /run/linuxnet /var/lib/linuxnet /var/log /tmp /run/home-deploy /run/lab/home; :",
                {
                    stdin: `${secrets().join("\n")}\n`,
                },
            ),
        ),
    );
    const logs = (await Promise.all(hosts.map((host) => host.exec("cat /run/lab/logs/*")))).map(({ stdout }) => stdout);
    await pulumi("destroy", "--yes", "--diff");
    expect(await Promise.all(hosts.map(snapshotHost))).toEqual(before);
    const watched = await watch.stop();

    // What is looked for is there to be found, and the looking works.
    const history = filesBelow(join(project.folder, "..", "state"));
    console.log(
        `secrets: ${watched.passes} looks at all processes; ${history.length} state files; ${said.length} outputs; ${watched.programs.length} programs`,
    );
    expect(secretsIn(JSON.stringify(connections(false, "1")) + JSON.stringify(connections(true, "1"))).length).toBe(
        secrets().length - 4,
    );
    expect(secretsIn(clear.replaceAll("\\\\n", "\n"))).toEqual(
        expect.arrayContaining([sudoPassword, passphrase, ...body(keys.plain)]),
    );
    expect(watched.found).toEqual(["argument: decoy-here", "argument: decoy-there", "environment: decoy-environment"]);
    expect(watched.programs).toEqual(expect.arrayContaining(["ssh", "sudo", "pulumi"]));
    expect(logs.join()).toMatch(/Accepted publickey for deploy[\s\S]*COMMAND=/);
    expect(history.some((path) => path.includes("history"))).toBe(true);

    expect(secretsIn(state)).toEqual([]);
    expect(secretsIn(said.join("\n"))).toEqual([]);
    expect(secretsIn(logs.join("\n"))).toEqual([]);
    expect(onHosts.map(({ stdout }) => stdout)).toEqual(["", ""]);
    const leaks = [...filesBelow(join(project.folder, "..")), ...filesBelow(temporary)].filter(
        (path) => secretsIn(readFileSync(path, "latin1")).length > 0,
    );
    expect(leaks).toEqual([]);
});
