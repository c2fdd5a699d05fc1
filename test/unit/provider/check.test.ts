import { expect, test } from "vitest";
import type { Props } from "../../../provider/lifecycle.js";
import type { Kind } from "../../../provider/model/kind.js";
import {
    alternatives,
    check,
    endpoint,
    examples,
    host,
    kindNames,
    network,
    owner,
    refusals,
    sandbox,
    schemaOf,
    unknown,
} from "./examples.js";

test.each(kindNames)("%s: accepts every supported argument", async (kind) => {
    expect(await refusals(kind, examples[kind])).toEqual([]);
});

test.each(kindNames)("%s: checking what was checked changes nothing", async (kind) => {
    for (const args of [examples[kind], minimal[kind]]) {
        const { inputs } = await check(kind, args);
        const again = await check(kind, inputs, inputs);
        expect(again).toEqual({ inputs, failures: [] });
    }
});

test("endpoint: what the program gives to others is no part of it", async () => {
    const { inputs, failures } = await check("endpoint", {
        ...minimal.endpoint,
        staticAddresses: "172.20.0.2 nonsense",
    });
    expect(failures).toEqual([]);
    expect(inputs).not.toHaveProperty("staticAddresses");
});

/** What must be given, and nothing else. */
const minimal: Readonly<Record<Kind, Props>> = {
    host: { connection: { host: "203.0.113.10" } },
    network: { host, subnet: "172.20.0.0/24" },
    sandbox: { host },
    endpoint: { sandbox, network },
    "port-mapping": { target: endpoint },
    "firewall-policy": { target: endpoint },
    "overlay-tunnel": { network, vni: 42 },
};

const written: Readonly<Record<Kind, Props>> = {
    host: { labels: {} },
    network: {
        host,
        subnet: "172.20.0.0/24",
        driver: "bridge",
        reserved: [],
        internal: false,
        isolateEndpoints: false,
        masquerade: true,
        attachable: false,
        labels: {},
    },
    sandbox: { host, sysctls: {}, labels: {} },
    endpoint: { sandbox, network, gatewayPriority: 0, labels: {} },
    "port-mapping": { target: [endpoint], protocol: ["tcp"], labels: {} },
    "firewall-policy": { target: [endpoint], defaultAction: "drop", priority: 0, labels: {} },
    "overlay-tunnel": { network, vni: 42, peers: [], port: 4789, labels: {} },
};

const connection = {
    host: "203.0.113.10",
    port: 22,
    user: "root",
    knownHosts: "~/.ssh/known_hosts",
    hostKeyPolicy: "strict",
    transport: "ssh2",
    sudo: false,
    dialTimeoutMs: 15_000,
    keepAliveMs: 10_000,
    lockTimeoutMs: 60_000,
    operationTimeoutMs: 120_000,
};

test.each(kindNames)("%s: writes its defaults out, and the connection's", async (kind) => {
    const { inputs, failures } = await check(kind, minimal[kind]);
    const { objectKey, ...rest } = inputs;
    expect(failures).toEqual([]);
    // A Host tells what is on it how stack configuration calls it.
    const told = kind === "host" ? { ...connection, name: owner.name } : connection;
    expect(rest).toEqual({ __provider: "x", owner, connection: told, ...written[kind] });
    if (kind !== "host") expect(objectKey).toMatch(/^l[a-z][0-9a-f]{12}$/);
});

test.each([
    ["network", { subnet: ["172.20.0.0/24"] }, { subnet: "172.20.0.0/24" }],
    ["network", { reserved: "172.20.0.9" }, { reserved: ["172.20.0.9"] }],
    ["network", { ipRange: "172.20.0.1 - 172.20.0.9" }, { ipRange: "172.20.0.1-172.20.0.9" }],
    [
        "sandbox",
        { sysctls: { "net.core.x": 5, "net.ipv4.ip_local_port_range": "1024\t  65000 " } },
        { sysctls: { "net.core.x": "5", "net.ipv4.ip_local_port_range": "1024 65000" } },
    ],
    ["sandbox", { hostname: "DB_1.Example.com." }, { hostname: "db_1.example.com" }],
    [
        "sandbox",
        { extraHosts: { Registry: "2001:DB8::0080", mirror: "host-gateway" } },
        { extraHosts: { registry: "2001:db8::80", mirror: "host-gateway" } },
    ],
    [
        "network",
        { dns: { servers: "2001:DB8:0::53", search: "Example.com", domain: "Shop.", options: "ndots:02" } },
        { dns: { servers: ["2001:db8::53"], search: ["example.com"], domain: "shop", options: ["ndots:2"] } },
    ],
    ["endpoint", { aliases: "API" }, { aliases: ["api"] }],
    ["endpoint", { macAddress: "02-6C-AC-14-00-05" }, { macAddress: "02:6c:ac:14:00:05" }],
    ["port-mapping", { hostPort: "8080", targetPort: " 80-81 " }, { hostPort: 8080, targetPort: "80-81" }],
    ["port-mapping", { hostAddress: "127.0.0.1", protocol: "udp" }, { hostAddress: ["127.0.0.1"], protocol: ["udp"] }],
    ["port-mapping", { target: { endpoint, port: "80" } }, { target: [{ endpoint, port: 80 }] }],
    ...(
        [
            ["80", { targetPort: 80, protocol: ["tcp"] }],
            [3000, { targetPort: 3000, protocol: ["tcp"] }],
            ["8080:80", { hostPort: 8080, targetPort: 80, protocol: ["tcp"] }],
            ["443:443/tcp", { hostPort: 443, targetPort: 443, protocol: ["tcp"] }],
            ["8000-8010:80-90/sctp", { hostPort: "8000-8010", targetPort: "80-90", protocol: ["sctp"] }],
            ["9000-9099:80", { hostPort: "9000-9099", targetPort: 80, protocol: ["tcp"] }],
            ["127.0.0.1:53:53/udp", { hostAddress: ["127.0.0.1"], hostPort: 53, targetPort: 53, protocol: ["udp"] }],
            ["127.0.0.1::80", { hostAddress: ["127.0.0.1"], targetPort: 80, protocol: ["tcp"] }],
            [{ target: 80 }, { targetPort: 80, protocol: ["tcp"] }],
            [
                { target: "80", published: "8080", protocol: "udp", host_ip: "127.0.0.1", mode: "host", name: "web" },
                { hostAddress: ["127.0.0.1"], hostPort: 8080, targetPort: 80, protocol: ["udp"] },
            ],
            [
                { targetPort: 80, hostPort: "8080", protocol: "udp", hostAddress: "127.0.0.1" },
                { hostAddress: ["127.0.0.1"], hostPort: 8080, targetPort: 80, protocol: ["udp"] },
            ],
        ] as [unknown, Props][]
    ).map(([written, canonical]) => ["port-mapping", { ports: written }, { ports: [canonical] }]),
    [
        "firewall-policy",
        { ingress: [{ action: "allow", from: "10.0.0.1", protocol: "tcp", ports: ["80", "90 - 92", "53/udp"] }] },
        { ingress: [{ action: "allow", from: ["10.0.0.1/32"], protocol: ["tcp"], ports: [80, "90-92", "53/udp"] }] },
    ],
    ["firewall-policy", { egress: [{ action: "drop" }] }, { egress: [{ action: "drop", protocol: [], ports: [] }] }],
] as [Kind, Props, Props][])("%s: stores %j as %j", async (kind, args, stored) => {
    const { inputs, failures } = await check(kind, { ...minimal[kind], ...args });
    expect(failures).toEqual([]);
    expect(inputs).toMatchObject(stored);
});

/** The value with one part of it, at any depth, unknown; once for each part. */
function* withUnknown(value: unknown): Iterable<unknown> {
    yield unknown;
    if (typeof value !== "object" || value === null) return;
    for (const [name, part] of Object.entries(value)) {
        for (const changed of withUnknown(part)) {
            yield Array.isArray(value)
                ? value.map((each, i) => (String(i) === name ? changed : each))
                : { ...value, [name]: changed };
        }
    }
}

test.each(kindNames)(
    "%s: accepts an unknown value in place of every argument, and of every part of one",
    async (kind) => {
        for (const name of Object.keys(schemaOf(kind).shape)) {
            const args = { ...examples[kind], [name]: unknown };
            const { inputs, failures } = await check(kind, args);
            expect({ name, failures }).toEqual({ name, failures: [] });
            expect(JSON.stringify(inputs[name]), name).toContain(unknown);
        }
        for (const all of [examples[kind], alternatives[kind] ?? {}]) {
            for (const [name, value] of Object.entries(all)) {
                for (const changed of withUnknown(value)) {
                    const { inputs, failures } = await check(kind, { ...all, [name]: changed });
                    expect({ changed, failures }).toEqual({ changed, failures: [] });
                    expect(JSON.stringify(inputs), name).toContain(unknown);
                }
            }
        }
    },
);

test.each(kindNames)("%s: finds what is wrong beside unknown values", async (kind) => {
    const args = Object.fromEntries(Object.keys(examples[kind]).map((name) => [name, unknown]));
    expect(await refusals(kind, { ...args, labels: { a: 1 } })).toEqual(["labels.a: a text is expected (got 1)."]);
});

/** Arguments of the contract that come later, with a value that is refused and the default that is not. */
const later: Readonly<Record<Kind, Readonly<Record<string, readonly [value: unknown, defaultValue?: unknown]>>>> = {
    host: {
        sysctls: [{ "vm.swappiness": "1" }, {}],
        adopt: [true, false],
    },
    network: {
        parent: ["eth0"],
        mode: ["private"],
        vlan: [20],
        routes: [[{ to: "10.0.0.0/8", via: "172.20.0.9" }], []],
        defaultHostAddress: ["127.0.0.1"],
    },
    sandbox: {
        networkMode: ["host", "private"],
        forwarding: [true, false],
    },
    endpoint: {
        routes: [[{ to: "10.0.0.0/8", via: "172.20.0.9" }], []],
        allowedAddresses: [["10.0.0.0/8"], []],
    },
    "port-mapping": {
        drainTimeoutMs: [5, 0],
    },
    "firewall-policy": { existingFlows: ["cut", "drain"] },
    "overlay-tunnel": {
        learning: [true, false],
    },
};

test.each(kindNames)(
    "%s: every argument of the contract is either supported or refused with a sentence",
    async (kind) => {
        expect(Object.keys(schemaOf(kind).shape).sort()).toEqual(
            Object.keys({ ...examples[kind], ...alternatives[kind], ...later[kind] }).sort(),
        );
        for (const [name, [value, defaultValue]] of Object.entries(later[kind])) {
            const [sentence = "", ...more] = await refusals(kind, { ...minimal[kind], [name]: value });
            expect(more).toEqual([]);
            expect(sentence).toMatch(new RegExp(`^${name}: is not supported yet\\. [A-Z"].*[^.]( \\(got .*\\))?\\.$`));
            if (defaultValue === undefined) continue;
            const { inputs, failures } = await check(kind, { ...minimal[kind], [name]: defaultValue });
            expect({ name, failures, stored: inputs[name] }).toEqual({ name, failures: [], stored: defaultValue });
        }
    },
);

test.each([
    [
        { icmpTypes: "ping" },
        /^ingress\[0\]\.icmpTypes\[0\]: is no ICMP type \(0-255, or one of echo-reply, .*"ping"\)\.$/,
    ],
    [{ icmpTypes: [8], protocol: "udp" }, /^ingress\[0\]\.icmpTypes: speaks of protocol "icmp" or of "icmpv6"/],
    [{ icmpTypes: [8], protocol: ["icmp", "icmpv6"] }, /^ingress\[0\]\.icmpTypes: speaks of protocol "icmp" or of/],
    [{ icmpTypes: ["packet-too-big"] }, /^ingress\[0\]\.icmpTypes: has a type that its protocol has not/],
    [
        { icmpTypes: ["echo-request", "redirect"], protocol: 58 },
        /^ingress\[0\]\.icmpTypes: has a type that its protocol has not; "icmpv6" has .*echo-request/,
    ],
    [{ icmpTypes: [8], ports: [80] }, /^ingress\[0\]\.icmpTypes: does not go together with ports/],
    [
        { rejectWith: "tcp reset", action: "reject" },
        /^ingress\[0\]\.rejectWith: "tcp-reset", "port-unreachable", .* is expected/,
    ],
    [{ rejectWith: "tcp-reset" }, /^ingress\[0\]\.rejectWith: belongs to action "reject" \(got "tcp-reset"\)\.$/],
    [{ limit: {} }, /^ingress\[0\]\.limit: needs rate or connections/],
    [{ limit: { connections: 3, burst: 2 } }, /^ingress\[0\]\.limit\.burst: needs rate/],
    [
        { limit: { rate: "20/min" } },
        /^ingress\[0\]\.limit\.rate: is no rate such as "20\/minute" .*\(got "20\/min"\)\.$/,
    ],
    [{ limit: { rate: "0/minute" } }, /^ingress\[0\]\.limit\.rate: is no rate/],
    [{ limit: { rates: "1/second" } }, /Did you mean "rate"/],
    [{ log: "x".repeat(65) }, /^ingress\[0\]\.log: must have at most 64 characters/],
])("firewall rule: %j is refused with a sentence", async (args, sentence) => {
    const [first] = await refusals("firewall-policy", { target: endpoint, ingress: [{ action: "allow", ...args }] });
    expect(first).toMatch(sentence);
});

const peers =
    'an Endpoint, Sandbox or Network, an address or CIDR, "any", "host", "internal" or "external" is expected';
const port = 'is no port (1-65535), no range such as "8000-8010" and no port with its protocol such as "53/udp"';
const rule = (args: Props) => ({ ingress: [{ action: "allow", ...args }] });

test.each([
    ["host", { underlayAddress: "edge" }, 'underlayAddress: "edge" is not an IPv4 address such as 172.20.0.10.'],
    ["host", { publicAddress: "" }, 'publicAddress: must not be empty (got "").'],
    ["host", { labels: "x" }, 'labels: an object of names and values is expected (got "x").'],
    ["network", { host: undefined }, "host: is required (a Host is expected)."],
    ["network", { host: "edge" }, 'host: a Host is expected (got "edge").'],
    ["network", { host: sandbox }, 'host.kind: a Host is expected (got "sandbox").'],
    [
        "network",
        { host: { kind: "host", id: "edge" } },
        'host.id: "edge" is not an id of pulumi-linuxnet. Pass the resource object or its output "reference".',
    ],
    ["network", { name: 5 }, "name: a text is expected (got 5)."],
    ["network", { name: "" }, 'name: must not be empty (got "").'],
    ["network", { name: "x".repeat(64) }, `name: must have at most 63 characters (got "${"x".repeat(64)}").`],
    [
        "network",
        { driver: "overlay" },
        'driver: only "bridge" is supported yet. Docker\'s "overlay" is an OverlayNetwork here, "none" a Sandbox without endpoints, "host" comes as Sandbox.networkMode.',
    ],
    [
        "network",
        { driver: "macvlan" },
        'driver: only "bridge" is supported yet. Docker\'s "overlay" is an OverlayNetwork here, "none" a Sandbox without endpoints, "host" comes as Sandbox.networkMode (got "macvlan").',
    ],
    [
        "host",
        { addressPools: [{ base: "10.0.0.0/8" }] },
        "addressPools[0].size: is required (a prefix length in bits is expected).",
    ],
    [
        "host",
        { addressPools: [{ base: "10.0.0.0/8", size: 7 }] },
        "addressPools[0].size: must be from /8, the whole base, to /30 (got 7).",
    ],
    [
        "host",
        {
            addressPools: [
                { base: "fd00::/48", size: 64 },
                { base: "10.1.2.3/16", size: 24 },
            ],
        },
        'addressPools[1].base: "10.1.2.3/16" has bits set behind its prefix; the network is 10.1.0.0/16.',
    ],
    [
        "network",
        { subnet: undefined, gateway: "172.20.0.1" },
        "subnet: is required (is needed with gateway, ipRange and reserved, which are part of it).",
    ],
    [
        "network",
        { subnet: undefined, adopt: true },
        "subnet: is required (is needed with existing and adopt: that of the network that is there).",
    ],
    [
        "network",
        { subnet: "172.20.0.5/24" },
        'subnet: "172.20.0.5/24" has bits set behind its prefix; the network is 172.20.0.0/24.',
    ],
    [
        "network",
        { subnet: "fd00::/64" },
        'subnet: is IPv6 alone: give a list of one for IPv4 and one for IPv6, or set ipv4: false for a network without IPv4 (got "fd00::/64").',
    ],
    ...(
        [
            [{ subnet: "172.20.0.0/24" }, "subnet", "172.20.0.0/24"],
            [{ subnet: ["172.20.0.0/24", "fd00::/64"] }, "subnet", ["172.20.0.0/24", "fd00::/64"]],
            [{ gateway: "172.20.0.1" }, "gateway", "172.20.0.1"],
            [{ ipRange: "172.20.0.0/25" }, "ipRange", "172.20.0.0/25"],
            [{ reserved: ["fd00::2", "172.20.0.2"] }, "reserved", ["fd00::2", "172.20.0.2"]],
        ] as [Props, string, unknown][]
    ).map(([args, name, got]) => [
        "network",
        { subnet: "fd00::/64", ipv4: false, ...args },
        `${name}: is IPv4, which ipv4: false takes off; give IPv6, or leave ipv4 out (got ${JSON.stringify(got)}).`,
    ]),
    [
        "network",
        { subnet: undefined, ipv4: false, ipv6: false },
        "ipv6: is false, as ipv4 is; a network has one of them at least (got false).",
    ],
    [
        "network",
        { subnet: "172.20.0.0/24", ipv6: true, existing: true, interfaceName: "br0" },
        "ipv6: needs a subnet of IPv6 in subnet: that of the bridge that is there (got true).",
    ],
    [
        "network",
        { subnet: ["172.20.0.0/24", "fd00::1/64"] },
        'subnet[1]: "fd00::1/64" has bits set behind its prefix; the network is fd00::/64.',
    ],
    [
        "network",
        { subnet: ["172.20.0.0/24", "fd00::/64"], ipv6: false },
        "ipv6: is false, and subnet has one for IPv6; leave one of them out (got false).",
    ],
    [
        "network",
        { gateway: ["172.20.0.1", "::ffff:172.20.0.1"] },
        'gateway[1]: "::ffff:172.20.0.1" is an IPv4 address in the form of IPv6; write 172.20.0.1.',
    ],
    [
        "network",
        { subnet: ["172.20.0.0/24", "172.21.0.0/24"] },
        'subnet: one value for IPv4 is expected, or one for IPv4 and one for IPv6 (got ["172.20.0.0/24","172.21.0.0/24"]).',
    ],
    ["network", { gateway: "172.20.0.1/24" }, 'gateway: "172.20.0.1/24" is not an IPv4 address such as 172.20.0.10.'],
    [
        "network",
        { ipRange: "172.20.0.9" },
        'ipRange: "172.20.0.9" is not a range such as 172.20.0.128/25 or 172.20.0.10-172.20.0.20.',
    ],
    ["network", { reserved: ["172.20.0.9", 1] }, "reserved[1]: a text is expected (got 1)."],
    ["network", { internal: "yes" }, 'internal: true or false is expected (got "yes").'],
    ["network", { isolateEndpoints: 1 }, "isolateEndpoints: true or false is expected (got 1)."],
    ["network", { masquerade: null }, "masquerade: true or false is expected (got null)."],
    ["network", { attachable: "no" }, 'attachable: true or false is expected (got "no").'],
    ["network", { mtu: 57 }, "mtu: must be at least 576 bytes (got 57)."],
    ["network", { mtu: 65536 }, "mtu: must be at most 65535 bytes (got 65536)."],
    ["network", { mtu: "1500" }, 'mtu: a number is expected (got "1500").'],
    ["network", { mtu: 1400.5 }, "mtu: a whole number is expected (got 1400.5)."],
    ["network", { labels: { a: 1 } }, "labels.a: a text is expected (got 1)."],
    [
        "network",
        { interfaceName: "br0" },
        'interfaceName: names a bridge of others; it belongs to existing: true or adopt: true (got "br0").',
    ],
    ["network", { existing: true }, "existing: needs interfaceName, the bridge to use (got true)."],
    [
        "network",
        { existing: true, interfaceName: "br0", internal: true },
        "existing: leaves the bridge's traffic to others: internal, isolateEndpoints, hostAccess, defaultPolicy and directAccess do not apply (got true).",
    ],
    [
        "sandbox",
        { namespace: "/proc/1/ns/net" },
        'namespace: "/proc/1/ns/net" is not a namespace name: up to 63 letters, digits, "-", "_" or ".", the first a letter, a digit or "_".',
    ],
    [
        "sandbox",
        { name: "$(id)" },
        'name: "$(id)" is not a namespace name: up to 63 letters, digits, "-", "_" or ".", the first a letter, a digit or "_".',
    ],
    [
        "sandbox",
        { sysctls: { "kernel.hostname": "x" } },
        'sysctls.kernel.hostname: only keys below net.* are per namespace, such as net.ipv4.ip_unprivileged_port_start (got "x").',
    ],
    [
        "sandbox",
        { sysctls: { "net/ipv4/../../kernel/hostname": "x" } },
        'sysctls.net/ipv4/../../kernel/hostname: only keys below net.* are per namespace, such as net.ipv4.ip_unprivileged_port_start (got "x").',
    ],
    [
        "sandbox",
        { sysctls: { "net.ipv4.//.//.kernel.hostname": "x" } },
        'sysctls.net.ipv4.//.//.kernel.hostname: only keys below net.* are per namespace, such as net.ipv4.ip_unprivileged_port_start (got "x").',
    ],
    ["sandbox", { sysctls: { "net.core.x": true } }, "sysctls.net.core.x: a text or a number is expected (got true)."],
    [
        "sandbox",
        { hostname: "-db" },
        'hostname: "-db" is not a DNS name: labels of up to 63 letters, digits, "-" or "_", no "-" at their ends, with dots between them.',
    ],
    [
        "sandbox",
        { hostname: "a..b" },
        'hostname: "a..b" is not a DNS name: labels of up to 63 letters, digits, "-" or "_", no "-" at their ends, with dots between them.',
    ],
    [
        "sandbox",
        { hostname: "db.7" },
        'hostname: "db.7" would be read as an address: the last label of a name is never a number.',
    ],
    [
        "sandbox",
        { hostname: "localhost" },
        'hostname: "localhost" is what every machine calls itself (RFC 6761); choose another name.',
    ],
    [
        "sandbox",
        { extraHosts: { "a b": "10.0.0.1" } },
        'extraHosts.a b: "a b" is not a DNS name: labels of up to 63 letters, digits, "-" or "_", no "-" at their ends, with dots between them (got "10.0.0.1").',
    ],
    [
        "sandbox",
        { extraHosts: { registry: "10.0.0.300" } },
        'extraHosts.registry: "10.0.0.300" is not an IPv4 address such as 172.20.0.10, nor "host-gateway".',
    ],
    [
        "sandbox",
        { dns: "192.0.2.53" },
        'dns: an object such as { servers: ["192.0.2.53"], search: ["example.com"] } is expected.',
    ],
    [
        "sandbox",
        { dns: { servers: ["192.0.2.53#5353"] } },
        'dns.servers[0]: "192.0.2.53#5353" is not an IPv4 address such as 172.20.0.10.',
    ],
    [
        "sandbox",
        { dns: { nameservers: ["192.0.2.53"] } },
        'dns.nameservers: there is no such argument. Did you mean "servers"?',
    ],
    [
        "network",
        { dns: { mode: "dnsmasq" } },
        'dns.mode: "server" (a resolver on the host), "hosts" (files with the names) or "none" is expected (got "dnsmasq").',
    ],
    [
        "network",
        { dns: { options: ["ndots:16"] } },
        'dns.options[0]: "ndots:16": the option ndots has a number up to 15, as in ndots:15.',
    ],
    ["network", { dns: { options: ["rotate:1"] } }, 'dns.options[0]: "rotate:1": the option rotate has no number.'],
    [
        "network",
        { dns: { options: ["nope"] } },
        'dns.options[0]: "nope" is no option of resolv.conf(5): debug, ndots:n, timeout:n, attempts:n, rotate, no-aaaa, no-check-names, inet6, edns0, single-request, single-request-reopen, no-tld-query, use-vc, no-reload, trust-ad.',
    ],
    [
        "network",
        { existing: true, interfaceName: "br0", dns: { mode: "server" } },
        'dns.mode: is "server", which answers at the gateway of a bridge of our own; with existing give "hosts" or "none".',
    ],
    [
        "endpoint",
        { aliases: ["api", "a/b"] },
        'aliases[1]: "a/b" is not a DNS name: labels of up to 63 letters, digits, "-" or "_", no "-" at their ends, with dots between them.',
    ],
    ["endpoint", { network: sandbox }, 'network.kind: a Network is expected (got "sandbox").'],
    ["endpoint", { sandbox: undefined }, "sandbox: is required (a Sandbox is expected)."],
    [
        "endpoint",
        { ipv4Address: "172.20.0.300" },
        'ipv4Address: "172.20.0.300" is not an IPv4 address such as 172.20.0.10.',
    ],
    [
        "endpoint",
        { macAddress: "01:00:5e:00:00:01" },
        'macAddress: "01:00:5e:00:00:01" is a multicast address; an endpoint needs a unicast one (first byte even).',
    ],
    [
        "endpoint",
        { interfaceName: "default" },
        'interfaceName: "default" is not an interface name: 1 to 15 letters, digits, "-", "_" or "."; not "lo", "all" or "default".',
    ],
    ["endpoint", { gatewayPriority: "high" }, 'gatewayPriority: a whole number or "never" is expected (got "high").'],
    ["port-mapping", { target: network }, 'target[0].kind: an Endpoint is expected (got "network").'],
    ["port-mapping", { target: [] }, "target: is empty. Name an Endpoint (got [])."],
    [
        "port-mapping",
        { target: [{ endpoint, weight: 101 }] },
        "target[0].weight: a whole number from 0 to 100 is expected (got 101).",
    ],
    [
        "port-mapping",
        { target: [{ endpoint, weight: 0 }] },
        'target: has only targets of weight 0, so nobody would take connections (got [{"endpoint":{"kind":"endpoint","id":"le1.1@m1"},"weight":0}]).',
    ],
    ...(
        [
            ["x", '"x" is no published port: '],
            ["", '"" is no published port: '],
            ["80:", '"80:" is no published port: '],
            ["http:80", '"http:80" is no published port: '],
            ["127.0.0.1:80", '"127.0.0.1:80" is no published port: '],
            ["1:2:3:4", '"1:2:3:4" is no published port: '],
            ["-1:80", '"-1:80" is no published port: '],
            [":80", '":80" begins with ":" and nothing before it: '],
            ["::80", '"::80" begins with ":" and nothing before it: '],
            [":8080:80", '":8080:80" begins with ":" and nothing before it: '],
        ] as const
    ).map(([written, words]) => [
        "port-mapping",
        { ports: [written] },
        `ports[0]: ${words}[address:][host port:]target port[/protocol] is expected, as in "8080:80", "127.0.0.1:53:53/udp" or "8000-8010:80-90".`,
    ]),
    [
        "port-mapping",
        { ports: "80/icmp" },
        'ports[0]: "80/icmp" ends in "/icmp"; "/tcp", "/udp" or "/sctp" is expected.',
    ],
    ["port-mapping", { ports: "80/" }, 'ports[0]: "80/" ends in "/"; "/tcp", "/udp" or "/sctp" is expected.'],
    [
        "port-mapping",
        { ports: ["80", "99999:80"] },
        'ports[1]: "99999:80": "99999" is not a port (1-65535) or a range such as 8000-8010.',
    ],
    ["port-mapping", { ports: ["90-80:1-11"] }, 'ports[0]: "90-80:1-11": "90-80" ends before it begins.'],
    [
        "port-mapping",
        { ports: ["host:80:80"] },
        'ports[0]: "host" is not an IPv4 address such as 172.20.0.10 (got "host:80:80").',
    ],
    ["port-mapping", { ports: [true] }, 'ports[0]: a text such as "8080:80", or an object, is expected (got true).'],
    [
        "port-mapping",
        { ports: [{ hostPort: 80 }] },
        "ports[0].targetPort: is required (a port number or a range such as 8000-8010 is expected).",
    ],
    ["port-mapping", { ports: [{ target: 80, publishd: 8080 }] }, "ports[0].publishd: there is no such argument."],
    ["port-mapping", { ports: [{ targetPort: 80, hostport: 8080 }] }, "ports[0].hostport: there is no such argument."],
    [
        "port-mapping",
        { ports: [{ target: 80, mode: "ingress" }] },
        'ports[0].mode: is not supported yet. A port is published on the host of its target; leave it out (got "ingress").',
    ],
    [
        "port-mapping",
        { ports: [{ target: 0 }] },
        'ports[0].target: "0" is not a port (1-65535) or a range such as 8000-8010.',
    ],
    [
        "port-mapping",
        { ports: ["8080:80", "8079-8081:1-3"] },
        'ports[1]: asks for a port of the host that ports[0] has (got "8079-8081:1-3").',
    ],
    ["port-mapping", { ports: ["80"], hostPort: 80 }, "hostPort: is given beside ports. Write it into ports (got 80)."],
    [
        "port-mapping",
        { ports: ["80"], targetPort: 80 },
        "targetPort: is given beside ports. Write it into ports (got 80).",
    ],
    [
        "port-mapping",
        { ports: ["80"], protocol: "udp" },
        'protocol: is given beside ports. Write it into ports (got "udp").',
    ],
    [
        "port-mapping",
        { ports: ["80"], target: [{ endpoint, port: 80 }] },
        "target[0].port: is given beside ports. Write the ports of all targets into ports (got 80).",
    ],
    ["port-mapping", { hostPort: 0 }, 'hostPort: "0" is not a port (1-65535) or a range such as 8000-8010.'],
    ["port-mapping", { hostPort: "8010-8000" }, 'hostPort: "8010-8000" ends before it begins.'],
    [
        "port-mapping",
        { targetPort: [80] },
        "targetPort: a port number or a range such as 8000-8010 is expected (got [80]).",
    ],
    ["port-mapping", { protocol: ["tcp", "icmp"] }, 'protocol[1]: "tcp", "udp" or "sctp" is expected (got "icmp").'],
    [
        "port-mapping",
        { hostAddress: ["127.0.0.1", "fe80::1"] },
        'hostAddress[1]: "fe80::1" is link-local, where packets are never forwarded; give another address.',
    ],
    [
        "port-mapping",
        { hostAddress: "::1" },
        'hostAddress[0]: "::1" cannot be published, the kernel takes no answers for it from a bridge; give "127.0.0.1".',
    ],
    [
        "firewall-policy",
        { target: [] },
        "target: is empty. Name at least one Endpoint, Sandbox, Network or Host (got []).",
    ],
    [
        "firewall-policy",
        { target: { ...host, kind: "port-mapping" } },
        'target[0].kind: an Endpoint, Sandbox, Network or Host is expected (got "port-mapping").',
    ],
    ["firewall-policy", { ingress: { action: "allow" } }, 'ingress: a list is expected (got {"action":"allow"}).'],
    ["firewall-policy", { ingress: ["allow"] }, 'ingress[0]: an object is expected (got "allow").'],
    ["firewall-policy", { ingress: [{}] }, 'ingress[0].action: is required ("allow", "drop" or "reject" is expected).'],
    [
        "firewall-policy",
        { ingress: [{ action: "accept" }] },
        'ingress[0].action: "allow", "drop" or "reject" is expected (got "accept").',
    ],
    ["firewall-policy", rule({ from: "office" }), `ingress[0].from[0]: ${peers} (got "office").`],
    [
        "firewall-policy",
        rule({ from: ["any", "fd00::1/8"] }),
        'ingress[0].from[1]: "fd00::1/8" has bits set behind its prefix; the network is fd00::/8.',
    ],
    [
        "firewall-policy",
        rule({ from: host }),
        'ingress[0].from[0].kind: an Endpoint, Sandbox or Network is expected (got "host").',
    ],
    [
        "firewall-policy",
        rule({ protocol: "http" }),
        'ingress[0].protocol[0]: "tcp", "udp", "sctp", "icmp", "icmpv6" or an IANA protocol number is expected (got "http").',
    ],
    [
        "firewall-policy",
        rule({ protocol: 256 }),
        "ingress[0].protocol[0]: an IANA protocol number from 1 to 255 is expected (got 256).",
    ],
    ["firewall-policy", rule({ ports: ["99999/tcp"] }), `ingress[0].ports[0]: ${port} (got "99999/tcp").`],
    ["firewall-policy", rule({ ports: 0 }), `ingress[0].ports[0]: ${port} (got 0).`],
    ["firewall-policy", rule({ ports: [80, "80/icmp"] }), `ingress[0].ports[1]: ${port} (got "80/icmp").`],
    [
        "firewall-policy",
        rule({ ports: { a: 1 } }),
        'ingress[0].ports[0]: a port, a range such as "8000-8010", or a port with its protocol such as "53/udp" is expected (got {"a":1}).',
    ],
    [
        "firewall-policy",
        rule({ protocol: "icmp", ports: [80] }),
        'ingress[0]: has ports, which only tcp, udp and sctp have; leave protocol or ports out (got {"action":"allow","protocol":"icmp","ports":[80]}).',
    ],
    [
        "firewall-policy",
        rule({ description: "x".repeat(121) }),
        `ingress[0].description: must have at most 120 characters (got "${"x".repeat(99)}...).`,
    ],
    [
        "firewall-policy",
        { defaultAction: "deny" },
        'defaultAction: "drop", "reject" or "allow" is expected (got "deny").',
    ],
    ["firewall-policy", { priority: "first" }, 'priority: a number is expected (got "first").'],
    ["overlay-tunnel", { network: undefined }, "network: is required (a Network is expected)."],
    ["overlay-tunnel", { vni: 0 }, "vni: must be 1 to 16777215 (got 0)."],
    ["overlay-tunnel", { vni: 16777216 }, "vni: must be 1 to 16777215 (got 16777216)."],
    [
        "overlay-tunnel",
        { encryption: "ipsec" },
        'key: is required with encryption "ipsec": a secret that all hosts of the segment share.',
    ],
    [
        "overlay-tunnel",
        { key: "0123456789abcdef" },
        'key: belongs to encryption "ipsec" and would do nothing with "none"; leave it out.',
    ],
    [
        "overlay-tunnel",
        { encryption: "ipsec", key: ["0123456789abcdef", "0123456789abcdef"] },
        "key: has the same secret twice.",
    ],
    ["overlay-tunnel", { encryption: "ipsec", key: [] }, "key: must have one secret at least."],
    ["overlay-tunnel", { port: 65536 }, "port: must be a port, 1 to 65535 (got 65536)."],
    [
        "overlay-tunnel",
        { peers: ["192.0.2.256"] },
        'peers[0]: "192.0.2.256" is not an IPv4 address such as 172.20.0.10.',
    ],
    [
        "overlay-tunnel",
        { remoteEndpoints: [{ address: "10.0.0.1" }] },
        "remoteEndpoints[0].underlayAddress: is required (a text is expected).",
    ],
    ["overlay-tunnel", { local: "eth0" }, 'local: "eth0" is not an IPv4 address such as 172.20.0.10.'],
    [
        "overlay-tunnel",
        { local: "fe80::1" },
        'local: "fe80::1" is link-local, which means something on one link only; give a global address of the host, or one of fd00::/8.',
    ],
    [
        "overlay-tunnel",
        { local: "::1" },
        'local: "::1" is reserved (RFC 4291), and no host\'s; give a global address of the host, or one of fd00::/8.',
    ],
    [
        "overlay-tunnel",
        { peers: ["ff02::1"] },
        'peers[0]: "ff02::1" is multicast, which means several hosts; give a global address of the host, or one of fd00::/8.',
    ],
    [
        "host",
        { underlayAddress: "::ffff:192.0.2.1" },
        'underlayAddress: "::ffff:192.0.2.1" is an IPv4 address in the form of IPv6; write 192.0.2.1.',
    ],
    [
        "overlay-tunnel",
        { local: "2001:db8::10", peers: ["2001:db8::20", "192.0.2.20"] },
        'peers[1]: is IPv4, and local is 2001:db8::10: the hosts of a segment need underlay addresses of one family. Give each Host an underlayAddress of that family (got "192.0.2.20").',
    ],
    [
        "overlay-tunnel",
        { peers: ["192.0.2.20", "2001:db8::20"] },
        'peers[1]: is IPv6, and peers[0] is 192.0.2.20: the hosts of a segment need underlay addresses of one family. Give each Host an underlayAddress of that family (got "2001:db8::20").',
    ],
    [
        "overlay-tunnel",
        { peers: [{ underlayAddress: "192.0.2.20", ipRange: "172.20.1.0/24", keepAliveMs: 25_000 }] },
        'peers[0].keepAliveMs: belongs to encryption "wireguard" and would do nothing with "none"; leave it out (got 25000).',
    ],
    [
        "overlay-tunnel",
        {
            encryption: "wireguard",
            peers: [{ underlayAddress: "192.0.2.20", ipRange: "172.20.1.0/24", keepAliveMs: 25 }],
        },
        "peers[0].keepAliveMs: must be whole seconds in milliseconds, 1000 to 65535000 (got 25).",
    ],
    [
        "overlay-tunnel",
        {
            encryption: "wireguard",
            peers: [{ underlayAddress: "192.0.2.20", ipRange: "172.20.1.0/24", identity: { wireguardPublicKey: "K" } }],
        },
        'peers[0].identity.wireguardPublicKey: the output identity of a Host is expected (got "K").',
    ],
] as [Kind, Props, string][])("%s: refuses %j", async (kind, args, sentence) => {
    expect(await refusals(kind, { ...minimal[kind], ...args })).toEqual([sentence]);
});

test.each([
    ["network", { subnets: [] }, 'subnets: there is no such argument. Did you mean "subnet"?'],
    ["network", { gatway: "x" }, 'gatway: there is no such argument. Did you mean "gateway"?'],
    ["network", { ip_range: "x" }, 'ip_range: there is no such argument. Did you mean "ipRange"?'],
    ["network", { ipamConfigs: [] }, 'ipamConfigs: there is no such argument. Did you mean "subnet"?'],
    ["network", { enable_ipv6: true }, 'enable_ipv6: there is no such argument. Did you mean "ipv6"?'],
    ["network", { aux_addresses: {} }, 'aux_addresses: there is no such argument. Did you mean "reserved"?'],
    ["network", { port: 22 }, "port: there is no such argument."],
    ["network", { user: "root" }, "user: there is no such argument."],
    ["network", { somethingElse: 1 }, "somethingElse: there is no such argument."],
    ["sandbox", { networkmode: "x" }, 'networkmode: there is no such argument. Did you mean "networkMode"?'],
    ["endpoint", { ipv4_address: "x" }, 'ipv4_address: there is no such argument. Did you mean "ipv4Address"?'],
    ["endpoint", { ip: "x" }, 'ip: there is no such argument. Did you mean "ipv4Address"?'],
    ["endpoint", { mac_address: "x" }, 'mac_address: there is no such argument. Did you mean "macAddress"?'],
    ["endpoint", { gw_priority: 1 }, 'gw_priority: there is no such argument. Did you mean "gatewayPriority"?'],
    ["port-mapping", { published: 80 }, 'published: there is no such argument. Did you mean "hostPort"?'],
    ["port-mapping", { host_ip: "x" }, 'host_ip: there is no such argument. Did you mean "hostAddress"?'],
    ["port-mapping", { containerPort: 80 }, 'containerPort: there is no such argument. Did you mean "targetPort"?'],
    ["firewall-policy", { ingres: [] }, 'ingres: there is no such argument. Did you mean "ingress"?'],
    ["firewall-policy", rule({ form: "any" }), 'ingress[0].form: there is no such argument. Did you mean "from"?'],
    ["firewall-policy", rule({ source: "any" }), 'ingress[0].source: there is no such argument. Did you mean "from"?'],
    ["firewall-policy", rule({ to: "any" }), 'ingress[0].to: there is no such argument. Did you mean "from"?'],
    ["firewall-policy", rule({ port: 80 }), 'ingress[0].port: there is no such argument. Did you mean "ports"?'],
    ["firewall-policy", rule({ user: "x" }), "ingress[0].user: there is no such argument."],
    ["overlay-tunnel", { peer: [] }, 'peer: there is no such argument. Did you mean "peers"?'],
    ["host", { host: "x" }, 'host: there is no such argument. Did you mean "connection.host"?'],
    ["host", { user: "x" }, 'user: there is no such argument. Did you mean "connection.user"?'],
] as [Kind, Props, string][])("%s: %j: %s", async (kind, args, sentence) => {
    expect(await refusals(kind, { ...minimal[kind], ...args })).toEqual([sentence]);
});

test.each([
    [{ privateKeyPath: "x" }, 'connection.privateKeyPath: there is no such argument. Did you mean "privateKeyFile"?'],
    [{ privatKey: "SECRET" }, 'connection.privatKey: there is no such argument. Did you mean "privateKey"?'],
    [{ passphrase: "SECRET" }, 'connection.passphrase: there is no such argument. Did you mean "privateKeyPassword"?'],
    [{ dialErrorLimit: 3 }, 'connection.dialErrorLimit: there is no such argument. Did you mean "waitMs"?'],
    [{ perDialTimeout: 3 }, 'connection.perDialTimeout: there is no such argument. Did you mean "dialTimeoutMs"?'],
    [{ subnet: "x" }, "connection.subnet: there is no such argument."],
    [{ privateKey: 5 }, "connection.privateKey: a text is expected."],
    [{ privateKey: { key: "SECRET" } }, "connection.privateKey: a text is expected."],
    [{ privateKey: ["SECRET"] }, "connection.privateKey: a text is expected."],
    [{ password: ["SECRET"] }, "connection.password: a text is expected."],
    [{ privateKeyPassword: { a: "SECRET" } }, "connection.privateKeyPassword: a text is expected."],
    [{ sudo: "SECRET" }, "connection.sudo: true, false or { password } is expected."],
    [{ sudo: { password: { a: "SECRET" } } }, "connection.sudo.password: a text is expected."],
    [{ host: "ssh://root:SECRET@edge" }, "connection.host: must be a host name or an address."],
    [
        { hostKey: "-----BEGIN OPENSSH PRIVATE KEY-----\nSECRET" },
        'connection.hostKey[0]: must be a key such as "ssh-ed25519 AAAA..." or a fingerprint such as "SHA256:...".',
    ],
    [{ port: "22" }, 'connection.port: a port is expected (got "22").'],
    [{ port: 0 }, "connection.port: must be a port, 1 to 65535 (got 0)."],
    [{ dialTimeoutMs: -1 }, "connection.dialTimeoutMs: must not be negative (got -1)."],
    [{ transport: "telnet" }, 'connection.transport: "ssh2", "openssh" or "local" is expected (got "telnet").'],
    [{ host: undefined }, 'connection.host: is required (or transport: "local" for the machine the program runs on).'],
])(
    "connection: %j is refused alike on a Host and beside every other resource, without a secret",
    async (args, sentence) => {
        const written = { connection: { host: "edge", ...args } };
        for (const kind of kindNames) {
            const sentences = await refusals(kind, { ...minimal[kind], ...written });
            expect(sentences).toEqual([sentence]);
            expect(sentences.join()).not.toContain("SECRET");
        }
    },
);

test("connection: as a whole of the wrong type is not printed", async () => {
    for (const kind of kindNames) {
        for (const connection of ["SECRET", ["SECRET"], 5]) {
            expect(await refusals(kind, { ...minimal[kind], connection })).toEqual([
                "connection: an object is expected.",
            ]);
        }
    }
});

test("secrets: the key of a tunnel is not printed", async () => {
    const args = { ...minimal["overlay-tunnel"], key: "SECRET", encryption: "ipsec" };
    const sentences = await refusals("overlay-tunnel", args);
    expect(sentences).toEqual(["key: must have at least 16 characters; `openssl rand -base64 32` makes a good one."]);
    expect(sentences.join()).not.toContain("SECRET");
});

test("failures: name the resource and no property, because the engine would print its value", async () => {
    const { failures } = await check("network", { connection: { host: "edge", privateKey: 5 }, mtu: 1, nonsense: 2 });
    expect(failures.map(({ property }) => property)).toEqual(Array(failures.length).fill(""));
    expect(failures.map(({ reason }) => reason)).toEqual([
        'Network "x": host: is required (a Host is expected).',
        'Network "x": mtu: must be at least 576 bytes (got 1).',
        'Network "x": nonsense: there is no such argument.',
        'Network "x": connection.privateKey: a text is expected.',
    ]);
});

test("object key: is a hash of the first URN, and stays when the URN changes", async () => {
    const { inputs } = await check("network", minimal.network);
    expect(inputs["objectKey"]).toBe("ln23343fb77637");
    const renamed = { ...minimal.network, owner: { ...owner, urn: "urn:pulumi:dev::shop::y" } };
    expect((await check("network", renamed, inputs)).inputs["objectKey"]).toBe(inputs["objectKey"]);
    expect((await check("network", renamed)).inputs["objectKey"]).not.toBe(inputs["objectKey"]);
    expect(
        (await check("network", { ...minimal.network, owner: { ...owner, urn: unknown } })).inputs,
    ).not.toHaveProperty("objectKey");
});

test("machines: a sandbox and a network of different ones are refused, unknown ones are looked at later", async () => {
    const elsewhere = { kind: "network", id: "ln1.1@m2" };
    expect(await refusals("endpoint", { sandbox, network: elsewhere })).toEqual([
        "sandbox and network are on different machines. An endpoint joins a sandbox and a network of one host; join hosts with an OverlayNetwork.",
    ]);
    for (const id of [unknown, undefined]) {
        expect(await refusals("endpoint", { sandbox, network: { kind: "network", id } })).toEqual([]);
    }
});

const far = (kind: Kind, addresses?: string[]) => ({ kind, id: "lx1.1@m2", ...(addresses ? { addresses } : {}) });
const ofMesh = (...machines: string[]) => ({
    kind: "overlay-network",
    networks: machines.map((machine) => ({ kind: "network", id: `ln9.1@${machine}` })),
});
const policyAbout = (from: unknown): Props => ({ target: endpoint, ingress: [{ action: "allow", from }] });

test.each([
    ["an endpoint of this host", { ...endpoint, addresses: ["10.0.0.2"] }, endpoint],
    ["one that is not known yet", { ...endpoint, id: unknown, addresses: unknown }, undefined],
    ["an endpoint of another host", far("endpoint", ["10.0.0.2", "FD00::2"]), far("endpoint", ["10.0.0.2", "fd00::2"])],
    ["a network of another host", far("network", ["10.0.1.0/24", "10.0.2.3-10.0.2.9"]), undefined],
    ["a segment that is on this host", ofMesh("m2", "m1"), { kind: "network", id: "ln9.1@m1", segment: true }],
    ["a segment that may be", { ...ofMesh("m2"), networks: [{ kind: "network", id: unknown }] }, undefined],
] as [string, object, object | undefined][])(
    "policy: keeps of a peer what its host needs: %s",
    async (_, given, kept) => {
        const { inputs, failures } = await check("firewall-policy", policyAbout([given, "any"]));
        expect(failures).toEqual([]);
        expect(inputs["ingress"]).toMatchObject([{ from: [kept ?? given, "any"] }]);
        expect((await check("firewall-policy", inputs, inputs)).inputs).toEqual(inputs);
    },
);

test("policy: peers and targets of other hosts that cannot be are refused", async () => {
    const cases: [Props, string][] = [
        [
            policyAbout(far("sandbox")),
            "ingress[0].from[0] is a Sandbox of another host, and addresses are its endpoints'. Name its Endpoint.",
        ],
        [
            policyAbout(["any", far("network")]),
            "ingress[0].from[1] is a reference to a Network of another host, and carries no addresses. Name what Network.get(name, reference, { host }) finds.",
        ],
        [
            policyAbout(ofMesh("m2", "m3")),
            "ingress[0].from[0] can never match: the OverlayNetwork has no network on the host of the target.",
        ],
        [
            { target: [endpoint, far("network")], egress: [] },
            "target[1] is on another host than target[0], which the program did not say: name the resources themselves, not Outputs or references, or make a policy for each host.",
        ],
    ];
    for (const [args, message] of cases) expect(await refusals("firewall-policy", args)).toEqual([message]);
});

test("port mapping: keeps of targets what its host needs, which is the one named or the first target's", async () => {
    const local = { ...endpoint, addresses: ["172.20.0.2"] };
    const remote = far("endpoint", ["10.0.0.2"]);
    const cases: [Props, unknown[]][] = [
        [{ target: [local, { endpoint: remote, port: 81 }] }, [endpoint, { endpoint: remote, port: 81 }]],
        [{ target: [local, remote], publishOn: { kind: "host", id: "host.1@m2" } }, [local, far("endpoint")]],
        [{ target: remote, publishOn: { kind: "host", id: unknown } }, [remote]],
    ];
    for (const [args, target] of cases) {
        const { inputs, failures } = await check("port-mapping", args);
        expect(failures).toEqual([]);
        expect(inputs["target"]).toEqual(target);
        expect((await check("port-mapping", inputs, inputs)).inputs).toEqual(inputs);
    }
    expect(await refusals("port-mapping", { target: [endpoint, far("endpoint")] })).toEqual([
        "target[1] is a reference to an Endpoint of another host, and carries no addresses. Name what Endpoint.get(name, reference, { host }) finds.",
    ]);
    expect(await refusals("port-mapping", { target: endpoint, sourceAddress: "nat" })).toEqual([
        'sourceAddress: "keep" or "masquerade" is expected (got "nat").',
    ]);
});
