import { expect, test } from "vitest";
import { snapshotHost } from "../../lab/index.js";
import { linkLocalOf } from "../../provider/model/ipv6.js";
import { openStack, type Resource, reconnect } from "./driver.js";
import { layTestBed } from "./test-bed.js";
import { answersTo, type Place, run, serve } from "./traffic.js";

const bed = layTestBed();
const read = async (command: string) => (await bed.host.exec(command)).stdout;
const mac = "02:00:00:00:00:99";
const strangers = ["fe80::99/64", "10.5.0.9/24", "fd00:5::9/64", "fd00:5::40/64"];
const both = ["10.5.0.0/24", "fd00:5::/64"];
const local = "fe80::77/64";
const only = { ipv4: false, subnet: "fd00:5::/64" } as const;

/** A bridge of others, and somebody behind it; what is left of the bridge must be as it was made. */
async function othersOnABridge(...addresses: readonly string[]): Promise<AsyncDisposable> {
    const add = (dev: string, of: readonly string[], inside = "") =>
        of.map((each) => `ip ${inside} address add ${each} dev ${dev} ${each.includes(":") ? "nodad" : ""}`).join("\n");
    await bed.host.exec(`ip link add br-app address 02:00:00:00:00:01 type bridge forward_delay 0 && ip link set br-app addrgenmode none up
        ${add("br-app", addresses)}
        ip netns add stranger
        ip link add stranger type veth peer name eth0 address ${mac} netns stranger
        ip link set stranger master br-app up && ip -n stranger link set eth0 addrgenmode none up
        ${add("eth0", strangers, "-n stranger")}`);
    await reconnect();
    const about = async () => {
        const { sysctls } = await snapshotHost(bed.host);
        return [
            await read("ip -d address show dev br-app; ip -6 route show dev br-app").then((text) =>
                text.replace(/\S+_timer +\S+|valid_lft.*/g, ""),
            ),
            Object.entries(sysctls).filter(([key]) => key.includes("br-app") || key.includes("ipv6/conf/all")),
        ];
    };
    const before = await about();
    return {
        async [Symbol.asyncDispose]() {
            const after = await about();
            await bed.host.exec("ip netns del stranger; ip link del stranger; ip link del br-app; :");
            await reconnect();
            expect(after).toEqual(before);
        },
    };
}

async function expectAnswers(place: Place, expected: Record<string, string>): Promise<void> {
    expect(await answersTo(place, expected)).toEqual(expected);
}

async function driftOf(...resources: readonly Resource[]): Promise<string[]> {
    return (await Promise.all(resources.map((resource) => resource.refresh()))).flat();
}

test("ipv6 on a bridge of others, existing: an endpoint is a station on it, and nobody's address is taken", async () => {
    await using _others = await othersOnABridge(local, "10.5.0.1/24", "fd00:5::1/64");
    await using stack = await openStack(bed.host);
    const lan = await stack.network("lan", {
        subnet: both,
        ipRange: "10.5.0.64/26",
        existing: true,
        interfaceName: "br-app",
    });
    expect(lan.outs.gateways).toEqual(["10.5.0.1", "fd00:5::1"]);
    const web = await stack.join("web", lan);
    // Its number in IPv6 is a stranger's.
    expect(web.endpoint.outs).toMatchObject({ address: "10.5.0.64", ipv6Address: "fd00:5::100" });
    const sandbox = await stack.sandbox("api");
    const attach = (args = {}) => stack.endpoint("api-lan", { sandbox, network: lan, ...args });
    await expect(attach({ ipv6Address: "FD00:5::9" })).rejects.toThrow(
        `address fd00:5::9 is in use on bridge br-app by somebody else: ${mac} answers for it. Choose another ipv6Address.`,
    );
    const api = await attach({ ipv6Address: "fd00:5::a1" });
    expect(api.outs).toMatchObject({ address: "10.5.0.65", ipv6Address: "fd00:5::a1" });
    await stack.portMapping("http", { target: web.endpoint, hostPort: 8080, targetPort: 80 });
    await using _web = await serve(web.place, "web", "tcp6:80");
    await expectAnswers(
        { machine: bed.host, sandbox: "stranger" },
        { "icmp fd00:5::100": "reply", "icmp fd00:5::a1": "reply" },
    );
    await expectAnswers(web.place, {
        "icmp fd00:5::9": "reply",
        "icmp fd00:5::1": "reply",
        "icmp fd00:5::a1": "reply",
    });
    await expectAnswers(
        { machine: bed.client },
        { [`tcp [${bed.host.ipv6Address}]:8080`]: `web to ${bed.client.ipv6Address}` },
    );
    expect(await driftOf(lan, web.sandbox, web.endpoint, api)).toEqual([]);
});

test("ipv6 on a bridge of others, existing: alone it means the same, with a gateway that is elsewhere", async () => {
    await using _others = await othersOnABridge(local);
    await using stack = await openStack(bed.host);
    const args = { ...only, existing: true, interfaceName: "br-app" };
    await expect(stack.network("lan", args)).rejects.toThrow(
        "gateway is missing: bridge br-app has no address in fd00:5::/64. Give the gateway of its subnet.",
    );
    const lan = await stack.network("lan", { ...args, gateway: "fd00:5::9" });
    const sandbox = await stack.sandbox("web");
    const attach = () => stack.endpoint("web-lan", { sandbox, network: lan });
    await expect(attach()).rejects.toThrow("Give ipv6Address, or give the network an ipRange that is yours.");
    await lan.update({ ipRange: "fd00:5::40-fd00:5::42" });
    const web = await attach();
    expect(web.outs.address).toBe("fd00:5::41");
    const place = { machine: bed.host, sandbox: sandbox.outs.name };
    await expectAnswers(place, { "icmp fd00:5::9": "reply" });
    expect(await run(place, "ip -6 route show default")).toContain("via fd00:5::9");
    expect(await driftOf(lan, sandbox, web)).toEqual([]);
});

test("ipv6 on a bridge of others, adopt: it is a network like any other, and is given back as it was", async () => {
    await using _others = await othersOnABridge("10.5.0.1/24", "fd00:5::1/64");
    await using stack = await openStack(bed.host);
    const app = await stack.network("app", { subnet: both, adopt: true });
    expect(app.outs).toMatchObject({ interfaceName: "br-app", gateways: ["10.5.0.1", "fd00:5::1"] });
    const front = await stack.network("front", { subnet: ["172.20.0.0/24", "fd00:20::/64"] });
    const [web, api, far] = [
        await stack.join("web", app),
        await stack.join("api", app),
        await stack.join("far", front),
    ];
    expect(web.endpoint.outs.ipv6Address).toBe("fd00:5::2");
    await stack.firewallPolicy("web", {
        target: web.endpoint,
        ingress: [{ action: "allow", from: ["fd00:5::9", far.sandbox], ports: [80] }],
    });
    await stack.portMapping("http", { target: api.endpoint, hostPort: 8080, targetPort: 80 });
    await using _web = await serve(web.place, "web", "tcp6:80", "tcp6:81");
    await using _api = await serve(api.place, "api", "tcp6:80");
    await using _client = await serve({ machine: bed.client }, "client", "tcp6:82");
    const at = (address: string, port = 80) => `tcp [${address}]:${port}`;
    const check = async () => {
        await expectAnswers(
            { machine: bed.host, sandbox: "stranger" },
            {
                [`${at("fd00:5::2")} from fd00:5::9`]: "web to fd00:5::9",
                [at("fd00:5::2")]: "nothing",
                [`${at("fd00:5::2", 81)} from fd00:5::9`]: "nothing",
                "icmp fd00:5::1": "reply",
            },
        );
        await expectAnswers(api.place, {
            [at("fd00:5::2")]: "nothing",
            [at("fd00:20::2")]: "nothing",
            [at(bed.client.ipv6Address, 82)]: `client to ${bed.host.ipv6Address}`,
        });
        await expectAnswers(far.place, { [at("fd00:5::2")]: "web to fd00:20::2", [at("fd00:5::3")]: "nothing" });
        await expectAnswers(
            { machine: bed.client },
            { [at(bed.host.ipv6Address, 8080)]: `api to ${bed.client.ipv6Address}` },
        );
        expect(await run(api.place, "getent ahostsv6 web")).toContain("fd00:5::2");
        expect(await driftOf(app, front, web.endpoint, api.endpoint, far.endpoint)).toEqual([]);
    };
    await check();
    expect(await read("ip -6 -o address show dev br-app scope link")).toContain(
        `${linkLocalOf("02:00:00:00:00:01")}/64`,
    );
    await bed.host.exec(`nft flush ruleset; ip link del ${api.endpoint.outs.hostInterface}`);
    expect((await bed.host.exec("sh /var/lib/linuxnet/restore")).stderr).toBe("");
    await check();
    // What is of others and goes is named.
    await bed.host.exec("ip -6 address del fd00:5::1/64 dev br-app");
    expect(await app.refresh()).toContain("address fd00:5::1/64 on br-app (not of this provider) is missing");
    await bed.host.exec("ip -6 address add fd00:5::1/64 dev br-app nodad");
});

test("ipv6 on a bridge of others, adopt: alone, found by its subnet or given an address, and refused where it does not fit", async () => {
    await using _others = await othersOnABridge(local, "fd00:5::1/64");
    await using stack = await openStack(bed.host);
    const adopt = (args: object) => stack.network("app", { adopt: true, ...args });
    const cases: [object, string][] = [
        [
            { ...only, gateway: "fd00:5::2" },
            "it cannot use bridge br-app: gateway is fd00:5::1 there and fd00:5::2 here.",
        ],
        [
            { ...only, subnet: "fd00:6::/64", gateway: "fd00:5::2", interfaceName: "br-app" },
            "gateway fd00:5::2 is outside subnet fd00:6::/64",
        ],
        [
            { subnet: "10.5.0.0/24", gateway: "10.5.0.1", ipv6: true, interfaceName: "br-app" },
            "its subnet of IPv6 is missing: bridge br-app is of others. Give the one that is used there, or leave IPv6 out.",
        ],
        [
            { subnet: both, gateway: "10.5.0.9", interfaceName: "br-app" },
            `address 10.5.0.9 is in use on bridge br-app by somebody else: ${mac} answers for it. Choose another gateway.`,
        ],
    ];
    for (const [args, message] of cases) await expect(adopt(args)).rejects.toThrow(message);
    await bed.host.exec("ip -6 route add default via fd00:5::9 dev br-app metric 9999");
    await reconnect();
    await expect(adopt(only)).rejects.toThrow("it cannot adopt bridge br-app: the host's default route leaves by it.");
    await bed.host.exec("ip -6 route del default via fd00:5::9 dev br-app");
    await reconnect();
    const app = await adopt(only);
    const web = await stack.join("web", app);
    expect([app.outs.gateway, web.address]).toEqual(["fd00:5::1", "fd00:5::2"]);
    await expectAnswers(web.place, { "icmp fd00:5::9": "reply", [`icmp ${bed.client.ipv6Address}`]: "reply" });
    expect(await driftOf(app, web.sandbox, web.endpoint)).toEqual([]);
    await web[Symbol.asyncDispose]();
    await app.delete();
    await bed.host.exec("ip -6 address del fd00:5::1/64 dev br-app");
    await reconnect();
    await expect(adopt({ ...only, gateway: "fd00:5::9", interfaceName: "br-app" })).rejects.toThrow(
        `address fd00:5::9 is in use on bridge br-app by somebody else: ${mac} answers for it. Choose another gateway.`,
    );
    const given = await adopt({ ...only, gateway: "fd00:5::7", interfaceName: "br-app" });
    await expectAnswers({ machine: bed.host, sandbox: "stranger" }, { "icmp fd00:5::7": "reply" });
    await given.delete();
    await bed.host.exec("ip -6 address add fd00:5::1/64 dev br-app nodad");
});
