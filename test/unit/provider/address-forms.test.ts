import { expect, test } from "vitest";
import type { Props } from "../../../provider/lifecycle.js";
import type { Kind } from "../../../provider/model/kind.js";
import { formatId } from "../../../provider/model/reference.js";
import { check } from "./examples.js";

const ref = (kind: string) => ({ kind, id: formatId({ key: `l${kind[0]}1`, generation: "1", machineId: "m1" }) });
const [host, network, sandbox, endpoint] = ["host", "network", "sandbox", "endpoint"].map(ref);
const six = { host, ipv4: false, subnet: "fd00:1::/64" };
const rule = (from: string) => ({ target: endpoint, ingress: [{ action: "allow", from }] });
const peers = (underlayAddress: string) => ({ network, vni: 9, peers: [{ underlayAddress, ipRange: "10.0.1.0/24" }] });

/** Every argument that takes an address: its kind, the arguments with a text in its place, and where it is stored. */
const places: Readonly<Record<string, readonly [Kind, (text: string) => Props, (inputs: Props) => unknown]>> = {
    gateway: ["network", (text) => ({ ...six, gateway: text }), ({ gateway }) => gateway],
    reserved: ["network", (text) => ({ ...six, reserved: text }), ({ reserved }) => one(reserved)],
    "network's dns": ["network", (text) => ({ ...six, dns: { servers: text } }), ({ dns }) => one(dns, "servers")],
    "sandbox's dns": ["sandbox", (text) => ({ host, dns: { servers: [text] } }), ({ dns }) => one(dns, "servers")],
    extraHosts: ["sandbox", (text) => ({ host, extraHosts: { a: text } }), (inputs) => at(inputs, "extraHosts", "a")],
    ipv6Address: ["endpoint", (text) => ({ sandbox, network, ipv6Address: text }), (inputs) => inputs["ipv6Address"]],
    hostAddress: [
        "port-mapping",
        (text) => ({ target: endpoint, targetPort: 80, hostAddress: text }),
        ({ hostAddress }) => one(hostAddress),
    ],
    "hostAddress of ports": [
        "port-mapping",
        (text) => ({ target: endpoint, ports: [{ targetPort: 80, hostPort: 80, hostAddress: text }] }),
        ({ ports }) => one(at(ports, 0), "hostAddress"),
    ],
    "ports, short": [
        "port-mapping",
        (text) => ({ target: endpoint, ports: [`[${text}]:80:80`] }),
        ({ ports }) => one(at(ports, 0), "hostAddress"),
    ],
    "policy's peer": [
        "firewall-policy",
        rule,
        ({ ingress }) => String(one(at(ingress, 0), "from")).replace(/\/(128|32)$/, ""),
    ],
    underlayAddress: [
        "host",
        (text) => ({ connection: { host: "192.0.2.1" }, underlayAddress: text }),
        (inputs) => inputs["underlayAddress"],
    ],
    "peer's underlayAddress": ["overlay-tunnel", peers, ({ peers }) => at(peers, 0, "underlayAddress")],
    local: ["overlay-tunnel", (text) => ({ network, vni: 9, local: text }), ({ local }) => local],
    remoteEndpoints: [
        "overlay-tunnel",
        (text) => ({ ...peers("fd00:9::2"), remoteEndpoints: [{ address: text, underlayAddress: "fd00:9::2" }] }),
        ({ remoteEndpoints }) => at(remoteEndpoints, 0, "address"),
    ],
};

const at = (value: unknown, ...path: (string | number)[]): unknown =>
    path.reduce<unknown>((part, name) => (part as Record<string | number, unknown>)?.[name], value);

function one(value: unknown, name?: string): unknown {
    const list = name === undefined ? value : at(value, name);
    expect(list).toHaveLength(1);
    return at(list, 0);
}

/** RFC 4291, 2.2 -> RFC 5952. */
const forms: Readonly<Record<string, string>> = {
    "FD00:0001:0000:0000:0000:0000:0000:00AB": "fd00:1::ab",
    "fd00:1:0:0:0:0:0:ab": "fd00:1::ab",
    "fd00:1::00ab": "fd00:1::ab",
    "fd00:1:0::0:ab": "fd00:1::ab",
    "fd00:1::0:0:1:0:0": "fd00:1::1:0:0",
    "fd00:1:0:0:1:0:0:1": "fd00:1::1:0:0:1",
    "fd00:1::2:3:4:5:6": "fd00:1:0:2:3:4:5:6",
    "fd00:1:2:3:4:5:6::": "fd00:1:2:3:4:5:6:0",
    "64:ff9b::192.0.2.1": "64:ff9b::c000:201",
    "fd00:1::10.0.0.1": "fd00:1::a00:1",
};

const wrong: Readonly<Record<string, RegExp>> = {
    "::ffff:192.0.2.1": /is an IPv4 address in the form of IPv6; write 192\.0\.2\.1/,
    "::FFFF:C000:201": /is an IPv4 address in the form of IPv6; write 192\.0\.2\.1/,
    "fd00:1::1%eth0": /has a zone, which means something on one machine only; leave "%\.\.\." out/,
    "fd00:1::1::2": /is not an IPv6 address/,
    "fd00:1:::2": /is not an IPv6 address/,
    "fd00:1:2:3:4:5:6:7:8": /is not an IPv6 address/,
    "fd00:1::00001": /is not an IPv6 address/,
    "fd00:1::010.0.0.1": /is not an IPv6 address/,
    " fd00:1::1": /is not an IPv6 address/,
};

test.each(Object.entries(places))(
    "addresses: %s takes every form of RFC 4291, stores that of RFC 5952 at its place, and refuses others on purpose",
    async (name, [kind, write, read]) => {
        for (const [text, canonical] of Object.entries(forms)) {
            // 64:ff9b::/96 is no address of a machine's own.
            if (text.startsWith("64:") && /underlay|local/i.test(name)) continue;
            const { inputs, failures } = await check(kind, write(text));
            expect({ text, failures, stored: read(inputs) }).toEqual({ text, failures: [], stored: canonical });
            // What is stored is what the next preview compares with.
            const again = await check(kind, inputs, inputs);
            expect(again).toEqual({ inputs, failures: [] });
        }
        for (const [text, sentence] of Object.entries(wrong)) {
            const { failures } = await check(kind, write(text));
            expect(failures.map(({ reason }) => reason).join("\n"), text).toMatch(
                name === "ports, short" || text.startsWith(" ") ? /./ : sentence,
            );
        }
    },
);

/** Networks, in CIDR notation or as first and last address. */
const ranges: Readonly<Record<string, string>> = {
    "FD00:1:0::/64": "fd00:1::/64",
    "fd00:0001::0/48": "fd00:1::/48",
};

const networks: Readonly<Record<string, readonly [Kind, (text: string) => Props, (inputs: Props) => unknown]>> = {
    subnet: ["network", (text) => ({ host, ipv4: false, subnet: text }), ({ subnet }) => subnet],
    ipRange: ["network", (text) => ({ ...six, ipRange: text }), ({ ipRange }) => ipRange],
    "policy's peer": ["firewall-policy", rule, ({ ingress }) => one(at(ingress, 0), "from")],
    addressPools: [
        "host",
        (base) => ({ connection: { host: "192.0.2.1" }, addressPools: [{ base, size: 64 }] }),
        ({ addressPools }) => at(addressPools, 0, "base"),
    ],
};

test.each(Object.entries(networks))(
    "addresses: %s takes networks in every form, and refuses bits behind the prefix, naming the network",
    async (_name, [kind, write, read]) => {
        for (const [text, canonical] of Object.entries(ranges)) {
            const { inputs, failures } = await check(kind, write(text));
            expect({ text, failures, stored: read(inputs) }).toEqual({ text, failures: [], stored: canonical });
            expect(await check(kind, inputs, inputs)).toEqual({ inputs, failures: [] });
        }
        const { failures } = await check(kind, write("fd00:1::1/64"));
        expect(failures[0]?.reason).toContain(
            '"fd00:1::1/64" has bits set behind its prefix; the network is fd00:1::/64',
        );
        for (const text of ["fd00:1::/129", "fd00:1::/064", "fd00:1::/", "fd00:1::%eth0/64"])
            expect((await check(kind, write(text))).failures, text).toHaveLength(1);
    },
);

test.each(["172.020.0.10", "0172.20.0.10", "172.20.0.010"])(
    "addresses: IPv4 with leading zeros (%s) is refused, because some programs read them as octal",
    async (text) => {
        const given: readonly [Kind, Props][] = [
            ["endpoint", { sandbox, network, ipv4Address: text }],
            ["network", { host, subnet: "172.20.0.0/24", gateway: text }],
            ["port-mapping", { target: endpoint, targetPort: 80, hostAddress: text }],
            ["firewall-policy", rule(text)],
            ["overlay-tunnel", { network, vni: 9, local: text }],
        ];
        for (const [kind, args] of given) {
            const [failure, ...more] = (await check(kind, args)).failures;
            expect(more).toEqual([]);
            expect(failure?.reason).toContain(
                `"${text}" has leading zeros, which some programs read as octal; write 172.20.0.10`,
            );
        }
    },
);
