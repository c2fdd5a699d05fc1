import { expect, test } from "vitest";
import { parseIpv4Cidr } from "../../../provider/model/address.js";
import { Refusal } from "../../../provider/model/refusal.js";
import type { HostFacts, World } from "../../../provider/model/world.js";
import { type Args, build, empty, endpoint, facts, host, type Kind, network, put, ref, sandbox } from "./build.js";

/*
 * The world of this page.
 *   front 172.20.0.0/24, data 172.22.0.0/24 (internal), foreign 172.30.0.0/24 (stack other, not attachable)
 *   web on front .2, shop on front .3, db on data .2, spare on nothing
 *   http publishes web on 8080/tcp and 53/udp of 192.0.2.10; t0 is a tunnel of net "over" 172.25.0.0/16, vni 7
 */
function before(): World {
    let world = network(empty, "front", "172.20.0.0/24");
    world = network(world, "data", "172.22.0.0/24", { internal: true });
    world = put(world, "network", "foreign", { host, subnet: "172.30.0.0/24" }, { stack: "other" });
    for (const name of ["web", "shop", "db", "spare"]) world = sandbox(world, name);
    world = endpoint(world, "web", "front");
    world = endpoint(world, "shop", "front", { interfaceName: "eth7" });
    world = endpoint(world, "db", "data");
    world = put(world, "port-mapping", "http", { target: ref("endpoint", "web-front"), hostPort: 8080 });
    world = put(world, "port-mapping", "dns", {
        target: ref("endpoint", "web-front"),
        hostPort: 53,
        protocol: "udp",
        hostAddress: "192.0.2.10",
    });
    world = network(world, "over", "172.25.0.0/16", { ipRange: "172.25.0.0/24" });
    world = network(world, "plain", "172.26.0.0/16");
    return put(world, "overlay-tunnel", "t0", {
        network: ref("network", "over"),
        vni: 7,
        peers: [{ underlayAddress: "192.0.2.20", ipRange: "172.25.1.0/24" }],
    });
}

type Row = readonly [args: Args, message: string, name?: string];

function refuses(kind: Kind, name: string, rows: readonly Row[], world = before(), of: HostFacts = facts): void {
    test.each(rows.map(([args, message, other]) => [message, args, other] as const))(
        `${kind}: %s`,
        (message, args, other) => {
            expect(() => build(kind, other ?? name, args, world, { facts: of })).toThrow(new Refusal(message));
        },
    );
}

const net = (subnet: string, args: Args = {}) => ({ host, subnet, ...args });

refuses("network", "new", [
    [
        net("172.20.0.128/25"),
        'subnet 172.20.0.128/25 overlaps 172.20.0.0/24 of network "front" of stack shop/dev. Choose another subnet.',
    ],
    [
        net("172.30.0.0/16"),
        'subnet 172.30.0.0/16 overlaps 172.30.0.0/24 of network "foreign" of stack shop/other. Choose another subnet.',
    ],
    [
        net("192.0.2.0/28"),
        "subnet 192.0.2.0/28 overlaps 192.0.2.10/24 of the host's interface eth0. Choose another subnet.",
    ],
    [
        net("127.1.0.0/24"),
        "subnet 127.1.0.0/24 overlaps 127.0.0.1/8 of the host's interface lo. Choose another subnet.",
    ],
    [net("10.0.0.0/31"), "subnet 10.0.0.0/31 has no room for endpoints. Use /30 or larger."],
    [net("10.0.0.4/32"), "subnet 10.0.0.4/32 has no room for endpoints. Use /30 or larger."],
    [
        net("224.1.0.0/24"),
        "subnet 224.1.0.0/24 is not for hosts: 224.0.0.0 and above are multicast and reserved. Choose another subnet.",
    ],
    [net("0.0.0.0/24"), 'subnet 0.0.0.0/24 is not for hosts: 0.0.0.0/8 means "this network". Choose another subnet.'],
    [net("10.0.0.0/24", { gateway: "10.0.1.1" }), "gateway 10.0.1.1 is outside subnet 10.0.0.0/24. Choose one inside."],
    [
        net("10.0.0.0/24", { gateway: "10.0.0.0" }),
        "gateway 10.0.0.0 is the first or last of 10.0.0.0/24, which no interface can have. Choose another.",
    ],
    [
        net("10.0.0.0/24", { gateway: "10.0.0.255" }),
        "gateway 10.0.0.255 is the first or last of 10.0.0.0/24, which no interface can have. Choose another.",
    ],
    [
        net("10.0.0.0/24", { ipRange: "10.0.1.0/25" }),
        "ipRange 10.0.1.0/25 is outside subnet 10.0.0.0/24. Choose one inside.",
    ],
    [
        net("10.0.0.0/24", { ipRange: "10.0.0.250-10.0.1.5" }),
        "ipRange 10.0.0.250-10.0.1.5 is outside subnet 10.0.0.0/24. Choose one inside.",
    ],
    [
        net("10.0.0.0/24", { reserved: ["10.0.0.9", "10.0.1.9"] }),
        "reserved address 10.0.1.9 is outside subnet 10.0.0.0/24. Leave it out.",
    ],
    [
        net("172.20.0.0/24", { gateway: "172.20.0.2" }),
        'gateway 172.20.0.2 is used by endpoint "web-front" of stack shop/dev. Choose another.',
        "front",
    ],
]);

const routed: HostFacts = {
    ...facts,
    routes: [...facts.routes, { destination: parseIpv4Cidr("10.64.0.0/10"), interfaceName: "wg0", mtuBytes: 1420 }],
};
refuses(
    "network",
    "new",
    [
        [
            net("10.96.0.0/16"),
            "subnet 10.96.0.0/16 overlaps the host's route to 10.64.0.0/10 over wg0. Choose another subnet.",
        ],
    ],
    before(),
    routed,
);

refuses("sandbox", "new", [
    [
        { host, name: "web" },
        'the namespace name "web" is already used by sandbox "web" of stack shop/dev. Choose another name.',
    ],
]);

const at = (sandboxName: string, networkName: string, args: Args = {}) => ({
    sandbox: ref("sandbox", sandboxName),
    network: ref("network", networkName),
    ...args,
});
const instead = "Choose another ipv4Address, or leave it out.";

refuses("endpoint", "new", [
    [at("gone", "front"), "its sandbox is not on the host any more. Run `pulumi up --refresh`."],
    [at("spare", "gone"), "its network is not on the host any more. Run `pulumi up --refresh`."],
    [
        { ...at("spare", "front"), network: ref("network", "front", "m2") },
        "its network is not on the host any more. Run `pulumi up --refresh`.",
    ],
    [at("spare", "foreign"), 'network "foreign" of stack shop/other is not attachable. Set attachable: true on it.'],
    [at("web", "front"), 'sandbox "web" is on network "front" already, by endpoint "web-front" of stack shop/dev.'],
    [
        at("spare", "front", { ipv4Address: "172.21.0.9" }),
        `address 172.21.0.9 is outside subnet 172.20.0.0/24 of network "front". ${instead}`,
    ],
    [
        at("spare", "front", { ipv4Address: "172.20.0.0" }),
        `address 172.20.0.0 is the first or last of 172.20.0.0/24, which no endpoint can have. ${instead}`,
    ],
    [
        at("spare", "front", { ipv4Address: "172.20.0.255" }),
        `address 172.20.0.255 is the first or last of 172.20.0.0/24, which no endpoint can have. ${instead}`,
    ],
    [
        at("spare", "front", { ipv4Address: "172.20.0.1" }),
        `address 172.20.0.1 is the gateway of network "front". ${instead}`,
    ],
    [
        at("spare", "front", { ipv4Address: "172.20.0.2" }),
        `address 172.20.0.2 is already used by endpoint "web-front" of stack shop/dev. ${instead}`,
    ],
    [
        at("shop", "data", { interfaceName: "eth7" }),
        'interfaceName eth7 is already used by endpoint "shop-front" of stack shop/dev. Choose another.',
    ],
    [
        at("spare", "front", { macAddress: "02:6c:ac:14:00:02" }),
        'macAddress 02:6c:ac:14:00:02 is already used by endpoint "web-front" of stack shop/dev. Choose another, or leave it out.',
    ],
]);

const map = (args: Args, target = ref("endpoint", "web-front")) => ({ target, ...args });

refuses("port-mapping", "new", [
    [map({ hostPort: 81 }, ref("endpoint", "gone")), "target is not on the host any more. Run `pulumi up --refresh`."],
    [
        map({ hostPort: 81 }, ref("endpoint", "web-front", "m2")),
        "target is a reference to an Endpoint of another host, and carries no addresses. Name what Endpoint.get(name, reference, { host }) finds.",
    ],
    [
        map({ hostPort: 81 }, ref("endpoint", "db-data")),
        'target is on network "data", which is internal: nothing from outside reaches it. Publish an endpoint on another network, or take internal off.',
    ],
    [map({}), "targetPort is missing. Give the port that the sandbox listens on."],
    [map({ hostPort: "20000-22000" }), "targetPort 20000-22000 has more than 1024 ports. Split it."],
    [
        map({ hostPort: "81-83", targetPort: "81-82" }),
        "hostPort 81-83 and targetPort 81-82 differ in length. Make them equal.",
    ],
    [map({ hostPort: 81, targetPort: "81-82" }), "hostPort 81 and targetPort 81-82 differ in length. Make them equal."],
    [
        map({ hostPort: 8080 }),
        'host port 8080/tcp is already published by port mapping "http" of stack shop/dev. Choose another hostPort, or leave it out.',
    ],
    [
        map({ hostPort: "8079-8081", targetPort: "1-3" }),
        'host port 8080/tcp is already published by port mapping "http" of stack shop/dev. Choose another hostPort, or leave it out.',
    ],
    [
        map({ hostPort: 53, protocol: ["tcp", "udp"], hostAddress: "192.0.2.10" }),
        'host port 53/udp is already published by port mapping "dns" of stack shop/dev. Choose another hostPort, or leave it out.',
    ],
    [
        map({ hostPort: "8080-8080", targetPort: 80 }),
        'host port 8080/tcp is already published by port mapping "http" of stack shop/dev. Choose another hostPort, or leave it out.',
    ],
]);

const target = ref("endpoint", "web-front");
refuses("firewall-policy", "new", [
    [{ target }, "it has neither ingress nor egress. Give one of them; [] means: only the default action."],
    [
        { target: ref("endpoint", "gone"), ingress: [] },
        "target[0] is not on the host any more. Run `pulumi up --refresh`.",
    ],
    [
        { target: [target, ref("sandbox", "web", "m2")], ingress: [] },
        "target[1] is on another host than the policy. Make a policy for each host.",
    ],
    [
        { target, ingress: [{ action: "drop" }, { action: "allow", from: ["any", ref("network", "gone")] }] },
        "ingress[1].from[1] is not on the host any more. Run `pulumi up --refresh`.",
    ],
    [
        { target, egress: [{ action: "allow", to: ref("endpoint", "x", "m2") }] },
        "egress[0].to[0] is a reference to an Endpoint of another host, and carries no addresses. Name what Endpoint.get(name, reference, { host }) finds.",
    ],
]);

const far = (addresses: string[]) => ({ ...ref("endpoint", "x", "m2"), addresses });
refuses("port-mapping", "across", [
    [
        { target: far(["172.26.0.9"]), hostPort: 81 },
        "target (172.26.0.9) is on another host, and no segment joins this one to it. Publish on a host of its OverlayNetwork; a tunnel made by hand in the same program has to be there before (dependsOn).",
    ],
    [
        { target: [target, far(["172.25.1.2"]), { endpoint: far(["172.25.1.2"]), weight: 2 }], hostPort: 81 },
        "target[2] is the same as target[1]. Give one of them a weight instead.",
    ],
    [
        { target: far(["172.25.1.2"]), hostPort: 81, hostAddress: "2001:db8::10" },
        'hostAddress 2001:db8::10 is IPv6, which network "over" of the target has not. Set ipv6: true on the network, or leave the address out.',
    ],
]);

const tunnelOver = before().objects.get("ltt0") as object;
refuses(
    "port-mapping",
    "kept",
    [
        [
            { target: far(["172.25.1.2"]), hostPort: 81, sourceAddress: "keep" },
            'target is behind a tunnel with encryption "wireguard", which carries no other sources than its hosts\' and endpoints\'. Leave sourceAddress "keep" out, or use "ipsec".',
        ],
    ],
    before().with(new Map([["ltt0", { ...tunnelOver, wireguard: { publicKey: "x" } } as never]])),
);

refuses("firewall-policy", "across", [
    [
        { target, ingress: [{ action: "allow", from: ["any", far(["172.25.1.2", "fd00:25::2"])] }] },
        "ingress[0].from[1] (172.25.1.2, fd00:25::2) is on another host and on no segment of the target (172.20.0.0/24), so it can never match. Put both on one OverlayNetwork.",
    ],
    [
        { target: [target, ref("network", "data")], egress: [{ action: "drop", to: far(["172.25.1.0/24"]) }] },
        "egress[0].to[0] (172.25.1.0/24) is on another host and on no segment of the target (172.20.0.0/24, 172.22.0.0/24), so it can never match. Put both on one OverlayNetwork.",
    ],
]);

const tunnel = (args: Args, on = "plain") => ({ network: ref("network", on), vni: 42, ...args });
const to = (underlayAddress: string, ipRange: string) => ({ underlayAddress, ipRange });

refuses("overlay-tunnel", "new", [
    [tunnel({}, "gone"), "its network is not on the host any more. Run `pulumi up --refresh`."],
    [tunnel({ local: "192.0.2.99" }), "local 192.0.2.99 is no address of the host. Its addresses are 192.0.2.10."],
    [
        tunnel({ local: "2001:db8::99" }),
        "local 2001:db8::99 is no address of the host. Its addresses are 2001:db8::10.",
    ],
    [
        tunnel({ peers: [to("2001:db8::10", "172.26.1.0/24")] }),
        "peers[0]: 2001:db8::10 is this host itself. Name the other hosts only.",
    ],
    [
        tunnel({ mtu: 1431, peers: [to("2001:db8::20", "172.26.1.0/24")] }),
        "mtu 1431 does not fit the underlay: at most 1430 bytes pass unfragmented. Lower it, or leave it out.",
    ],
    [
        tunnel({ vni: 7 }),
        'vni 7 on port 4789 is already used by overlay tunnel "t0" of stack shop/dev. Choose another vni.',
    ],
    [tunnel({}, "over"), 'network "over" has a tunnel already: overlay tunnel "t0" of stack shop/dev.'],
    [
        tunnel({ peers: [to("192.0.2.10", "172.26.1.0/24")] }),
        "peers[0]: 192.0.2.10 is this host itself. Name the other hosts only.",
    ],
    [
        tunnel({ peers: [to("192.0.2.20", "172.27.1.0/24")] }),
        "peers[0]: ipRange 172.27.1.0/24 is outside subnet 172.26.0.0/16.",
    ],
    [
        tunnel({ peers: [to("192.0.2.20", "172.26.1.0/24"), to("192.0.2.21", "172.26.1.128/25")] }),
        "peers[1]: ipRange 172.26.1.128/25 overlaps that of peers[0]. Give each host a range of its own.",
    ],
    [
        tunnel({ peers: [to("192.0.2.20", "172.26.1.0/24"), to("192.0.2.20", "172.26.2.0/24")] }),
        "peers[1]: 192.0.2.20 is that of peers[0]. Name each host once.",
    ],
    [
        tunnel({ peers: [{ ...to("192.0.2.20", ""), ipRange: ["172.26.1.0/24", "fd00:26:0:1::/64"] }] }),
        'peers[0]: ipRange fd00:26:0:1::/64 is IPv6, which network "plain" has not.',
    ],
    [
        tunnel({ peers: [], remoteEndpoints: [{ address: "172.26.1.9", underlayAddress: "192.0.2.20" }] }),
        "remoteEndpoints[0]: 192.0.2.20 is none of the peers. Add it to peers.",
    ],
    [
        tunnel({
            peers: [{ underlayAddress: "192.0.2.20" }],
            remoteEndpoints: [{ address: "172.27.1.9", underlayAddress: "192.0.2.20" }],
        }),
        'remoteEndpoints[0]: 172.27.1.9 is outside 172.26.0.0/16 of network "plain".',
    ],
    [
        tunnel({ mtu: 1451, peers: [to("192.0.2.20", "172.26.1.0/24")] }),
        "mtu 1451 does not fit the underlay: at most 1450 bytes pass unfragmented. Lower it, or leave it out.",
    ],
    [
        { network: ref("network", "over"), vni: 7, peers: [to("192.0.2.20", "172.25.0.128/25")] },
        "peers[0]: ipRange 172.25.0.128/25 overlaps this host's own 172.25.0.0/24. Give each host a range of its own.",
        "t0",
    ],
    [
        tunnel({ peers: [to("192.0.2.20", "172.26.0.0/30")] }),
        "peers[0]: 172.26.0.1 of ipRange 172.26.0.0/30 is this host's own gateway. Give each host a range of its own.",
    ],
]);

test("overlay-tunnel: an underlay of IPv6 is refused on a host without IPv6", () => {
    const { ipv6: _, ...without } = facts;
    const args = tunnel({ peers: [to("2001:db8::20", "172.26.1.0/24")] });
    expect(() => build("overlay-tunnel", "new", args, before(), { facts: without })).toThrow(
        "2001:db8::20 is IPv6, and IPv6 is switched off on the host (net.ipv6.conf.default.disable_ipv6 or net.ipv6.conf.lo.disable_ipv6). Switch it on there, or give addresses of IPv4.",
    );
});

const twoAddresses: HostFacts = {
    ...facts,
    routes: [],
    addresses: [
        ...facts.addresses,
        { interfaceName: "eth1", address: "198.51.100.3/24", range: parseIpv4Cidr("198.51.100.0/24"), mtuBytes: 1500 },
    ],
};
refuses(
    "overlay-tunnel",
    "new",
    [[tunnel({}), "the address to send from cannot be told. Give local, an address of the host."]],
    before(),
    twoAddresses,
);

test("port mapping: when no port is left from 20000 to 32767, the sentence says so", () => {
    const full = Array.from({ length: 13 }, (_, i) => i).reduce(
        (world, i) =>
            put(world, "port-mapping", `full${i}`, {
                target,
                hostPort: `${20000 + i * 1024}-${Math.min(20000 + i * 1024 + 1023, 32767)}`,
            }),
        before(),
    );
    expect(() => build("port-mapping", "new", { target, targetPort: 80 }, full)).toThrow(
        new Refusal("no free host port is left from 20000 to 32767. Give hostPort."),
    );
    expect(build("port-mapping", "new", { target, targetPort: 80, protocol: "udp" }, full)).toMatchObject({
        bindings: [{ hostPort: { first: 20000, last: 20000 } }],
    });
});

test("port mapping: when every port of the range is taken, the sentence names a holder", () => {
    const taken = put(before(), "port-mapping", "more", { target, hostPort: "9000-9001" });
    expect(() => build("port-mapping", "new", { target, hostPort: "9000-9001", targetPort: 80 }, taken)).toThrow(
        'host port 9000-9001/tcp is already published by port mapping "more" of stack shop/dev.',
    );
});

test("endpoint: when no address is left, the sentence says where and how many are in use", () => {
    let world = network(empty, "tiny", "10.0.0.0/29", { ipRange: "10.0.0.2-10.0.0.3", gateway: "10.0.0.6" });
    for (const name of ["a", "b", "c"]) world = sandbox(world, name);
    for (const name of ["a", "b"]) world = endpoint(world, name, "tiny");
    expect(() => endpoint(world, "c", "tiny")).toThrow(
        new Refusal(
            'network "tiny" has no free address left in 10.0.0.2-10.0.0.3: 2 are in use, by endpoint "a-tiny" of stack shop/dev, endpoint "b-tiny" of stack shop/dev. Use a larger subnet or ipRange, or remove endpoints.',
        ),
    );
});
