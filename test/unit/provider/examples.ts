import { hostHandler } from "../../../provider/host-lifecycle.js";
import { hostSchema } from "../../../provider/kinds/host.js";
import { objectKinds } from "../../../provider/kinds/index.js";
import { type CheckResult, objectHandler, type Props } from "../../../provider/lifecycle.js";
import type { Kind } from "../../../provider/model/kind.js";

export const owner = { project: "shop", stack: "dev", urn: "urn:pulumi:dev::shop::x", name: "x" };
export const unknown = "04da6b54-80e4-46f7-96ec-b56ff0331ba9";

const ref = (kind: Kind, key: string) => ({ kind, id: `${key}.1@m1` });
export const host = ref("host", "host");
export const network = ref("network", "ln1");
export const sandbox = ref("sandbox", "ls1");
export const endpoint = ref("endpoint", "le1");

/** Every argument that is supported, as a user may write it. */
export const examples: Readonly<Record<Kind, Props>> = {
    host: {
        connection: {
            host: "203.0.113.10",
            port: 2222,
            user: "deploy",
            privateKey: "-----BEGIN OPENSSH PRIVATE KEY-----\nx\n",
            privateKeyFile: "~/.ssh/id_ed25519",
            privateKeyPassword: "a",
            password: "b",
            agentSocketPath: "/run/agent",
            hostKey: "SHA256:abc",
            knownHosts: "~/.ssh/known",
            hostKeyPolicy: "accept-new",
            transport: "ssh2",
            sudo: { password: "c" },
            waitMs: 1,
            dialTimeoutMs: 2,
            keepAliveMs: 3,
            lockTimeoutMs: 4,
            operationTimeoutMs: 5,
        },
        underlayAddress: "192.0.2.10",
        publicAddress: "edge.example.com",
        addressPools: [{ base: "10.0.0.0/8", size: 24 }],
        triggers: ["image-2"],
        deleteUnreachable: true,
        cooperate: true,
        labels: { team: "a" },
    },
    network: {
        host,
        name: "frontend",
        driver: "bridge",
        subnet: ["172.20.0.0/24"],
        allowOverlap: true,
        ipv6: true,
        gateway: "172.20.0.1",
        ipRange: "172.20.0.10 - 172.20.0.20",
        reserved: "172.20.0.12",
        internal: true,
        isolateEndpoints: true,
        hostAccess: false,
        defaultPolicy: "deny",
        directAccess: false,
        masquerade: false,
        mtu: 1400,
        attachable: true,
        interfaceName: "br0",
        existing: false,
        dns: {
            mode: "hosts",
            servers: ["192.0.2.53", "2001:DB8::53"],
            search: "Example.com",
            domain: "frontend",
            options: ["ndots:2", "rotate"],
        },
        extraHosts: { "Registry.example.com": "2001:DB8::0080", mirror: "host-gateway" },
        adopt: true,
        labels: { team: "a" },
    },
    sandbox: {
        host,
        hostname: "Web_1.Front",
        dns: { servers: "192.0.2.53" },
        extraHosts: { registry: "192.0.2.80" },
        name: "web",
        namespace: "web",
        sysctls: { "net.core.somaxconn": 1024, "net/ipv4/ip_forward": " 1 " },
        adopt: true,
        labels: {},
    },
    endpoint: {
        sandbox,
        network,
        ipv6Address: "fd00::10",
        ipv4Address: "172.20.0.5",
        macAddress: "02-6C-AC-14-00-05",
        aliases: ["api", "API.internal"],
        interfaceName: "eth0",
        gatewayPriority: "never",
        adopt: true,
        labels: {},
    },
    "port-mapping": {
        target: { endpoint, port: "81" },
        targetPort: "80",
        hostPort: "8080",
        protocol: "udp",
        hostAddress: "127.0.0.1",
        existingFlows: "drain",
        sourceAddress: "keep",
        publishOn: host,
        adopt: true,
        labels: {},
    },
    "firewall-policy": {
        target: endpoint,
        ingress: [
            {
                action: "allow",
                from: [
                    { kind: "endpoint", id: "le2.1@m2", addresses: ["172.20.1.2", "fd00::2"] },
                    { ...network, segment: true },
                    endpoint,
                    sandbox,
                    network,
                    "10.0.0.1",
                    "10.0.0.0/8",
                    "any",
                    "host",
                ],
                protocol: "tcp",
                ports: [80, "81", "90-92", "53/udp"],
                description: "x",
            },
        ],
        egress: [
            { action: "reject", to: "external", protocol: ["icmp", 47], rejectWith: "host-unreachable", log: "out: " },
            {
                action: "allow",
                icmpTypes: ["8", 3, 200],
                limit: { rate: "20 / minute", perSource: true, connections: 5 },
            },
        ],
        defaultAction: "reject",
        priority: -1,
        adopt: true,
        labels: {},
    },
    "overlay-tunnel": {
        network,
        vni: 42,
        peers: [{ underlayAddress: "192.0.2.20", ipRange: "172.20.1.0/24" }],
        remoteEndpoints: [{ address: "172.20.0.9", underlayAddress: "192.0.2.20" }],
        local: "192.0.2.10",
        port: 4790,
        mtu: 1400,
        adopt: true,
        labels: {},
    },
};

/** Arguments that exclude some of the examples: given beside the minimal ones. */
export const alternatives: Partial<Record<Kind, Props>> = {
    network: {
        host,
        ipv4: false,
        subnet: "fd00:20::/64",
        gateway: "fd00:20::ff",
        ipRange: "fd00:20::10 - fd00:20::20",
        reserved: ["fd00:20::12"],
    },
    "overlay-tunnel": {
        ...{ network, vni: 42, encryption: "ipsec", key: ["0123456789abcdef", "fedcba9876543210"] },
        peers: [
            {
                ...{ host, underlayAddress: "192.0.2.20", ipRange: "172.20.1.0/24" },
                identity: { id: "0".repeat(32), epoch: 1 },
            },
        ],
    },
    "port-mapping": {
        target: [endpoint, { endpoint: { kind: "endpoint", id: "le2.1@m1" }, weight: 2 }],
        ports: [
            "8080:80",
            3000,
            { targetPort: 53, hostPort: "5300-5310", protocol: ["udp", "tcp"], hostAddress: ["127.0.0.1"] },
            { target: 443, published: "443", protocol: "tcp", host_ip: "192.0.2.10" },
        ],
    },
};

export const kindNames = Object.keys(examples) as Kind[];

export const schemaOf = (kind: Kind) => (kind === "host" ? hostSchema : objectKinds[kind].schema);

/** What the engine gets for arguments; `connection` beside them as the SDK passes it. */
export async function check(kind: Kind, args: Props, olds: Props = {}): Promise<CheckResult> {
    const connection = kind === "host" ? {} : { connection: { host: "203.0.113.10" } };
    const handler = kind === "host" ? hostHandler : objectHandler(kind);
    return handler.check(olds, { __provider: "x", owner, ...connection, ...args });
}

/** The sentences, without the resource's name. */
export async function refusals(kind: Kind, args: Props): Promise<string[]> {
    const { failures } = await check(kind, args);
    return failures.map(({ reason }) => reason.replace(/^\w+ "x": /, ""));
}
