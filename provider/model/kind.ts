/** The seven kinds of resources; permanent, because ids, manifests and state carry them. */
export const kinds = [
    "host",
    "network",
    "sandbox",
    "endpoint",
    "port-mapping",
    "firewall-policy",
    "overlay-tunnel",
] as const;

export type Kind = (typeof kinds)[number];

/** The word a user knows a kind by, as in messages: `Endpoint "web"`. */
export const kindTitles: Readonly<Record<Kind, string>> = {
    host: "Host",
    network: "Network",
    sandbox: "Sandbox",
    endpoint: "Endpoint",
    "port-mapping": "PortMapping",
    "firewall-policy": "FirewallPolicy",
    "overlay-tunnel": "OverlayTunnel",
};
