import { expect, test } from "vitest";
import { setBridgeNetfilter } from "./bridge-netfilter.js";
import { openStack } from "./driver.js";
import { layTestBed } from "./test-bed.js";
import { answersTo, ask, inside, run, serve, talk } from "./traffic.js";

const bed = layTestBed();
const subnets = { front: "172.20.0.0/24", back: "172.21.0.0/24" };
const fromHost = () => ({ machine: bed.host });
const fromClient = () => ({ machine: bed.client });

test.each(["0", "1"] as const)(
    "port mapping: is reached from everywhere, with bridge-nf-call-iptables %s",
    async (value) => {
        await using _switches = await setBridgeNetfilter(bed.host, value);
        await using stack = await openStack(bed.host);
        const front = await stack.network("front", { subnet: subnets.front });
        const back = await stack.network("back", { subnet: subnets.back });
        const web = await stack.join("web", front);
        const api = await stack.join("api", front);
        const db = await stack.join("db", back);
        const target = { target: web.endpoint, targetPort: 80 };
        await stack.portMapping("http", { ...target, hostPort: 8080, protocol: ["tcp", "udp"] });
        await using _web = await serve(web.place, "web", "tcp:80", "udp:80");
        const at = (address: string, source: string) => ({
            [`tcp ${address}:8080`]: `web to ${source}`,
            [`udp ${address}:8080`]: `web to ${source}`,
        });
        const outside = at(bed.host.address, bed.client.address);
        // Hairpin, loopback and neighbours come by way of the gateway; all others keep their address.
        const host = { ...at(bed.host.address, bed.host.address), ...at("127.0.0.1", "172.20.0.1") };
        const itself = at(bed.host.address, "172.20.0.1");
        const neighbour = at(bed.host.address, "172.20.0.1");
        const elsewhere = at(bed.host.address, db.address);
        const answers = await Promise.all([
            answersTo(fromClient(), outside),
            answersTo(fromHost(), host),
            answersTo(web.place, itself),
            answersTo(api.place, neighbour),
            answersTo(db.place, elsewhere),
        ]);
        expect(answers).toEqual([outside, host, itself, neighbour, elsewhere]);
        await front.update({ isolateEndpoints: true });
        expect(await answersTo(api.place, neighbour)).toEqual(neighbour);
        const direct = { [`tcp ${web.address}:80`]: "nothing" };
        expect(await answersTo(api.place, direct)).toEqual(direct);
    },
);

test("port mapping: a sandbox reaches its own published port by each of its networks", async () => {
    await using stack = await openStack(bed.host);
    const front = await stack.network("front", { subnet: subnets.front });
    const back = await stack.network("back", { subnet: subnets.back });
    const web = await stack.join("web", front);
    const onBack = await stack.endpoint("web-back", { sandbox: web.sandbox, network: back, gatewayPriority: 10 });
    await stack.portMapping("http", { target: web.endpoint, hostPort: 8080, targetPort: 80, protocol: ["tcp", "udp"] });
    await using _web = await serve(web.place, "web", "tcp:80", `udp:80:${web.address}`);
    // The source becomes the gateway's: the sandbox drops what comes in with an address of its own.
    const expected = Object.fromEntries(
        [web.address, onBack.outs.address].flatMap((own) =>
            ["tcp", "udp"].map((protocol) => [`${protocol} ${bed.host.address}:8080 from ${own}`, "web to 172.20.0.1"]),
        ),
    );
    expect(await answersTo(web.place, expected)).toEqual(expected);
});

test("port mapping: a published sandbox is not reached by its own address from outside", async () => {
    await using stack = await openStack(bed.host);
    const front = await stack.network("front", { subnet: subnets.front });
    const web = await stack.join("web", front);
    await stack.portMapping("http", { target: web.endpoint, hostPort: 8080, targetPort: 80 });
    await stack.portMapping("same", { target: web.endpoint, hostPort: 80, targetPort: 80 });
    await using _web = await serve(web.place, "web", "tcp:80", "tcp:81", "udp:80");
    await using _route = await bed.routeOutside(subnets.front);
    const expected = {
        [`tcp ${web.address}:80`]: "nothing",
        [`tcp ${web.address}:8080`]: "nothing",
        [`tcp ${web.address}:81`]: "nothing",
        [`udp ${web.address}:80`]: "nothing",
        [`icmp ${web.address}`]: "nothing",
        [`tcp ${bed.host.address}:80`]: `web to ${bed.client.address}`,
        [`tcp ${bed.host.address}:81`]: "refused",
    };
    expect(await answersTo(fromClient(), expected)).toEqual(expected);
});

test("port mapping: on 127.0.0.1 it is for the host only", async () => {
    await using stack = await openStack(bed.host);
    const front = await stack.network("front", { subnet: subnets.front });
    const web = await stack.join("web", front);
    const api = await stack.join("api", front);
    await stack.portMapping("admin", {
        target: web.endpoint,
        hostPort: 9000,
        targetPort: 80,
        hostAddress: "127.0.0.1",
    });
    await using _web = await serve(web.place, "web", "tcp:80");
    await using _own = await serve(fromHost(), "own", "tcp:9001:127.0.0.1");
    const host = { "tcp 127.0.0.1:9000": "web to 172.20.0.1", [`tcp ${bed.host.address}:9000`]: "refused" };
    expect(await answersTo(fromHost(), host)).toEqual(host);
    // Machines that send packets for 127.0.0.0/8 over the wire: what a router would never carry.
    for (const { place, gateway, source } of [
        { place: fromClient(), gateway: bed.host.address, source: bed.client.address },
        { place: api.place, gateway: "172.20.0.1", source: api.address },
    ]) {
        const links = "for f in /proc/sys/net/ipv4/conf/*/route_localnet; do echo 1 >$f; done; ip link set lo down";
        const before = await run(place, "ip -4 rule show; ip -4 route show table local");
        await run(
            place,
            `${links}; ip route flush table local root 127.0.0.0/8; ip route add 127.0.0.0/8 via ${gateway}`,
        );
        const expected = {
            [`tcp 127.0.0.1:9000 from ${source}`]: "nothing",
            [`tcp 127.0.0.1:9001 from ${source}`]: "nothing",
            [`tcp ${bed.host.address}:9000`]: "refused",
        };
        expect(await answersTo(place, expected)).toEqual(expected);
        await run(place, "ip route del 127.0.0.0/8; ip link set lo up; ip address replace 127.0.0.1/8 dev lo");
        expect(before).toContain("127.0.0.1");
    }
});

test("port mapping: hostAddress publishes on that address alone, and before any", async () => {
    await using stack = await openStack(bed.host);
    await bed.host.exec("ip address add 198.51.100.1/32 dev eth0");
    await bed.client.exec(`ip route add 198.51.100.1/32 via ${bed.host.address}`);
    const front = await stack.network("front", { subnet: subnets.front });
    const web = await stack.join("web", front);
    await stack.portMapping("one", {
        target: web.endpoint,
        hostPort: 8080,
        targetPort: 80,
        hostAddress: "198.51.100.1",
    });
    await using _web = await serve(web.place, "web", "tcp:80");
    const expected = {
        "tcp 198.51.100.1:8080": `web to ${bed.client.address}`,
        [`tcp ${bed.host.address}:8080`]: "refused",
    };
    expect(await answersTo(fromClient(), expected)).toEqual(expected);
    await bed.client.exec("ip route del 198.51.100.1/32");
    await bed.host.exec("ip address del 198.51.100.1/32 dev eth0");
});

test("port mapping: a published port does not catch a sandbox's connections to the outside", async () => {
    await using stack = await openStack(bed.host);
    const front = await stack.network("front", { subnet: subnets.front });
    const web = await stack.join("web", front);
    const api = await stack.join("api", front);
    await stack.portMapping("any", { target: web.endpoint, hostPort: 8082, targetPort: 80 });
    const foreign = { target: web.endpoint, hostPort: 8083, targetPort: 80, hostAddress: bed.client.address };
    await stack.portMapping("foreign", foreign);
    await using _web = await serve(web.place, "web", "tcp:80");
    await using _client = await serve(fromClient(), "client", "tcp:8082", "tcp:8083");
    const expected = {
        [`tcp ${bed.client.address}:8082`]: `client to ${bed.host.address}`,
        [`tcp ${bed.client.address}:8083`]: `client to ${bed.host.address}`,
    };
    expect(await answersTo(api.place, expected)).toEqual(expected);
});

test("port mapping: a range keeps its order", async () => {
    await using stack = await openStack(bed.host);
    const front = await stack.network("front", { subnet: subnets.front });
    const web = await stack.join("web", front);
    const range = { target: web.endpoint, hostPort: "8000-8010", targetPort: "9000-9010" };
    const mapping = await stack.portMapping("range", range);
    expect(mapping.outs.hostPort).toBe(8000);
    await using _web = await serve(web.place, "first", "tcp:9000");
    await using _last = await serve(web.place, "last", "tcp:9010");
    const expected = {
        [`tcp ${bed.host.address}:8000`]: `first to ${bed.client.address}`,
        [`tcp ${bed.host.address}:8010`]: `last to ${bed.client.address}`,
        [`tcp ${bed.host.address}:8005`]: "refused",
        [`tcp ${bed.host.address}:8011`]: "refused",
    };
    expect(await answersTo(fromClient(), expected)).toEqual(expected);
    await expect(stack.portMapping("inside", { target: web.endpoint, hostPort: 8004, targetPort: 80 })).rejects.toThrow(
        'host port 8000-8010/tcp is already published by port mapping "range" of stack test/dev',
    );
    const uneven = { target: web.endpoint, hostPort: "7000-7001", targetPort: "80-82" };
    await expect(stack.portMapping("uneven", uneven)).rejects.toThrow("differ in length");
    const free = await stack.portMapping("free", { target: web.endpoint, hostPort: "8008-8012", targetPort: 80 });
    expect(free.outs.hostPort).toBe(8011);
    await mapping.delete();
    expect(await free.update({ targetPort: 9000 })).toBe("update");
    expect(free.outs.hostPort).toBe(8011);
});

test("port mapping: a free port is chosen from 20000 up, and stays", async () => {
    await using stack = await openStack(bed.host);
    const front = await stack.network("front", { subnet: subnets.front });
    const web = await stack.join("web", front);
    const first = await stack.portMapping("first", { target: web.endpoint, targetPort: 80 });
    const second = await stack.portMapping("second", { target: web.endpoint, targetPort: 81 });
    expect([first.outs.hostPort, second.outs.hostPort]).toEqual([20000, 20001]);
    await first.delete();
    expect(await second.update({ labels: { a: "b" }, targetPort: 82 })).toBe("update");
    expect(second.outs.hostPort).toBe(20001);
    expect(await second.refresh()).toEqual([]);
});

test("port mapping: a chosen free port avoids what processes listen on", async () => {
    await using stack = await openStack(bed.host);
    const front = await stack.network("front", { subnet: subnets.front });
    const web = await stack.join("web", front);
    await using _host = await serve(fromHost(), "host", "tcp:20000");
    await using _web = await serve(web.place, "web", "tcp:80");
    const mapping = await stack.portMapping("free", { target: web.endpoint, targetPort: 80 });
    expect(mapping.outs.hostPort).toBe(20001);
    const question = `tcp ${bed.host.address}:20000`;
    expect(await ask(fromClient(), question)).toEqual({ [question]: `host to ${bed.client.address}` });
});

test("port mapping: a taken port is refused, naming the mapping or the process", async () => {
    await using stack = await openStack(bed.host);
    await using prod = await openStack(bed.host, { name: "prod" });
    const front = await stack.network("front", { subnet: subnets.front });
    const back = await prod.network("back", { subnet: subnets.back });
    const web = await stack.join("web", front);
    const api = await prod.join("api", back);
    await prod.portMapping("http", { target: api.endpoint, hostPort: 8080, targetPort: 80 });
    const target = { target: web.endpoint, targetPort: 80 };
    await expect(stack.portMapping("http", { ...target, hostPort: 8080 })).rejects.toThrow(
        'host port 8080/tcp is already published by port mapping "http" of stack test/prod',
    );
    await stack.portMapping("dns", { ...target, hostPort: 8080, protocol: "udp" });
    await using _tcp = await serve(fromHost(), "host", "tcp:8090", "udp:8091", "tcp:8092:127.0.0.1");
    await expect(stack.portMapping("tcp", { ...target, hostPort: 8090 })).rejects.toThrow(
        /host port 8090\/tcp is in use by node \(pid \d+\), which listens on 0\.0\.0\.0/,
    );
    await expect(stack.portMapping("udp", { ...target, hostPort: 8091, protocol: "udp" })).rejects.toThrow(
        /host port 8091\/udp is in use by node \(pid \d+\)/,
    );
    await expect(stack.portMapping("loopback", { ...target, hostPort: 8092 })).rejects.toThrow(
        /host port 8092\/tcp is in use by node \(pid \d+\), which listens on 127\.0\.0\.1/,
    );
    await stack.portMapping("beside", { ...target, hostPort: 8092, hostAddress: bed.host.address });
    await stack.portMapping("tcp", { ...target, hostPort: 8091 });
});

test("port mapping: an endpoint on an internal network is refused, and internal while published too", async () => {
    await using stack = await openStack(bed.host);
    const data = await stack.network("data", { subnet: subnets.back, internal: true });
    const db = await stack.join("db", data);
    await expect(stack.portMapping("sql", { target: db.endpoint, hostPort: 5432 })).rejects.toThrow(
        'target is on network "data", which is internal',
    );
});

test("port mapping: a changed target moves new connections, and udp flows at once", async () => {
    await using stack = await openStack(bed.host);
    const front = await stack.network("front", { subnet: subnets.front });
    const blue = await stack.join("blue", front);
    const green = await stack.join("green", front);
    await using _blue = await serve(blue.place, "blue", "tcp:80", "udp:80", "tcp:81", "udp:81");
    await using _green = await serve(green.place, "green", "tcp:80", "udp:80");
    const protocol = ["tcp", "udp"];
    const mapping = await stack.portMapping("http", {
        target: blue.endpoint,
        hostPort: 8080,
        targetPort: 80,
        protocol,
    });
    const question = `tcp ${bed.host.address}:8080`;
    await using flow = await talk(fromClient(), `udp ${bed.host.address}:8080`, 40000);
    await using connection = await talk(fromClient(), question);
    expect(await mapping.update({ target: green.endpoint })).toBe("update");
    expect(await flow.next()).toContain("green to");
    expect(await connection.next()).toContain("blue to");
    expect(await ask(fromClient(), question)).toEqual({ [question]: `green to ${bed.client.address}` });
    expect(await mapping.update({ target: blue.endpoint, targetPort: 81 })).toBe("update");
    expect(await flow.next()).toContain("blue to");
    expect(await mapping.update({ hostPort: 8081 })).toBe("update");
    const moved = { [question]: "refused", [`tcp ${bed.host.address}:8081`]: `blue to ${bed.client.address}` };
    expect(await answersTo(fromClient(), moved)).toEqual(moved);
    expect(await mapping.refresh()).toEqual([]);
});

test("port mapping: a client that sent before the port was published gets through", async () => {
    await using stack = await openStack(bed.host);
    const front = await stack.network("front", { subnet: subnets.front });
    const web = await stack.join("web", front);
    await using _web = await serve(web.place, "web", "udp:80");
    const sending = `const s = require("dgram").createSocket("udp4"); s.on("message", (m) => console.log(String(m)));
        s.on("error", () => undefined);
        setInterval(() => s.send("?", 8080, "${bed.host.address}", () => console.log("sent")), 20)`;
    await using early = await bed.client.spawn(["node", "-e", sending]);
    await early.waitFor("sent");
    const mapping = await stack.portMapping("dns", {
        target: web.endpoint,
        hostPort: 8080,
        targetPort: 80,
        protocol: "udp",
    });
    await early.waitFor(`web to ${bed.client.address}`, 3000);
    await mapping.delete();
    // What was answered before may be on its way still.
    const heard = async () => {
        const { length } = early.output();
        await new Promise((resolve) => setTimeout(resolve, 200));
        return early.output().slice(length);
    };
    await expect.poll(heard, { timeout: 5000, interval: 0 }).not.toContain("web to");
});

test("port mapping: follows its endpoint to another address", async () => {
    await using stack = await openStack(bed.host);
    const front = await stack.network("front", { subnet: subnets.front });
    const web = await stack.join("web", front);
    await stack.portMapping("http", { target: web.endpoint, hostPort: 8080, targetPort: 80 });
    await using _web = await serve(inside(bed.host, web.sandbox), "web", "tcp:80");
    expect(await web.endpoint.update({ ipv4Address: "172.20.0.99" })).toBe("update");
    const question = `tcp ${bed.host.address}:8080`;
    expect(await ask(fromClient(), question)).toEqual({ [question]: `web to ${bed.client.address}` });
    // The engine deletes the mapping first, unless it was told to forget it: then it goes along.
    await web.endpoint.delete();
    expect(await ask(fromClient(), question)).toEqual({ [question]: "refused" });
});
