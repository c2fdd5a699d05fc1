import type { Props } from "../../provider/lifecycle.js";
import type { Resource, Stack } from "./driver.js";

/** One kind of resource: how it is created, and a change of most of what changes in place. */
export interface FaultCase {
    readonly kind: string;
    readonly create: () => Promise<Resource>;
    readonly changes: Props;
}

export const caseKinds = [
    "network",
    "sandbox",
    "endpoint",
    "port mapping",
    "firewall policy",
    "overlay tunnel",
] as const;

/** Makes what resources hang on: two networks, a sandbox, and an endpoint between them. */
export async function layCases(
    stack: Stack,
): Promise<Readonly<Record<(typeof caseKinds)[number], FaultCase>> & { readonly front: Resource }> {
    const front = await stack.network("front", { subnet: "172.20.0.0/24", ipRange: "172.20.0.0/25" });
    const back = await stack.network("back", { subnet: "172.21.0.0/24" });
    const web = await stack.sandbox("web");
    const webFront = await stack.endpoint("web-front", { sandbox: web, network: front });
    const peers = (ipRange: string) => [{ underlayAddress: "198.18.255.254", ipRange }];
    const define = (kind: string, create: () => Promise<Resource>, changes: Props): FaultCase => ({
        kind,
        create,
        changes,
    });
    return {
        front,
        network: define(
            "network",
            () => stack.network("alone", { subnet: "172.22.0.0/24", labels: { a: "b" }, mtu: 1500 }),
            {
                mtu: 1400,
                internal: true,
                isolateEndpoints: true,
                hostAccess: false,
                defaultPolicy: "deny",
                gateway: "172.22.0.9",
            },
        ),
        sandbox: define(
            "sandbox",
            () => stack.sandbox("alone", { sysctls: { "net.ipv4.ip_unprivileged_port_start": "80" } }),
            { sysctls: { "net.ipv4.ip_unprivileged_port_start": "90", "net.ipv4.ip_default_ttl": "32" } },
        ),
        endpoint: define(
            "endpoint",
            () => stack.endpoint("web-back", { sandbox: web, network: back, gatewayPriority: 5 }),
            { ipv4Address: "172.21.0.77", macAddress: "02:00:00:00:00:77", gatewayPriority: -5 },
        ),
        "port mapping": define(
            "port mapping",
            () =>
                stack.portMapping("dns", {
                    target: webFront,
                    hostPort: 5300,
                    targetPort: 53,
                    protocol: ["tcp", "udp"],
                }),
            { hostPort: 5301, targetPort: 54 },
        ),
        "firewall policy": define(
            "firewall policy",
            () => stack.firewallPolicy("closed", { target: webFront, ingress: [{ action: "allow", ports: [80] }] }),
            { ingress: [{ action: "reject", from: [back] }], egress: [{ action: "allow", to: ["host"] }] },
        ),
        "overlay tunnel": define(
            "overlay tunnel",
            () => stack.overlayTunnel("far", { network: front, vni: 7, peers: peers("172.20.0.128/29"), mtu: 1450 }),
            { vni: 8, peers: peers("172.20.0.136/30"), mtu: 1400 },
        ),
    };
}
