import { expect, test } from "vitest";
import { renderFragment } from "../../../provider/host/manifest.js";
import { isEmpty, plan } from "../../../provider/kernel/plan.js";
import { baseItems, updateBase } from "../../../provider/kinds/base.js";
import { itemsOf } from "../../../provider/kinds/index.js";
import type { HostIdentity } from "../../../provider/model/identity.js";
import { Refusal } from "../../../provider/model/refusal.js";
import { type HostFacts, type World, withoutBase } from "../../../provider/model/world.js";
import { printPlan } from "../kernel/print.js";
import { type Args, affectedItems, build, empty, endpoint, facts, keyOf, network, put, ref, sandbox } from "./build.js";

/*
 * This host has 172.25.0.0/25 of network "mesh"; b at 192.0.2.20 has 172.25.0.128-172.25.0.191, c at 192.0.2.30 what
 * is behind. The keys are KEYa..., KEYb..., KEYc...
 */
const keyOfHost = (name: string) => `KEY${name.repeat(40)}=`;
const identityOf = (name: string): HostIdentity => ({
    ...{ id: name.repeat(32), epoch: 1, wireguardPublicKey: keyOfHost(name) },
});
const able: HostFacts = { ...facts, capabilities: ["dns", "wg"], identity: identityOf("a") };
const mesh = network(empty, "mesh", "172.25.0.0/24", { ipRange: "172.25.0.0/25" });
const b = { underlayAddress: "192.0.2.20", ipRange: "172.25.0.128-172.25.0.191", identity: identityOf("b") };
const c = { underlayAddress: "192.0.2.30", ipRange: "172.25.0.192/26", identity: identityOf("c"), keepAliveMs: 25_000 };
const args = (more: Args = {}): Args => ({
    ...{ network: ref("network", "mesh"), vni: 42, port: 51820, encryption: "wireguard", peers: [b], ...more },
});
const tunnel = (more: Args = {}, world = mesh) => put(world, "overlay-tunnel", "mesh", args(more), { facts: able });
const key = keyOf("overlay-tunnel", "mesh");
const change = (before = mesh, after = tunnel()) => {
    const items = affectedItems([key], before, after);
    return printPlan(plan(items.before, items.after));
};

/** What is done besides the sets of who is behind the tunnel. */
const withoutNft = (before: World, after: World) => {
    const items = affectedItems([key], before, after);
    return printPlan({ ...plan(items.before, items.after), nft: [] });
};

test("wireguard: puts exactly this into the kernel, and no key but public ones", async () => {
    await expect(change(mesh, tunnel({ peers: [b, c] }))).toMatchFileSnapshot("golden/wireguard-create.txt");
    await expect(renderFragment(itemsOf([key], tunnel({ peers: [b, c] })))).toMatchFileSnapshot(
        "golden/wireguard.restore",
    );
});

test("wireguard: a peer that comes, changes or goes touches nothing of the others", async () => {
    const both = tunnel({ peers: [b, c] });
    expect(withoutNft(tunnel(), both)).toBe(`# add
wg set ltmesh peer ${keyOfHost("c")} endpoint 192.0.2.30:51820 persistent-keepalive 25 allowed-ips 172.25.0.192/26
ip route replace 172.25.0.192/26 dev ltmesh src 172.25.0.1 table main proto 108
`);
    expect(withoutNft(both, tunnel())).toBe(`# remove
ip route del 172.25.0.192/26 dev ltmesh table main
wg set ltmesh peer ${keyOfHost("c")} remove
`);
    expect(withoutNft(both, tunnel({ peers: [b, { ...c, keepAliveMs: undefined }] }))).toBe(`# add
wg set ltmesh peer ${keyOfHost("c")} persistent-keepalive 0 allowed-ips 172.25.0.192/26
`);
    // Its host has another key: another peer.
    expect(withoutNft(tunnel(), tunnel({ peers: [{ ...b, identity: identityOf("d") }] }))).toBe(`# remove
wg set ltmesh peer ${keyOfHost("b")} remove
# add
wg set ltmesh peer ${keyOfHost("d")} endpoint 192.0.2.20:51820 persistent-keepalive 0 allowed-ips 172.25.0.128/26
`);
    const booted = { ...b, identity: { ...b.identity, epoch: 9 } };
    expect(withoutNft(tunnel(), tunnel({ peers: [booted] }))).toBe("");
});

test("wireguard: a tunnel that gets it, or loses it, is made anew, and an endpoint is not", () => {
    const world = endpoint(sandbox(mesh, "web"), "web", "mesh");
    const clear = put(world, "overlay-tunnel", "mesh", args({ encryption: "none" }));
    const secret = tunnel({}, world);
    for (const [before, after] of [
        [clear, secret],
        [secret, clear],
    ] as const) {
        const text = change(before, after);
        expect(text).toContain("ip link del dev ltmesh");
        expect(text).toMatch(/ip link add name ltmesh .*type (vxlan|wireguard)/);
        expect(text).not.toMatch(/link (add|del).*leweb/);
    }
});

test("wireguard: MTU is the underlay's less 60 over IPv4; the object says how it is encrypted, without secrets", () => {
    const object = tunnel().get("overlay-tunnel", key);
    expect(object).toMatchObject({
        mtuBytes: 1440,
        wireguard: { publicKey: keyOfHost("a") },
        peers: [{ wireguard: { publicKey: keyOfHost("b") } }],
    });
    expect(() => tunnel({ mtu: 1441 })).toThrow(
        "mtu 1441 does not fit the underlay: at most 1440 bytes pass unfragmented.",
    );
    expect(isEmpty(plan(itemsOf([key], tunnel()), itemsOf([key], tunnel())))).toBe(true);
});

test("wireguard: the redirects that the kernel stops with it are sent again after the last one", () => {
    const sending = { ...able, sendsRedirects: true };
    const [before = empty.base, other] = [mesh.base, { ...able, sendsRedirects: false }];
    if (before === undefined) throw new Error("no base");
    const base = updateBase(before, tunnel(), sending);
    expect(base).toEqual({ ...before, sentRedirects: true });
    const stopped = { type: "sysctl", key: "net/ipv4/conf/all/send_redirects", value: "0", old: "1" };
    expect(baseItems(base, tunnel())).toContainEqual(stopped);
    // Looked at later, they are off; and off they were on a host with WireGuard of others.
    expect(updateBase(base, tunnel(), other)).toBe(base);
    expect(withoutBase(other, base)).toEqual({ ...sending, forwarding: other.forwarding });
    expect(updateBase(base, mesh, other)).toEqual(before);
    expect(baseItems(updateBase(before, tunnel(), other), tunnel())).not.toContainEqual(stopped);
});

test.each([
    [
        { ...able, capabilities: ["dns"] },
        {},
        'encryption "wireguard" needs the tool wg, which this host lacks. Install it there: apt-get install wireguard-tools ' +
            "(or dnf, apk, pacman, zypper: package wireguard-tools), then run `pulumi up --refresh`.",
    ],
    [
        { ...able, identity: { id: "a".repeat(32), epoch: 1 } },
        {},
        'encryption "wireguard" needs a key of the host\'s own, which it does not have yet. Run `pulumi up --refresh`.',
    ],
    [
        able,
        { peers: [{ ...b, identity: undefined }] },
        'peers[0]: encryption "wireguard" needs the public key of the host at 192.0.2.20. Name its Host as `host` ' +
            "and give its output `identity`. A Host without a key has one when wireguard-tools is installed there, after `pulumi up --refresh`.",
    ],
    [
        able,
        { peers: [{ ...b, identity: identityOf("a") }] },
        "peers[0]: its WireGuard key is that of this host itself.",
    ],
    [
        able,
        { peers: [b, { ...c, identity: identityOf("b") }] },
        "peers[1]: it has the WireGuard key of peers[0]. Name each host once.",
    ],
] as [HostFacts, Args, string][])("wireguard: is refused where it cannot be (%#)", (of, more, sentence) => {
    expect(() => build("overlay-tunnel", "mesh", args(more), mesh, { facts: of })).toThrow(new Refusal(sentence));
});

test("wireguard: has its port for itself", () => {
    const world = network(tunnel(), "other", "172.26.0.0/24", { ipRange: "172.26.0.0/25" });
    const second = (more: Args) =>
        build(
            "overlay-tunnel",
            "second",
            { ...args(), network: ref("network", "other"), peers: [], vni: 7, ...more },
            world,
            {
                facts: able,
            },
        );
    const taken =
        'port 51820 is already used by overlay tunnel "mesh" of stack shop/dev, and WireGuard needs one for each segment. Choose another port.';
    expect(() => second({})).toThrow(new Refusal(taken));
    expect(() => second({ encryption: "none" })).toThrow(new Refusal(taken));
    expect(second({ port: 51821 })).toMatchObject({ port: 51821 });

    const web = endpoint(sandbox(mesh, "web"), "web", "mesh");
    const published = put(web, "port-mapping", "game", {
        ...{ target: ref("endpoint", "web-mesh"), hostPort: "51800-51900", targetPort: "51800-51900", protocol: "udp" },
    });
    expect(() => tunnel({}, published)).toThrow(
        new Refusal('port 51820/udp is published by port mapping "game" of stack shop/dev. Choose another port.'),
    );
});

const subnets = { subnet: ["172.25.0.0/24", "fd00:25::/56"], host: ref("host", "edge") };
const dual = put(empty, "network", "mesh", {
    ...subnets,
    ipRange: ["172.25.0.0/25", "fd00:25:0:1::/64"],
    gateway: ["172.25.0.1", "fd00:25:0:1::1"],
});

test("wireguard: IPv6 of a segment goes the same ways, and has a barrier of its own", () => {
    const ranges = [b.ipRange, "fd00:25:0:2::/64"];
    const peers = [{ ...b, underlayAddress: "2001:db8::20", ipRange: ranges }];
    const world = tunnel({ peers }, dual);
    expect(world.get("overlay-tunnel", key)).toMatchObject({ local: "2001:db8::10", mtuBytes: 1420 });
    const lines = withoutNft(dual, world).split("\n");
    expect(lines.filter((line) => /barrier|unreachable|^wg|fd00/.test(line))).toEqual([
        "ip route replace unreachable 172.25.0.0/24 metric 4278190080 proto 108",
        "ip route replace unreachable fd00:25::/56 metric 4278190080 proto 108",
        `wg set ltmesh peer ${keyOfHost("b")} endpoint [2001:db8::20]:51820 persistent-keepalive 0 allowed-ips 172.25.0.128/26,fd00:25:0:2::/64`,
        "wg set ltmesh listen-port 51820 private-key /var/lib/linuxnet/identity/wireguard.key",
        "ip route replace fd00:25:0:2::/64 dev ltmesh src fd00:25:0:1::1 table main proto 108",
    ]);
});

test("wireguard: where IPv6 has no room it is refused, whichever of the two comes later", () => {
    expect(() => tunnel({ mtu: 1279, peers: [] }, dual)).toThrow(
        'mtu 1279 is too small for network "mesh", whose IPv6 needs 1280 bytes (RFC 8200).',
    );
    expect(() => put(tunnel({ mtu: 1279 }), "network", "mesh", { ...subnets, ipRange: "172.25.0.0/25" })).toThrow(
        'mtu 1279 of overlay tunnel "mesh" of stack shop/dev is too small: IPv6 needs 1280 bytes (RFC 8200).',
    );
});

test("wireguard: IPv6 that comes to a segment, or goes, touches nothing of IPv4", () => {
    const alone = network(tunnel(), "mesh", "172.25.0.0/24", { ipRange: "172.25.0.0/25" });
    const both = put(alone, "network", "mesh", { ...subnets, ipRange: "172.25.0.0/25" });
    const change = (before: World, after: World) => {
        const items = affectedItems([keyOf("network", "mesh")], before, after);
        return printPlan({ ...plan(items.before, items.after), nft: [] })
            .split("\n")
            .filter((line) => /wg|unreachable|ltmesh/.test(line));
    };
    expect(change(alone, both)).toEqual([
        "ip route replace unreachable fd00:25::/56 metric 4278190080 proto 108",
        `wg set ltmesh peer ${keyOfHost("b")} persistent-keepalive 0 allowed-ips 172.25.0.128/26,fd00:25::80/122`,
        "sysctl net/ipv6/conf/ltmesh/accept_ra 0",
        "ip route replace fd00:25::80/122 dev ltmesh src fd00:25::1 table main proto 108",
    ]);
    expect(change(both, alone).filter((line) => !line.includes("fd00"))).toEqual([
        `wg set ltmesh peer ${keyOfHost("b")} persistent-keepalive 0 allowed-ips 172.25.0.128/26`,
    ]);
});
