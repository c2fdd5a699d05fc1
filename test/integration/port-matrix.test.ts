import { expect, test } from "vitest";
import { withBrackets } from "../../provider/model/host-address.js";
import { setBridgeNetfilter } from "./bridge-netfilter.js";
import { type Joined, openStack, type Resource, type Stack } from "./driver.js";
import { ipv6Frame } from "./frame.js";
import { layTestBed } from "./test-bed.js";
import { ask, countFrames, type Place, run, sendFrames, serve } from "./traffic.js";

const bed = layTestBed();

const families = [4, 6] as const;
type Family = (typeof families)[number];
type Addresses = Readonly<Record<Family, string>>;

/*
 * Networks, each with the same sandboxes: `web`, which publishes, `twin`, the second target, and `near`, which only asks.
 * On `shop` a policy lets in the outside and the sandbox `api` of another network. `db` is on an internal network.
 */
const networks = { front: "20", shop: "21", back: "22", data: "23" } as const;
type NetworkName = keyof typeof networks;
const gatewayOf = (name: NetworkName): Addresses => ({
    4: `172.${networks[name]}.0.1`,
    6: `fd00:${networks[name]}::1`,
});

const publishing = ["front", "shop"] as const;
type Publishing = (typeof publishing)[number];

/** What is published where: each shape in each of these ways, tcp and udp, from one host port on. */
const shapes = ["single", "range", "spread"] as const;
type Shape = (typeof shapes)[number];
const ways = ["any", "specific", "loopback"] as const;
type Way = (typeof ways)[number];

function hostPortOf(network: Publishing, shape: Shape, way: Way): number {
    return 7000 + 1000 * publishing.indexOf(network) + 100 * shapes.indexOf(shape) + 10 * ways.indexOf(way);
}

type At = "host" | "loopback" | `gateway of ${NetworkName}`;
type Who = "outside" | "host" | "itself" | "neighbour" | "other network" | "internal network";

/** Who asks at which addresses of the host. */
const asked: Record<Who, (published: Publishing) => readonly At[]> = {
    outside: () => ["host"],
    host: () => ["host", "loopback", "gateway of front", "gateway of shop", "gateway of data"],
    itself: (published) => ["host", `gateway of ${published}`, "gateway of back"],
    neighbour: (published) => ["host", `gateway of ${published}`, "gateway of back"],
    "other network": (published) => ["host", "gateway of back", `gateway of ${published}`],
    "internal network": (published) => ["host", "gateway of data", `gateway of ${published}`],
};

const homeOf = (who: Who, published: Publishing): NetworkName | undefined =>
    (
        ({
            outside: undefined,
            host: undefined,
            itself: published,
            neighbour: published,
            "other network": "back",
            "internal network": "data",
        }) as const
    )[who];

const covers: Record<Way, (at: At, family: Family) => boolean> = {
    // ::1 is the one address that nothing can be published on.
    any: (at, family) => at !== "loopback" || family === 4,
    specific: (at) => at === "host",
    loopback: (at, family) => at === "loopback" && family === 4,
};

/** The rules of docs/ports.md and docs/policies.md: a word, or whom the target sees. */
function expected(
    who: Who,
    at: At,
    published: Publishing,
    way: Way,
    family: Family,
): "closed" | "silent" | "denied" | "own" | At {
    const home = homeOf(who, published);
    // An internal network has no way out, and of the host its own gateway only.
    if (who === "internal network") return !covers[way](at, family) && at === "gateway of data" ? "closed" : "silent";
    if (!covers[way](at, family)) {
        // Nobody listens there; a gateway's address is for its own network.
        return home === undefined || at === "host" || at === `gateway of ${home}` ? "closed" : "silent";
    }
    if (published === "shop" && who !== "outside" && who !== "other network") return "denied";
    // Clients keep their address; who is on the target's own network, or on 127.0.0.1, comes by way of its gateway.
    if (home === published || at === "loopback") return `gateway of ${published}`;
    return who === "host" ? at : "own";
}

interface Layout {
    /** Where the published services are. */
    readonly targets: readonly Place[];
    readonly places: Readonly<Record<Who, (published: Publishing) => { place: Place; own: Addresses }>>;
    addressOf(at: At): Addresses;
}

async function layOut(stack: Stack): Promise<Layout> {
    const made = {} as Record<NetworkName, Resource<"network">>;
    for (const name of ["front", "shop", "back", "data"] as const) {
        const subnet = [`172.${networks[name]}.0.0/24`, `fd00:${networks[name]}::/64`];
        made[name] = await stack.network(name, { subnet, internal: name === "data" });
    }
    const join = (name: string, on: NetworkName) => stack.join(`${name}-${on}`, made[on]);
    const [api, db] = [await join("api", "back"), await join("db", "data")];
    await run(db.place, "ip route add default via 172.23.0.1; ip -6 route add default via fd00:23::1");
    const joined = {} as Record<Publishing, Record<"web" | "twin" | "near", Joined>>;
    for (const on of publishing) {
        const web = await join("web", on);
        const twin = await join("twin", on);
        joined[on] = { web, twin, near: await join("near", on) };
        for (const shape of shapes) {
            const count = shape === "range" ? 2 : 0;
            const places = {
                any: undefined,
                specific: [bed.host.address, bed.host.ipv6Address],
                loopback: "127.0.0.1",
            };
            await stack.portMapping(`${on}-${shape}`, {
                target: shape === "spread" ? [web.endpoint, twin.endpoint] : web.endpoint,
                ports: ways.map((way) => {
                    const first = hostPortOf(on, shape, way);
                    return {
                        hostPort: count === 0 ? first : `${first}-${first + count}`,
                        targetPort: count === 0 ? 80 : "90-92",
                        protocol: ["tcp", "udp"],
                        hostAddress: places[way],
                    };
                }),
            });
        }
    }
    await stack.firewallPolicy("shop", {
        target: made.shop,
        ingress: [
            { action: "allow", from: ["external", api.endpoint], protocol: ["tcp", "udp"], ports: [80, "90-92"] },
        ],
    });
    const at = ({ place, endpoint }: Joined) => ({
        place,
        own: { 4: endpoint.outs.address, 6: endpoint.outs.ipv6Address ?? "" },
    });
    const host = { 4: bed.host.address, 6: bed.host.ipv6Address };
    return {
        targets: publishing.flatMap((on) => [joined[on].web.place, joined[on].twin.place]),
        addressOf(place) {
            if (place === "host") return host;
            if (place === "loopback") return { 4: "127.0.0.1", 6: "::1" };
            return gatewayOf(place.slice("gateway of ".length) as NetworkName);
        },
        places: {
            outside: () => ({
                place: { machine: bed.client },
                own: { 4: bed.client.address, 6: bed.client.ipv6Address },
            }),
            host: () => ({ place: { machine: bed.host }, own: host }),
            itself: (on) => at(joined[on].web),
            neighbour: (on) => at(joined[on].near),
            "other network": () => at(api),
            "internal network": () => at(db),
        },
    };
}

/** Every question of the matrix that one place asks, with the answer to expect. */
function cellsOf(who: Who, published: Publishing, { places, addressOf }: Layout): Record<string, string> {
    const { own } = places[who](published);
    const cells: Record<string, string> = {};
    for (const shape of shapes)
        for (const way of ways)
            for (const at of asked[who](published))
                for (const family of families)
                    for (const protocol of ["tcp", "udp"] as const) {
                        const port = hostPortOf(published, shape, way) + (shape === "range" ? 1 : 0);
                        const answer = expected(who, at, published, way, family);
                        const words: Record<string, string> = {
                            // The kernel tells senders of udp at its own pace only (icmp_ratelimit).
                            closed: protocol === "tcp" ? "refused" : "nothing",
                            silent: "nothing",
                            // What the host itself may not send, its own programs are told.
                            denied: who === "host" && protocol === "udp" ? "EPERM" : "nothing",
                            own: `web to ${own[family]}`,
                        };
                        const question = `${protocol} ${withBrackets(addressOf(at)[family])}:${port}`;
                        cells[question] = words[answer] ?? `web to ${addressOf(answer as At)[family]}`;
                    }
    return cells;
}

/** The answers to so many questions at a time as an idle processor gives within the patience of one. */
async function answers(place: Place, questions: readonly string[]): Promise<Record<string, string>> {
    const all: Record<string, string> = {};
    for (let i = 0; i < questions.length; i += 180) {
        for (const [question, answer] of Object.entries(await ask(place, ...questions.slice(i, i + 180)))) {
            all[question] = question.startsWith("udp") && answer === "refused" ? "nothing" : answer;
        }
    }
    return all;
}

async function serveAll(places: readonly Place[]): Promise<AsyncDisposable> {
    const servers = await Promise.all(places.map((place) => serve(place, "web", ...services)));
    return { [Symbol.asyncDispose]: async () => void (await Promise.all(servers.map((server) => server.stop()))) };
}

const services = families.flatMap((family) =>
    ["tcp", "udp"].flatMap((protocol) => [80, 91].map((port) => `${protocol}${family === 6 ? "6" : ""}:${port}`)),
);

test("port matrix: everybody reaches exactly what is published for him, and shows the address he has there", async () => {
    await using stack = await openStack(bed.host);
    const layout = await layOut(stack);
    await using _servers = await serveAll(layout.targets);
    let count = 0;
    for (const value of ["0", "1"] as const) {
        await using _switches = await setBridgeNetfilter(bed.host, value);
        for (const who of Object.keys(asked) as Who[]) {
            for (const on of publishing) {
                const cells = cellsOf(who, on, layout);
                const { place } = layout.places[who](on);
                expect({ value, who, on, ...(await answers(place, Object.keys(cells))) }).toEqual({
                    value,
                    who,
                    on,
                    ...cells,
                });
                count += Object.keys(cells).length;
            }
        }
    }
    expect(count).toBe(2592);
});

test("port matrix: one address goes before every address, and tcp and udp of one port are two things", async () => {
    await using stack = await openStack(bed.host);
    const front = await stack.network("front", { subnet: ["172.20.0.0/24", "fd00:20::/64"] });
    const [one, two] = [await stack.join("one", front), await stack.join("two", front)];
    await stack.portMapping("every", { target: one.endpoint, hostPort: 8080, targetPort: 80 });
    const udp = await stack.portMapping("udp", {
        target: two.endpoint,
        hostPort: 8080,
        targetPort: 80,
        protocol: "udp",
    });
    const specific = { hostPort: 8080, targetPort: 80, hostAddress: [bed.host.ipv6Address, bed.host.address] };
    await stack.portMapping("specific", { target: two.endpoint, ...specific });
    await stack.portMapping("four", { target: one.endpoint, hostPort: 8081, targetPort: 80, hostAddress: "0.0.0.0" });
    await stack.portMapping("six", { target: two.endpoint, hostPort: 8081, targetPort: 80, hostAddress: "::" });
    await using _one = await serve(one.place, "one", ...services);
    await using _two = await serve(two.place, "two", ...services);
    const { address, ipv6Address } = bed.host;
    const outside = {
        [`tcp ${address}:8080`]: `two to ${bed.client.address}`,
        [`tcp [${ipv6Address}]:8080`]: `two to ${bed.client.ipv6Address}`,
        [`udp ${address}:8080`]: `two to ${bed.client.address}`,
        [`udp [${ipv6Address}]:8080`]: `two to ${bed.client.ipv6Address}`,
        [`tcp ${address}:8081`]: `one to ${bed.client.address}`,
        [`tcp [${ipv6Address}]:8081`]: `two to ${bed.client.ipv6Address}`,
    };
    expect(await ask({ machine: bed.client }, ...Object.keys(outside))).toEqual(outside);
    const host = { "tcp 127.0.0.1:8080": "one to 172.20.0.1", "tcp [::1]:8080": "refused" };
    expect(await ask({ machine: bed.host }, ...Object.keys(host))).toEqual(host);
    // Flows of udp over IPv6 are cut with their mapping too.
    const list = "conntrack -f ipv6 -L -p udp --orig-port-dst 8080 2>/dev/null";
    expect((await bed.host.exec(list)).stdout).toContain(`dst=${ipv6Address}`);
    await udp.delete();
    expect((await bed.host.exec(list)).stdout).toBe("");
});

test("port matrix: who makes himself a way to the sandboxes or to loopback addresses gets nothing", async () => {
    await using stack = await openStack(bed.host);
    const front = await stack.network("front", { subnet: ["172.20.0.0/24", "fd00:20::/64"] });
    const [web, near] = [await stack.join("web", front), await stack.join("near", front)];
    await stack.portMapping("same", { target: web.endpoint, hostPort: 80, protocol: ["tcp", "udp"] });
    await stack.portMapping("local", {
        target: web.endpoint,
        hostPort: 9000,
        targetPort: 80,
        protocol: ["tcp", "udp"],
        hostAddress: "127.0.0.1",
    });
    await using _web = await serve(web.place, "web", ...services);
    await using _routes = await bed.routeOutside("172.20.0.0/24", "fd00:20::/64");
    const { address, ipv6Address } = web.endpoint.outs;
    const questions = [address, `[${ipv6Address}]`].flatMap((own) =>
        [80, 91, 9000].flatMap((port) => [`tcp ${own}:${port}`, `udp ${own}:${port}`]),
    );
    const nothing = Object.fromEntries(questions.map((question) => [question, "nothing"]));
    expect(await ask({ machine: bed.client }, ...questions)).toEqual(nothing);
    await using host = await serve({ machine: bed.host }, "host", "udp6:80:::1", "udp6:9000:::1");
    // Frames to ::1 that no kernel would send: from the wire, and from a port of the bridge.
    for (const value of ["0", "1"] as const) {
        await using _switches = await setBridgeNetfilter(bed.host, value);
        const arrived = await countFrames(web.place, "front", "udp dport 80");
        const read = (place: Place, path: string) => run(place, `cat ${path}`).then((text) => text.trim());
        for (const [place, dev, target, from] of [
            [
                { machine: bed.client },
                "eth0",
                await read({ machine: bed.host }, "/sys/class/net/eth0/address"),
                bed.client.ipv6Address,
            ],
            [
                near.place,
                "front",
                await read({ machine: bed.host }, `/sys/class/net/${front.outs.interfaceName}/address`),
                near.endpoint.outs.ipv6Address ?? "",
            ],
        ] as const) {
            const mac = await read(place, `/sys/class/net/${dev}/address`);
            const udp = (port: number) => `9999 ${port.toString(16).padStart(4, "0")} 000a 0000 3f3f`;
            const frame = (to: string, port: number) =>
                ipv6Frame({ from: mac, to: target }, { from, to }, { next: 17, body: udp(port) });
            await sendFrames(place, dev, frame("::1", 9000), frame("::1", 80));
            expect(await arrived()).toBe(0);
            expect(host.output()).not.toContain("got");
            // They are well-formed: the same to an address of the host arrives.
            await sendFrames(place, dev, frame(bed.host.ipv6Address, 80));
            await expect.poll(arrived).toBeGreaterThan(0);
            await countFrames(web.place, "front", "udp dport 80");
        }
    }
});
