import { expect, test } from "vitest";
import { createLab } from "../../lab/index.js";
import { startDocker } from "./dockerd.js";
import { openStack, type Resource, reconnect } from "./driver.js";
import { ask, type Place, run, serve } from "./traffic.js";

/** What a user of Docker types once for traffic of other programs; Docker keeps this chain. */
const allow = "iptables -I DOCKER-USER -o ln+ -j ACCEPT; iptables -I DOCKER-USER -i ln+ -o eth0 -j ACCEPT";

/** The Host writes the same by itself; a Docker that came later is found when connecting. */
async function cooperate(host: Resource<"host">): Promise<void> {
    await reconnect();
    await host.update({ cooperate: true });
}

async function addressOf(place: Place): Promise<string> {
    const address = await run(place, "ip -4 -o address show dev eth0");
    return /inet ([\d.]+)/.exec(address)?.[1] ?? "";
}

test.each([
    ["before", "Docker"],
    ["after", "Docker"],
])("docker: started %s us, its containers and our sandboxes all answer, also after restarts", async (order) => {
    await using lab = await createLab({ hosts: 1 });
    const [host] = lab.hosts;
    const client = { machine: lab.client() };
    await using _client = await serve(client, "client", "tcp:7000");
    // As on a host that nobody made a router.
    await host.exec("sysctl -qw net.ipv4.ip_forward=0");
    const early = order === "before" ? await startDocker(host) : undefined;
    await reconnect();
    await using stack = await openStack(host);
    const front = await stack.network("front", { subnet: "172.20.0.0/24" });
    const web = await stack.join("web", front);
    await stack.portMapping("http", { target: web.endpoint, hostPort: 8080, targetPort: 80 });
    await using _server = await serve(web.place, "web", "tcp:80");
    await using docker = early ?? (await startDocker(host));

    const questions = {
        client: `tcp ${client.machine.address}:7000`,
        container: `tcp ${host.address}:9000`,
        sandbox: `tcp ${host.address}:8080`,
    };
    /** Who answers: each asks the others by the host's ports, and the client outside. */
    const from = async (place: Place, ...asked: (keyof typeof questions)[]) => {
        const answers = await ask(place, ...asked.map((name) => questions[name]));
        return asked.map((name) => answers[questions[name]]?.split(" ")[0]).join(" ");
    };
    const all = async () => ({
        outside: await from(client, "container", "sandbox"),
        host: await from({ machine: host }, "client", "container", "sandbox"),
        container: await from(docker.container, "client", "sandbox"),
        sandbox: await from(web.place, "client", "container", "sandbox"),
    });
    const everybody = {
        outside: "docker web",
        host: "client docker web",
        container: "client web",
        sandbox: "client docker web",
    };

    // Its containers miss nothing; it drops what it does not know.
    expect(await all()).toEqual({ ...everybody, outside: "docker nothing", sandbox: "nothing docker nothing" });
    const without = await docker.rules();
    await (order === "before" ? host.exec(allow) : cooperate(stack.host));
    expect(await all()).toEqual(everybody);
    // A port that the container does not publish.
    await using _unpublished = await serve(docker.container, "container", "tcp:81");
    const closed = `tcp ${await addressOf(docker.container)}:81`;
    expect(await ask({ machine: host }, closed)).toEqual({ [closed]: expect.stringMatching(/^container to /) });
    expect(await ask(web.place, closed)).toEqual({ [closed]: "nothing" });
    if (order === "after") {
        // As at boot, where the restore script comes before Docker.
        await docker.restart("iptables -F; iptables -X; sh /var/lib/linuxnet/restore");
        expect(await all()).toEqual(everybody);
    }
    const rules = await docker.rules();
    await docker.restart();
    expect(await all()).toEqual(everybody);
    await host.exec("sh /var/lib/linuxnet/restore");
    expect(await all()).toEqual(everybody);
    expect(await docker.rules()).toBe(rules);
    await stack.destroyAll();
    const inOrder = (text: string) => text.split("\n").sort();
    expect(inOrder(await docker.rules())).toEqual(inOrder(order === "before" ? rules : without));
    expect(await from(client, "container", "sandbox")).toBe("docker refused");
});

test("docker: what others route between uplinks that we opened passes once they made a router of the host", async () => {
    await using lab = await createLab({ hosts: 1 });
    const [host] = lab.hosts;
    const client = { machine: lab.client() };
    await host.exec(`sysctl -qw net.ipv4.ip_forward=0
        ip netns add beyond && ip link add far type veth peer name eth0 netns beyond && ip address add 10.9.0.1/24 dev far
        ip link set far up && ip -n beyond address add 10.9.0.2/24 dev eth0 && ip -n beyond link set eth0 up
        ip -n beyond link set lo up && ip -n beyond route add default via 10.9.0.1`);
    await client.machine.exec(`ip route add 10.9.0.0/24 via ${host.address}`);
    const beyond: Place = { machine: host, sandbox: "beyond" };
    await using _client = await serve(client, "client", "tcp:7000");
    await using _beyond = await serve(beyond, "beyond", "tcp:80");
    await reconnect();
    await using stack = await openStack(host);
    const back = async () => Object.values(await ask(beyond, `tcp ${client.machine.address}:7000`));
    const forth = async () => Object.values(await ask(client, "tcp 10.9.0.2:80"));
    await stack.network("front", { subnet: "172.20.0.0/24" });
    expect([await back(), await forth()]).toEqual([["nothing"], ["nothing"]]);
    await host.exec("sysctl -qw net.ipv4.ip_forward=1");
    await reconnect();
    await stack.network("back", { subnet: "172.21.0.0/24" });
    expect([await back(), await forth()]).toEqual([["client to 10.9.0.2"], [`beyond to ${client.machine.address}`]]);
    // The same is switched off again: only our networks are routed.
    await host.exec("sysctl -qw net.ipv4.ip_forward=0");
    await reconnect();
    await stack.network("data", { subnet: "172.22.0.0/24" });
    expect(await stack.host.refresh()).not.toEqual([]);
    await stack.host.update({});
    expect([await back(), await forth()]).toEqual([["nothing"], ["nothing"]]);
    await stack.destroyAll();
});
