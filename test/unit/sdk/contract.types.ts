// Checked by tsc, never run: what the compiler has to refuse, and what it has to accept.
import * as pulumi from "@pulumi/pulumi";
import * as linuxnet from "../../../sdk/index.js";

const host = new linuxnet.Host("edge", { connection: { host: "203.0.113.10", user: "deploy", sudo: true } });
const network = new linuxnet.Network("frontend", { host, subnet: ["172.20.0.0/24", pulumi.output("fd00::/64")] });
const sandbox = new linuxnet.Sandbox("web", { host: Promise.resolve(host), forwarding: { masquerade: "wg0" } });
const endpoint = new linuxnet.Endpoint("web-frontend", { sandbox, network: pulumi.output(network) });
const other = new pulumi.StackReference("org/other/prod");

// Another stack's exports have no type of their own, and pass everywhere.
linuxnet.Network.get("shared", other.requireOutput("network"), { host });
new linuxnet.Endpoint("web-shared", { sandbox, network: other.requireOutput("network") });
new linuxnet.Endpoint("web-own", { sandbox, network: network.reference });
new linuxnet.Host("behind", {
    connection: { host: "10.0.0.1", proxy: [{ host: "bastion" }] },
    triggers: [1, network.id],
});
new linuxnet.FirewallPolicy("access", {
    target: [endpoint, sandbox, network],
    ingress: [
        { action: "allow", from: [endpoint, "10.0.0.0/8"], ports: [5432, "8000-8010"], protocol: ["tcp", "udp"] },
    ],
});

// @ts-expect-error a Sandbox is no Network
new linuxnet.Endpoint("wrong", { sandbox, network: sandbox });
// @ts-expect-error nor is the reference of one
new linuxnet.Endpoint("wrong", { sandbox, network: sandbox.reference });
// @ts-expect-error a bare id is never copied by hand
new linuxnet.Endpoint("wrong", { sandbox, network: network.id });
// @ts-expect-error the sandbox is required
new linuxnet.Endpoint("wrong", { network });
// @ts-expect-error import never reaches a dynamic provider
new linuxnet.Network("wrong", { host }, { import: "abc" });
// @ts-expect-error reading an existing object is what get is for
new linuxnet.Network("wrong", { host }, { id: "abc" });
// @ts-expect-error the provider is part of the package
new linuxnet.Network("wrong", { host }, { provider: host });
// @ts-expect-error overlay is a component of its own
new linuxnet.Network("wrong", { host, driver: "overlay" });
// @ts-expect-error arguments are spelt as in the contract
new linuxnet.Network("wrong", { host, subnett: "172.20.0.0/24" });
// @ts-expect-error a port mapping is no peer
new linuxnet.FirewallPolicy("wrong", { target: new linuxnet.PortMapping("http", { target: endpoint }) });
// @ts-expect-error hosts are plain objects, an Output of them is not
new linuxnet.OverlayNetwork("wrong", { hosts: [pulumi.output(host)], subnet: "10.64.0.0/16", vni: 1 });

export const outputs: {
    readonly subnet: pulumi.Output<string>;
    readonly driver: pulumi.Output<"bridge" | "macvlan" | "ipvlan" | undefined>;
    readonly reference: pulumi.Output<linuxnet.Reference<linuxnet.Network>>;
} = network;
