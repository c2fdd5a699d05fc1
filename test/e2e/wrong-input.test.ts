import * as linuxnet from "pulumi-linuxnet";
import { afterAll, beforeAll, expect, test } from "vitest";
import { createLab, type HostSnapshot, type Lab, type LabStack, snapshotHost } from "../../lab/index.js";

let lab: Lab<3>;
let stack: LabStack<object>;
let before: readonly HostSnapshot[];

/** What is up while wrong resources are added to it; host-3 has no nft. */
function base() {
    const [edge, far] = lab.hosts
        .slice(0, 2)
        .map(({ name, connection }) => new linuxnet.Host(name, { connection })) as [linuxnet.Host, linuxnet.Host];
    const front = new linuxnet.Network("front", { host: edge, subnet: "172.20.0.0/24" });
    const data = new linuxnet.Network("data", { host: edge, subnet: "172.22.0.0/24", internal: true });
    const web = new linuxnet.Sandbox("web", { host: edge });
    const distant = new linuxnet.Sandbox("distant", { host: far });
    const spare = [1, 2, 3, 4].map((number) => new linuxnet.Sandbox(`spare-${number}`, { host: edge }));
    const webFront = web.connect(front, { ipv4Address: "172.20.0.10" });
    const webData = web.connect(data);
    new linuxnet.PortMapping("http", { target: webFront, hostPort: 8080, targetPort: 80 });
    return { edge, far, front, data, web, distant, spare, webFront, webData };
}

beforeAll(async () => {
    lab = await createLab({ hosts: 3 });
    await lab.hosts[0].exec("ip netns add by-hand");
    await lab.hosts[2].exec('mount --bind /dev/null "$(command -v nft)"');
    const program = () => {
        base();
        return {};
    };
    stack = await lab.up(program, { environment: { PULUMI_CONTINUE_ON_ERROR: "true" } });
    before = await snapshots();
});

afterAll(async () => {
    await lab?.[Symbol.asyncDispose]();
});

/** All hosts, without the scratch files of the last transaction. */
async function snapshots(): Promise<readonly HostSnapshot[]> {
    const all = await Promise.all(lab.hosts.map(snapshotHost));
    return all.map((one) => ({ ...one, files: one.files.filter((file) => !file.startsWith("/run/linuxnet/")) }));
}

/** What `pulumi up` prints when the program has these resources too. */
async function refusalOf(add: (on: ReturnType<typeof base>) => void): Promise<string> {
    const failure = await stack
        .update(() => {
            add(base());
            return {};
        })
        .catch((error: Error) => error);
    if (!(failure instanceof Error)) throw new Error(`It was not refused:\n${failure.stdout}`);
    expect(await snapshots()).toEqual(before);
    // A problem is told in its own words, once, and not as a crash.
    expect(failure.message).not.toMatch(/^ +at .*:\d+:\d+\)?$/m);
    return failure.message.split(/^Diagnostics:$/m)[1]?.split(/^Resources:$/m)[0] ?? failure.message;
}

test("wrong input: what a host must be asked about is refused in create, each for its own reason", async () => {
    const [edge, far, bare] = lab.hosts;
    const text = await refusalOf(({ edge: host, front, web, webFront, webData }) => {
        const second = new linuxnet.Sandbox("second", { host, name: "by-hand" });
        new linuxnet.Network("overlap", { host, subnet: "172.20.0.128/25" });
        new linuxnet.Network("uplink", { host, subnet: edge.address.replace(/\d+$/, "0/25") });
        new linuxnet.Network("tiny", { host, subnet: "172.29.0.0/31" });
        new linuxnet.Network("gate", { host, subnet: "172.28.0.0/24", gateway: "172.29.0.1" });
        new linuxnet.Endpoint("twice", { sandbox: web, network: front });
        new linuxnet.PortMapping("port-twice", { target: webFront, hostPort: 8080, targetPort: 81 });
        new linuxnet.PortMapping("port-of-sshd", { target: webFront, hostPort: 22 });
        new linuxnet.PortMapping("internal", { target: webData, hostPort: 5432 });
        new linuxnet.Host("no-answer", { connection: { ...edge.connection, port: 1, waitMs: 0 } });
        new linuxnet.Host("not-the-key", { connection: { ...edge.connection, hostKey: far.connection.hostKey } });
        new linuxnet.Host("no-nft", { connection: bare.connection });
        second.connect(front);
    });
    const on = `on root@${edge.address}`;
    for (const line of [
        `Sandbox "second" ${on}: network namespace "by-hand" exists on the host already and is not of this provider. Choose another name, join it with namespace: "by-hand", or take it over with adopt: true.`,
        `Network "overlap" ${on}: subnet 172.20.0.128/25 overlaps 172.20.0.0/24 of network "front" of stack lab/test. Choose another subnet.`,
        `of the host's interface eth0. Choose another subnet.`,
        `Network "tiny" ${on}: subnet 172.29.0.0/31 has no room for endpoints. Use /30 or larger.`,
        `Network "gate" ${on}: gateway 172.29.0.1 is outside subnet 172.28.0.0/24. Choose one inside.`,
        `Endpoint "twice" ${on}: sandbox "web-`,
        `PortMapping "port-twice" ${on}: host port 8080/tcp is already published by port mapping "http" of stack lab/test. Choose another hostPort, or leave it out.`,
        `PortMapping "port-of-sshd" ${on}: host port 22/tcp is in use by sshd (pid `,
        `PortMapping "internal" ${on}: target is on network "data", which is internal: nothing from outside reaches it.`,
        `Host "no-answer" ${on}:1: port 1 refuses connections. Check that sshd runs there, and connection.port.`,
        `Host "not-the-key" ${on}: the host key is not the one in connection.hostKey. The host shows ssh-ed25519 SHA256:`,
        `Host "no-nft" on root@${bare.address}: the host has no nft. Install it there: apt-get install nftables`,
    ]) {
        expect(text).toContain(line);
    }
});

test("wrong input: an address is refused when it is outside its subnet, taken, or the gateway", async () => {
    const [edge] = lab.hosts;
    const wrong = ["172.21.0.5", "172.20.0.10", "172.20.0.1", "172.20.0.255"];
    const text = await refusalOf(({ front, spare }) => {
        for (const [index, ipv4Address] of wrong.entries()) spare[index]?.connect(front, { ipv4Address });
    });
    const instead = "Choose another ipv4Address, or leave it out.";
    const of = `on root@${edge.address}: address`;
    expect(text).toContain(
        `Endpoint "spare-1-front" ${of} 172.21.0.5 is outside subnet 172.20.0.0/24 of network "front". ${instead}`,
    );
    expect(text).toContain(
        `Endpoint "spare-2-front" ${of} 172.20.0.10 is already used by endpoint "web-front" of stack lab/test. ${instead}`,
    );
    expect(text).toContain(`Endpoint "spare-3-front" ${of} 172.20.0.1 is the gateway of network "front". ${instead}`);
    expect(text).toContain(`Endpoint "spare-4-front" ${of} 172.20.0.255 is the first or last of 172.20.0.0/24`);
});

test.each<[string, (on: ReturnType<typeof base>) => void, readonly string[]]>([
    [
        "a name that is a command",
        ({ edge: host }) => new linuxnet.Sandbox("shell", { host, name: "$(id)" }),
        ['Sandbox "shell": name: "$(id)" is not a namespace name: up to 63 letters, digits, "-", "_" or "."'],
    ],
    [
        "everything that is wrong with one network",
        ({ edge: host }) => {
            const args = { host, subnet: "172.21.0/24", vlan: 7, ip_range: "172.21.0.0/25", internall: true };
            new linuxnet.Network("wrong", args as linuxnet.NetworkArgs);
        },
        [
            'Network "wrong": subnet: "172.21.0" is not an IPv4 address such as 172.20.0.10 (got "172.21.0/24").',
            'Network "wrong": vlan: is not supported yet. It belongs to the drivers "macvlan" and "ipvlan" (got 7).',
            'Network "wrong": ip_range: there is no such argument. Did you mean "ipRange"?',
            'Network "wrong": internall: there is no such argument. Did you mean "internal"?',
        ],
    ],
    [
        "an endpoint between two hosts",
        ({ distant, front }) => distant.connect(front),
        [
            'Endpoint "distant-front": sandbox and network are on different machines. An endpoint joins a sandbox and a ' +
                "network of one host; join hosts with an OverlayNetwork.",
        ],
    ],
    [
        "a connection, without showing its values",
        () => {
            const connection = { host: "192.0.2.1", privateKeyPath: "secret-path", sudo: "secret-word", hostKey: "x" };
            new linuxnet.Host("wrong", { connection: connection as object as linuxnet.ConnectionArgs });
        },
        [
            'Host "wrong": connection.privateKeyPath: there is no such argument. Did you mean "privateKeyFile"?',
            'Host "wrong": connection.sudo: true, false or { password } is expected',
            'Host "wrong": connection.hostKey[0]: must be a key such as "ssh-ed25519 AAAA..." or a fingerprint',
        ],
    ],
])("wrong input: check refuses %s", async (_name, add, lines) => {
    const text = await refusalOf(add);
    for (const line of lines) expect(text).toContain(line);
    expect(text).not.toContain("secret-");
});

test("wrong input: what looks like a command is a text, where any text is allowed", async () => {
    const [edge] = lab.hosts;
    const text = `$(>/run/ran) \`>/run/ran\` '; >/run/ran; " \\ \n# {} @@ done`;
    await stack.update(() => {
        const { edge: host } = base();
        const labels = { text, [text]: "value" };
        new linuxnet.Network(text.replace("\n", ""), { host, subnet: "172.24.0.0/24", labels });
        new linuxnet.Network("named", { host, subnet: "172.25.0.0/24", name: text });
        new linuxnet.Sandbox("labelled", { host, labels });
        return {};
    });
    expect((await edge.exec("ls /run/ran", { check: false })).exitCode).toBe(2);
    await stack.update(() => {
        base();
        return {};
    });
    expect(await snapshots()).toEqual(before);
});
